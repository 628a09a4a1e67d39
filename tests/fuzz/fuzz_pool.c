/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_pool.c - a whole pool of an enemy: checked, opened, read, written and closed
 *
 * What must hold
 *   no crash, no failed assertion, no hang, no memory without bound, whatever the pool says;
 *   a pool in which the checker finds nothing wrong, and whose journal is empty, can be opened, and there is
 *   nothing wrong with it after it was used and closed either
 */
#include <stdio.h>

#include "check.h"
#include "fuzz.h"
#include "image.h"
#include "use.h"

#define ZONES 24u
#define READ_MAX (UINT64_C(1) << 20)

const char fuzz_name[] = "pool";

static uint64_t chance_state;

static bool is_clean(struct store *s, bool *ret_records)
{
	struct cowbd_check_options opt = {0};
	struct cowbd_check_result result = {0};
	int r = check_store(s, &opt, &result);

	*ret_records = result.journal_records > 0;
	return r == 0 && result.damages + result.leaks == 0;
}

static void look(const struct image *im)
{
	struct cowbd_pool *p;

	if (use_open(image_store(im), COWBD_OPEN_READ_ONLY, &p) < 0)
		return;
	use_look(p, READ_MAX);
	(void)!cowbd_close(p);
}

/* good: the checker said so. */
static void change(const struct image *im, bool good)
{
	struct store *copy;
	struct cowbd_pool *p;
	bool records;
	int r = use_open(image_store(im), 0, &p);

	if (r < 0) {
		if (good)
			fprintf(stderr, "refused: %s\n", cowbd_error());
		FUZZ_HOLDS(!good);
		return;
	}
	use_look(p, READ_MAX);
	use_change(p);
	use_look(p, READ_MAX);
	if (good) {
		FUZZ_HOLDS(!atomic_load(&p->e.failed));
		FUZZ_HOLDS(checkpoint_run(&p->e) == 0);
		FUZZ_HOLDS(store_sim_copy(p->e.store, NULL, &copy) == 0);
		FUZZ_HOLDS(is_clean(copy, &records));
		store_close(copy);
	}
	r = cowbd_close(p);
	FUZZ_HOLDS(!good || r == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct image im = {0};
	bool good, records;
	struct store *s;

	if (!image_unpack(&im, data, len))
		return 0;
	s = image_store(&im);
	good = is_clean(s, &records) && !records;
	store_close(s);
	look(&im);
	change(&im, good);
	image_fini(&im);
	return 0;
}

/* ---- mutations ------------------------------------------------------------------------------- */

/* Where the fields of a page are, more or less. */
static size_t end_of_fields(const uint8_t *page)
{
	switch (fuzz_get(page, 4)) {
	case PAGE_SUPER: return 568 + ZONE_TWINS * 4;
	case PAGE_ZONE: return 64 + ZONE_TWINS * 6;
	case PAGE_SUMMARY: return 32 + ZONE_TWINS * 6;
	case PAGE_MAP:
	case PAGE_CATALOG_NODE: return 48 + MAP_FANOUT * 6;
	case PAGE_GROUPS: return 32 + 2 * sizeof(struct disk_group);
	case PAGE_DYING: return 32 + 4 * 8;
	case PAGE_BATCH: return 64 + 256;
	default: return PAGE_BYTES;
	}
}

static bool is_metadata(const uint8_t *page)
{
	static const enum page_kind kinds[] = {PAGE_SUPER,   PAGE_DYING,        PAGE_GROUPS,
					       PAGE_SUMMARY, PAGE_ZONE,         PAGE_MAP,
					       PAGE_BATCH,   PAGE_CATALOG_NODE, PAGE_CATALOG_LEAF};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (fuzz_get(page, 4) == kinds[i])
			return true;
	return false;
}

/* A page of metadata, by chance: one that is used, or was. */
static uint8_t *some_page(const struct image *im)
{
	for (unsigned tries = 0; tries < 500; tries++) {
		uint8_t *page =
			im->page[fuzz_chance(&chance_state, im->zones * (ZONE_BYTES / PAGE_BYTES))];

		if (page && is_metadata(page))
			return page;
	}
	return NULL;
}

static void mutate_page(const struct image *im)
{
	uint8_t *page = some_page(im), *other = some_page(im);
	size_t end, at;

	if (!page || !other)
		return;
	end = end_of_fields(page);
	switch (fuzz_chance(&chance_state, 5)) {
	case 0: /* an entry of one map for one of another */
		at = 48 + fuzz_chance(&chance_state, MAP_FANOUT) * 6;
		memcpy(page + at, other + 48 + fuzz_chance(&chance_state, MAP_FANOUT) * 6, 6);
		break;
	case 1: memmove(page + 32, other + 32, PAGE_BYTES - 32); break;
	case 2: /* counts and small fields */
		at = 32 + fuzz_chance(&chance_state, (end - 32) / 2) * 2;
		fuzz_put(page + at, 2, fuzz_chance(&chance_state, 5));
		break;
	case 3: (void)LLVMFuzzerMutate(page + 32, end - 32, end - 32); break;
	default: fuzz_field(&chance_state, page, 32, end); break;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
	struct image im = {0};

	chance_state = seed;
	if (fuzz_chance(&chance_state, 8) == 0)
		len = LLVMFuzzerMutate(data, len, max);
	if (!image_unpack(&im, data, len))
		return LLVMFuzzerMutate(data, len, max);
	for (uint64_t n = 1 + fuzz_chance(&chance_state, 3); n-- > 0;)
		mutate_page(&im);
	if (fuzz_chance(&chance_state, 16))
		image_repair(&im, fuzz_chance(&chance_state, 4));
	len = image_pack(&im, data, max);
	image_fini(&im);
	return len;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t max)
{
	struct image im = {0};
	struct store *s;
	size_t len;

	if (i >= 2)
		return 0;
	s = use_make(ZONES, i == 1);
	image_load(&im, s);
	store_close(s);
	len = image_pack(&im, out, max);
	image_fini(&im);
	return len;
}
