/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_sim.c - a simulated store: records, loses, tears, fails
 *
 *	base:  what was there when the log began, all of it durable
 *	log:   write, write, sync, discard, write, mark, ...
 *	now:   base with the whole log applied: what reads see
 *
 * A power cut is a choice of events that never reached the disk, out of those that
 * store_sim_unsynced() names; store_sim_replay() applies the others to the base.
 *
 * The disk is a table of 4 KiB pages.  Pages are shared between stores and
 * copied when written (by their count of users), so that a copy costs a table.
 *
 * Fault model: a call that fails changes nothing and leaves no event.  What a failed sync
 * was to cover is never covered by a later one, since the kernel calls those pages clean
 * [SIM-1].  Growth reaches the disk with any later sync or durable write [SIM-2], as
 * a file's size does; space allocated ahead is not lost.
 *
 * Concurrency: one lock a store, held for a whole call; two stores are never locked at once,
 * and the counts of shared pages are atomic.
 */
#include "store.h"

#include <stdio.h>

#define SIM_PAGE 4096u
#define SIM_SECTOR 512u

/* Content of a page; a page without content reads as zeros. */
struct sim_data {
	unsigned users; /* atomic */
	uint64_t hash;  /* of bytes; 0: not known.  Set by whoever asks, cleared by who writes. */
	uint8_t bytes[SIM_PAGE];
};

/* Open-addressed hash table of the pages that take space, by number. */
struct sim_slot {
	uint64_t key;          /* page number + 1; 0: empty */
	struct sim_data *data; /* NULL: allocated, zero */
};

struct sim_disk {
	struct sim_slot *slot;
	size_t slots; /* power of two, or 0 */
	size_t used;  /* pages that take space */
};

struct sim_fault {
	uint64_t first; /* number of the first call that fails; 0: none */
	uint64_t count; /* 0: for ever */
	int err;
};

struct sim {
	struct store s;       /* first */
	pthread_mutex_t lock; /* protects all below, and changes of s.size */
	struct sim_options opt;
	uint64_t random; /* state of the order of completions */
	bool cut;
	struct sim_disk now;
	struct sim_disk base; /* if opt.record */
	uint64_t base_size;
	struct sim_event *event;
	size_t events, event_room;
	size_t folded;      /* events that are in the base already */
	size_t failed_upto; /* [SIM-1] */
	uint64_t calls[SIM_FAULT_KINDS];
	struct sim_fault fault[SIM_FAULT_KINDS];
};

static struct sim *sim_of(struct store *s)
{
	return (struct sim *)s;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- the disk --------------------------------------------------------------------- */

static void data_put(struct sim_data *d)
{
	/* Pairs with itself: the last user's free comes after all others' reads. */
	if (d && __atomic_sub_fetch(&d->users, 1, __ATOMIC_ACQ_REL) == 0)
		free(d);
}

static size_t hash_of(uint64_t key, size_t slots)
{
	return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (slots - 1);
}

/* The page's slot, or the empty one where it would go; the table is not full. */
static struct sim_slot *disk_probe(const struct sim_disk *d, uint64_t page)
{
	size_t i = hash_of(page + 1, d->slots);

	while (d->slot[i].key && d->slot[i].key != page + 1)
		i = (i + 1) & (d->slots - 1);
	return &d->slot[i];
}

static struct sim_slot *disk_find(const struct sim_disk *d, uint64_t page)
{
	struct sim_slot *slot = d->slots ? disk_probe(d, page) : NULL;

