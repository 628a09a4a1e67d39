/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store.h - bytes at offsets of the pool
 *
 * A store is a flat array of bytes with a size, that can be read, written,
 * synced, allocated ahead, given back and grown.  It knows nothing of what the bytes mean.
 *
 * Two ways in, and a byte is only ever touched by one of them until the next
 * sync of everything:
 *   buffered  guest data; any offset and length (unless align > 1)
 *   direct    superblock zone, journal, metadata pages: 4 KiB aligned offset,
 *             length and memory; bypasses the page cache where the host can
 *
 * What is durable when:
 *   A write (buffered or direct) is durable after a sync that covers it and
 *   that was *called* after the write had returned; any sync covers all direct writes.
 *   A direct write with STORE_DURABLE is durable when it returns.  Until then any part of it, in
 *   units of 512-byte sectors, may or may not survive a power cut.
 *
 * Thread rule: any thread may call anything at any time, but store_close.
 * Error rule: 0 or negative errno with a message.  -ENOSPC (also for EDQUOT,
 * EFBIG) only from store_prealloc and store_grow; a write that meets it
 * reports -EIO, since it should have been allocated before.
 */
#ifndef COWBD_STORE_H
#define COWBD_STORE_H

#include <sys/uio.h>

#include "metalock.h"

struct store;

enum {
	STORE_WRITE = 1,   /* else a read */
	STORE_DIRECT = 2,  /* through the direct way */
	STORE_DURABLE = 4, /* durable on return (with STORE_DIRECT | STORE_WRITE) */
};

/* One I/O: len bytes at offset, from or into iov.  Short transfers are
 * continued inside; reading beyond the end of the store is -EIO. */
struct store_io {
	unsigned flags;
	uint64_t offset;   /* bytes */
	struct iovec *iov; /* is not changed */
	int niov;          /* 1 .. 1024 */
	int result;        /* out: 0 or negative errno */
};

/* A range of bytes, for syncing. */
struct store_range {
	uint64_t offset, length;
};

struct store_ops {
	const char *name; /* "file", "device", "sim" */
	int (*submit)(struct store *s, struct store_io *ios, unsigned n);
	int (*sync)(struct store *s, const struct store_range *ranges, unsigned n);
	void (*write_back)(struct store *s, const struct store_range *ranges,
			   unsigned n); /* or NULL */
	int (*prealloc)(struct store *s, uint64_t offset, uint64_t length);
	int (*discard)(struct store *s, uint64_t offset, uint64_t length);
	int (*zero)(struct store *s, uint64_t offset, uint64_t length); /* or NULL: never can */
	int (*grow)(struct store *s, uint64_t size);
	int (*drop_cache)(struct store *s);
	void (*close)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	uint64_t size;       /* bytes; changed by grow alone, under the caller's lock */
	uint64_t host_limit; /* bytes it can grow to, 0: as large as now (device) */
	uint32_t
		data_align; /* buffered I/O must be aligned to this: 1, or 512/4096 if opened direct */
	bool read_only;
	bool sparse;       /* discard gives space back, untouched ranges take none */
	uint64_t dev, ino; /* identity of the file (of a device: its node); 0 for sim */
	char path[4096];   /* absolute; "sim" */
	const char *uring; /* "io_uring", or why not: "sync (io_uring: EPERM)" */
};

/* Runs n I/Os, in no order, and returns when all have ended: 0, or the first
 * error (each has its own in .result).  n == 1 is one preadv/pwritev; of n > 1 the reads and
 * the direct writes go through this thread's io_uring where there is one.
 * One that is out of bounds (-EIO) or misaligned (-EINVAL) fails alone. */
int store_submit(struct store *s, struct store_io *ios, unsigned n)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* One contiguous buffer. */
int store_read(struct store *s, unsigned flags, uint64_t offset, void *buf, size_t len)
	EXCLUDES(metadata_lock) MUST_CHECK;
int store_write(struct store *s, unsigned flags, uint64_t offset, const void *buf, size_t len)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* Makes all writes to these ranges that had returned before the call durable;
 * n == 0: all writes to the store.  May sync more than was asked.  After an
 * error nothing may be assumed durable, ever (the caller turns read-only). */
