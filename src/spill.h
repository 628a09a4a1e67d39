/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spill.h - a store as it was at one moment, while others go on writing to it
 *
 *	writer:  about to overwrite a place that the moment still uses -> saves what is there
 *	reader:  reads the store, then looks whether the place was saved meanwhile
 *
 * Only pages in two slots can be seen so: a page's first write since then goes to the slot
 * that the moment does not use, so it saves nothing; the second one saves, once.  What nobody
 * announces (data, the journal) is seen as it is now.
 *
 * Invariants
 *   [SPILL-1] What is saved is to be had by readers before the place is overwritten; and readers
 *             look after they have read: so they never take what came later for what was.
 *   [SPILL-2] It is bounded.  When it is full nothing is saved any more, it is *overrun*, and what readers
 *             saw is worth nothing; writers never wait and never fail because of it.
 *
 * Concurrency: spill_saving from one thread at a time; readers any.
 */
#ifndef COWBD_SPILL_H
#define COWBD_SPILL_H

#include "store.h"

#define SPILL_PAGE 4096u

struct spill;

/* bound_bytes: of saved pages, in an unlinked file in $TMPDIR, /var/tmp or /tmp, else in memory.  s: outlives it. */
int spill_new(struct store *s, uint64_t bound_bytes, struct spill **ret_spill) MUST_CHECK;
void spill_free(struct spill *sp); /* NULL is fine */

/* The store as it was, to be read directly. Until spill_free. */
struct store *spill_store(struct spill *sp);

/* Saves what is at this offset now. */
void spill_keep(struct spill *sp, uint64_t offset);

/* Pages, each known by a number, are about to be written to these offsets.  Returns when what was
 * there is saved as far as need be. */
void spill_saving(struct spill *sp, const uint64_t *pages, const uint64_t *offsets, unsigned n);

/* Makes it overrun: a place that the moment uses is about to be written that nobody saves. */
void spill_give_up(struct spill *sp);
bool spill_overrun(const struct spill *sp);

/* Pages saved so far. */
uint64_t spill_saved(const struct spill *sp);

#endif