	return slot && slot->key ? slot : NULL;
}

static int disk_enlarge(struct sim_disk *d)
{
	struct sim_disk larger = {.slots = d->slots ? d->slots * 2 : 64, .used = d->used};

	larger.slot = calloc(larger.slots, sizeof *larger.slot);
	if (!larger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < d->slots; i++)
		if (d->slot[i].key)
			*disk_probe(&larger, d->slot[i].key - 1) = d->slot[i];
	free(d->slot);
	*d = larger;
	return 0;
}

/* Makes the page take space. */
static int disk_add(struct sim_disk *d, uint64_t page, struct sim_slot **ret_slot)
{
	struct sim_slot *slot = disk_find(d, page);

	if (!slot) {
		int err = d->used * 4 >= d->slots * 3 ? disk_enlarge(d) : 0;

		if (err)
			return err;
		slot = disk_probe(d, page);
		*slot = (struct sim_slot){.key = page + 1};
		d->used++;
	}
	*ret_slot = slot;
	return 0;
}

/* Gives the page's space back, closing the gap in the chain of probes. */
static void disk_remove(struct sim_disk *d, uint64_t page)
{
	struct sim_slot *slot = disk_find(d, page);
	size_t gap, i;

	if (!slot)
		return;
	data_put(slot->data);
	d->used--;
	gap = i = (size_t)(slot - d->slot);
	for (;;) {
		size_t home;

		i = (i + 1) & (d->slots - 1);
		if (!d->slot[i].key)
			break;
		home = hash_of(d->slot[i].key, d->slots);
		if (((i - home) & (d->slots - 1)) >= ((i - gap) & (d->slots - 1))) {
			d->slot[gap] = d->slot[i];
			gap = i;
		}
	}
	d->slot[gap] = (struct sim_slot){0};
}

/* Gives the slot content of its own. */
static int slot_own(struct sim_slot *slot)
{
	struct sim_data *mine;

	if (slot->data && __atomic_load_n(&slot->data->users, __ATOMIC_ACQUIRE) == 1) {
		slot->data->hash = 0;
		return 0;
	}
	mine = calloc(1, sizeof *mine);
	if (!mine)
		return -ENOMEM;
	mine->users = 1;
	if (slot->data)
		memcpy(mine->bytes, slot->data->bytes, SIM_PAGE);
	data_put(slot->data);
	slot->data = mine;
	return 0;
}

static void disk_read(const struct sim_disk *d, uint64_t offset, uint8_t *buf, size_t len)
{
	while (len) {
		size_t skip = offset % SIM_PAGE, part = MIN(len, SIM_PAGE - skip);
		const struct sim_slot *slot = disk_find(d, offset / SIM_PAGE);

		if (slot && slot->data)
			memcpy(buf, slot->data->bytes + skip, part);
		else
			memset(buf, 0, part);
		buf += part;
		offset += part;
		len -= part;
	}
}

/* buf NULL: zeros. */
static int disk_write(struct sim_disk *d, uint64_t offset, const uint8_t *buf, uint64_t len)
{
	while (len) {
		size_t skip = offset % SIM_PAGE, part = MIN(len, SIM_PAGE - skip);
		struct sim_slot *slot;
		int err = disk_add(d, offset / SIM_PAGE, &slot);

		if (!err)
			err = slot_own(slot);
		if (err)
			return err;
		if (buf) {
			memcpy(slot->data->bytes + skip, buf, part);
			buf += part;
		} else {
			memset(slot->data->bytes + skip, 0, part);
		}
		offset += part;
		len -= part;
	}
	return 0;
}

/* Whole pages are given back, parts of pages zeroed. */
static int disk_discard(struct sim_disk *d, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len, page = offset / SIM_PAGE;
	int err = 0;

	for (; page * SIM_PAGE < end && !err; page++) {
		uint64_t from = MAX(offset, page * SIM_PAGE);
		uint64_t to = MIN(end, (page + 1) * SIM_PAGE);

		if (to - from == SIM_PAGE)
			disk_remove(d, page);
		else if (disk_find(d, page))
			err = disk_write(d, from, NULL, to - from);
	}
	return err;
}

static int disk_allocate(struct sim_disk *d, uint64_t offset, uint64_t len)
{
	uint64_t page = offset / SIM_PAGE, last = (offset + len - 1) / SIM_PAGE;
	struct sim_slot *slot;
	int err = 0;

	for (; page <= last && !err; page++)
		err = disk_add(d, page, &slot);
	return err;
}

/* Pages of the range that take no space yet. */
static uint64_t disk_missing(const struct sim_disk *d, uint64_t offset, uint64_t len)
{
	uint64_t missing = 0;

	if (!len)
		return 0;
	for (uint64_t p = offset / SIM_PAGE; p <= (offset + len - 1) / SIM_PAGE; p++)
		missing += !disk_find(d, p);
	return missing;
}

/* dst is empty; it shares all pages of src. */
static int disk_copy(struct sim_disk *dst, const struct sim_disk *src)
{
	if (!src->slots)
		return 0;
	dst->slot = malloc(src->slots * sizeof *dst->slot);
	if (!dst->slot)
		return -ENOMEM;
	memcpy(dst->slot, src->slot, src->slots * sizeof *dst->slot);
	dst->slots = src->slots;
	dst->used = src->used;
	for (size_t i = 0; i < dst->slots; i++)
		if (dst->slot[i].data)
			__atomic_add_fetch(&dst->slot[i].data->users, 1, __ATOMIC_RELAXED);
	return 0;
}

static void disk_fini(struct sim_disk *d)
{
	for (size_t i = 0; i < d->slots; i++)
		data_put(d->slot[i].data);
	free(d->slot);
}

/* ---- log, faults, host space ---------------------------------------------------------- */

/* Makes sure that n more events fit: after it log_add can't fail. */
static int log_reserve(struct sim *sim, size_t n)
{
	size_t room = MAX(sim->event_room * 2, sim->events + n);
	struct sim_event *larger;

	if (!sim->opt.record || sim->events + n <= sim->event_room)
		return 0;
	larger = realloc(sim->event, room * sizeof *larger);
	if (!larger)
		return -ENOMEM;
	sim->event = larger;
	sim->event_room = room;
	return 0;
}

static void log_add(struct sim *sim, const struct sim_event *e)
{
	if (sim->opt.record)
		sim->event[sim->events++] = *e;
}

static int count_kind(struct sim *sim, enum sim_fault_kind kind)
{
	uint64_t call = ++sim->calls[kind];
	const struct sim_fault *f = &sim->fault[kind];

	if (!f->first || call < f->first || (f->count && call - f->first >= f->count))
		return 0;
	return f->err;
}

/* Counts a call; the error that it is to fail with.  SIM_FAULT_ANY: of no other kind. */
static int count_call(struct sim *sim, enum sim_fault_kind kind)
{
	int any = count_kind(sim, SIM_FAULT_ANY);
	int err = kind == SIM_FAULT_ANY ? 0 : count_kind(sim, kind);

	if (sim->cut)
		return -EIO;
	return err ? err : any;
}

static int check_space(const struct sim *sim, uint64_t offset, uint64_t len)
{
	uint64_t pages = sim->opt.host_limit / SIM_PAGE;

	if (!sim->opt.host_limit)
		return 0;
	return sim->now.used + disk_missing(&sim->now, offset, len) > pages ? -ENOSPC : 0;
}

/* ---- operations --------------------------------------------------------------------------- */

static int sim_read(struct sim *sim, const struct store_io *io)
{
	uint64_t offset = io->offset;
	int err = count_call(sim, SIM_FAULT_READ);

	for (int i = 0; i < io->niov && !err; i++) {
		disk_read(&sim->now, offset, io->iov[i].iov_base, io->iov[i].iov_len);
		offset += io->iov[i].iov_len;
	}
	return err;
}

/* The written bytes in one piece, of at least one byte for malloc's sake. */
static uint8_t *gather(const struct store_io *io, uint64_t *ret_len)
{
	uint64_t len = 0;
	uint8_t *buf, *p;

	for (int i = 0; i < io->niov; i++)
		len += io->iov[i].iov_len;
	buf = p = malloc(len + 1);
	for (int i = 0; i < io->niov && buf; i++) {
		if (io->iov[i].iov_len)
			memcpy(p, io->iov[i].iov_base, io->iov[i].iov_len);
		p += io->iov[i].iov_len;
	}
	*ret_len = len;
	return buf;
}

static int sim_write(struct sim *sim, const struct store_io *io)
{
	struct sim_event e = {.kind = SIM_WRITE, .offset = io->offset, .flags = io->flags};
	int err = count_call(sim, SIM_FAULT_WRITE);

	if (err)
		return err;
	e.data = gather(io, &e.length);
	if (!e.data)
		return -ENOMEM;
	err = check_space(sim, e.offset, e.length);
	if (!err)
		err = log_reserve(sim, 1);
	if (!err)
		err = disk_write(&sim->now, e.offset, e.data, e.length);
	if (err || !sim->opt.record)
		free(e.data);
	else
		log_add(sim, &e);
	return err;
}

static int sim_submit(struct store *s, struct store_io *ios, unsigned n)
{
	CLEANUP_FREE unsigned *order = malloc(n * sizeof *order);
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	for (unsigned i = 0; i < n && order; i++) { /* a random order of 0 .. n - 1 */
		unsigned j = (unsigned)(next_random(&sim->random) % (i + 1));

		order[i] = order[j];
		order[j] = i;
	}
	for (unsigned i = 0; i < n; i++) {
		struct store_io *io = &ios[order ? order[i] : i];

		if (io->result)
			continue;
		io->result = io->flags & STORE_WRITE ? sim_write(sim, io) : sim_read(sim, io);
	}
	return 0;
}

static int sim_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	const struct store_range all = {0, UINT64_MAX};
	struct sim *sim = sim_of(s);
	size_t upto;
	int err;

