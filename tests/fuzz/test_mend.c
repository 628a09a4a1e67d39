/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_mend.c - pools with a few damaged pages are repaired: what is not reported as lost is as it was
 *
 *	pool (random volumes, snapshots, clones) --copy--> 1 to 3 pages damaged --repair--> checked, read, used
 *
 * What must hold of each
 *   dry run    writes nothing
 *   repair     then the checker finds neither damage nor leaks; or it says that it can't, has written
 *              nothing, and a page of the catalog, or one that says where it is, was damaged
 *   contents   every volume and snapshot is there, with its size; each byte that is not in a range that was
 *              reported lost for it is what it was, and the others are what they were, zero, or (where that was said) older
 *   precision  nothing is reported lost unless a page of a map, or one that says where they are, was damaged
 *   use        the pool can be opened, written to, emptied, and is right afterwards
 *
 * COWBD_MENDS=N pools of DAMAGES damages each; COWBD_SEED=S; COWBD_MEND=I only the pool with this number.
 */
#include "pool_testing.h"

#include <sys/mman.h>

#include "check.h"
#include "pieces.h"
#include "use.h"

#define BLOCK 4096u
#ifdef COWBD_TINY
#define POOL_ZONES 40u
#define BLOCKS 60u
#define POOLS 8u
#else
#define POOL_ZONES 14u
#define BLOCKS 1300u
#define POOLS 2u
#endif
#define DAMAGES 40u
#define OBJECTS_MAX 24u
#define LOSSES_MAX 4096u
#define HISTORY 4u

struct disk_content {
	char name[2 * 256];
	uint64_t size;
	uint8_t *data;
};

struct content {
	struct disk_content object[OBJECTS_MAX];
	size_t n;
};

struct loss {
	char object[2 * 256];
	uint64_t from, to; /* bytes, both within */
	bool older;
};

static struct pieces pieces;
static struct content was;
static struct loss losses[LOSSES_MAX];
static size_t nlosses;
static char said[1 << 16];
static uint64_t seed, chance_state, tried, mended, refused, lossy;
static uint64_t single;         /* 1: one page is damaged, neither of a map nor of the catalog */
static uint64_t tables, proved; /* such ones repaired; without a loss */
static char what[600];

/* The pending ring of a pool need not stay resident here, and making it so takes most of the time. */
int mlock(const void *addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

static uint64_t chance(uint64_t below)
{
	uint64_t key = chance_state++;

	return checksum(&key, sizeof key, seed) % below;
}

#define must_hold(cond, ...)                                                                       \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "seed %" PRIu64 ", %s: ", seed, what);                     \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n%s", said);                                             \
			ck_abort_msg("%s", #cond);                                                 \
		}                                                                                  \
	} while (0)

/* ---- a random pool -------------------------------------------------------------------------- */

static void write_somewhere(struct cowbd_pool *p, const char *name)
{
	static uint8_t buf[24 * BLOCK];
	struct cowbd_client *c = attach(p, name);

	for (uint64_t n = 1 + chance(4); n-- > 0;) {
		uint64_t len = 1 + chance(24), at = chance(BLOCKS - len);

		if (chance(6) == 0) {
			ck_assert_ok(cowbd_trim(c, len * BLOCK, at * BLOCK, 0));
			continue;
		}
		for (uint64_t i = 0; i < len * BLOCK; i += 8)
			memcpy(buf + i, &(uint64_t){chance(UINT64_MAX)}, 8);
		if (cowbd_write(c, buf, len * BLOCK, at * BLOCK, 0) == -ENOSPC)
			break; /* the pool is full */
	}
	cowbd_client_close(c);
}

/* One of the objects: of this kind. false: there is none. */
static bool some_object(struct cowbd_pool *p, enum cowbd_kind kind, char *name, size_t len,
			size_t *ret_objects)
{
	struct cowbd_object *list;
	size_t n, found = 0;

	ck_assert_ok(cowbd_list(p, &list, &n));
	for (size_t i = 0; i < n; i++)
		if (list[i].kind == kind && chance(++found) == 0)
			snprintf(name, len, "%s", list[i].name);
	free(list);
	*ret_objects = n;
	return found > 0;
}

