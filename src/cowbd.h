/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cowbd.h - the public interface of libcowbd
 *
 * Nouns.  A *pool* is one file or block device.  It holds *volumes*
 * (writable disks) and *snapshots* (read-only, of one volume).  A *clone* is a
 * volume made from a snapshot or volume; it doesn't depend on it.  A *client* is someone who has a
 * volume or snapshot open for I/O.  Names: "vol", "vol@snap".
 *
 * Thread rule.  All calls on an open pool may come from any thread at any
 * time, but cowbd_close.  Calls block for I/O.
 *
 * Errors.  0 or a negative errno; cowbd_error() has the sentence.  ret_* outputs are untouched on failure.
 *   -EIO device  -EBADMSG checksum  -EUCLEAN structure  -ENOSPC pool (or host) is full
 *   -ENOENT no such name  -EEXIST name taken  -EBUSY in use  -EROFS read-only, or after a failed sync
 *   -EPERM write to a snapshot  -EINVAL argument  -EOPNOTSUPP unknown format feature
 *   -ENODATA not closed cleanly and the volatile tail is lost  -EUCLEAN damage
 *
 * Durability.  A write is durable after cowbd_flush (or with COWBD_FUA); a management call is
 * durable when it returns, unless COWBD_NO_WAIT, and then within a second.  Death of the
 * process alone loses nothing that returned (see status.tail).
 */
#ifndef COWBD_H
#define COWBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COWBD_PUBLIC __attribute__((visibility("default")))
#define COWBD_CHECK __attribute__((warn_unused_result))

struct cowbd_pool;
struct cowbd_client;

/* This thread's last error message. */
COWBD_PUBLIC const char *cowbd_error(void);
COWBD_PUBLIC const char *cowbd_version(void);
#define COWBD_FORMAT_VERSION 1 /* major version of the format on disk */

/* ---- pools ----------------------------------------------------------------- */

struct cowbd_init_options {
	const char *name;       /* of the pool; NULL: the file's name without its extension */
	uint64_t size;          /* bytes; 0: as large as the file system (or device) allows */
	uint32_t block_bytes;   /* 4096 .. 1 MiB, power of two; 0: 4096 */
	uint64_t journal_bytes; /* 0: 1/1024 of the pool, 16 MiB .. 1 GiB */
	bool preallocate;       /* take the whole size from the host now */
	bool force;             /* though path holds something */
	/* long work (preallocation): called now and then; NULL is fine */
	void (*progress)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
};

/* Makes a pool.  -EEXIST: path holds something, -ENOSPC, -EINVAL: sizes. */
COWBD_PUBLIC int cowbd_init(const char *path, const struct cowbd_init_options *opt) COWBD_CHECK;

enum {
	COWBD_OPEN_READ_ONLY = 1,   /* replays in memory, writes nothing, not even a lock file */
	COWBD_OPEN_DIRECT = 2,      /* O_DIRECT for data */
	COWBD_OPEN_LOST_TAIL = 4,   /* open though the tail of a killed session is gone */
	COWBD_OPEN_AFTER_ERROR = 8, /* open a session that ended in a failed sync */
	COWBD_OPEN_NO_URING = 16,
	COWBD_OPEN_NO_TAIL = 32, /* keep no volatile tail */
	COWBD_OPEN_HOLD = 64,    /* writes to a full pool wait for space; else -ENOSPC */
};

struct cowbd_open_options {
	unsigned flags;
	uint64_t cache_bytes; /* metadata cache; 0: 64 MiB */
	const char *run_dir;  /* where the tail may go; NULL: cowbd_run_dir() */
	unsigned wait_ms;     /* for the pool's lock */
	/* how long an ephemeral volume stays after its last client, or after opening; 0: 60 s */
	unsigned ephemeral_ms;
	/* With COWBD_OPEN_HOLD: how long a write waits before -ENOSPC; 0: for ever.  Only a pool that was
	 * started (cowbd_start) holds writes: without its threads nothing would let them go. */
	uint64_t hold_timeout_ns;
	/* Writes begin or end to be held, or were refused for want of space: look at cowbd_pool_info.
	 * It must do no more than wake somebody.  NULL is fine. */
	void (*full)(void *opaque);
	void *opaque;
};

/* Opens and recovers a pool.  No threads run yet: until cowbd_start, commits and reclaim happen
 * only inside calls.  Time is bounded by the journal's size. */
COWBD_PUBLIC int cowbd_open(const char *path, const struct cowbd_open_options *opt,
			    struct cowbd_pool **ret_pool) COWBD_CHECK;

