/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * directed.h - workloads written for one danger each
 *
 * Each is a script of one or two phases, in variants 0 .. variants - 1 (the place where something happens
 * inside, mostly).  Its kills, and the cuts from the point that the script names, are explored in full.
 */
#ifndef CRASH_DIRECTED_H
#define CRASH_DIRECTED_H

#include "run.h"

#define TRY(call)                                                                                  \
	do {                                                                                       \
		int try_result = (call);                                                           \
		if (try_result < 0)                                                                \
			return try_result;                                                         \
	} while (0)

struct directed {
	const char *name; /* with dashes, for the command line */
	uint32_t block_bytes;
	unsigned zones, variants, kills;
	op_body body;
	op_body again; /* a second phase on what a crash of the first left, or NULL */
};

/* In a body: which variant; that the cuts before now are of no interest. */
unsigned variant_of(const struct run *r);
void look_from_here(struct run *r);

extern const struct directed directed_scripts[], directed_threads[]; /* the end has no name */

/* young.c */
int young_and_written_in_place(struct run *r);
int flushed_inside_a_write_in_place(struct run *r);
int snapshot_of_what_was_written_in_place(struct run *r);
int named_and_fallen_in_one_batch(struct run *r);
int named_before_a_checkpoint(struct run *r);

/* By name, or NULL. */
const struct directed *directed_find(const char *name);

#endif
