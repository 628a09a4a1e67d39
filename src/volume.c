/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * volume.c - read, write, zero, trim, flush: cutting requests, and what needs no fault
 */
#include "volume.h"

#include <stdio.h>

#define SEGMENTS 64u
/* so many segments, on average shorter than this, are scattered */
#ifdef COWBD_TINY
#define SCATTERED 2u
#define SCATTERED_BYTES 8192u
#else
#define SCATTERED 8u
#define SCATTERED_BYTES 16384u
#endif

/* ---- life ------------------------------------------------------------------------------ */

int volume_ready(struct engine *e, struct object *o)
{
	struct volume *v;

	if (o->io)
		return 0;
	v = calloc(1, sizeof *v);
	if (!v)
		return fail(-ENOMEM, "no memory for a volume");
	v->engine = e;
	rangelock_init(&v->ranges);
	pthread_mutex_init(&v->dirty_lock, NULL);
	o->io = v;
	return 0;
}

/* What it wrote is about to be somebody else's to sync.  dirty_lock held, or nobody else is there. */
static void cleaned(const struct volume *v)
{
	if (dirty_any(&v->dirty))
		atomic_fetch_sub(&v->engine->dirty_volumes, 1);
}

void volume_free(struct volume *v)
{
	if (!v)
		return;
	cleaned(v);
	dirty_clear(&v->dirty);
	rangelock_fini(&v->ranges);
	pthread_mutex_destroy(&v->dirty_lock);
	free(v);
}

void volume_idle(struct engine *e, struct object *o)
{
	if (!o->io)
		return;
	space_cursor_end(e->space, &o->io->cursor);
	space_cursor_end(e->space, &o->io->runs);
}

void volume_dirtied(struct engine *e, struct volume *v, uint64_t physical, uint64_t n)
{
	pthread_mutex_lock(&v->dirty_lock);
	if (!dirty_any(&v->dirty))
		atomic_fetch_add(&e->dirty_volumes, 1);
	dirty_add(&v->dirty, block_zone(&e->geo, physical));
	if (block_zone(&e->geo, physical + n - 1) != block_zone(&e->geo, physical))
		v->dirty.all = true;
	pthread_mutex_unlock(&v->dirty_lock);
}

int volume_reaches(const struct engine *e, const struct object *o, uint64_t end)
{
	if (o->gone)
		return fail(-ENOENT, "the volume was deleted");
	/* a client keeps the size that it was opened with; its map may have fewer levels now */
	if (end > round_up(o->size, e->geo.block_bytes))
		return fail(-EINVAL, "the disk has become smaller: attach it anew");
	return 0;
}

/* ---- segments of a request ------------------------------------------------------------------ */

struct segment {
	uint64_t offset; /* in the pool; 0: unmapped */
	uint64_t len;    /* bytes */
};

/* Adds an extent that continues the request; merges with the last one where they touch. */
static void add_segment(struct segment *seg, unsigned *n, uint64_t offset, uint64_t len)
{
	struct segment *last = *n ? &seg[*n - 1] : NULL;

	if (last &&
	    (offset ? last->offset && last->offset + last->len == offset : last->offset == 0))
		last->len += len;
	else
		seg[(*n)++] = (struct segment){offset, len};
}

/* Where a prefix of [offset, offset + len) is, in at most SEGMENTS pieces; owned: stops before
 * what can't be written in place.  Lock shared. */
REQUIRES_SHARED(metadata_lock)
static int find_segments(struct engine *e, const struct object *o, uint64_t offset, uint64_t len,
			 bool owned, struct segment *seg, unsigned *ret_n, uint64_t *ret_len)
{
	unsigned shift = e->geo.block_shift;
	uint64_t at = offset, end = offset + len;
	int r;

	if ((r = volume_reaches(e, o, end)) < 0)
		return r;
	*ret_n = 0;
	while (at < end && *ret_n < SEGMENTS) {
		uint64_t block = at >> shift, in_block = at & (e->geo.block_bytes - 1);
		struct map_extent x;

		r = map_lookup(e, &o->map, block, ((end - 1) >> shift) - block + 1, &x);
		if (r < 0)
			return r;
		if (owned && !x.owned)
			break;
		if (owned && young_any(e, x.physical, x.n)) /* [YOUNG-1] */
			return need_more(NEED_SEAL);
		uint64_t bytes = MIN((x.n << shift) - in_block, end - at);

		add_segment(seg, ret_n, x.physical ? (x.physical << shift) + in_block : 0, bytes);
		at += bytes;
	}
	*ret_len = at - offset;
	return 0;
}