	WITH_LOCK_UNTIL_END(&sim->lock);
	upto = sim->events;
	err = count_call(sim, SIM_FAULT_SYNC);
	if (!err)
		err = log_reserve(sim, MAX(n, 1));
	if (err && !sim->cut)
		sim->failed_upto = upto;
	for (unsigned i = 0; i < MAX(n, 1) && !err; i++) {
		const struct store_range *r = n ? &ranges[i] : &all;

		log_add(sim, &(struct sim_event){.kind = SIM_SYNC,
						 .offset = r->offset,
						 .length = r->length,
						 .synced_upto = upto,
						 .synced_from = sim->failed_upto});
	}
	return err;
}

static int sim_prealloc(struct store *s, uint64_t offset, uint64_t length)
{
	struct sim_event e = {.kind = SIM_PREALLOC, .offset = offset, .length = length};
	struct sim *sim = sim_of(s);
	int err;

	WITH_LOCK_UNTIL_END(&sim->lock);
	err = count_call(sim, SIM_FAULT_PREALLOC);
	if (!err)
		err = check_space(sim, offset, length);
	if (!err)
		err = log_reserve(sim, 1);
	if (!err)
		err = disk_allocate(&sim->now, offset, length);
	if (!err)
		log_add(sim, &e);
	return err;
}