static void one_step(struct cowbd_pool *p, unsigned step)
{
	char volume[512] = "", snap[512] = "", name[600];
	size_t n;
	bool snaps;

	if (!some_object(p, COWBD_VOLUME, volume, sizeof volume, &n)) {
		snprintf(name, sizeof name, "v%u", step);
		ck_assert_ok(cowbd_create(p, name, BLOCKS * BLOCK, 0, 0));
		return;
	}
	snaps = some_object(p, COWBD_SNAPSHOT, snap, sizeof snap, &n);
	switch (n < OBJECTS_MAX - 4 ? chance(12) : 12) {
	case 0:
		snprintf(name, sizeof name, "v%u", step);
		ck_assert_ok(cowbd_create(p, name, BLOCKS * BLOCK, 0, 0));
		break;
	case 1:
	case 2:
		snprintf(name, sizeof name, "%s@s%u", volume, step);
		ck_assert_ok(snapshot(p, name));
		break;
	case 3:
		snprintf(name, sizeof name, "c%u", step);
		ck_assert_ok(clone_one(p, snaps ? snap : volume, name));
		break;
	case 4:
		if (snaps)
			ck_assert_ok(cowbd_rollback(p, snap, NULL, 0));
		break;
	case 5:
	case 12: ck_assert_ok(remove_one(p, snaps ? snap : volume, COWBD_RECURSIVE)); break;
	default: write_somewhere(p, volume);
	}
}

/* A closed pool; *ret_older: what it was some checkpoints before. */
static struct store *make_random(struct store **ret_older)
{
	struct store *s, *copy;
	struct cowbd_pool *p;
	unsigned steps = 20 + (unsigned)chance(40), older = (unsigned)chance(steps);
	struct cowbd_init_options init = {.block_bytes = BLOCK, .journal_bytes = ZONE_BYTES};

	*ret_older = NULL;
	ck_assert_ok(store_sim_new((uint64_t)POOL_ZONES * ZONE_BYTES, NULL, &s));
	ck_assert_ok(mkfs_store(s, "test", &init));
	p = open_pool(s, COWBD_OPEN_NO_TAIL);
	for (unsigned i = 0; i < steps; i++) {
		one_step(p, i);
		if (chance(4) == 0 || i == older)
			ck_assert_ok(checkpoint_run(&p->e));
		if (i == older)
			ck_assert_ok(store_sim_copy(p->e.store, NULL, ret_older));
	}
	if (chance(2))
		cowbd_close_quickly(p); /* a dying subtree may be left */
	ck_assert_ok(engine_commit(&p->e, NULL));
	ck_assert_ok(checkpoint_run(&p->e));
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &copy));
	throw_away(p);
	return copy;
}

/* ---- what it holds ------------------------------------------------------------------------------ */

static void drop_content(struct content *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->object[i].data);
	c->n = 0;
}

static void read_content(struct cowbd_pool *p, struct content *c)
{
	struct cowbd_object *list;

	drop_content(c);
	must_hold(cowbd_list(p, &list, &c->n) == 0, "%s", cowbd_error());
	ck_assert_uint_le(c->n, OBJECTS_MAX);
	for (size_t i = 0; i < c->n; i++) {
		struct disk_content *o = &c->object[i];
		struct cowbd_client *client;

		snprintf(o->name, sizeof o->name, "%s", list[i].name);
		o->size = list[i].size;
		o->data = malloc(o->size);
		must_hold(cowbd_client_open(p, o->name, true, "test", &client) == 0, "%s",
			  cowbd_error());
		must_hold(cowbd_read(client, o->data, o->size, 0) == 0, "reading %s: %s", o->name,
			  cowbd_error());
		cowbd_client_close(client);
	}
	free(list);
}

static void read_store(struct store *s, struct content *c)
{
	struct store *copy;
	struct cowbd_pool *p;

	ck_assert_ok(store_sim_copy(s, NULL, &copy));
	must_hold(use_open(copy, COWBD_OPEN_READ_ONLY, &p) == 0, "opening: %s", cowbd_error());
	read_content(p, c);
	(void)!cowbd_close(p);
}

/* ---- damage ------------------------------------------------------------------------------------- */

enum { FLIP, ZERO, ONES, OTHER_SLOT, OLDER, SWAP, WAYS };

/* false: that changes nothing. */
static bool damage_piece(struct store *s, struct store *older, const struct piece_of_disk *x,
			 struct piece_of_disk *ret_other)
{
	const struct piece_of_disk *y = &pieces.piece[chance(pieces.n)];
	uint8_t old[PAGE_BYTES], now[PAGE_BYTES];
	unsigned way = (unsigned)chance(WAYS);
	size_t len = strlen(what);