/* Starts the background workers (commit each second, checkpoint, reclaim, giving space back). After fork. */
COWBD_PUBLIC int cowbd_start(struct cowbd_pool *p) COWBD_CHECK;

/* Commits, checkpoints, marks the pool clean, unlocks, frees, whatever fails; returns the first error. NULL is
 * fine.  All clients must be closed. */
COWBD_PUBLIC int cowbd_close(struct cowbd_pool *p);

/* The next cowbd_close leaves reclaim for later: somebody waits to open the pool. */
COWBD_PUBLIC void cowbd_close_quickly(struct cowbd_pool *p);

/* Who a pool is, read from its superblock without opening it: also while it is served. */
struct cowbd_identity {
	char uuid[37], name[65];
	uint64_t dev, ino; /* of the file */
	bool one_copy; /* the other copy of the superblock is damaged; the next opening mends it */
};
COWBD_PUBLIC int cowbd_probe(const char *path, struct cowbd_identity *ret_identity) COWBD_CHECK;

/* Run directory: $COWBD_RUNDIR, /run/cowbd for root, $XDG_RUNTIME_DIR/cowbd, else /tmp/cowbd-UID. */
COWBD_PUBLIC int cowbd_run_dir(char *buf, size_t len) COWBD_CHECK;

/* Makes the pool larger.  -EINVAL if size is smaller than now. */
COWBD_PUBLIC int cowbd_grow_pool(struct cowbd_pool *p, uint64_t size) COWBD_CHECK;

/* Everything up to now durable; then a checkpoint, too. */
COWBD_PUBLIC int cowbd_sync(struct cowbd_pool *p) COWBD_CHECK;
COWBD_PUBLIC int cowbd_checkpoint(struct cowbd_pool *p) COWBD_CHECK;

struct cowbd_pool_info {
	char path[4096], name[64], uuid[37], session[37];
	char io[128];      /* "io_uring", or "sync (why)" */
	char tail[320];    /* its path, or "off: why" */
	uint64_t dev, ino; /* of the pool file */
	uint32_t block_bytes;
	bool read_only, failed, was_clean;
	char failure[256];            /* why it is read-only, "" */
	char note[1024];              /* what opening found and got over, "" */
	uint64_t size, journal_bytes; /* bytes */
	uint64_t zones, free_zones, data_zones, meta_zones, reserve_zones;
	uint64_t block_zones_bytes; /* bytes that data can use at most */
	uint64_t used_blocks;       /* data blocks referenced, or freed and not yet reusable */
	uint64_t free_bytes;        /* that data can still take */
	uint64_t metadata_bytes;
	uint64_t volumes, snapshots, dying, clients;
	uint64_t virtual_bytes; /* sum of the volumes' sizes */
	/* since open */
	uint64_t faults, faults_no_copy, bytes_copied, in_place_writes, blocks_moved;
	uint64_t map_pages_copied, commits, short_commits, seals, checkpoints,
		journal_bytes_written, checkpoint_bytes_written;
	uint64_t blocks_reclaimed, replayed_journal, replayed_tail, zones_given_back;
	uint64_t generation, records, durable_records;
	uint64_t cache_bytes, cache_bound_bytes, dirty_pages;
	/* a full pool: writes held now, and since when (ns since 1970, 0: none is) */
	uint64_t held, full_since;
	/* since open: how often the first one came, writes that were held, and that got -ENOSPC */
	uint64_t full_times, writes_held, writes_refused;
};

COWBD_PUBLIC void cowbd_pool_info(struct cowbd_pool *p, struct cowbd_pool_info *ret_info);

/* ---- names, snapshots, clones ------------------------------------------------- */

enum cowbd_kind { COWBD_VOLUME = 1, COWBD_SNAPSHOT = 2 };
enum cowbd_label { COWBD_LABEL_NONE, COWBD_LABEL_CRASH, COWBD_LABEL_FLUSHED, COWBD_LABEL_FROZEN };
/* EPHEMERAL: a throw-away clone, which the workers remove some time after its last client has gone. */
enum { COWBD_FLAG_BEFORE_ROLLBACK = 1, COWBD_FLAG_EPHEMERAL = 2 };

struct cowbd_object {
	uint64_t id;
	enum cowbd_kind kind;
	enum cowbd_label label;
	uint32_t flags, sector_size;
	uint64_t volume;           /* id of the volume that a snapshot is of, else 0 */
	uint64_t parent;           /* id of what it was made from, 0 none; it may be gone */
	uint64_t size;             /* bytes */
	uint64_t created;          /* ns since 1970 */
	unsigned clients;          /* attached now */
	char name[2 * 256];        /* full: "vol" or "vol@snap" */
	char parent_name[2 * 256]; /* "" if none or gone */
};