static int sim_discard(struct store *s, uint64_t offset, uint64_t length)
{
	struct sim_event e = {.kind = SIM_DISCARD, .offset = offset, .length = length};
	struct sim *sim = sim_of(s);
	int err;

	WITH_LOCK_UNTIL_END(&sim->lock);
	err = count_call(sim, SIM_FAULT_DISCARD);
	if (!err)
		err = log_reserve(sim, 1);
	if (!err)
		err = disk_discard(&sim->now, offset, length);
	if (!err)
		log_add(sim, &e);
	return err;
}

static int sim_grow(struct store *s, uint64_t size)
{
	struct sim_event e = {.kind = SIM_GROW, .offset = 0, .length = size};
	struct sim *sim = sim_of(s);
	int err;

	WITH_LOCK_UNTIL_END(&sim->lock);
	err = count_call(sim, SIM_FAULT_ANY);
	if (!err)
		err = log_reserve(sim, 1);
	if (err)
		return err;
	log_add(sim, &e);
	__atomic_store_n(&s->size, size, __ATOMIC_RELAXED);
	return 0;
}

static int sim_drop_cache(struct store *s)
{
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	return sim->cut ? -EIO : 0;
}

static void sim_close(struct store *s)
{
	struct sim *sim = sim_of(s);

	for (size_t i = 0; i < sim->events; i++)
		free(sim->event[i].data);
	free(sim->event);
	disk_fini(&sim->base);
	disk_fini(&sim->now);
	pthread_mutex_destroy(&sim->lock);
	free(sim);
}