static int segments(struct engine *e, const struct object *o, uint64_t offset, uint64_t len,
		    bool owned, struct segment *seg, unsigned *ret_n, uint64_t *ret_len)
{
	int r;

	do {
		metalock_shared(&e->lock);
		r = find_segments(e, o, offset, len, owned, seg, ret_n, ret_len);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	return r;
}

/* ---- alignment, for data opened O_DIRECT ------------------------------------------------------ */

static bool aligned(const struct engine *e, uint64_t offset, uint64_t len)
{
	return ((offset | len) & (e->store->data_align - 1)) == 0;
}

/* Reads any range of the pool's data through a buffer of whole units. */
static int read_unaligned(struct engine *e, uint64_t offset, uint8_t *buf, uint64_t len)
{
	uint64_t unit = e->store->data_align, from = round_down(offset, unit);
	uint64_t n = round_up(offset + len, unit) - from;
	CLEANUP_FREE uint8_t *whole = aligned_alloc(PAGE_BYTES, round_up(n, PAGE_BYTES));
	int r;

	if (!whole)
		return fail(-ENOMEM, "no memory for an unaligned read");
	r = store_read(e->store, 0, from, whole, n);
	if (r == 0)
		memcpy(buf, whole + (offset - from), len);
	return r;
}

/* Writes any range, with what stands around it; nobody else writes there. */
static int write_unaligned(struct engine *e, uint64_t offset, const uint8_t *buf, uint64_t len)
{
	uint64_t unit = e->store->data_align, from = round_down(offset, unit);
	uint64_t n = round_up(offset + len, unit) - from;
	CLEANUP_FREE uint8_t *whole = aligned_alloc(PAGE_BYTES, round_up(n, PAGE_BYTES));
	int r;

	if (!whole)
		return fail(-ENOMEM, "no memory for an unaligned write");
	r = store_read(e->store, 0, from, whole, n);
	if (r < 0)
		return r;
	memcpy(whole + (offset - from), buf, len);
	return store_write(e->store, 0, from, whole, n);
}

/* Submits the mapped segments as one batch. */
static int submit(struct engine *e, unsigned flags, const struct segment *seg, unsigned n,
		  uint8_t *buf)
{
	struct store_io io[SEGMENTS];
	struct iovec iov[SEGMENTS];
	unsigned k = 0;

	for (unsigned i = 0; i < n; buf += seg[i].len, i++) {
		int r = 0;

		if (seg[i].offset == 0) {
			memset(buf, 0, seg[i].len);
		} else if (!aligned(e, seg[i].offset, seg[i].len)) {
			r = flags & STORE_WRITE ? write_unaligned(e, seg[i].offset, buf, seg[i].len)
						: read_unaligned(e, seg[i].offset, buf, seg[i].len);
		} else {
			iov[k] = (struct iovec){buf, seg[i].len};
			io[k] = (struct store_io){flags, seg[i].offset, &iov[k], 1, 0};
			k++;
		}
		if (r < 0)
			return r;
	}
	return k ? store_submit(e->store, io, k) : 0;
}

/* ---- read ---------------------------------------------------------------------------------------- */

int volume_read(struct catalog *c, struct object *o, void *buf, uint64_t len, uint64_t offset)
{
	struct engine *e = c->engine;
	struct segment seg[SEGMENTS];
	uint64_t token = epoch_enter(&e->epochs), done; /* [VOLUME-3] */
	unsigned n;
	int r = 0;

	for (uint8_t *at = buf; len && r == 0; at += done, offset += done, len -= done) {
		done = 0;
		r = segments(e, o, offset, len, false, seg, &n, &done);
		if (r == 0)
			r = submit(e, 0, seg, n, at);
	}
	epoch_exit(&e->epochs, token);
	return r;
}

/* ---- write ----------------------------------------------------------------------------------------- */

/* Is a piece that begins with these segments, of bytes in all, better moved? [VOLUME-5] */
static bool is_scattered(const struct piece *p, unsigned n, uint64_t bytes)
{
	uint64_t unit = p->e->geo.block_bytes;

	return n >= SCATTERED && n * SCATTERED_BYTES > bytes && (p->offset | p->len) % unit == 0;
}

int write_in_place(struct piece *p, bool may_move, uint64_t *ret_done)
{
	struct engine *e = p->e;
	struct segment seg[SEGMENTS];
	unsigned n;
	int r = segments(e, p->o, p->offset, p->len, true, seg, &n, ret_done);

	if (r < 0 || n == 0)
		return r;
	p->scattered = may_move && is_scattered(p, n, *ret_done);
	if (p->scattered) {
		*ret_done = 0;
		return 0;
	}
	/* store_submit doesn't change what it writes; the interface is struct iovec's */
	r = submit(e, STORE_WRITE, seg, n, (uint8_t *)(uintptr_t)p->buf);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < n; i++)
		volume_dirtied(e, p->o->io, seg[i].offset >> e->geo.block_shift,
			       ((seg[i].offset + seg[i].len - 1) >> e->geo.block_shift) -
				       (seg[i].offset >> e->geo.block_shift) + 1);
	STAT_ADD(e->stats.in_place_writes, 1);
	return 0;
}

