/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model.h - a pool's disks as plain arrays, and random operations on both
 *
 * Shares no code with the engine: it calls what cowbd.h offers, does the same to an array of
 * bytes, and compares.  A disk is large and sparse; the model keeps a few *windows* of it, which lie across
 * edges of leaves and levels of the map:
 *
 *	disk    [ window 0 ].............[ window 1 ]...............[ window 2 ]
 *	array   [ window 0 ][ window 1 ][ window 2 ]
 *
 * Concurrency: one thread at a time.  Objects and arrays may be in shared memory.
 */
#ifndef COWBD_MODEL_H
#define COWBD_MODEL_H

#include "base.h"
#include "cowbd.h"

#define MODEL_WINDOWS 3u
#define MODEL_OBJECTS 24u

struct model_object {
	bool live, snapshot, before_rollback;
	int volume;    /* of a snapshot: its volume's place */
	uint64_t born; /* order of making */
	uint64_t size; /* bytes of the disk */
	char name[40]; /* full */
	uint8_t *data; /* all windows */
};

struct model {
	struct cowbd_pool *pool;
	struct cowbd_client *client[MODEL_OBJECTS]; /* kept open now and then */
	struct model_object *object;                /* MODEL_OBJECTS */
	uint64_t block;                             /* bytes */
	uint64_t window;                            /* bytes of a window */
	uint64_t base[MODEL_WINDOWS];               /* where they are on the disk */
	unsigned max_objects;
	unsigned pinned; /* the first so many are not removed, renamed, resized or rolled back */
	bool tight;      /* the pool gets full: -ENOSPC is an answer */
	bool trace;
	uint64_t rng, step, made;
	uint8_t *buf[2]; /* scratch, all windows each */
	uint64_t full;   /* operations that met a full pool */
	bool scrubbed;   /* there may be pages of checksums */
};

/* Random numbers, from the seed alone. */
uint64_t model_random(struct model *m);
uint64_t model_below(struct model *m, uint64_t n);
bool model_chance(struct model *m, unsigned percent);

/* The seed of this run: $COWBD_SEED, or the time; printed with what. */
uint64_t model_seed(const char *what);

/* objects: MODEL_OBJECTS of them, data of each MODEL_WINDOWS * window bytes, zero. fanout: of the map. */
void model_init(struct model *m, uint64_t block, uint64_t window_blocks, unsigned fanout,
		struct model_object *objects);
void model_fini(struct model *m);

/* One random operation on data, or on objects. */
void model_step_data(struct model *m);
void model_step_objects(struct model *m);

/* Closes the clients that are kept open. */
void model_detach(struct model *m);

/* Compares one object, or names, sizes, content and extents of all. */
void model_compare(struct model *m, unsigned i);
void model_compare_all(struct model *m);

/* The committed checkpoint has neither damage nor leaks. */
void model_check(struct model *m);

/* Removes everything, waits for reclaim: no block is used. */
void model_empty(struct model *m);

/* Parts shared with the test with threads. */
void model_fill(uint8_t *buf, uint64_t len, uint64_t seed);
void model_read_all(struct model *m, unsigned i, uint8_t *to);
uint64_t model_bytes(const struct model *m); /* of all windows */

/* Ends the test with a message. */
#define model_fail(...) model_fail_at(__FILE__, __LINE__, __VA_ARGS__)
void model_fail_at(const char *file, int line, const char *fmt, ...) PRINTF(3, 4)
	__attribute__((noreturn));
#define model_expect(cond, ...) ((cond) ? (void)0 : model_fail(__VA_ARGS__))

#endif