static const struct store_ops sim_ops = {
	.name = "sim",
	.submit = sim_submit,
	.sync = sim_sync,
	.prealloc = sim_prealloc,
	.discard = sim_discard,
	.grow = sim_grow,
	.drop_cache = sim_drop_cache,
	.close = sim_close,
};

/* ---- making stores ---------------------------------------------------------------------------- */

static int sim_new(uint64_t size, const struct sim_options *opt, struct sim **ret_sim)
{
	struct sim *sim;

	if (opt && opt->locked)
		return fail(-EBUSY, "sim is in use by another process");
	sim = calloc(1, sizeof *sim);
	if (!sim)
		return fail(-ENOMEM, "out of memory");
	if (opt)
		sim->opt = *opt;
	pthread_mutex_init(&sim->lock, NULL);
	sim->random = sim->opt.seed;
	sim->s.ops = &sim_ops;
	sim->s.size = sim->base_size = size;
	sim->s.host_limit = INT64_MAX;
	sim->s.data_align = sim->opt.data_align ? sim->opt.data_align : 1;
	sim->s.sparse = true;
	sim->s.uring = "sync (sim)";
	strcpy(sim->s.path, "sim");
	*ret_sim = sim;
	return 0;
}

int store_sim_new(uint64_t size, const struct sim_options *opt, struct store **ret_store)
{
	struct sim *sim;
	int err = sim_new(size, opt, &sim);

	if (!err)
		*ret_store = &sim->s;
	return err;
}

/* Is the sector new, of a write that may be torn? */
static bool sector_reached(const struct sim_tear *tear, size_t sector)
{
	return tear->reached[sector / 8] >> sector % 8 & 1;
}

size_t store_sim_sectors(const struct sim_event *write)
{
	uint64_t first = write->offset / SIM_SECTOR;

	if (!write->length)
		return 0;
	return (size_t)((write->offset + write->length - 1) / SIM_SECTOR - first + 1);
}

/* Applies len bytes of a write, sector by sector. */
static int apply_torn(struct sim_disk *d, const struct sim_event *e, uint64_t len,
		      const struct sim_tear *tear)
{
	uint64_t garbage = tear->garbage, done = 0;
	int err = 0;

	for (size_t sector = 0; done < len && !err; sector++) {
		uint64_t offset = e->offset + done;
		uint64_t part = MIN(len - done, SIM_SECTOR - offset % SIM_SECTOR);
		uint8_t noise[SIM_SECTOR];

		for (size_t i = 0; i < SIM_SECTOR && tear->garbage; i++)
			noise[i] = (uint8_t)next_random(&garbage);
		if (sector_reached(tear, sector))
			err = disk_write(d, offset, (const uint8_t *)e->data + done, part);
		else if (tear->garbage)
			err = disk_write(d, offset, noise, part);
		done += part;
	}
	return err;
}

/* Applies one event to disk and size.  A write beyond the end (growth was lost) is clipped. */
static int apply(struct sim_disk *d, uint64_t *size, const struct sim_event *e,
		 const struct sim_tear *tear)
{
	uint64_t len = e->offset < *size ? MIN(e->length, *size - e->offset) : 0;

	switch (e->kind) {
	case SIM_WRITE:
		return tear ? apply_torn(d, e, len, tear) : disk_write(d, e->offset, e->data, len);
	case SIM_DISCARD: return len ? disk_discard(d, e->offset, len) : 0;
	case SIM_PREALLOC: return len ? disk_allocate(d, e->offset, len) : 0;
	case SIM_GROW: *size = e->length; return 0;
	case SIM_SYNC:
	case SIM_MARK: return 0;
	}
	return -EINVAL;
}

/* Makes what `to` holds now the base of its log, if it keeps one. */
static int begin_log(struct sim *to)
{
	to->base_size = to->s.size;
	return to->opt.record ? disk_copy(&to->base, &to->now) : 0;
}

