/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * workload.h - seeded sequences of operations on a pool of the tiny engine, and what they should have done
 *
 * A workload is one or more *phases*; each begins with an open pool on a recording store, the
 * first in a new pool, the others in what a crash of the phase before left.  All of it follows from the seed.
 */
#ifndef CRASH_WORKLOAD_H
#define CRASH_WORKLOAD_H

#include "oracle.h"
#include "store.h"

#define KILLS_MAX 6u
#define OPS_MAX 512u
#define TAIL_KEPT (PAGE_TAIL_BYTES + 256u * 1024)
#define PAGE_TAIL_BYTES 4096u

/* The daemon died here: what it leaves. */
struct kill {
	struct store *store; /* with the log */
	size_t events;
	uint8_t *tail; /* the first bytes of its tail's file, TAIL_KEPT */
	char tail_path[512];
	char tail_link[512]; /* another name of the same file */
};

struct phase {
	struct oracle oracle;
	struct store *store; /* the log of all that happened */
	size_t first;        /* event at which the oracle begins */
	struct kill kill[KILLS_MAX];
	unsigned nkills;
};

struct settings {
	uint64_t seed;
	unsigned number; /* of the phase */
	unsigned ops;
	const uint8_t *skip; /* ops to leave out, by number in the phase; NULL: none */
	unsigned kills;
	const char *dir; /* on tmpfs, for tails */
	bool verbose;
};

uint64_t random_of(uint64_t *state);

struct run; /* run.h */
typedef int (*op_body)(struct run *r);

/* Opens the pool on s (taken over) and runs a phase: body does its ops.  -1 and why if the pool does something wrong
 * already. */
int phase_run(const struct settings *set, op_body body, void *opaque, struct store *s,
	      struct phase *ret_phase, char *why, size_t len);
void phase_fini(struct phase *ph);

/* A new pool; its log is empty. */
int pool_make(uint64_t seed, unsigned zones, uint32_t block_bytes, struct store **ret_store,
	      char *why, size_t len);

/* Of a seed, and a phase of random ops in it. */
int workload_make(uint64_t seed, struct store **ret_store, char *why, size_t len);
int workload_run(const struct settings *set, struct store *s, struct phase *ret_phase, char *why,
		 size_t len);

/* Keeps what the tail of a kill (tail_link) has now; puts it where the pool looks for it; takes it away. */
int kill_keep_tail(struct kill *k);
int kill_put_tail(const struct kill *k);
void kill_take_tail(const struct kill *k);

#endif
