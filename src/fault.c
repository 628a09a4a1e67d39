/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.c - the COW fault: check, allocate, copy, remap, resume
 *
 *	old, shared   [....HHHH|........|TTT.....]      H, T: what the write leaves over
 *	the write           [WWWW|WWWWWWWW|WWW]
 *	new run       [HHHHWWWW|WWWWWWWW|WWWTTTTT]      one write
 *
 * The textbook copies the old data away and writes in place (three I/Os: read old, write
 * old elsewhere, write new).  Here the new data goes elsewhere and the old stays where the
 * snapshot's map names it: one I/O, and none for the copy when whole blocks are written.
 */
#include "volume.h"

#include "probes.h"

struct fault {
	const struct piece *p;
	uint64_t first, n;           /* logical blocks */
	uint64_t physical;           /* new run */
	uint64_t old_head, old_tail; /* blocks that the ends were mapped to, 0 unmapped */
	uint64_t from, end;          /* bytes of the volume that the write covers here */
	uint64_t shared;             /* of the n, blocks that were mapped */
	uint64_t copied;             /* bytes */
	unsigned pause_us;
	bool call; /* a checkpoint is due */
};

/* How many blocks from first on are not the volume's own, and which of them are mapped.  Lock held. */
REQUIRES_SHARED(metadata_lock)
static int survey(struct engine *e, const struct object *o, struct fault *f, uint64_t max)
{
	f->n = 0;
	f->shared = 0;
	while (f->n < max) {
		struct map_extent x;
		int r = map_lookup(e, &o->map, f->first + f->n, max - f->n, &x);

		if (r < 0)
			return r;
		if (x.owned)
			break;
		if (x.physical)
			f->shared += x.n;
		f->n += x.n;
	}
	return 0;
}

REQUIRES_SHARED(metadata_lock)
static int old_block(struct engine *e, const struct object *o, uint64_t block, uint64_t *ret)
{
	struct map_extent x;
	int r = map_lookup(e, &o->map, block, 1, &x);

	if (r == 0)
		*ret = x.physical;
	return r;
}

/* The same for whole blocks that are to be moved: all of them, or none (f->n == 0).  Lock exclusive. */
REQUIRES(metadata_lock) static int check_and_take_run(struct fault *f)
{
	const struct piece *p = f->p;
	struct engine *e = p->e;
	int r = map_prepare(e, &p->o->map, f->first);

	f->n = 0;
	f->shared = piece_blocks(p);
	f->old_head = f->old_tail = 0; /* nothing is left over */
	return r < 0 ? r
		     : space_take_run(e->space, &p->o->io->runs, piece_blocks(p), &f->physical,
				      &f->n);
}

/* Check and allocate.  f->n == 0: the first block turned out to be the volume's own.  Lock exclusive. */
REQUIRES(metadata_lock) static int check_and_allocate(struct fault *f)
{
	const struct piece *p = f->p;
	struct engine *e = p->e;
	uint64_t got;
	int r;

	f->first = piece_first(p);
	if ((r = volume_reaches(e, p->o, p->offset + p->len)) < 0)
		return r;
	if (p->scattered)
		return check_and_take_run(f);
	if ((r = map_own(e, &p->o->map, f->first, (unsigned)piece_blocks(p))) < 0 ||
	    (r = survey(e, p->o, f, piece_blocks(p))) < 0 || f->n == 0)
		return r;
	/* the map's pages come first: without them nothing is claimed */
	if ((r = map_prepare(e, &p->o->map, f->first)) < 0)
		return r;
	if ((r = space_take_blocks(e->space, &p->o->io->cursor, f->n, &f->physical, &got)) < 0)
		return r;
	f->n = got;
	r = old_block(e, p->o, f->first, &f->old_head);
	assert(r == 0); /* the survey has just been there */
	r = old_block(e, p->o, f->first + f->n - 1, &f->old_tail);
	assert(r == 0);
	return 0;
}

/* Reads bytes [from, end) of a block, wherever the alignment allows, to the same place in buf; zeros if unmapped. */
static void plan_read(struct fault *f, uint64_t old, uint8_t *buf, uint64_t from, uint64_t end,
		      struct store_io *io, struct iovec *iov, unsigned *n)
{
	const struct engine *e = f->p->e;
	uint64_t unit = e->store->data_align;

	if (from >= end)
		return;
	if (old == 0) {
		memset(buf + from, 0, end - from);
		return;
	}
	f->copied += end - from;
	from = round_down(from, unit);
	end = round_up(end, unit);
	iov[*n] = (struct iovec){buf + from, end - from};
	io[*n] = (struct store_io){0, (old << e->geo.block_shift) + from, &iov[*n], 1, 0};
	++*n;
}

