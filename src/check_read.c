/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_read.c - the checker's reads of pages, many at a time where it knows what comes next
 *
 * Who is about to descend into many pages names them first; they are read at once, and then taken one by one.  Who
 * names the next ones when it begins with the last that it named, finds them read when it comes there:
 *
 *	checker   name A  name B  take A .....  name C (in the place of A)  take B .....  name D  ...
 *	reader            A ----- B --------                                C --------
 *
 * The reader is a thread of its own in a large pool, else the checker itself.  What went wrong there is read again
 * alone, so that its error is found where it belongs.
 */
#include <stdlib.h>

#include "check_internal.h"

#define THREAD_ZONES 1024u /* with less a thread is not worth while */

static uint8_t *batch_page(const struct check *c, unsigned batch, unsigned i)
{
	return c->buffer + (size_t)(BUFFERS + batch * AHEAD_PAGES + i) * PAGE_BYTES;
}

/* ---- reading ----------------------------------------------------------------------- */

/* Neighbours are read by one request: pages of one map mostly are. */
static void read_batch(struct check *c, unsigned which)
{
	struct ahead_batch *b = &c->ahead.batch[which];
	struct store_io io[AHEAD_PAGES];
	struct iovec iov[AHEAD_PAGES];
	unsigned first[AHEAD_PAGES + 1], n = 0;

	for (unsigned i = 0; i < b->n; i++) {
		b->failed[i] = false;
		iov[i] = (struct iovec){batch_page(c, which, i), PAGE_BYTES};
		if (i && b->offset[i] == b->offset[i - 1] + PAGE_BYTES) {
			io[n - 1].niov++;
			continue;
		}
		first[n] = i;
		io[n++] = (struct store_io){
			.flags = STORE_DIRECT,
			.offset = b->offset[i],
			.iov = &iov[i],
			.niov = 1,
		};
	}
	if (n == 0 || store_submit(c->store, io, n) == 0)
		return;
	for (unsigned k = 0; k < n; k++)
		for (unsigned i = 0; io[k].result && i < (unsigned)io[k].niov; i++)
			b->failed[first[k] + i] = true;
}

/* ---- the other thread ---------------------------------------------------------------- */

/* The batch that was given to it first, or -1: it is to end. */
static int next_batch(struct read_ahead *a)
{
	int next = -1;

	pthread_mutex_lock(&a->lock);
	while (!a->batch[0].runs && !a->batch[1].runs && !a->ending)
		pthread_cond_wait(&a->changed, &a->lock);
	if (a->batch[!a->latest].runs)
		next = !a->latest;
	else if (a->batch[a->latest].runs)
		next = (int)a->latest;
	pthread_mutex_unlock(&a->lock);
	return next;
}

static void *read_batches(void *opaque)
{
	struct check *c = opaque;
	int which;

	while ((which = next_batch(&c->ahead)) >= 0) {
		read_batch(c, (unsigned)which);
		pthread_mutex_lock(&c->ahead.lock);
		c->ahead.batch[which].runs = false;
		pthread_cond_broadcast(&c->ahead.changed);
		pthread_mutex_unlock(&c->ahead.lock);
	}
	return NULL;
}

static bool has_thread(struct check *c)
{
	struct read_ahead *a = &c->ahead;

	if (a->threaded || c->repair || c->g.zones < THREAD_ZONES)
		return a->threaded;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	a->threaded = pthread_create(&a->thread, NULL, read_batches, c) == 0;
	if (!a->threaded) {
		pthread_cond_destroy(&a->changed);
		pthread_mutex_destroy(&a->lock);
	}
	return a->threaded;
}

static void wait_for_batch(struct check *c, unsigned which)
{
	struct read_ahead *a = &c->ahead;

	if (!a->threaded)
		return;
	pthread_mutex_lock(&a->lock);
	while (a->batch[which].runs)
		pthread_cond_wait(&a->changed, &a->lock);
	pthread_mutex_unlock(&a->lock);
}

void check_ahead_fini(struct check *c)
{
	struct read_ahead *a = &c->ahead;

	if (!a->threaded)
		return;
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	a->threaded = false;
}

/* ---- naming what is to come ----------------------------------------------------------- */

void check_ahead_forget(struct check *c)
{
	for (unsigned i = 0; i < AHEAD_BATCHES; i++) {
		wait_for_batch(c, i);
		c->ahead.batch[i].n = 0;
	}
}

void check_ahead_begin(struct check *c)
{
	unsigned older = !c->ahead.latest;

	wait_for_batch(c, older);
	c->ahead.batch[older].n = 0;
}

bool check_ahead_add(struct check *c, uint64_t page, struct le32 slot)
{
	struct ahead_batch *b = &c->ahead.batch[!c->ahead.latest];

	if (slot_written(slot) && b->n < AHEAD_PAGES && !check_cache_has(c, page))
		b->offset[b->n++] = page_offset(page, slot_which(slot));
	return b->n < AHEAD_PAGES;
}

static int by_offset(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void check_ahead_run(struct check *c)
{
	struct read_ahead *a = &c->ahead;
	unsigned which = !a->latest;
	struct ahead_batch *b = &a->batch[which];

	qsort(b->offset, b->n, sizeof *b->offset, by_offset);
	if (b->n && !has_thread(c))
		read_batch(c, which);
	if (!a->threaded) {
		a->latest = which;
		return;
	}
	pthread_mutex_lock(&a->lock);
	a->latest = which;
	b->runs = b->n > 0;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

/* ---- taking it -------------------------------------------------------------------------- */

/* Copies what was read ahead from offset to buf, if it was. */
static bool take_ahead(struct check *c, uint64_t offset, void *buf)
{
	for (unsigned which = 0; which < AHEAD_BATCHES; which++) {
		const struct ahead_batch *b = &c->ahead.batch[which];
		const uint64_t *found = bsearch(&offset, b->offset, b->n, sizeof offset, by_offset);

		if (!found)
			continue;
		wait_for_batch(c, which);
		if (b->failed[found - b->offset])
			continue;
		memcpy(buf, batch_page(c, which, (unsigned)(found - b->offset)), PAGE_BYTES);
		return true;
	}
	return false;
}

int check_read_page(struct check *c, uint64_t page, struct le32 slot, enum page_kind kind,
		    void *buf)
{
	uint64_t offset = page_offset(page, slot_which(slot));
	const struct disk_page *h = buf;
	int err = 0;

	if (c->repair && repair_patched(c, page, buf))
		return 0;
	if (!check_cache_take(c, page, slot, buf) && !take_ahead(c, offset, buf))
		err = store_read(c->store, STORE_DIRECT, offset, buf, PAGE_BYTES);
	if (!err)
		err = page_check(buf, kind, c->super.uuid, offset, &c->g);
	if (err < 0)
		return err;
	if (get32(slot_make(slot_which(slot), get64(h->checksum))) != get32(slot))
		return fail(-EBADMSG, "%s at %" PRIu64 ": not the one that was committed",
			    page_kind_name(kind), offset);
	if (get64(h->generation) > get64(c->super.h.generation))
		return fail(-EUCLEAN,
			    "%s at %" PRIu64 ": written by checkpoint %" PRIu64
			    ", which is yet to come",
			    page_kind_name(kind), offset, get64(h->generation));
	return 0;
}