enum {
	COWBD_NO_WAIT = 1,        /* return when it took effect; durable by the next commit */
	COWBD_SHRINK_FORCE = 2,   /* resize: cut mapped blocks off */
	COWBD_IGNORE_CLIENTS = 4, /* though clients are attached (the caller has cut them) */
	COWBD_FUA = 8,            /* data: durable on return */
	COWBD_DISCARD = 16,       /* rollback: do not keep the state left behind */
	COWBD_RECURSIVE = 32,     /* remove: a volume's snapshots too */
};

/* All objects, sorted by name (a volume before its snapshots, these by age).  free(*ret_list). */
COWBD_PUBLIC int cowbd_list(struct cowbd_pool *p, struct cowbd_object **ret_list,
			    size_t *ret_n) COWBD_CHECK;
/* That order, for qsort. */
COWBD_PUBLIC int cowbd_compare_objects(const void *a, const void *b);
/* A volume's snapshots, by age; none of what is not a volume.  Cost: theirs, however many objects
 * there are.  free(*ret_list). */
COWBD_PUBLIC int cowbd_list_snapshots(struct cowbd_pool *p, uint64_t volume,
				      struct cowbd_object **ret_list, size_t *ret_n) COWBD_CHECK;
COWBD_PUBLIC int cowbd_find(struct cowbd_pool *p, const char *name,
			    struct cowbd_object *ret_object) COWBD_CHECK;
COWBD_PUBLIC int cowbd_find_id(struct cowbd_pool *p, uint64_t id,
			       struct cowbd_object *ret_object) COWBD_CHECK;

/* -EINVAL and why, for a name ("vol" or "vol@snap") that can't be. */
COWBD_PUBLIC int cowbd_name_check(const char *name) COWBD_CHECK;

/* Each takes effect at one instant, O(1) in the size of the disk. */
COWBD_PUBLIC int cowbd_create(struct cowbd_pool *p, const char *name, uint64_t size,
			      uint32_t sector_size, unsigned flags) COWBD_CHECK;
/* names: "vol@snap" each; one atomic group at one instant.  Returns when writes begun before it have ended. */
COWBD_PUBLIC int cowbd_snapshot(struct cowbd_pool *p, const char *const *names, size_t n,
				enum cowbd_label label, unsigned flags) COWBD_CHECK;
/* source: snapshot (or volume: then as a snapshot taken now); names: new volumes, one atomic group. */
COWBD_PUBLIC int cowbd_clone(struct cowbd_pool *p, const char *source, const char *const *names,
			     size_t n, uint32_t object_flags, unsigned flags) COWBD_CHECK;
/* The volume's content and size become the snapshot's.  What it held is kept as snapshot `keep`
 * (a name without '@'; NULL: "before-rollback", replacing an older automatic one), unless COWBD_DISCARD.
 * -EBUSY while clients are attached. */
COWBD_PUBLIC int cowbd_rollback(struct cowbd_pool *p, const char *snapshot, const char *keep,
				unsigned flags) COWBD_CHECK;
/* Removes objects in one atomic group; space comes back in the background.  -EBUSY: clients; a
 * volume has snapshots that are not in names, without COWBD_RECURSIVE. */
COWBD_PUBLIC int cowbd_remove(struct cowbd_pool *p, const char *const *names, size_t n,
			      unsigned flags) COWBD_CHECK;
/* new_name: "vol" for a volume, "vol@snap" of the same volume for a snapshot. */
COWBD_PUBLIC int cowbd_rename(struct cowbd_pool *p, const char *name, const char *new_name,
			      unsigned flags) COWBD_CHECK;
/* Up, or down where nothing mapped is cut off (else -EBUSY, says how much) or COWBD_SHRINK_FORCE. */
COWBD_PUBLIC int cowbd_resize(struct cowbd_pool *p, const char *volume, uint64_t size,
			      unsigned flags) COWBD_CHECK;

/* Waits until no deleted space is left to reclaim, and it is reusable. */
COWBD_PUBLIC int cowbd_reclaim_wait(struct cowbd_pool *p) COWBD_CHECK;

/* Space of one object, by walking its map (time: its map pages). Bytes. */
struct cowbd_usage {
	uint64_t mapped, exclusive, shared, map_bytes;
};
COWBD_PUBLIC int cowbd_usage(struct cowbd_pool *p, const char *name,
			     struct cowbd_usage *ret_usage) COWBD_CHECK;

