/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_flips.c - damaged and hostile metadata: detected or harmless, and nothing ever crashes
 *
 * A small pool with volumes, snapshots, clones, a dying subtree and an unclean journal is made
 * on the simulated store.  Mutations of it, each on a copy:
 *
 *   flips      one bit of a page or batch in use
 *   pages      two pages swapped, an older content put back, zeroes, ones
 *   resealed   fields changed, and checksums and the pages above made to agree, so that not
 *              the checksums but what comes after them is asked
 *
 * What must hold
 *   flips, pages: the checker reports something, and what the engine reads is an error or right;
 *              a journal with a damaged batch is refused, and is right at some commit for who insists.  Its last batch
 *              alone may be gone unnoticed: that is what a cut of the power leaves
 *   all:       no crash, no failed assertion, no hang, no memory without bound
 *
 * Each batch of mutations runs in a child; one that dies or hangs is named, and the next goes on
 * behind it.  COWBD_FLIPS=N tries N flips and N resealed mutations; COWBD_SEED=S gives the seed,
 * COWBD_FLIP=I only the mutation with this number.  COWBD_FLIPS=0 (make soak-flips) tries every bit, opens and
 * reads the pool after each, and prints figures for scripts/reliability.
 */
#include "pool_testing.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"
#include "pieces.h"
#include "use.h"

#ifdef COWBD_TINY
#define POOL_ZONES 24u
#define BLOCK 4096u
#define VOLUME_BYTES (40u * BLOCK)
#define FLIPS 4000u
#define RESEALED 500u
#else
#define POOL_ZONES 14u
#define BLOCK 4096u
#define VOLUME_BYTES (600u * BLOCK)
#define FLIPS 1000u
#define RESEALED 250u
#endif

#define STATES_MAX 16u
#define OBJECTS_MAX 32u
#define FAILURES_MAX 20u
#define READ_MAX (UINT64_C(64) << 20) /* bytes of an object that are read */
#define HANG_SECONDS 20u
#define MEMORY_MAX (UINT64_C(2) << 30)

/* What all objects held at a commit. */
struct state {
	size_t n;
	struct {
		char name[2 * 256];
		uint64_t size, sum;
	} object[OBJECTS_MAX];
};

static struct image_of_pool {
	struct store *store, *older; /* of an earlier checkpoint */
	struct pieces in_use;
	struct state state[STATES_MAX];
	size_t nstates;
} im;

/* Shared with the children. */
static struct report {
	uint64_t at;
	char what[400], wrong[600];
	uint64_t tried, refused, found, right;
	uint64_t silent,
		silent_batch; /* flips of which the checker says nothing: all, in the last batch */
} * report;

static uint64_t seed = 1;
static bool every_bit; /* and what is said of it */

/* The pending ring of a pool need not stay resident here, and making it so takes most of the time. */
int mlock(const void *addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

/* ---- chance ------------------------------------------------------------------------------- */

static uint64_t chance_state;

static void chance_begin(uint64_t n)
{
	uint64_t key[2] = {seed, n};

	chance_state = checksum(key, sizeof key, 7);
}

static uint64_t chance(uint64_t below)
{
	uint64_t key = chance_state++;

	return checksum(&key, sizeof key, 77) % below;
}

/* ---- bytes of a store ------------------------------------------------------------------------ */

static struct store *copy_of(struct store *s)
{
	struct store *copy;

	ck_assert_ok(store_sim_copy(s, NULL, &copy));
	return copy;
}

/* ---- reading everything -------------------------------------------------------------------------- */

static void note_state(struct cowbd_pool *p)
{
	struct state *st = &im.state[im.nstates++];
	struct cowbd_object *list;

	ck_assert_uint_le(im.nstates, STATES_MAX);
	ck_assert_ok(cowbd_list(p, &list, &st->n));
	ck_assert_uint_le(st->n, OBJECTS_MAX);
	for (size_t i = 0; i < st->n; i++) {
		snprintf(st->object[i].name, sizeof st->object[i].name, "%s", list[i].name);
		st->object[i].size = list[i].size;
		ck_assert_ok(use_sum(p, list[i].name, list[i].size, READ_MAX, &st->object[i].sum));
	}
	free(list);
}

/* Does what can be read of p agree with the state? */
static bool agrees(struct cowbd_pool *p, const struct state *st, const struct cowbd_object *list,
		   size_t n)
{
	if (n != st->n)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint64_t sum;

		if (strcmp(list[i].name, st->object[i].name) != 0 ||
		    list[i].size != st->object[i].size)
			return false;
		if (use_sum(p, list[i].name, list[i].size, READ_MAX, &sum) == 0 &&
		    sum != st->object[i].sum)
			return false;
	}
	return true;
}