static int replay_into(struct sim *to, const struct sim *from, size_t upto, const size_t *dropped,
		       size_t ndropped, const struct sim_tear *tear)
{
	int err = disk_copy(&to->now, &from->base);
	size_t next = 0;

	for (size_t i = from->folded; i < upto && !err; i++) {
		if (next < ndropped && dropped[next] == i) {
			next++;
			continue;
		}
		err = apply(&to->now, &to->s.size, &from->event[i],
			    tear && tear->event == i ? tear : NULL);
	}
	return err ? err : begin_log(to);
}

int store_sim_replay_torn(struct store *s, size_t upto, const size_t *dropped, size_t ndropped,
			  const struct sim_tear *tear, const struct sim_options *opt,
			  struct store **ret_store)
{
	struct sim *from = sim_of(s), *to;
	int err;

	WITH_LOCK_UNTIL_END(&from->lock);
	if (!from->opt.record || upto > from->events || upto < from->folded ||
	    (ndropped && dropped[0] < from->folded))
		return fail(-EINVAL, "sim has no log of %zu events", upto);
	err = sim_new(from->base_size, opt, &to);
	if (err)
		return err;
	err = replay_into(to, from, upto, dropped, ndropped, tear);
	if (err) {
		sim_close(&to->s);
		return fail(err, "out of memory");
	}
	*ret_store = &to->s;
	return 0;
}

int store_sim_replay(struct store *s, size_t upto, const size_t *dropped, size_t ndropped,
		     const struct sim_options *opt, struct store **ret_store)
{
	return store_sim_replay_torn(s, upto, dropped, ndropped, NULL, opt, ret_store);
}

/* Takes base and log over; what was added stays in `to` if it fails halfway. */
static int copy_log(struct sim *to, const struct sim *from)
{
	int err = disk_copy(&to->base, &from->base);

	to->base_size = from->base_size;
	to->failed_upto = from->failed_upto;
	to->folded = from->folded;
	if (!err)
		err = log_reserve(to, from->events);
	for (size_t i = 0; i < from->events && !err; i++) {
		struct sim_event e = from->event[i];

		if (e.data) {
			e.data = malloc(e.length + 1);
			if (!e.data)
				return -ENOMEM;
			memcpy(e.data, from->event[i].data, e.length);
		}
		log_add(to, &e);
	}
	return err;
}

int store_sim_copy(struct store *s, const struct sim_options *opt, struct store **ret_store)
{
	struct sim *from = sim_of(s), *to;
	int err;

	WITH_LOCK_UNTIL_END(&from->lock);
	err = sim_new(s->size, opt, &to);
	if (err)
		return err;
	err = disk_copy(&to->now, &from->now);
	if (!err)
		err = to->opt.record && from->opt.record ? copy_log(to, from) : begin_log(to);
	if (err) {
		sim_close(&to->s);
		return fail(err, "out of memory");
	}
	*ret_store = &to->s;
	return 0;
}

int store_sim_fold(struct store *s, size_t upto)
{
	struct sim *sim = sim_of(s);
	int err = 0;

	WITH_LOCK_UNTIL_END(&sim->lock);
	if (!sim->opt.record || upto > sim->events)
		return fail(-EINVAL, "sim has no log of %zu events", upto);
	for (; sim->folded < upto && !err; sim->folded += !err)
		err = apply(&sim->base, &sim->base_size, &sim->event[sim->folded], NULL);
	return err ? fail(err, "out of memory") : 0;
}

/* ---- content ------------------------------------------------------------------------------------ */

static uint64_t page_hash(struct sim_data *d)
{
	if (!d->hash)
		d->hash = checksum(d->bytes, SIM_PAGE, 0) | 1;
	return d->hash;
}