/* Copy: reads what the write leaves over, writes the run once. */
static int copy_and_write(struct fault *f)
{
	const struct piece *p = f->p;
	struct engine *e = p->e;
	uint64_t bytes = e->geo.block_bytes, run = f->first * bytes, run_end = run + f->n * bytes;
	uint64_t tail_block = run_end - bytes;
	CLEANUP_FREE uint8_t *head = NULL, *tail = NULL;
	struct store_io io[2];
	struct iovec iov[3];
	unsigned n = 0;
	int r;

	f->from = p->offset;
	f->end = MIN(p->offset + p->len, run_end);
	if (f->from > run || f->end < run_end) {
		head = aligned_alloc(PAGE_BYTES, bytes);
		tail = aligned_alloc(PAGE_BYTES, bytes);
		if (!head || !tail)
			return fail(-ENOMEM, "no memory to copy a block");
	}
	/* head and tail may be of one block: then each has a buffer of its own all the same */
	if (f->from > run)
		plan_read(f, f->old_head, head, 0, f->from - run, io, iov, &n);
	if (f->end < run_end)
		plan_read(f, f->old_tail, tail, f->end - tail_block, bytes, io, iov, &n);
	if (n && (r = store_submit(e->store, io, n)) < 0)
		return r;

	n = 0;
	if (f->from > run)
		iov[n++] = (struct iovec){head, f->from - run};
	iov[n++] = (struct iovec){(void *)(uintptr_t)p->buf, f->end - f->from};
	if (f->end < run_end)
		iov[n++] = (struct iovec){tail + (f->end - tail_block), run_end - f->end};
	io[0] = (struct store_io){STORE_WRITE, f->physical * bytes, iov, (int)n, 0};
	return store_submit(e->store, io, 1);
}

/* Remap: one record, one change.  [VOLUME-1] Lock exclusive. -EAGAIN. */
REQUIRES(metadata_lock) static int remap(struct fault *f)
{
	const struct piece *p = f->p;
	struct engine *e = p->e;
	struct object *o = p->o;
	struct record rec = {.type = REC_MAP,
			     .object = o->id,
			     .block = f->first,
			     .length = f->n,
			     .physical = f->physical};
	uint64_t root = o->map.entry, seq, copied = space_copied(e->space);
	int r;

	if (o->gone)
		return fail(-ENOENT, "the volume was deleted");
	if ((r = engine_writable(e)) < 0 || (r = map_prepare(e, &o->map, f->first)) < 0 ||
	    (r = catalog_touch(p->cat, o->id)) < 0 ||
	    (r = engine_reserve(e, record_size(&rec))) < 0)
		return r;
	seq = engine_append(e, &rec);
	space_claim_done(e->space, block_unit(&e->geo, f->physical), f->n, true);
	map_set(e, &o->map, f->first, (unsigned)f->n, f->physical, seq);
	if (o->map.entry != root)
		catalog_put(p->cat, o);
	dirty_add(&e->pending_dirty, block_zone(&e->geo, f->physical));
	young_name(e, f->physical, f->n);
	atomic_store_explicit(&o->io->last_seq, seq, memory_order_release);
	if (space_copied(e->space) != copied) { /* of pages of the map */
		f->pause_us = engine_pressure_us(e);
		f->call = engine_call_checkpoint(e, pages_dirty(e->pages) >
								    pages_dirty_bound(e->pages) ||
							    space_pressure_us(e->space));
	}
	return 0;
}

static void account(const struct fault *f)
{
	struct engine_stats *s = &f->p->e->stats;
	uint64_t partial = 0;

	if (f->p->scattered) {
		STAT_ADD(s->blocks_moved, f->n);
		return;
	}
	if (f->copied)
		partial = f->n > 1 && f->from > f->first * f->p->e->geo.block_bytes &&
					  f->old_head &&
					  f->end < (f->first + f->n) * f->p->e->geo.block_bytes &&
					  f->old_tail
				  ? 2
				  : 1;
	STAT_ADD(s->faults, f->n);
	STAT_ADD(s->faults_no_copy, f->n - partial);
	STAT_ADD(s->bytes_copied, f->copied);
	PROBE_FAULT(f->p->o->id, f->first, f->shared ? FAULT_SHARED : FAULT_UNMAPPED, f->copied,
		    f->n);
}

static void give_up(struct fault *f)
{
	struct engine *e = f->p->e;

	metalock_exclusive(&e->lock);
	space_claim_done(e->space, block_unit(&e->geo, f->physical), f->n, false);
	metalock_drop(&e->lock);
}

static int begin_fault(struct fault *f)
{
	struct engine *e = f->p->e;
	int r;

	do {
		metalock_exclusive(&e->lock);
		r = check_and_allocate(f);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	return r;
}

int write_fault(struct piece *p, uint64_t *ret_done)
{
	struct engine *e = p->e;
	struct fault f = {.p = p};
	int r = begin_fault(&f);

	if (r == 0)
		atomic_store_explicit(&p->o->io->faulting, f.n != 0 && !p->scattered,
				      memory_order_relaxed);
	if (r == 0 && f.n == 0 && !p->scattered) {
		r = write_in_place(p, true, ret_done);
		if (r < 0 || !p->scattered)
			return r;
		r = begin_fault(&f);
	}
	if (p->scattered && (r == -ENOSPC || (r == 0 && f.n == 0)))
		return write_in_place(p, false, ret_done);
	if (r < 0)
		return r;
	r = copy_and_write(&f);
	while (r == 0) {
		metalock_exclusive(&e->lock);
		r = remap(&f);
		metalock_drop(&e->lock);
		if (r != -EAGAIN)
			break;
		r = engine_need(e);
	}
	if (r < 0) {
		give_up(&f);
		if (r != -ENOSPC)
			hold_ring(&e->hold);
		return r;
	}
	if (f.call)
		e->wake(e);
	account(&f);
	p->pause_us = f.pause_us;
	*ret_done = f.end - f.from;
	return 0;
}
