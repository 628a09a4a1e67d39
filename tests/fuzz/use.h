/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * use.h - does with a pool all that can be done, and takes no failure amiss
 *
 * For pools whose metadata is damaged or hostile: each call may fail, none may crash or hang.
 */
#ifndef COWBD_TESTS_FUZZ_USE_H
#define COWBD_TESTS_FUZZ_USE_H

#include "pool.h"

/* Opens a pool on s, which is taken over; its session, if it had one, is over. */
int use_open(struct store *s, unsigned flags, struct cowbd_pool **ret_pool) MUST_CHECK;

/* Sum of size bytes of the object, of at most max: 0, or the error of the first read that failed. */
int use_sum(struct cowbd_pool *p, const char *name, uint64_t size, uint64_t max,
	    uint64_t *ret_sum) MUST_CHECK;

/* Everything that only reads; of each object at most max bytes. */
void use_look(struct cowbd_pool *p, uint64_t max);

/* Everything that writes, commit and checkpoint at the end. */
void use_change(struct cowbd_pool *p);

/* A pool of 4 KiB blocks on a simulated store, with volumes, snapshots, clones and a dying subtree,
 * cut off right after a checkpoint, or (journal) with some records of each type behind it. */
struct store *use_make(uint64_t zones, bool journal);

#endif