/* Is what p says of its objects an error or true, at the last commit, or (any) at one of them? */
static bool is_right(struct cowbd_pool *p, bool any)
{
	struct cowbd_object *list;
	bool right = false;
	size_t n;

	if (cowbd_list(p, &list, &n) < 0)
		return true;
	for (size_t i = any ? 0 : im.nstates - 1; i < im.nstates && !right; i++)
		right = agrees(p, &im.state[i], list, n);
	free(list);
	return right;
}

/* ---- using everything ------------------------------------------------------------------------------ */

static uint64_t findings(struct store *s)
{
	struct cowbd_check_options opt = {0};
	struct cowbd_check_result result = {0};

	/* what it can't even look at, it has found */
	return check_store(s, &opt, &result) < 0 ? 1 : result.damages + result.leaks + result.notes;
}

static void wrong(const char *how)
{
	snprintf(report->wrong, sizeof report->wrong, "%s", how);
	_exit(2);
}

/* Opens s, which it takes over; what is read must be right if anything is promised. */
static void open_and_use(struct store *s, unsigned flags, bool promised, bool journal)
{
	struct cowbd_pool *p;

	if (use_open(s, flags, &p) < 0) {
		report->refused++;
		return;
	}
	if (promised && !is_right(p, journal))
		wrong("wrong content is read without an error");
	report->right += promised;
	use_look(p, READ_MAX);
	if (!(flags & COWBD_OPEN_READ_ONLY)) {
		use_change(p);
		use_look(p, READ_MAX);
	}
	(void)!cowbd_close(p);
}

/* Who opens s without more ado must not get less than it held. */
static void must_be_refused(struct store *s)
{
	struct cowbd_open_options opt = {.flags = COWBD_OPEN_READ_ONLY | COWBD_OPEN_NO_TAIL |
						  COWBD_OPEN_LOST_TAIL,
					 .cache_bytes = 1 << 20,
					 .run_dir = "/nonexistent"};
	struct cowbd_pool *p;

	if (pool_open_store(copy_of(s), "test", &opt, &p) == 0)
		wrong("a journal with a damaged batch in its midst is opened as if it ended there");
}

/* Everything with one mutated store, which stays as it is. last: the journal's last batch is
 * mutated, too, of which nobody can tell that it once was whole. deep: writing, too. */
static void judge(struct store *s, bool promised, bool journal, bool last, bool deep)
{
	uint64_t found = findings(s);

	report->found += found != 0;
	if (promised && !last && !found)
		wrong("the checker finds nothing");
	if (promised && journal && !last)
		must_be_refused(s);
	if (!deep)
		return;
	open_and_use(copy_of(s), COWBD_OPEN_READ_ONLY, promised, journal);
	open_and_use(copy_of(s), 0, promised, journal);
}

/* ---- the pool ------------------------------------------------------------------------------------- */

static void fill(struct cowbd_pool *p, const char *name, uint64_t from, uint64_t n, int byte)
{
	struct cowbd_client *c = attach(p, name);

	for (uint64_t i = 0; i < n; i++)
		write_fill(c, (from + i) * BLOCK, BLOCK, byte + (int)i);
	cowbd_client_close(c);
}

static void make_contents(struct cowbd_pool *p)
{
	ck_assert_ok(cowbd_create(p, "a", VOLUME_BYTES, 0, 0));
	ck_assert_ok(cowbd_create(p, "c", VOLUME_BYTES / 2, 4096, 0));
	ck_assert_ok(cowbd_create(p, "gone", VOLUME_BYTES, 0, 0));
	ck_assert_ok(cowbd_create(p, "empty", 1 << 20, 0, 0));
	fill(p, "a", 0, 7, 1);
	fill(p, "a", VOLUME_BYTES / BLOCK - 6, 6, 20);
	fill(p, "c", 3, 5, 40);
	fill(p, "gone", 0, 4, 60);
	fill(p, "gone", 30, 4, 70);
	ck_assert_ok(snapshot(p, "a@one"));
	fill(p, "a", 2, 3, 80);
	ck_assert_ok(clone_one(p, "a@one", "b"));
	fill(p, "b", 1, 2, 90);
}