/* Bytes (data and map pages) that removing exactly this set would free. */
COWBD_PUBLIC int cowbd_remove_frees(struct cowbd_pool *p, const char *const *names, size_t n,
				    unsigned flags, uint64_t *ret_bytes) COWBD_CHECK;

/* Changed extents from a to b, ascending, merged; in time proportional to the change.
 * kind: 'w' b has data here that a has not, 'z' b is unmapped where a is mapped. */
typedef int (*cowbd_diff_visit)(void *opaque, uint64_t offset, uint64_t length, char kind);
COWBD_PUBLIC int cowbd_diff(struct cowbd_pool *p, const char *a, const char *b,
			    cowbd_diff_visit visit, void *opaque) COWBD_CHECK;

/* ---- data ------------------------------------------------------------------------ */

/* Opens a volume or snapshot for I/O.  peer: who, for messages ("pid 12 uid 0"). */
COWBD_PUBLIC int cowbd_client_open(struct cowbd_pool *p, const char *name, bool read_only,
				   const char *peer, struct cowbd_client **ret_client) COWBD_CHECK;
COWBD_PUBLIC void cowbd_client_close(struct cowbd_client *c); /* NULL is fine */

/* Its writes that wait for space, now and later, return -ESHUTDOWN. */
COWBD_PUBLIC void cowbd_client_cut(struct cowbd_client *c);

/* How many of its writes wait for space now. */
COWBD_PUBLIC unsigned cowbd_client_held(const struct cowbd_client *c);

/* hold false: writes to this volume get -ENOSPC where others would wait, until the pool is closed. */
COWBD_PUBLIC int cowbd_set_on_full(struct cowbd_pool *p, const char *name, bool hold) COWBD_CHECK;

/* Size in bytes when it was opened; may it be written; its id. */
COWBD_PUBLIC uint64_t cowbd_client_size(const struct cowbd_client *c);
COWBD_PUBLIC bool cowbd_client_writable(const struct cowbd_client *c);
COWBD_PUBLIC uint64_t cowbd_client_object(const struct cowbd_client *c);
COWBD_PUBLIC uint32_t cowbd_client_sector_size(const struct cowbd_client *c);

/* What a client has open keeps its id through a rename.  *Attached*: has sent a request, or is
 * open longer than 1 s. */
struct cowbd_client_info {
	uint64_t object, opened_ns, requests;
	bool attached;
	unsigned held;    /* writes that wait for space */
	uint64_t held_ns; /* how long the first of them has */
	char name[2 * 256], peer[128];
};
COWBD_PUBLIC int cowbd_clients(struct cowbd_pool *p, struct cowbd_client_info **ret_list,
			       size_t *ret_n) COWBD_CHECK;

/* Any offset and length within the size; -EINVAL beyond.  Unmapped reads as zero.
 * flags: COWBD_FUA.  -ENOSPC: pool full, nothing of what failed took effect beyond a prefix.
 * -ESHUTDOWN: the same, after cowbd_client_cut. */
COWBD_PUBLIC int cowbd_read(struct cowbd_client *c, void *buf, uint64_t len,
			    uint64_t offset) COWBD_CHECK;
COWBD_PUBLIC int cowbd_write(struct cowbd_client *c, const void *buf, uint64_t len, uint64_t offset,
			     unsigned flags) COWBD_CHECK;
/* Reads as zero afterwards; whole blocks are unmapped, whatever the length, without data I/O. */
COWBD_PUBLIC int cowbd_zero(struct cowbd_client *c, uint64_t len, uint64_t offset,
			    unsigned flags) COWBD_CHECK;
/* Unmaps the whole blocks inside; the rest is left alone. */
COWBD_PUBLIC int cowbd_trim(struct cowbd_client *c, uint64_t len, uint64_t offset,
			    unsigned flags) COWBD_CHECK;
/* Makes all writes to this volume that returned before the call durable, by any client. */
COWBD_PUBLIC int cowbd_flush(struct cowbd_client *c) COWBD_CHECK;
/* Reads ahead into the page cache; a hint. */
COWBD_PUBLIC int cowbd_cache(struct cowbd_client *c, uint64_t len, uint64_t offset) COWBD_CHECK;

/* Ascending extents that cover [offset, offset + len); visit returns 1 to stop early, negative to fail. */
typedef int (*cowbd_extent_visit)(void *opaque, uint64_t offset, uint64_t length, bool mapped);
COWBD_PUBLIC int cowbd_extents(struct cowbd_client *c, uint64_t len, uint64_t offset,
			       cowbd_extent_visit visit, void *opaque) COWBD_CHECK;

