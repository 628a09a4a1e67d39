/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * site.c - places to fail: calls of the simulated store, allocations, and events that have a name
 */
#include "fault.h"

#include <stdio.h>

struct site site;
struct run *running;

static const struct store_ops *sim_ops;

/* ---- memory ------------------------------------------------------------------------------------ */

/* The linker leads the engine's allocations here (--wrap), not those of this file and the oracle. */
static uint64_t allocations, first_refused; /* 0: none */
static bool refused_forever;

static bool refused(void)
{
	allocations++;
	return first_refused &&
	       (refused_forever ? allocations >= first_refused : allocations == first_refused);
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refused() ? NULL : calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return refused() ? NULL : realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return refused() ? NULL : __real_aligned_alloc(alignment, size);
}

/* ---- places to fail --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int err;
} kinds[KINDS] = {
	[SIM_FAULT_READ] = {"read", EIO},
	[SIM_FAULT_WRITE] = {"write", EIO},
	[SIM_FAULT_SYNC] = {"sync", EIO},
	[SIM_FAULT_PREALLOC] = {"prealloc", ENOSPC},
	[SIM_FAULT_DISCARD] = {"discard", EIO},
	[SIM_FAULT_ANY] = {"any", EIO},
	[MEMORY] = {"memory", ENOMEM},
	[JOURNAL_WRITE] = {"journal-write", EIO},
	[SUPER_WRITE] = {"superblock-write", EIO},
	[PAGE_WRITE] = {"page-write", EIO},
	[PAGE_READ] = {"page-miss", EIO},
	[LOG_READ] = {"log-read", EIO},
	[COW_READ] = {"cow-read", EIO},
	[COW_WRITE] = {"cow-write", EIO},
	[PLACE_WRITE] = {"in-place-write", EIO},
	[DATA_READ] = {"data-read", EIO},
	[GROW] = {"grow", ENOSPC},
};

const char *kind_name(unsigned kind)
{
	return kinds[kind].name;
}

const char *site_name(void)
{
	static char name[80];

	snprintf(name, sizeof name, "%s %s %" PRIu64, kinds[site.kind].name,
		 site.forever ? "forever" : "once", site.n);
	return name;
}

/* ---- named events ---------------------------------------------------------------------------------- */

static uint64_t event_calls[KINDS], first_failing; /* of the site's kind; 0: none */
static bool failing_forever;

/* Is the block one that the volume which is written has now? */
static bool is_in_place(const struct run *r, uint64_t physical)
{
	struct engine *e = &r->p->e;
	const struct object *o;
	struct map_extent x;
	bool found = false;

	metalock_shared(&e->lock);
	o = catalog_by_id(r->p->cat, r->writing->id);
	for (unsigned i = 0; o && i < r->blocks && !found; i++)
		found = map_lookup(e, &o->map, r->first_block + i, 1, &x) == 0 &&
			x.physical == physical;
	metalock_drop(&e->lock);
	return found;
}

static unsigned event_of(const struct run *r, const struct store_io *io)
{
	bool write = io->flags & STORE_WRITE;
	uint64_t zone = io->offset / ZONE_BYTES;

	if (io->flags & STORE_DIRECT) {
		bool super = io->offset == page_offset(0, 0) || io->offset == page_offset(0, 1);
		bool journal = zone >= 1 && zone <= JOURNAL_ZONES;

		if (!write)
			return super || journal ? LOG_READ : PAGE_READ;
		return super ? SUPER_WRITE : journal ? JOURNAL_WRITE : PAGE_WRITE;
	}
	if (!write)
		return r->writing ? COW_READ : DATA_READ;
	return r->writing && r->p && is_in_place(r, io->offset / BLOCK) ? PLACE_WRITE : COW_WRITE;
}

/* Counts the call; does it fail? */
static bool event_fails(unsigned kind)
{
	uint64_t call = ++event_calls[kind];

	if (kind != site.kind || !first_failing)
		return false;
	return failing_forever ? call >= first_failing : call == first_failing;
}

/* ---- hooks ------------------------------------------------------------------------------------------ */

static int hook_submit(struct store *s, struct store_io *ios, unsigned n)
{
	for (unsigned i = 0; i < n && running; i++)
		if (!ios[i].result && event_fails(event_of(running, &ios[i])))
			ios[i].result = -EIO;
	return sim_ops->submit(s, ios, n);
}

static int hook_grow(struct store *s, uint64_t size)
{
	return running && event_fails(GROW) ? -ENOSPC : sim_ops->grow(s, size);
}

static int hook_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	int r = sim_ops->sync(s, ranges, n);

	if (r < 0 && running)
		running->sync_failed = true;
	return r;
}

static void hook_close(struct store *s)
{
	(void)s; /* the log is still of use */
}

void hook(struct store *s)
{
	static struct store_ops hooked;

	if (s->ops == &hooked)
		return;
	sim_ops = s->ops;
	hooked = *s->ops;
	hooked.submit = hook_submit;
	hooked.grow = hook_grow;
	hooked.sync = hook_sync;
	hooked.close = hook_close;
	s->ops = &hooked;
}

void unhook(struct store *s)
{
	if (sim_ops)
		s->ops = sim_ops;
}

void unhooked_close(struct store *s)
{
	if (!s)
		return;
	unhook(s);
	store_close(s);
}

/* ---- faults ------------------------------------------------------------------------------------------- */

uint64_t calls_of(struct store *s, unsigned kind)
{
	if (kind > MEMORY)
		return event_calls[kind];
	return kind == MEMORY ? allocations : store_sim_calls(s, (enum sim_fault_kind)kind);
}

void calls_begin(void)
{
	allocations = 0;
	memset(event_calls, 0, sizeof event_calls);
}

static void set_fault(struct store *s, uint64_t nth, bool forever)
{
	if (site.kind == MEMORY) {
		first_refused = nth ? allocations + nth : 0;
		refused_forever = forever;
	} else if (site.kind > MEMORY) {
		first_failing = nth ? event_calls[site.kind] + nth : 0;
		failing_forever = forever;
	} else {
		store_sim_fault(s, (enum sim_fault_kind)site.kind, nth, forever ? 0 : 1,
				kinds[site.kind].err);
	}
}

void arm(struct run *r)
{
	r->calls = calls_of(r->store, site.kind);
	r->armed = site.n > 0;
	set_fault(r->store, site.n, site.forever);
}

bool has_fired(struct run *r)
{
	if (r->armed && calls_of(r->store, site.kind) >= r->calls + site.n)
		r->fired = true;
	return r->fired;
}

/* The test itself looks: without faults, and without being counted. */
void suspend_faults(struct run *r)
{
	(void)has_fired(r);
	for (unsigned k = 0; k < KINDS; k++)
		r->looked[k] -= calls_of(r->store, k);
	r->calls = calls_of(r->store, site.kind) - r->calls; /* since it was armed */
	set_fault(r->store, 0, false);
}

void resume_faults(struct run *r)
{
	uint64_t since = r->calls;
	bool over = r->fired && !site.forever;

	for (unsigned k = 0; k < KINDS; k++)
		r->looked[k] += calls_of(r->store, k);
	r->calls = calls_of(r->store, site.kind) - since;
	if (r->armed && !over)
		set_fault(r->store, r->fired ? 1 : site.n - since, site.forever);
}