/* Each a commit, in blocks that were never used before: so each state can still be read. */
static void make_journal(struct cowbd_pool *p)
{
	note_state(p);
	fill(p, "b", 12, 3, 100);
	ck_assert_ok(engine_commit(&p->e, NULL));
	note_state(p);
	ck_assert_ok(snapshot(p, "b@two"));
	note_state(p);
	fill(p, "a", 12, 2, 110);
	ck_assert_ok(engine_commit(&p->e, NULL));
	note_state(p);
	ck_assert_ok(cowbd_rename(p, "empty", "void", 0));
	note_state(p);
	ck_assert_ok(cowbd_resize(p, "c", VOLUME_BYTES, 0));
	note_state(p);
	ck_assert_ok(remove_one(p, "a@one", 0));
	note_state(p);
}

static void make_image(void)
{
	struct cowbd_init_options init = {.block_bytes = BLOCK, .journal_bytes = 2 * ZONE_BYTES};
	struct store *s;
	struct cowbd_pool *p;

	ck_assert_ok(store_sim_new((uint64_t)POOL_ZONES * ZONE_BYTES, NULL, &s));
	ck_assert_ok(mkfs_store(s, "test", &init));
	p = open_pool(s, COWBD_OPEN_NO_TAIL);
	make_contents(p);
	ck_assert_ok(checkpoint_run(&p->e));
	im.older = copy_of(p->e.store);
	fill(p, "b", 5, 3, 120);
	ck_assert_ok(snapshot(p, "c@three"));
	fill(p, "c", 3, 2, 130);
	ck_assert_ok(remove_one(p, "gone", 0));
	ck_assert_ok(checkpoint_run(&p->e));
	make_journal(p);
	im.store = copy_of(p->e.store);
	throw_away(p);
	pieces_survey(im.store, &im.in_use);
}

/* ---- mutations that a disk makes --------------------------------------------------------------------- */

static struct piece_of_disk *piece_of_bit(uint64_t *bit)
{
	struct piece_of_disk *x = im.in_use.piece;

	while (*bit >= x->length * 8)
		*bit -= x++->length * 8;
	return x;
}

/* The journal's last batch: the pieces of the journal come last. */
static bool is_last(const struct piece_of_disk *x)
{
	return x->kind == PAGE_BATCH && x == &im.in_use.piece[im.in_use.n - 1];
}

/* Bits in an order that spreads any number of tries over all. */
static uint64_t nth_bit(uint64_t n)
{
	return (n * UINT64_C(2654435761) + seed) % im.in_use.bits;
}

static void flip(uint64_t n)
{
	uint64_t bit = nth_bit(n);
	struct piece_of_disk *x = piece_of_bit(&bit);
	uint8_t byte, was;
	uint64_t found;

	snprintf(report->what, sizeof report->what, "bit %" PRIu64 " of %s", bit, pieces_name(x));
	pieces_read(im.store, x->offset + bit / 8, &was, 1);
	byte = was ^ (uint8_t)(1u << bit % 8);
	pieces_write(im.store, x->offset + bit / 8, &byte, 1);
	found = report->found;
	judge(im.store, true, x->kind == PAGE_BATCH, is_last(x), n % 16 == 0);
	if (every_bit && n % 16 != 0)
		open_and_use(copy_of(im.store), COWBD_OPEN_READ_ONLY, true, x->kind == PAGE_BATCH);
	report->silent += report->found == found;
	report->silent_batch += report->found == found && is_last(x);
	pieces_write(im.store, x->offset + bit / 8, &was, 1);
}

enum { PAGE_ZERO, PAGE_ONES, PAGE_OTHER_SLOT, PAGE_OLDER, PAGE_SWAP, PAGE_WAYS };

static void fill_of(const struct piece_of_disk *x, unsigned way, uint8_t *buf)
{
	memset(buf, way == PAGE_ONES ? 0xff : 0, x->length);
	if (way == PAGE_OTHER_SLOT && x->kind != PAGE_BATCH)
		pieces_read(im.store,
			    page_offset(x->no, x->offset % ZONE_BYTES < SLOT_DISTANCE ? 1 : 0), buf,
			    PAGE_BYTES);
	if (way == PAGE_OLDER)
		pieces_read(im.older, x->offset, buf, x->length);
}