/* ---- check ------------------------------------------------------------------------- */

enum cowbd_damage_kind {
	COWBD_DAMAGE = 1,
	COWBD_LEAK = 2,
	COWBD_NOTE = 3,
	COWBD_REPAIR = 4, /* what repair does */
	COWBD_LOST = 5,   /* data that repair could not save */
};

struct cowbd_check_options {
	/* Each finding: kind, object it concerns ("" none), offset in the pool (bytes, UINT64_MAX none), sentence. */
	void (*report)(void *opaque, enum cowbd_damage_kind kind, const char *object,
		       uint64_t offset, const char *message);
	void (*progress)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
	/* Before it starts to count: so many times it goes over the leaves of the maps.  May be NULL. */
	void (*passes)(void *opaque, unsigned n);
	uint64_t memory_bytes; /* for counts; 0: as many as keep all below 512 MiB */
	bool in_use;           /* for the library: the journal goes on meanwhile */
};

struct cowbd_check_result {
	uint64_t damages, leaks, notes;
	uint64_t pages, blocks, objects;           /* verified; counted; seen */
	uint64_t journal_batches, journal_records; /* valid beyond the checkpoint */
	uint64_t journal_lost;                     /* batches known to be lost beyond these */
	unsigned passes;                           /* over the leaves of the maps */
	uint64_t checkpoints, saved_pages;         /* online: that went on, and what they saved */
	uint64_t memory_bytes; /* for counts and for pages that were kept, in the first pass */
};

/* Verifies the committed checkpoint of the pool at path, reading only, sharing no walking
 * code with the engine; -EBUSY if it is open for writing.  0 whatever is found; negative: could not look. */
COWBD_PUBLIC int cowbd_check(const char *path, const struct cowbd_check_options *opt,
			     struct cowbd_check_result *ret_result) COWBD_CHECK;
/* The same for an open pool: checkpoints, then checks that checkpoint. I/O goes on, and so do
 * checkpoints, which save what they overwrite of it.  Findings are told at the end, the first 1000.  -EBUSY: it was overrun
 * several times, since too much changed. */
COWBD_PUBLIC int cowbd_check_pool(struct cowbd_pool *p, const struct cowbd_check_options *opt,
				  struct cowbd_check_result *ret_result) COWBD_CHECK;

struct cowbd_scrub_result {
	struct cowbd_check_result check; /* of the metadata */
	uint64_t snapshots;              /* whose data was verified */
	uint64_t read;                   /* blocks in all; those below are blocks, too */
	uint64_t verified;               /* of snapshots: compared with their checksums */
	uint64_t noted;                  /* of snapshots: got a checksum now */
	uint64_t
		bare; /* of snapshots: have none, for there is no room, or the pool can't be written */
	uint64_t rotten;     /* not what they were */
	uint64_t unreadable; /* the store reads them with an error */
	uint64_t skipped;    /* pages of maps of snapshots that can't be read, with all below */
};

/* cowbd_check_pool, then reads all data once.  What a snapshot reaches, and so does not change, gets a checksum the first
 * time and is compared with it ever after.  I/O goes on.  A block that is not what it was is reported for each object that
 * has it.  Where the metadata is damaged, or can't be written, no checksums are made.  -ESHUTDOWN: cowbd_interrupt. */
COWBD_PUBLIC int cowbd_scrub(struct cowbd_pool *p, const struct cowbd_check_options *opt,
			     struct cowbd_scrub_result *ret_result) COWBD_CHECK;

/* Ends a scrub that runs, and those to come: the pool is about to be closed.  Any thread. */
COWBD_PUBLIC void cowbd_interrupt(struct cowbd_pool *p);

struct cowbd_repair_result {
	struct cowbd_check_result before, after; /* after: zero with dry_run */
	uint64_t pages;                          /* written (or to be) */
	bool recovered;                          /* the journal was replayed first */
};

/* Repairs the pool at path, which nobody has open: the findings before, what is done, what is lost, the findings
 * after.  A pool without damage and leaks is left alone.  Killed anywhere, it is no worse than before.  dry_run: says what it would
 * do.  -EUCLEAN: it can't be repaired, nothing was changed. */
COWBD_PUBLIC int cowbd_repair(const char *path, bool dry_run, const struct cowbd_check_options *opt,
			      struct cowbd_repair_result *ret_result) COWBD_CHECK;

#ifdef __cplusplus
}
#endif

#endif