int store_sync(struct store *s, const struct store_range *ranges, unsigned n)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* Begins to write these ranges to the disk, so that a later sync has less to wait for.  A hint; whatever
 * goes wrong the sync will tell.  May block while the disk is busy. */
void store_write_back(struct store *s, const struct store_range *ranges, unsigned n);

/* Makes sure that writing to the range cannot run out of host space. -ENOSPC if it would.
 * Leaves content as it is (zero where untouched).  On a device: nothing to do. */
int store_prealloc(struct store *s, uint64_t offset, uint64_t length)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* Makes a range read as zero, and its space allocated, without writing where the host can: 1 if it can't, and zeros have to be
 * written.  As durable as a direct write; later writes there change the host's metadata, for which the sync after them
 * waits longer.  Nothing of the range may be under way. -ENOSPC. */
int store_zero(struct store *s, uint64_t offset, uint64_t length)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* Gives the space of the range back to the host; reads as zero, or (device)
 * as anything, afterwards.  Only a hint: 0 also where the host cannot. */
int store_discard(struct store *s, uint64_t offset, uint64_t length)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* Makes the store larger (bytes).  -ENOSPC beyond what the host can hold. */
int store_grow(struct store *s, uint64_t size) EXCLUDES(metadata_lock) MUST_CHECK;

/* Forgets cached pages, after a failed sync of an earlier session.  Dirty ones are written first
 * (if that fails they count as clean and are forgotten).  What it can't forget: pages that
 * another process has mapped or locked in memory. Best effort, 0 unless nothing could be tried. */
int store_drop_cache(struct store *s) EXCLUDES(metadata_lock) MUST_CHECK;

/* Ends all I/O and frees s; NULL is fine. */
void store_close(struct store *s);

/* ---- file and block device (store_file.c) -------------------------------- */

enum {
	STORE_OPEN_READ_ONLY = 1,   /* shared lock; works on a read-only file */
	STORE_OPEN_CREATE = 2,      /* make the file, O_EXCL unless STORE_OPEN_FORCE */
	STORE_OPEN_FORCE = 4,       /* with CREATE: an existing file is emptied */
	STORE_OPEN_DATA_DIRECT = 8, /* O_DIRECT for data too: data_align > 1 */
	STORE_OPEN_NO_URING = 16,   /* plain system calls only */
};

/* Opens a pool file or block device and locks it on every open file
 * description that does I/O (OFD locks, see filelock.c; rule 8 of the durability protocol;
 * devices also O_EXCL, unless read-only).  -EBUSY if another process has it: the message
 * names its pid where /proc tells.  Waits up to wait_ms for the lock.  CREATE on a block
 * device opens it as it is; FORCE empties a file only when its lock is held.
 * A new file has mode 0600.  DATA_DIRECT: -EOPNOTSUPP where the host has no O_DIRECT. */
int store_file_open(const char *path, unsigned flags, unsigned wait_ms,
		    struct store **ret_store) MUST_CHECK;

/* Largest file that the file system of path (its directory, if it does not
 * exist) can hold, in bytes, and the file system's name ("ext4"). */
int store_file_limit(const char *path, uint64_t *ret_bytes, const char **ret_fs) MUST_CHECK;

/* ---- simulated (store_sim.c), for tests ----------------------------------- */

/* What happened to the simulated disk, in order.  A sync of n ranges is n events; of everything, one
 * with offset 0 and length UINT64_MAX.  Calls that failed have no event. */
enum sim_event_kind { SIM_WRITE, SIM_SYNC, SIM_DISCARD, SIM_PREALLOC, SIM_GROW, SIM_MARK };

struct sim_event {
	enum sim_event_kind kind;
	uint64_t offset, length; /* bytes */
	unsigned flags;          /* of a write */
	void *data;              /* of a write, length bytes; owned by the log */
	uint64_t mark;           /* of SIM_MARK: what the test said (an acknowledgement) */
	uint64_t synced_upto;    /* of SIM_SYNC: events before this index are covered, */
	uint64_t synced_from;    /* but none before this: a sync that failed took them in,
					   and the kernel calls their pages clean since */
};