	pieces_read(s, x->offset, old, sizeof old);
	memcpy(now, old, sizeof now);
	switch (way) {
	case FLIP: now[chance(PAGE_BYTES)] ^= (uint8_t)(1u << chance(8)); break;
	case ZERO: memset(now, 0, sizeof now); break;
	case ONES: memset(now, 0xff, sizeof now); break;
	case OTHER_SLOT:
		pieces_read(s, page_offset(x->no, x->offset % ZONE_BYTES < SLOT_DISTANCE ? 1 : 0),
			    now, sizeof now);
		break;
	case OLDER: pieces_read(older, x->offset, now, sizeof now); break;
	default:
		pieces_read(s, y->offset, now, sizeof now);
		pieces_write(s, y->offset, old, sizeof old);
		*ret_other = *y;
	}
	pieces_write(s, x->offset, now, sizeof now);
	snprintf(what + len, sizeof what - len, "; way %u of %s", way, pieces_name(x));
	return memcmp(old, now, sizeof old) != 0;
}

/* What may be lost by damage of this kind. */
static bool says_where_maps_are(const struct piece_of_disk *x)
{
	return x->kind == PAGE_MAP || x->kind == PAGE_ZONE || x->kind == PAGE_SUMMARY ||
	       x->kind == PAGE_GROUPS;
}

static bool is_catalog(const struct piece_of_disk *x)
{
	return x->kind == PAGE_CATALOG_LEAF || x->kind == PAGE_CATALOG_NODE;
}

/* ---- judging ---------------------------------------------------------------------------------------- */

static void note_said(void *opaque, enum cowbd_damage_kind kind, const char *object,
		      uint64_t offset, const char *message)
{
	size_t len = strlen(said);
	struct loss *l = &losses[nlosses];

	(void)opaque;
	(void)offset;
	snprintf(said + len, sizeof said - len, "  %d %s: %s\n", (int)kind, object, message);
	if (kind != COWBD_LOST)
		return;
	ck_assert_uint_lt(nlosses, LOSSES_MAX);
	snprintf(l->object, sizeof l->object, "%s", object);
	l->older = strstr(message, "older") != NULL;
	if (strncmp(message, "all of it", 9) == 0) {
		l->from = 0;
		l->to = UINT64_MAX;
	} else {
		ck_assert_int_eq(sscanf(message, "bytes %" SCNu64 " to %" SCNu64, &l->from, &l->to),
				 2);
	}
	nlosses++;
}

static struct cowbd_check_result look(struct store *s)
{
	struct cowbd_check_options opt = {.report = note_said};
	struct cowbd_check_result result = {0};

	must_hold(check_store(s, &opt, &result) == 0, "the checker: %s", error_message());
	return result;
}

static bool same_bytes(struct store *a, struct store *b)
{
	static uint8_t x[1 << 18], y[1 << 18];

	for (uint64_t at = 0; at < a->size; at += sizeof x) {
		pieces_read(a, at, x, sizeof x);
		pieces_read(b, at, y, sizeof y);
		if (memcmp(x, y, sizeof x) != 0)
			return false;
	}
	return true;
}

/* Is the block of an object that differs from what it was among what was said to be lost? */
static bool is_excused(const char *object, uint64_t block, const uint8_t *now)
{
	static const uint8_t zero[BLOCK];

	for (size_t i = 0; i < nlosses; i++)
		if (strcmp(losses[i].object, object) == 0 && block * BLOCK >= losses[i].from &&
		    block * BLOCK <= losses[i].to)
			if (losses[i].older || memcmp(now, zero, BLOCK) == 0)
				return true;
	return false;
}

static void compare(const struct content *now)
{
	must_hold(now->n == was.n, "%zu objects instead of %zu", now->n, was.n);
	for (size_t i = 0; i < was.n; i++) {
		const struct disk_content *x = &was.object[i], *y = &now->object[i];

		must_hold(strcmp(x->name, y->name) == 0 && x->size == y->size, "%s is %s", x->name,
			  y->name);
		for (uint64_t b = 0; b < x->size / BLOCK; b++)
			must_hold(memcmp(x->data + b * BLOCK, y->data + b * BLOCK, BLOCK) == 0 ||
					  is_excused(x->name, b, y->data + b * BLOCK),
				  "block %" PRIu64 " of %s differs, and nobody said so", b,
				  x->name);
	}
}

/* A repaired pool is one like any other. */
static void use_it(struct store *s)
{
	struct cowbd_check_result result;
	struct store *copy, *used;
	struct cowbd_pool *p;

	ck_assert_ok(store_sim_copy(s, NULL, &copy));
	must_hold(use_open(copy, 0, &p) == 0, "opening to write: %s", cowbd_error());
	use_look(p, 64 << 20);
	use_change(p);
	must_hold(!atomic_load(&p->e.failed), "using it: %s", p->e.failure);
	ck_assert_ok(checkpoint_run(&p->e));
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &used));
	throw_away(p);
	result = look(used);
	must_hold(result.damages + result.leaks == 0, "wrong after use");
	store_close(used);
}

