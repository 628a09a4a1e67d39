/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run.h - a phase under way: the open pool, its clients and tail, and operations that tell the oracle what they do
 *
 * Each do_... is one op of the oracle: begun, done, acknowledged.  A refusal (full, busy, too many) is an op that was
 * not acknowledged and changed nothing; it returns 0.  Other errors are handed on.
 *
 * Nothing runs in the background.  The store below is wrapped: so that the log outlives the pool, so that the
 * daemon can die at a call of the store, and so that something can happen *inside* a call of it, as by another
 * thread at that moment (struct inside): inside a read of a client, a write, a checkpoint.
 */
#ifndef CRASH_RUN_H
#define CRASH_RUN_H

#include "pool.h"
#include "workload.h"

#define VOLUMES_MAX 4u
#define OBJECTS_MAX 12u

enum { IN_READ = 1, IN_WRITE = 2, IN_SYNC = 4, IN_JOURNAL = 8, IN_ANY = 7 };

/* body runs inside the skip-th call from now on whose kind is among kinds; once. */
struct inside {
	unsigned kinds, skip;
	op_body body;
	int result;
	bool ran;
};

/* The daemon dies in the skip-th call of these kinds (a copy of what it leaves; the phase goes on).  in_flight: the write of
 * that call has reached the disk, and is not durable. */
struct die {
	unsigned kinds, skip;
	bool in_flight;
};

struct run {
	const struct settings *set;
	struct phase *ph;
	struct cowbd_pool *p;
	struct cowbd_client *client[VOLUMES_MAX];
	struct subject *open[VOLUMES_MAX];
	uint64_t random, kill_random, names;
	unsigned block, per, links; /* bytes of a block; sectors a block */
	struct inside inside;
	struct die die;
	char tail_path[512], tail_link[512];
	char why[700]; /* a body's own finding, with a result of -1 */
	void *opaque;  /* of the body */
};

unsigned below(struct run *r, unsigned n);

/* The volumes and snapshots there are. */
unsigned subject_count(const struct oracle *o, bool snapshots, bool volumes);
struct subject *subject_choose(struct run *r, bool snapshots, bool volumes);
struct subject *subject_named(const struct oracle *o, const char *name); /* or NULL */

int do_write(struct run *r, struct subject *s, unsigned first, unsigned n, unsigned flags);
int do_unmap(struct run *r, struct subject *s, unsigned first, unsigned n, bool trim,
	     unsigned flags);
int do_flush(struct run *r, struct subject *s);
int do_create(struct run *r, unsigned sectors, unsigned flags);
int do_snapshot(struct run *r, struct subject *const *volumes, unsigned n, unsigned flags);
int do_clone(struct run *r, struct subject *s, unsigned n, unsigned flags);
enum keep { KEEP_USUAL, KEEP_NAMED, KEEP_NOTHING };
int do_rollback(struct run *r, struct subject *snapshot, enum keep keep, unsigned flags);
int do_remove(struct run *r, struct subject *s, unsigned flags);
int do_rename(struct run *r, struct subject *s, unsigned flags);
int do_resize(struct run *r, struct subject *s, unsigned sectors, unsigned flags);
int do_checkpoint(struct run *r);
int do_commit(struct run *r);
int do_scrub(struct run *r); /* which finds nothing */
int do_sync(struct run *r);
int do_reclaim(struct run *r);
int do_give_back(struct run *r);
int do_grow(struct run *r, unsigned zones);
int do_reopen(struct run *r);

/* Reads the volume's sectors and compares them with the oracle, while something may run inside. */
int do_read(struct run *r, struct subject *s, unsigned first, unsigned n);

void close_clients(struct run *r, const struct subject *s); /* NULL: of all */

/* A body's own finding: -1. */
__attribute__((format(printf, 2, 3))) int found(struct run *r, const char *fmt, ...);

#endif
