/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_read.c - the checker's reads of pages, many at a time where it knows what comes next
 *
 * Who is about to descend into many pages names them first; they are read at once, and then taken one by one.  Who
 * names the next ones when it begins with the last that it named, finds them read when it comes there:
 *
 *	checker   name A  name B  take A .....  name C (in the place of A)  take B .....  name D  ...
 *	reader            A0  A2  B0  B2                                    C0  C2
 *	reader            A1  A3  B1  B3                                    C1  C3
 *
 * Readers are threads of their own in a large pool, and take what was named in parts; else the checker reads all at once.
 * What went wrong there is read again alone, so that its error is found where it belongs.
 */
#include <stdlib.h>

#include "check_internal.h"

static uint8_t *batch_page(const struct check *c, unsigned batch, unsigned i)
{
	return c->buffer + (size_t)(BUFFERS + batch * AHEAD_PAGES + i) * PAGE_BYTES;
}

bool check_is_sound(const struct check *c, const void *page, uint64_t offset)
{
	const struct disk_page *h = page;

	return page_check(page, (enum page_kind)get32(h->kind), c->super.uuid, offset, &c->g) == 0;
}

/* ---- reading ----------------------------------------------------------------------- */

/* Pages from to to of a batch.  Neighbours are read by one request: pages of one map mostly are. */
static void read_pages(struct check *c, unsigned which, unsigned from, unsigned to)
{
	struct ahead_batch *b = &c->ahead.batch[which];
	struct store_io io[AHEAD_PAGES];
	struct iovec iov[AHEAD_PAGES];
	unsigned first[AHEAD_PAGES], n = 0;

	for (unsigned i = from; i < to; i++) {
		iov[i] = (struct iovec){batch_page(c, which, i), PAGE_BYTES};
		if (i > from && b->offset[i] == b->offset[i - 1] + PAGE_BYTES) {
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
	if (n)
		(void)!store_submit(c->store, io, n); /* each tells by itself */
	for (unsigned k = 0; k < n; k++)
		for (unsigned i = first[k]; i < first[k] + (unsigned)io[k].niov; i++) {
			b->failed[i] = io[k].result != 0;
			b->sound[i] = !b->failed[i] &&
				      check_is_sound(c, batch_page(c, which, i), b->offset[i]);
		}
}

/* ---- the other threads --------------------------------------------------------------- */

/* A part that nobody has begun with, of the batch that was named first; false: it is to end.  Lock held. */
static bool next_part(struct read_ahead *a, unsigned *ret_which, unsigned *ret_part)
{
	for (; !a->ending; pthread_cond_wait(&a->changed, &a->lock))
		for (unsigned k = 1; k <= AHEAD_BATCHES; k++) {
			unsigned which = (a->latest + k) % AHEAD_BATCHES;

			if (a->batch[which].begun == AHEAD_PARTS)
				continue;
			*ret_which = which;
			*ret_part = a->batch[which].begun++;
			return true;
		}
	return false;
}

static void *read_parts(void *opaque)
{
	struct check *c = opaque;
	struct read_ahead *a = &c->ahead;
	unsigned which, part;

	pthread_mutex_lock(&a->lock);
	while (next_part(a, &which, &part)) {
		unsigned n = a->batch[which].n;

		pthread_mutex_unlock(&a->lock);
		read_pages(c, which, n * part / AHEAD_PARTS, n * (part + 1) / AHEAD_PARTS);
		pthread_mutex_lock(&a->lock);
		if (++a->batch[which].done == AHEAD_PARTS)
			pthread_cond_broadcast(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static bool has_threads(struct check *c)
{
	struct read_ahead *a = &c->ahead;

	if (a->threads || c->repair || c->g.zones < AHEAD_ZONES)
		return a->threads > 0;
	for (unsigned i = 0; i < AHEAD_BATCHES; i++)
		a->batch[i].begun = a->batch[i].done = AHEAD_PARTS;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	while (a->threads < READ_THREADS &&
	       pthread_create(&a->thread[a->threads], NULL, read_parts, c) == 0)
		a->threads++;
	if (!a->threads) {
		pthread_cond_destroy(&a->changed);
		pthread_mutex_destroy(&a->lock);
	}
	return a->threads > 0;
}

static void wait_for_batch(struct check *c, unsigned which)
{
	struct read_ahead *a = &c->ahead;

	if (!a->threads)
		return;
	pthread_mutex_lock(&a->lock);
	while (a->batch[which].done < AHEAD_PARTS)
		pthread_cond_wait(&a->changed, &a->lock);
	pthread_mutex_unlock(&a->lock);
}

void check_ahead_fini(struct check *c)
{
	struct read_ahead *a = &c->ahead;

	if (!a->threads)
		return;
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	while (a->threads)
		pthread_join(a->thread[--a->threads], NULL);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
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
	if (b->n && !has_threads(c))
		read_pages(c, which, 0, b->n);
	if (!a->threads) {
		a->latest = which;
		return;
	}
	pthread_mutex_lock(&a->lock);
	a->latest = which;
	b->begun = b->done = b->n ? 0 : AHEAD_PARTS;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

/* ---- taking it -------------------------------------------------------------------------- */

/* Copies what was read ahead from offset to buf, if it was; is it known to be sound? */
static bool take_ahead(struct check *c, uint64_t offset, void *buf, bool *ret_sound)
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
		*ret_sound = b->sound[found - b->offset];
		return true;
	}
	return false;
}

int check_read_page(struct check *c, uint64_t page, struct le32 slot, enum page_kind kind,
		    void *buf)
{
	uint64_t offset = page_offset(page, slot_which(slot));
	const struct disk_page *h = buf;
	bool sound = false;
	int err = 0;

	if (c->repair && repair_patched(c, page, buf))
		return 0;
	if (!check_cache_take(c, page, slot, buf, &sound) && !take_ahead(c, offset, buf, &sound))
		err = store_read(c->store, STORE_DIRECT, offset, buf, PAGE_BYTES);
	if (!err && !(sound && get32(h->kind) == kind))
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