/* One try at a prefix of the piece: in place with the blocks shared, else with them exclusively. */
static int write_prefix(struct piece *p, uint64_t *ret_done)
{
	struct engine *e = p->e;
	struct rangelock *ranges = &p->o->io->ranges;
	uint64_t first = piece_first(p), end = first + piece_blocks(p);
	uint64_t token = epoch_enter(&e->epochs),
		 writer = epoch_enter(&e->writers); /* [VOLUME-3] */
	struct range_hold hold;
	int r = 0;

	*ret_done = 0;
	p->scattered = false;
	if (aligned(e, p->offset, p->len) &&
	    !atomic_load_explicit(&p->o->io->faulting, memory_order_relaxed)) {
		rangelock_hold(ranges, &hold, first, end, false); /* [VOLUME-2] */
		r = write_in_place(p, true, ret_done);
		rangelock_drop(ranges, &hold);
	}
	if (r == 0 && *ret_done == 0) {
		rangelock_hold(ranges, &hold, first, end, true);
		r = write_fault(p, ret_done);
		rangelock_drop(ranges, &hold);
	}
	epoch_exit(&e->writers, writer);
	epoch_exit(&e->epochs, token);
	return r;
}

/* A try at w, which began when hold_version was w->seen, has ended with r.  No space: takes back what can
 * be had, else waits, if the write may be held: 0 try again.  [VOLUME-4]: nothing is locked or claimed here. */
static int wait_for_space(struct engine *e, struct held *w, int r)
{
	bool host_full;
	char why[256];

	if (r != -ENOSPC || hold_version(&e->hold) != w->seen)
		return r == -ENOSPC ? 0 : r;
	snprintf(why, sizeof why, "%s", error_message());
	r = e->make_space(e);
	if (r != -ENOSPC)
		return r;
	metalock_exclusive(&e->lock);
	host_full = space_host_full(e->space);
	metalock_drop(&e->lock);
	r = hold_wait(&e->hold, w, host_full);
	if (r == 0 && host_full) {
		metalock_exclusive(&e->lock);
		space_look_at_host(e->space);
		metalock_drop(&e->lock);
	}
	return r == -ENOSPC ? fail(-ENOSPC, "%s", why) : r;
}

int volume_write(struct catalog *c, struct object *o, struct holder *who, const void *buf,
		 uint64_t len, uint64_t offset)
{
	struct engine *e = c->engine;
	struct piece p = {.cat = c, .e = e, .o = o, .buf = buf, .offset = offset};
	struct held w = {.kind = HOLD_WRITE, .who = who};
	int r = engine_writable(e);

	while (len && r == 0) {
		uint64_t leaf_end = map_leaf_end(p.offset >> e->geo.block_shift)
				    << e->geo.block_shift;
		uint64_t done = 0;

		p.len = MIN(len, leaf_end - p.offset);
		p.pause_us = 0;
		w.seen = hold_version(&e->hold);
		r = write_prefix(&p, &done);
		if (p.pause_us)
			usleep(p.pause_us);
		r = wait_for_space(e, &w, r);
		p.buf += done;
		p.offset += done;
		len -= done;
	}
	hold_end(&e->hold, &w);
	return r;
}

/* ---- zero and trim -------------------------------------------------------------------------------------- */