/* n: piece, way, and with whom it is swapped. */
static void whole_page(uint64_t n)
{
	struct piece_of_disk *x = &im.in_use.piece[n / PAGE_WAYS % im.in_use.n],
			     *y = &im.in_use.piece[chance(im.in_use.n)];
	unsigned way = (unsigned)(n % PAGE_WAYS);
	CLEANUP_FREE uint8_t *was = malloc(x->length), *now = malloc(x->length);
	CLEANUP_FREE uint8_t *other = malloc(y->length);
	struct store *s = copy_of(im.store);

	snprintf(report->what, sizeof report->what, "way %u of %s", way, pieces_name(x));
	pieces_read(s, x->offset, was, x->length);
	pieces_read(s, y->offset, other, y->length);
	fill_of(x, way, now);
	if (way == PAGE_SWAP) {
		memcpy(now, other, MIN(x->length, y->length));
		pieces_write(s, y->offset, was, MIN(x->length, y->length));
	}
	pieces_write(s, x->offset, now, x->length);
	if (memcmp(was, now, x->length) != 0)
		judge(s, true, x->kind == PAGE_BATCH || (way == PAGE_SWAP && y->kind == PAGE_BATCH),
		      is_last(x) || (way == PAGE_SWAP && is_last(y)), true);
	store_close(s);
}

/* ---- mutations that an enemy makes ------------------------------------------------------------------------ */

/* Makes a page's checksum, and all above it, agree with its content. */
static void reseal(struct store *s, enum page_kind kind, uint64_t offset)
{
	_Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	uint64_t no = offset / ZONE_BYTES * ZONE_TWINS + offset / PAGE_BYTES % ZONE_TWINS, place;
	unsigned which = offset % ZONE_BYTES >= SLOT_DISTANCE;
	const struct disk_page *h = (void *)buf;
	struct le32 slot;

	pieces_read(s, offset, buf, sizeof buf);
	page_seal(buf, kind, im.in_use.super.uuid, offset, get64(h->generation));
	pieces_write(s, offset, buf, sizeof buf);
	if (kind == PAGE_SUPER)
		return;
	(void)pieces_slot(s, &im.in_use.g, no, &place);
	slot = slot_make(which, get64(h->checksum));
	pieces_write(s, place, &slot, sizeof slot);
	if (place >= PAGE_BYTES) {
		struct disk_page above;

		pieces_read(s, round_down(place, PAGE_BYTES), &above, sizeof above);
		reseal(s, (enum page_kind)get32(above.kind), round_down(place, PAGE_BYTES));
		return;
	}
	pieces_write(s, page_offset(0, 1) + place, &slot, sizeof slot);
	reseal(s, PAGE_SUPER, 0);
	reseal(s, PAGE_SUPER, page_offset(0, 1));
}

/* A number that may hurt: small, great, near what was there, or another thing of the pool. */
static uint64_t nasty(uint64_t was)
{
	uint64_t page = im.in_use.piece[chance(im.in_use.n)].no;

	switch (chance(12)) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return was + 1;
	case 3: return was - 1;
	case 4: return was ^ UINT64_C(1) << chance(64);
	case 5: return chance(20);
	case 6: return UINT64_C(1) << chance(64);
	case 7: return page | ENTRY_SHARED;
	case 8: return page << 8 | chance(14);
	case 9: return chance(POOL_ZONES) * (ZONE_BYTES / BLOCK) + chance(40);
	default: return page;
	}
}

static void put_number(uint8_t *at, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_number(const uint8_t *at, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)at[i] << 8 * i;
	return v;
}

/* Where in a page of this kind a field may begin, and how long it is. */
static unsigned choose_field(enum page_kind kind, unsigned *ret_bytes)
{
	unsigned head = sizeof(struct disk_page);

	*ret_bytes = 1u << (unsigned)chance(4);
	if (chance(8) == 0)
		return head + (unsigned)chance((PAGE_BYTES - head) / 8) * 8;
	switch (kind) {
	case PAGE_MAP:
	case PAGE_CATALOG_NODE:
		if (chance(3) == 0)
			return chance(2) ? *ret_bytes = 2, head : (*ret_bytes = 8, head + 8);
		*ret_bytes = 6;
		return head + 16 + (unsigned)chance(MIN(MAP_FANOUT, 40u)) * 6;
	case PAGE_CATALOG_LEAF:
		*ret_bytes = chance(2) ? 8 : *ret_bytes;
		return head + (unsigned)(chance(RECORDS_PER_PAGE) * sizeof(struct disk_object)) +
		       (unsigned)chance(11) * 8;
	case PAGE_DYING: *ret_bytes = 8; return head + (unsigned)chance(8) * 8;
	case PAGE_ZONE:
		*ret_bytes = 2;
		return chance(4) ? 64 + (unsigned)chance(64) * 2 : head + (unsigned)chance(2) * 2;
	case PAGE_SUMMARY: *ret_bytes = 2; return head + (unsigned)chance(POOL_ZONES) * 2;
	case PAGE_GROUPS: *ret_bytes = 4; return head + (unsigned)chance(8) * 4;
	default: /* the superblock */
		*ret_bytes = chance(2) ? 8 : 4;
		return 40 + (unsigned)chance(66) * 8;
	}
}

