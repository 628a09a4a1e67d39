/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal.h - write-ahead journal of map changes, and the volatile tail
 *
 *   append            commit                     checkpoint
 *   ------> pending ring ------> journal ring ------------> (space reused)
 *           (the tail)           (on disk)
 *
 * Records that are not yet durable live in one ring in memory, the pending
 * ring.  Where a tmpfs is to be had that memory is a mapped file, the tail:
 * it survives the death of the daemon and vanishes with the power.
 *
 * Invariants (journal.c keeps them, journal_scan.c relies on them)
 *   [JOURNAL-1] Records are numbered 1, 2, 3 ... in the order in which the map changed.
 *   [JOURNAL-2] A group (records joined by .more) is wholly in one batch.
 *   [JOURNAL-3] A batch is written only after the one before it is durable, and names its
 *               checksum; so what a scan accepts is a prefix of what was committed, or was in flight.
 *   [JOURNAL-4] The ring from the committed checkpoint's start is never overwritten.
 *   [JOURNAL-5] The pending ring holds every record that is not durable; the tail's start
 *               moves only after the records before it are.
 *   [JOURNAL-6] A batch with checksums of data is written before that data is durable, and counts only if the data
 *               matches; but for the last one that is so, by [JOURNAL-3].  (young.h)
 *
 * Thread rule: journal_append, journal_cut and journal_seq under the owner's lock
 * (REQUIRES the engine's metadata lock held for writing); journal_write and its kin, journal_at and
 * journal_checkpointed by one thread at a time (the owner's commit lock); the rest by any
 * thread, without a lock.
 */
#ifndef COWBD_JOURNAL_H
#define COWBD_JOURNAL_H

#include "format.h"
#include "store.h"

/* A place in the journal, as the superblock names it. */
struct journal_position {
	uint64_t offset; /* of the next batch, bytes in the ring */
	uint64_t batch;  /* its number */
	uint64_t chain;  /* checksum of the batch before it */
	uint64_t seq;    /* of the last record before it */
	/* where a scan ended: */
	bool rejected;   /* the batch there is whole, and the data that it names is not, */
	bool unreadable; /* or can't be read */
	bool stopped;    /* the ring can't be read there */
	uint64_t bad;    /* with either: where, bytes in the ring */
};

/* Data that a batch vouches for. */
struct journal_sum {
	uint64_t block, checksum; /* batch_sum */
};

/* Where the journal that the superblock's checkpoint needs begins. */
struct journal_position journal_position_of(const struct disk_super *s);

struct journal;

/* Called for each record in order; a negative return ends the scan with it. */
typedef int (*record_visit)(void *opaque, const struct record *r);

/* What is known of the last batch already, if it has checksums of data. */
enum { JOURNAL_LAST_COUNTS = 1, JOURNAL_LAST_REJECTED = 2 };

/* Reads the ring from *from (whose .seq is that of the last record the checkpoint
 * holds) and visits every record with a greater seq, up to the first batch
 * that isn't valid.  *ret_end: the position after the last valid batch.  [JOURNAL-6]: the last one isn't valid if data that
 * it names doesn't match; then .rejected is set.  Where the ring can't be read the journal ends, too, and .stopped is set.  Whoever
 * goes on after either has to call journal_skip_beyond. -EUCLEAN if sequence numbers have a gap.  Batches are read whole; a batch's records are visited only when all of it is valid.
 * The visited seqs continue from->seq without a gap. */
int journal_scan(struct store *s, const struct geometry *g, const uint8_t uuid[16],
		 const struct journal_position *from, unsigned flags, record_visit visit,
		 void *opaque, struct journal_position *ret_end) MUST_CHECK;

/* A scan has ended at *end.  *ret_number: of a whole batch that was written after the one that belongs there, 0: there
 * is none.  By [JOURNAL-3] the one that belongs there was durable then, so it was damaged since: a cut of the power leaves no such thing.
 * Looks as far as the longest batch may reach.  Cost: five times that, at most, is read. */
int journal_beyond(struct store *s, const struct geometry *g, const uint8_t uuid[16],
		   const struct journal_position *end, uint64_t *ret_number) MUST_CHECK;

/* A scan has ended at *end, .stopped or .rejected, and the data of the batches before that is durable.  In the place of
 * what may be a batch comes, durably, one that was begun and no more: that ends the journal, and says that the one
 * before it counts. */
int journal_void(struct store *s, const struct geometry *g,
		 const struct journal_position *end) MUST_CHECK;

/* Where a journal can go on from end though there are batches beyond it: their numbers are below its own. */
void journal_skip_beyond(const struct geometry *g, struct journal_position *end);

/* ---- the tail's file ------------------------------------------------------- */

struct tail_identity {
	uint8_t uuid[16], boot_id[16], session_id[16];
	uint64_t pool_dev, pool_ino;
};

/* Fills buf with this boot's id (/proc/sys/kernel/random/boot_id). */
int tail_boot_id(uint8_t boot_id[16]) MUST_CHECK;

/* Chooses the directory for tails: rundir if it is on tmpfs, else
 * /dev/shm/cowbd-UID (made 0700, owner and mode checked, not a symlink).
 * -ENOENT if neither is tmpfs. */
int tail_directory(const char *rundir, char *buf, size_t len) MUST_CHECK;

/* What a tail says of its session. */
struct tail_state {
	bool tainted;     /* a sync failed */
	uint64_t durable; /* all records up to this seq were durable [TAIL-5]; 0: not known */
	uint64_t first;   /* seq of the first record > after, 0: there is none; with -EILSEQ, too */
	uint64_t last;    /* of the last one visited, or after */
};

/* Reads an old session's tail at path: -ENOENT if there is none or it's not at
 * dev:ino; -ESTALE, with what differs, if it isn't *want's; else visits, in order, every
 * record in it with seq > after, whole groups only (a torn or unfinished
 * group ends it).  The first visited has seq after + 1, or -EILSEQ "tail does not follow".
 * A tail whose records all are <= after is fine and visits nothing. *ret_state is set then, and with -EILSEQ. */
int tail_scan(const char *path, uint64_t dev, uint64_t ino, const struct tail_identity *want,
	      uint64_t after, record_visit visit, void *opaque,
	      struct tail_state *ret_state) MUST_CHECK;

/* ---- a running journal -------------------------------------------------------- */

struct journal_options {
	uint64_t pending_bytes; /* of the pending ring; 0: 16 MiB */
	const char *tail_path;  /* file to make (replaces one), NULL: no tail */
	struct tail_identity identity;
	const struct journal_position *start; /* of the committed checkpoint, when batches that it
						   needs lie before *at; NULL: at */
};

/* Starts at *at.  With tail_path the file is made, fallocated, mapped and locked in memory
 * (mlock failing is not an error), then renamed into place. */
int journal_new(struct store *s, const struct geometry *g, const uint8_t uuid[16],
		const struct journal_position *at, const struct journal_options *opt,
		struct journal **ret_journal) MUST_CHECK;

/* Locks the pending ring in memory as journal_new does: again after fork(), since a child has
 * no locks. */
void journal_lock_memory(struct journal *j);

/* Unmaps; removes the tail's file if remove_tail. NULL is fine. */
void journal_free(struct journal *j, bool remove_tail);

/* dev:ino of the tail's file; false if there's no tail. */
bool journal_tail_id(const struct journal *j, uint64_t *ret_dev, uint64_t *ret_ino);

/* Sets the tainted flag in the tail (after a failed sync). */
void journal_taint(struct journal *j);

/* Sets bytes of the pending ring aside for appends to come: true, or false if there
 * is no room now (commit, then ask again).  More than half the pending ring can never be had.
 * Any thread, no lock needed. */
bool journal_reserve(struct journal *j, size_t bytes);

/* Gives back what was reserved and not used. */
void journal_release(struct journal *j, size_t bytes);

/* Appends r, whose seq is set here and returned.  Takes record_size(r) from what the caller has
 * reserved.  Never fails, never blocks. */
uint64_t journal_append(struct journal *j, struct record *r);

/* Sequence of the last record appended; and of the last durable one. */
uint64_t journal_seq(const struct journal *j);
uint64_t journal_durable_seq(const struct journal *j);

/* Bytes appended and not yet durable; any thread. */
uint64_t journal_pending_bytes(const struct journal *j);

/* The end of what is pending now, for journal_write. Between groups only. */
struct journal_cut {
	uint64_t seq; /* last record in it */
	uint64_t end; /* offset in the pending ring since the start */
};
struct journal_cut journal_cut(const struct journal *j);

/* Bytes the ring has left; ring bytes that writing up to cut would take at most. */
uint64_t journal_room(const struct journal *j);
uint64_t journal_ring_bytes(const struct journal *j);
uint64_t journal_need(const struct journal *j, struct journal_cut cut);

/* Makes the records up to cut durable: one batch, or several cut between groups where one would
 * be larger than a quarter of the ring or 4 MiB (then a single group may still be up to half the ring).  O_DIRECT, DSYNC.  Returns -EAGAIN, having
 * written nothing, if the ring has no room before the committed checkpoint's start (checkpoint,
 * then try again; also for a group larger than half the ring).  On success durable_seq = cut.seq and the pending ring is released up to it.
 * An I/O error leaves it undefined what is durable: the caller turns read-only; from
 * then on -EROFS. */
int journal_write(struct journal *j, struct journal_cut cut) MUST_CHECK;

/* The same as one batch with n checksums of data, but not durable: when a sync that covers the data, and with it
 * all direct writes, was called after this and has ended, journal_synced tells.  Nothing else may be written before.
 * 1, 0 (nothing was written: it would not be one small batch, or there is no room), or an error as of journal_write. */
int journal_write_ahead(struct journal *j, struct journal_cut cut, const struct journal_sum *sums,
			unsigned n) MUST_CHECK;
void journal_synced(struct journal *j);

/* Writes an empty batch, durably: the data that the one before it names need not match from now on. -EAGAIN, errors: as
 * journal_write. */
int journal_seal(struct journal *j) MUST_CHECK;

/* Where the next batch will go. Under the commit lock. */
struct journal_position journal_at(const struct journal *j);

/* A checkpoint that holds everything up to cut was committed, with start as its journal position:
 * the ring before start is free; records up to cut are durable and leave the pending ring. */
void journal_checkpointed(struct journal *j, struct journal_cut cut, struct journal_position start);

#endif