/* One step of unmapping.  Lock exclusive. -EAGAIN. */
REQUIRES(metadata_lock)
static int unmap_step(struct catalog *c, struct object *o, uint64_t *block, uint64_t end)
{
	struct engine *e = c->engine;
	struct record rec = {.type = REC_UNMAP, .object = o->id};
	uint64_t root = o->map.entry, seq;
	struct map_step step;
	int r;

	if (o->gone)
		return fail(-ENOENT, "the volume was deleted");
	if ((r = engine_writable(e)) < 0 ||
	    (r = map_step_prepare(e, &o->map, *block, end, &step)) < 0 ||
	    (r = catalog_touch(c, o->id)) < 0)
		return r;
	if (step.kind != MAP_STEP_SKIP) {
		rec.type = step.kind == MAP_STEP_LEAF ? REC_UNMAP : REC_DETACH;
		rec.block = step.block;
		rec.length = step.kind == MAP_STEP_LEAF ? step.next - step.block : step.level;
		if ((r = engine_reserve(e, record_size(&rec))) < 0)
			return r;
		seq = engine_append(e, &rec);
		map_step_apply(e, &o->map, &step, seq);
		if (o->map.entry != root)
			catalog_put(c, o);
		atomic_store_explicit(&o->io->last_seq, seq, memory_order_release);
	}
	*block = step.next;
	return 0;
}

/* Unmaps whole blocks; the lock is let go between the steps.  end: UINT64_MAX for all from first, since
 * the volume ends at reach or before; -ESTALE: it doesn't any more.  skip: leaves for which the pool has no
 * page stay as they are. */
static int unmap_blocks(struct catalog *c, struct object *o, uint64_t first, uint64_t end,
			uint64_t reach, bool skip)
{
	struct engine *e = c->engine;
	uint64_t token = epoch_enter(&e->epochs), writer = epoch_enter(&e->writers), all;
	struct range_hold hold;
	int r;

	rangelock_hold(&o->io->ranges, &hold, first, end, true);
	metalock_shared(&e->lock); /* neither changes while the range is held */
	all = map_span(o->map.depth);
	r = end == UINT64_MAX && reach < o->size
		    ? -ESTALE
		    : volume_reaches(e, o, first << e->geo.block_shift);
	metalock_drop(&e->lock);
	while (first < MIN(end, all) && r == 0) {
		do {
			metalock_exclusive(&e->lock);
			r = unmap_step(c, o, &first, end);
			metalock_drop(&e->lock);
		} while (r == -EAGAIN && (r = engine_need(e)) == 0);
		if (r == -ENOSPC && skip) {
			first = map_leaf_end(first);
			r = 0;
		}
	}
	rangelock_drop(&o->io->ranges, &hold);
	epoch_exit(&e->writers, writer);
	epoch_exit(&e->epochs, token);
	if (r == 0) /* what fell comes free as soon as somebody asks for it */
		hold_ring(&e->hold);
	return r;
}

/* Zeroes a part of one block: nothing to do if it is unmapped. */
static int zero_in_block(struct catalog *c, struct object *o, struct holder *who, uint64_t len,
			 uint64_t offset)
{
	struct segment seg[SEGMENTS];
	unsigned n;
	uint64_t done;
	int r = segments(c->engine, o, offset, len, false, seg, &n, &done);

	if (r < 0 || seg[0].offset == 0)
		return r;
	CLEANUP_FREE uint8_t *zeros = calloc(1, len);

	if (!zeros)
		return fail(-ENOMEM, "no memory to zero a part of a block");
	return volume_write(c, o, who, zeros, len, offset);
}

/* Zeroes parts of one or two blocks. */
static int zero_part(struct catalog *c, struct object *o, struct holder *who, uint64_t len,
		     uint64_t offset)
{
	uint64_t bytes = c->engine->geo.block_bytes;
	int r = 0;

	while (len && r == 0) {
		uint64_t n = MIN(len, bytes - offset % bytes);

		r = zero_in_block(c, o, who, n, offset);
		offset += n;
		len -= n;
	}
	return r;
}

/* Blocks wholly inside [offset, offset + len); the last block of the volume counts as whole to its end. */
static void whole_blocks(struct engine *e, const struct object *o, uint64_t len, uint64_t offset,
			 uint64_t *ret_first, uint64_t *ret_end)
{
	uint64_t bytes = e->geo.block_bytes;

	*ret_first = round_up(offset, bytes) / bytes;
	metalock_shared(&e->lock);
	*ret_end = offset + len >= o->size ? UINT64_MAX : (offset + len) / bytes;
	metalock_drop(&e->lock);
}

