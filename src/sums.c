/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sums.c - which pages of checksums a zone of data has
 *
 *	space_set_sums   the table `sums`: zone -> pages, from the next checkpoint on
 *	the cut          sums -> sums_frozen, with the counts of these pages, in one section
 *	the merge        sums_frozen -> pages of zones
 *
 * So a checkpoint has a page of checksums, its count and its name, or nothing of all three.
 *
 * A zone without a used block gives its pages of checksums up before it becomes free: the merge
 * that finds it so drops them, as reclaim drops pages ([SPACE-3]), and lets the zone go a checkpoint later.
 */
#include "space_internal.h"

#define SUMS_BOUND 100000u

void sums_table_fini(struct sums_table *t)
{
	delta_fini(&t->place);
	free(t->list);
	*t = (struct sums_table){0};
}

void sums_table_clear(struct sums_table *t)
{
	delta_clear(&t->place);
	t->n = 0;
}

static struct zone_sums *find(const struct sums_table *t, uint64_t zone)
{
	int place = t->place.slot ? delta_get(&t->place, zone) : 0;

	return place ? &t->list[place - 1] : NULL;
}

bool sums_table_get(const struct sums_table *t, uint64_t zone, struct zone_sums *ret_sums)
{
	const struct zone_sums *z = find(t, zone);

	if (z)
		*ret_sums = *z;
	return z;
}

/* Room for one more. */
static int grow(struct sums_table *t)
{
	size_t room = MAX(t->room * 2, (size_t)64);
	struct zone_sums *list;

	if (t->n < t->room)
		return delta_prepare(&t->place, 1);
	list = reallocarray(t->list, room, sizeof *list);
	if (!list)
		return fail(-ENOMEM, "no memory for pages of checksums");
	t->list = list;
	t->room = room;
	return delta_prepare(&t->place, 1);
}

int space_prepare_sums(struct space *s)
{
	int r;

	if (s->sums.n >= SUMS_BOUND)
		return need_more(NEED_CHECKPOINT);
	r = grow(&s->sums);
	return r < 0 ? r : delta_prepare(&s->retype, 4);
}

void space_set_sums(struct space *s, uint64_t zone, const struct zone_sums *sums)
{
	struct zone_sums *z = find(&s->sums, zone);

	if (!z) {
		z = &s->sums.list[s->sums.n++];
		delta_add(&s->sums.place, zone, (int)s->sums.n);
	}
	*z = *sums;
	if (!delta_get(&s->retype, zone))
		delta_add(&s->retype, zone, 1); /* its page is to be written */
}

int space_sums(struct space *s, uint64_t zone, struct zone_sums *ret_sums)
{
	struct page *page;
	int r;

	if (sums_table_get(&s->sums, zone, ret_sums) ||
	    (s->merging && sums_table_get(&s->sums_frozen, zone, ret_sums)))
		return 0;
	if ((r = space_zone_page(s, zone, &page)) < 0)
		return r;
	for (unsigned k = 0; k < SUMS_PAGES; k++)
		ret_sums->page[k] = get64(((struct disk_zone *)page->data)->sums[k]);
	return 0;
}

bool space_sums_room(const struct space *s)
{
	struct space_info i;

	space_get_info(s, &i);
	return (i.free_zones + i.meta_zones) * ZONE_TWINS >
	       i.used_pages + i.reserve_zones * ZONE_TWINS / 2;
}

/* ---- in a checkpoint ------------------------------------------------------------- */

void sums_merge(struct space *s, uint64_t zone, struct disk_zone *z)
{
	const struct zone_sums *new = find(&s->sums_frozen, zone);

	for (unsigned k = 0; new &&k < SUMS_PAGES; k++)
		z->sums[k] = put64(new->page[k]);
}

static bool sums_any(const struct zone_sums *sums)
{
	for (unsigned k = 0; k < SUMS_PAGES; k++)
		if (sums->page[k])
			return true;
	return false;
}

bool sums_left(struct space *s, uint64_t zone, const struct disk_zone *z)
{
	static const struct zone_sums none;
	struct zone_sums sums;

	if (find(&s->sums, zone)) /* changed since the cut: looked at by the next checkpoint */
		return true;
	for (unsigned k = 0; k < SUMS_PAGES; k++)
		sums.page[k] = get64(z->sums[k]);
	if (!sums_any(&sums) || MUTANT("sums-outlive-zone"))
		return false;
	/* without memory they stay, and so does the zone, until something happens there */
	if (grow(&s->sums) < 0 || delta_prepare(&s->dropped, SUMS_PAGES) < 0 ||
	    delta_prepare(&s->retype, 4) < 0)
		return true;
	for (unsigned k = 0; k < SUMS_PAGES; k++)
		if (sums.page[k])
			space_drop(s, page_unit(sums.page[k]));
	space_set_sums(s, zone, &none);
	return true;
}