uint64_t store_sim_hash(struct store *s, uint64_t seed)
{
	static const uint8_t zeros[SIM_PAGE];
	struct sim *sim = sim_of(s);
	uint64_t zero = checksum(zeros, SIM_PAGE, 0) | 1, sum;

	WITH_LOCK_UNTIL_END(&sim->lock);
	sum = s->size;
	for (size_t i = 0; i < sim->now.slots;
	     i++) { /* a sum: the order of the table is no matter */
		const struct sim_slot *slot = &sim->now.slot[i];
		uint64_t h = slot->data ? page_hash(slot->data) : zero, state;

		if (h == zero)
			continue;
		state = h ^ slot->key * UINT64_C(0xd6e8feb86659fd93);
		sum += next_random(&state);
	}
	sum ^= seed * UINT64_C(0x9e3779b97f4a7c15);
	return next_random(&sum);
}

/* ---- looking at the log ------------------------------------------------------------------------- */

/* First byte from `pos` on, of event i, that no sync before upto covers; or end. */
static uint64_t covered_from(const struct sim *sim, size_t i, size_t upto, uint64_t pos,
			     uint64_t end)
{
	bool moved = true;

	while (moved && pos < end) {
		moved = false;
		for (size_t j = i + 1; j < upto; j++) {
			const struct sim_event *e = &sim->event[j];

			if (e->kind != SIM_SYNC || i >= e->synced_upto || i < e->synced_from)
				continue;
			if (sim->event[i].flags & STORE_DIRECT) /* any sync covers it */
				return end;
			if (pos < e->offset || pos - e->offset >= e->length)
				continue;
			pos = e->length > UINT64_MAX - e->offset ? end : e->offset + e->length;
			if (pos >= end)
				return end;
			moved = true;
		}
	}
	return pos;
}

/* [SIM-2] */
static bool growth_is_durable(const struct sim *sim, size_t i, size_t upto)
{
	for (size_t j = i + 1; j < upto; j++) {
		const struct sim_event *e = &sim->event[j];

		if ((e->kind == SIM_SYNC && i < e->synced_upto && i >= e->synced_from) ||
		    (e->kind == SIM_WRITE && e->flags & STORE_DURABLE))
			return true;
	}
	return false;
}

static bool may_be_lost(const struct sim *sim, size_t i, size_t upto)
{
	const struct sim_event *e = &sim->event[i];
	uint64_t end = e->offset + e->length;

	if (e->kind == SIM_GROW)
		return !growth_is_durable(sim, i, upto);
	if (e->kind != SIM_DISCARD && (e->kind != SIM_WRITE || e->flags & STORE_DURABLE))
		return false;
	return covered_from(sim, i, upto, e->offset, end) < end;
}

size_t store_sim_unsynced(struct store *s, size_t upto, size_t *idx, size_t max)
{
	struct sim *sim = sim_of(s);
	size_t n = 0;

	WITH_LOCK_UNTIL_END(&sim->lock);
	for (size_t i = sim->folded; i < MIN(upto, sim->events); i++) {
		if (!may_be_lost(sim, i, upto))
			continue;
		if (n < max)
			idx[n] = i;
		n++;
	}
	return n;
}

const struct sim_event *store_sim_events(struct store *s, size_t *ret_n)
{
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	*ret_n = sim->events;
	return sim->event;
}

void store_sim_mark(struct store *s, uint64_t mark)
{
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	if (sim->cut || log_reserve(sim, 1))
		return;
	log_add(sim, &(struct sim_event){.kind = SIM_MARK, .mark = mark});
}

void store_sim_fault(struct store *s, enum sim_fault_kind kind, uint64_t nth, uint64_t count,
		     int err)
{
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	sim->fault[kind] = (struct sim_fault){
		.first = nth ? sim->calls[kind] + nth : 0,
		.count = count,
		.err = err < 0 ? err : -err,
	};
}

uint64_t store_sim_calls(struct store *s, enum sim_fault_kind kind)
{
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	return sim->calls[kind];
}

uint64_t store_sim_allocated(struct store *s)
{
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	return sim->now.used * (uint64_t)SIM_PAGE;
}

void store_sim_cut(struct store *s)
{
	struct sim *sim = sim_of(s);

	WITH_LOCK_UNTIL_END(&sim->lock);
	sim->cut = true;
}