struct sim_options {
	uint64_t seed;       /* order of completions within one submit */
	bool record;         /* keep a log of events */
	bool locked;         /* as if another process had it: -EBUSY from what makes a store */
	uint32_t data_align; /* 1 unless said otherwise */
	uint64_t host_limit; /* bytes of space the "host" has; 0: no bound */
};

/* Calls of one kind fail from the n-th on (1 = the next), count times (0 = for ever). */
enum sim_fault_kind {
	SIM_FAULT_READ,
	SIM_FAULT_WRITE,
	SIM_FAULT_SYNC,
	SIM_FAULT_PREALLOC,
	SIM_FAULT_DISCARD,
	SIM_FAULT_ANY,
	SIM_FAULT_KINDS
};

/* An empty simulated store of size bytes (sparse in memory). */
int store_sim_new(uint64_t size, const struct sim_options *opt,
		  struct store **ret_store) MUST_CHECK;

/* A store that holds what s would hold after its events [0, upto) with the
 * events in dropped (sorted indices, ndropped of them) never having reached
 * the disk.  s must record.  The new store does not record unless opt says so, and its log
 * starts empty: all that it holds is durable.  opt may be NULL. */
int store_sim_replay(struct store *s, size_t upto, const size_t *dropped, size_t ndropped,
		     const struct sim_options *opt, struct store **ret_store) MUST_CHECK;

/* A write of which only some sectors reached the disk. */
struct sim_tear {
	size_t event;           /* index of a SIM_WRITE */
	const uint8_t *reached; /* bit i % 8 of byte i / 8: its i-th sector is new */
	uint64_t garbage;       /* 0: the other sectors are old; else the seed of garbage in
				   those bytes of them that the write was to change */
};

/* Sectors of 512 bytes that the write touches, the first and last perhaps in part. */
size_t store_sim_sectors(const struct sim_event *write);

/* As store_sim_replay, with one write torn (NULL: none), which must not be among the dropped. */
int store_sim_replay_torn(struct store *s, size_t upto, const size_t *dropped, size_t ndropped,
			  const struct sim_tear *tear, const struct sim_options *opt,
			  struct store **ret_store) MUST_CHECK;

/* Which of the events [0, upto) a power cut at upto may undo: writes and discards that no
 * sync covers (a durable write covers itself), growth after which there was neither a sync
 * nor a durable write.  Fills idx with at most max of them, ascending; returns how many there are. */
size_t store_sim_unsynced(struct store *s, size_t upto, size_t *idx, size_t max);

/* An independent copy of what s holds now; as after kill -9 of its user.  If both record, the log
 * goes on in the copy, so that a power cut there still loses what was never synced. */
int store_sim_copy(struct store *s, const struct sim_options *opt,
		   struct store **ret_store) MUST_CHECK;

/* Events [0, upto) have reached the disk in all that is asked from here on: what comes after is replayed without doing
 * them anew, and nothing before upto can be asked for.  All of them must be durable at upto. */
int store_sim_fold(struct store *s, size_t upto) MUST_CHECK;

/* Of what s holds now, and its size: equal for equal content and seed, whatever takes space. */
uint64_t store_sim_hash(struct store *s, uint64_t seed);

/* The log; valid until the next call on s. */
const struct sim_event *store_sim_events(struct store *s, size_t *ret_n);
void store_sim_mark(struct store *s, uint64_t mark);

/* Replaces the fault of this kind; nth 0: none.  A call that fails changes nothing; each I/O of a
 * submit is a call.  SIM_FAULT_ANY counts every call, growth too.  err: an errno of either sign. */
void store_sim_fault(struct store *s, enum sim_fault_kind kind, uint64_t nth, uint64_t count,
		     int err);

/* Calls of this kind so far, failed ones included. */
uint64_t store_sim_calls(struct store *s, enum sim_fault_kind kind);

/* Bytes of "host" space taken, in whole 4 KiB. */
uint64_t store_sim_allocated(struct store *s);

/* After this every call is -EIO and changes nothing: the engine above may be
 * torn down as if the machine had stopped here. */
void store_sim_cut(struct store *s);

#endif
