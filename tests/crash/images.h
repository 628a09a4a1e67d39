/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * images.h - what a crash leaves: tried once each, by opening, checking, judging
 *
 * explore.c has the fault model.  An image that was tried already, with the same known of what was
 * acknowledged, is not tried again: a set of hashes remembers them all.
 */
#ifndef CRASH_IMAGES_H
#define CRASH_IMAGES_H

#include "workload.h"

#define UNSYNCED_MAX 4096u

enum image_kind {
	IMAGE_PREFIX, /* the first of the writes that no sync covers reached the disk, the others not */
	IMAGE_REORDERED, /* any other selection */
	IMAGE_TORN,
	IMAGE_GARBAGE,
	IMAGE_ROTTEN, /* one copy of the superblock is noise */
	IMAGE_NESTED, /* a cut within the recovery from another image */
	IMAGE_KILLED,
	IMAGE_KILLED_CUT,    /* a kill, then a cut within the recovery */
	IMAGE_KILLED_KILLED, /* a kill, then another within the recovery */
	IMAGE_KINDS
};

struct counts {
	uint64_t workloads, phases, sequences, directed, cuts, same, worked_on, scrubbed;
	uint64_t images[IMAGE_KINDS]; /* distinct */
};

/* How much is tried at a cut. */
struct effort {
	unsigned budget;  /* images, about, beyond the subsets; 0: all that the fault model names */
	unsigned subsets; /* all subsets of up to so many unsynced writes */
	unsigned nested;  /* of so many images one has cuts within its recovery; 0: none */
};

extern struct counts counts;
extern char failure[1600];
extern char images_dir[64]; /* on tmpfs, for tails */

const char *image_kind_name(enum image_kind k);
uint64_t images_distinct(void);
void images_forget(void);

/* All cuts of the phase from that event on; kills of it.  -1 and failure. */
int explore_phase(const struct phase *ph, size_t from, const struct effort *effort, uint64_t seed);
int explore_kills(const struct phase *ph, uint64_t seed);

/* What the next phase begins with: a crash at some event of this one.  *ret_kill: whose tail is to be put there, or NULL.
 * Before explore_phase, which forgets the log's beginning. */
struct store *image_crashed(const struct phase *ph, uint64_t *random, const struct kill **ret_kill);

#endif