/* Counts of a zone's page, its type and the summary's view of it are made to agree, sometimes: else
 * the decoder would refuse them and nobody behind it be asked. */
static void agree(enum page_kind kind, uint8_t *buf)
{
	struct disk_zone *z = (void *)buf;
	unsigned used = 0, n = get16(z->type) == ZONE_META ? ZONE_TWINS : im.in_use.g.zone_blocks;

	if (kind != PAGE_ZONE || chance(8) == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		used += get16(z->count[i]) != 0;
	z->used = put16((uint16_t)used);
}

static void mutate_page(struct store *s, const struct piece_of_disk *x)
{
	_Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	unsigned bytes, at;
	uint64_t v;

	pieces_read(s, x->offset, buf, sizeof buf);
	for (uint64_t i = chance(3) + 1; i-- > 0;) {
		at = choose_field(x->kind, &bytes);
		at = MIN(at, PAGE_BYTES - bytes);
		v = nasty(get_number(buf + at, bytes));
		put_number(buf + at, bytes, v);
		size_t len = strlen(report->what);

		snprintf(report->what + len, sizeof report->what - len,
			 "; %s byte %u (%u): %#" PRIx64, pieces_name(x), at, bytes, v);
	}
	agree(x->kind, buf);
	pieces_write(s, x->offset, buf, sizeof buf);
	if (x->kind == PAGE_SUPER) {
		pieces_write(s, page_offset(0, 0), buf, sizeof buf);
		pieces_write(s, page_offset(0, 1), buf, sizeof buf);
		reseal(s, x->kind, page_offset(0, 0));
		reseal(s, x->kind, page_offset(0, 1));
	} else {
		reseal(s, x->kind, x->offset);
	}
}

static void mutate_record(uint8_t *rec)
{
	struct disk_record *h = (void *)rec;
	unsigned size = get16(h->length), at = (unsigned)(chance(size / 8 - 2) + 2) * 8;
	uint64_t v = nasty(get_number(rec + at, 8));
	size_t len = strlen(report->what);

	if (chance(6) == 0)
		h->type = (uint8_t)(1 + chance(12));
	else
		put_number(rec + at, 8, v);
	snprintf(report->what + len, sizeof report->what - len, "; record %u byte %u: %#" PRIx64,
		 h->type, at, v);
	h->checksum = put32(0);
	h->checksum = put32((uint32_t)checksum(rec, size, 0));
}

/* A batch whose records were changed, and all behind it, whose chain goes on. */
static void mutate_batches(struct store *s, size_t first)
{
	uint64_t chain = 0;

	for (size_t i = first; i < im.in_use.n; i++) {
		CLEANUP_FREE uint8_t *buf = malloc(im.in_use.piece[i].length);
		struct disk_batch *b = (void *)buf;
		uint8_t *rec = buf + sizeof *b;

		pieces_read(s, im.in_use.piece[i].offset, buf, im.in_use.piece[i].length);
		if (i == first) {
			for (uint64_t k = chance(get32(b->records)); k-- > 0;)
				rec += get16(((struct disk_record *)(void *)rec)->length);
			mutate_record(rec);
		} else {
			b->previous = put64(chain);
		}
		b->checksum = put64(0);
		chain = checksum(buf, im.in_use.piece[i].length,
				 page_seed(PAGE_BATCH, im.in_use.super.uuid));
		b->checksum = put64(chain);
		pieces_write(s, im.in_use.piece[i].offset, buf, im.in_use.piece[i].length);
	}
}

static void resealed(uint64_t n)
{
	struct store *s = copy_of(im.store);

	(void)n;
	report->what[0] = '\0';
	for (uint64_t i = chance(4) ? 1 : 1 + chance(4); i-- > 0;) {
		size_t k = chance(im.in_use.n);

		if (im.in_use.piece[k].kind == PAGE_BATCH)
			mutate_batches(s, k);
		else
			mutate_page(s, &im.in_use.piece[k]);
	}
	judge(s, false, false, true, true);
	store_close(s);
}

/* ---- running them ------------------------------------------------------------------------------------------- */

static void limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	struct rlimit l = {MEMORY_MAX, MEMORY_MAX};

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &l), 0);
#endif
}