static void judge_mended(struct store *s, bool maps)
{
	struct cowbd_check_result result;
	struct content now = {.n = 0};

	must_hold(maps || nlosses == 0, "loss where no map was damaged");
	result = look(s);
	must_hold(result.damages + result.leaks == 0, "not clean after repair");
	read_store(s, &now);
	compare(&now);
	drop_content(&now);
	use_it(s);
	mended++;
	lossy += nlosses != 0;
	if (single == 1) {
		tables++;
		proved += nlosses == 0;
	}
}

static void damage_and_mend(struct store *original, struct store *older)
{
	struct cowbd_check_options opt = {.report = note_said};
	bool changed = false, maps = false, catalog = false;
	uint64_t damages;
	unsigned supers = 0;
	uint64_t dry, pages;
	struct store *s, *before;

	what[0] = said[0] = '\0';
	nlosses = 0;
	ck_assert_ok(store_sim_copy(original, NULL, &s));
	single = damages = 1 + chance(3);
	for (uint64_t n = damages; n-- > 0;) {
		struct piece_of_disk x = pieces.piece[chance(pieces.n)], y = x;

		if (x.kind == PAGE_BATCH)
			continue;
		changed |= damage_piece(s, older, &x, &y);
		maps |= says_where_maps_are(&x) || says_where_maps_are(&y);
		catalog |= is_catalog(&x) || is_catalog(&y);
		if (x.offset != y.offset || x.kind == PAGE_MAP || is_catalog(&x))
			single = 0;
		supers += (x.kind == PAGE_SUPER) + (y.kind == PAGE_SUPER && y.offset != x.offset);
	}
	/* with no superblock at all there is no pool to be repaired */
	if (!changed || supers > 1 || look(s).damages == 0) {
		store_close(s);
		return;
	}
	tried++;
	said[0] = '\0';
	ck_assert_ok(store_sim_copy(s, NULL, &before));
	if (repair_store(s, &opt, true, &dry) == 0) {
		must_hold(same_bytes(s, before), "a dry run writes");
		said[0] = '\0';
		nlosses = 0;
		must_hold(repair_store(s, &opt, false, &pages) == 0, "%s, but a dry run did",
			  error_message());
		must_hold(pages == dry, "a dry run counts %" PRIu64 " pages, not %" PRIu64, dry,
			  pages);
		judge_mended(s, maps);
	} else {
		must_hold(catalog || maps, "refused: %s", error_message());
		must_hold(repair_store(s, &opt, false, &pages) < 0, "a dry run says it can't be");
		must_hold(same_bytes(s, before), "what can't be repaired is written to");
		refused++;
	}
	store_close(before);
	store_close(s);
}

static void one_pool(uint64_t n)
{
	struct store *older, *s;

	chance_state = n << 32;
	snprintf(what, sizeof what, "pool %" PRIu64, n);
	s = make_random(&older);
	pieces_survey(s, &pieces);
	ck_assert_uint_eq(look(s).damages, 0);
	read_store(s, &was);
	for (unsigned i = 0; i < DAMAGES; i++) {
		chance_state = n << 32 | (i + 1) << 20;
		damage_and_mend(s, older);
	}
	store_close(s);
	store_close(older);
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

START_TEST(what_is_not_reported_as_lost_is_there)
{
	uint64_t only = env_number("COWBD_MEND", UINT64_MAX), n = env_number("COWBD_MENDS", POOLS);

	for (uint64_t i = 0; i < n; i++)
		if (only == UINT64_MAX || i == only)
			one_pool(i);
	/* one table alone: the checksum above it proves that it was made as it was */
	ck_assert_uint_gt(tables, 0);
	ck_assert_uint_gt(proved, tables / 2);
	printf("seed %" PRIu64 ": %" PRIu64 " damaged pools, %" PRIu64 " repaired, %" PRIu64
	       " of them with losses, %" PRIu64 " refused; %" PRIu64 " of %" PRIu64
	       " lone tables as they were\n",
	       seed, tried, mended, lossy, refused, proved, tables);
	if (getenv("COWBD_MENDS"))
		printf("+ %" PRIu64 " pools with one to three damaged pages: repaired\n"
		       "+ %" PRIu64 " of these: with losses, all of them reported\n"
		       "+ %" PRIu64
		       " pools where a volume might go: refused, and left as they were\n",
		       mended, lossy, refused);
	ck_assert_uint_gt(mended, 0);
	drop_content(&was);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mend");
	TCase *tc = tcase_create("mend");

	seed = env_number("COWBD_SEED", 1);
	tcase_set_timeout(tc, 36000);
	tcase_add_test(tc, what_is_not_reported_as_lost_is_there);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