int volume_zero(struct catalog *c, struct object *o, struct holder *who, uint64_t len,
		uint64_t offset)
{
	struct engine *e = c->engine;
	uint64_t first, end, bytes = e->geo.block_bytes;
	struct held w = {.kind = HOLD_PAGE, .who = who};
	int r = engine_writable(e);

	if (r < 0 || len == 0)
		return r;
	whole_blocks(e, o, len, offset, &first, &end);
	if (first >= end) /* within one block, or over one edge */
		return zero_part(c, o, who, len, offset);
	r = zero_part(c, o, who, MIN(first * bytes - offset, len), offset);
	if (r == 0 && end != UINT64_MAX)
		r = zero_part(c, o, who, offset + len - end * bytes, end * bytes);
	for (bool done = false; r == 0 && !done;) {
		w.seen = hold_version(&e->hold);
		r = unmap_blocks(c, o, first, end, offset + len, false);
		done = r == 0;
		r = wait_for_space(e, &w, r);
	}
	hold_end(&e->hold, &w);
	return r == -ESTALE ? volume_zero(c, o, who, len, offset) : r;
}

int volume_trim(struct catalog *c, struct object *o, uint64_t len, uint64_t offset)
{
	uint64_t first, end;
	int r = engine_writable(c->engine);

	if (r < 0 || len == 0)
		return r;
	whole_blocks(c->engine, o, len, offset, &first, &end);
	if (first >= end)
		return 0;
	r = unmap_blocks(c, o, first, end, offset + len, true);
	return r == -ESTALE ? volume_trim(c, o, len, offset) : r;
}

/* ---- flush ---------------------------------------------------------------------------------------------------- */

int volume_flush(struct catalog *c, struct object *o)
{
	struct engine *e = c->engine;
	struct volume *v = o->io;
	uint64_t round;

	if (e->read_only)
		return 0;
	if (atomic_load_explicit(&e->failed, memory_order_acquire))
		return fail(-EIO, "the pool turned read-only after an error: %s", e->failure);
	pthread_mutex_lock(&v->dirty_lock);
	/* whoever finds nothing dirty waits for the round that takes what was */
	if (dirty_any(&v->dirty) || atomic_load_explicit(&v->last_seq, memory_order_acquire) >
					    journal_durable_seq(e->journal)) {
		cleaned(v);
		v->round = engine_join(e, &v->dirty);
	}
	round = v->round;
	pthread_mutex_unlock(&v->dirty_lock);
	return engine_wait(e, round);
}

void volume_hand_over(struct engine *e, struct object *o, uint64_t seq)
{
	struct volume *v = o->io;

	if (!v)
		return;
	pthread_mutex_lock(&v->dirty_lock);
	cleaned(v);
	young_long_way(e); /* it may have been dirty, and a flush have taken that already */
	if (!MUTANT("snapshot-without-data"))
		dirty_move(&e->pending_dirty, &v->dirty);
	dirty_clear(&v->dirty);
	pthread_mutex_unlock(&v->dirty_lock);
	atomic_store_explicit(&v->last_seq, seq, memory_order_release);
}

void volume_copy_dirty(struct object *o, struct dirty *to)
{
	if (!o->io)
		return;
	pthread_mutex_lock(&o->io->dirty_lock);
	dirty_merge(to, &o->io->dirty);
	pthread_mutex_unlock(&o->io->dirty_lock);
}

/* ---- extents --------------------------------------------------------------------------------------------------- */

int volume_extents(struct catalog *c, struct object *o, uint64_t len, uint64_t offset,
		   volume_extent_visit visit, void *opaque)
{
	struct engine *e = c->engine;
	uint64_t token = epoch_enter(&e->epochs), done;
	struct segment seg[SEGMENTS];
	unsigned n;
	int r = 0;

	while (len && r == 0) {
		r = segments(e, o, offset, len, false, seg, &n, &done);
		for (unsigned i = 0; i < n && r == 0; i++) {
			r = visit(opaque, offset, seg[i].len, seg[i].offset != 0);
			offset += seg[i].len;
			len -= seg[i].len;
		}
	}
	epoch_exit(&e->epochs, token);
	return r < 0 ? r : 0;
}