static void child(void (*mutation)(uint64_t n), uint64_t from, uint64_t to)
{
	limit_memory();
	for (uint64_t i = from; i < to; i++) {
		report->at = i;
		chance_begin(i);
		alarm(HANG_SECONDS);
		mutation(i);
		report->tried++;
	}
	_exit(0);
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* All mutations [0, n); children that die are replaced, and counted. */
static void run(const char *name, void (*mutation)(uint64_t n), uint64_t n)
{
	uint64_t only = env_number("COWBD_FLIP", UINT64_MAX);
	uint64_t from = only == UINT64_MAX ? 0 : only, to = only == UINT64_MAX ? n : only + 1;
	unsigned failures = 0;

	memset(report, 0, sizeof *report);
	while (from < to && failures < FAILURES_MAX) {
		int status;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			child(mutation, from, to);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			break;
		failures++;
		fprintf(stderr, "%s %" PRIu64 " (%s): %s%s (seed %" PRIu64 ")\n", name, report->at,
			report->what, report->wrong,
			WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "", seed);
		report->wrong[0] = '\0';
		from = report->at + 1;
	}
	printf("%s: %" PRIu64 " tried (seed %" PRIu64 "), %" PRIu64
	       " found by the checker, %" PRIu64 " openings refused, %" PRIu64 " right\n",
	       name, report->tried, seed, report->found, report->refused, report->right);
	ck_assert_uint_eq(failures, 0);
	ck_assert_uint_gt(report->tried, 0);
}

/* For scripts/reliability. */
static void figure(char sign, uint64_t value, const char *name)
{
	if (every_bit)
		printf("%c %" PRIu64 " %s\n", sign, value, name);
}

START_TEST(the_image_itself_is_right)
{
	struct cowbd_check_result result;

	ck_assert_ok(check_store(im.store, NULL, &result));
	ck_assert_uint_eq(result.damages + result.leaks, 0);
	ck_assert_uint_ge(result.journal_batches, 6);
	memset(report, 0, sizeof *report);
	open_and_use(copy_of(im.store), COWBD_OPEN_READ_ONLY, true, false);
	open_and_use(copy_of(im.store), 0, true, false);
	ck_assert_uint_eq(report->right, 2);
}
END_TEST

START_TEST(every_bit_that_flips_is_noticed)
{
	uint64_t n = env_number("COWBD_FLIPS", FLIPS);

	printf("%zu pages and batches, %" PRIu64 " bits\n", im.in_use.n, im.in_use.bits);
	run("flip", flip, n ? MIN(n, im.in_use.bits) : im.in_use.bits);
	/* of each bit of a page the checker says something; judge() has seen to it */
	ck_assert_uint_eq(report->silent, report->silent_batch);
	figure('+', report->tried,
	       "bits of metadata flipped, each alone: then checked, opened, read");
	figure('+', report->tried - report->silent, "bits: named by the checker");
	figure('+', report->silent,
	       "bits: of the journal's last batch, as if the power had gone there");
	figure('=', 0, "bits: neither, or wrong content, a crash, a hang");
}
END_TEST

START_TEST(pages_that_are_of_another_place_or_time_are_noticed)
{
	run("page", whole_page, im.in_use.n * PAGE_WAYS);
	figure('+', report->tried,
	       "pages zeroed, all ones, swapped, older put back: named or as above");
}
END_TEST

START_TEST(what_an_enemy_sealed_does_not_crash)
{
	uint64_t n = env_number("COWBD_FLIPS", RESEALED);

	run("resealed", resealed, n ? n : 200000);
	figure('+', report->tried, "hostile changes under right checksums: no crash, no hang");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flips");
	TCase *tc = tcase_create("flips");

	seed = env_number("COWBD_SEED", 1);
	every_bit = env_number("COWBD_FLIPS", FLIPS) == 0;
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (report == MAP_FAILED)
		return 99;
	tcase_add_unchecked_fixture(tc, make_image, NULL);
	tcase_set_timeout(tc, 36000);
	tcase_add_test(tc, the_image_itself_is_right);
	tcase_add_test(tc, every_bit_that_flips_is_noticed);
	tcase_add_test(tc, pages_that_are_of_another_place_or_time_are_noticed);
	tcase_add_test(tc, what_an_enemy_sealed_does_not_crash);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
