/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_journal.c - a journal and a volatile tail of an enemy
 *
 *	journal:  0 | le64 offset, batch, chain, cut | packed image of which the ring is read
 *	tail:     1 | le64 last record of the journal | header and ring of the file
 *
 * What must hold
 *   no crash; records are visited in order without a gap, and twice the same;
 *   a journal can be gone on with behind what was scanned, and a scan then sees both
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "image.h"
#include "tail.h"
#include "use.h"

#define JOURNAL_ZONES 2u
#define POSITION_BYTES 32u
#define RING_MAX (64u << 10)

const char fuzz_name[] = "journal";

static const uint8_t uuid[16] = {1, 2, 3};
static uint64_t chance_state;

struct seen {
	uint64_t last, n, sum;
};

/* [JOURNAL-1] */
static int visit(void *opaque, const struct record *r)
{
	struct seen *seen = opaque;
	uint8_t buf[RECORD_BYTES_MAX];

	FUZZ_HOLDS(r->seq == seen->last + 1);
	seen->last = r->seq;
	seen->n++;
	record_encode(r, buf);
	seen->sum = checksum(buf, record_size(r), seen->sum);
	return 0;
}

/* ---- the journal ----------------------------------------------------------------------------- */

static void position_get(const uint8_t *data, struct journal_position *p)
{
	p->offset = fuzz_get(data, 8) % (JOURNAL_ZONES * ZONE_BYTES) / PAGE_BYTES * PAGE_BYTES;
	p->batch = fuzz_get(data + 8, 8) >> 2;
	p->chain = fuzz_get(data + 16, 8);
	p->seq = fuzz_get(data + 24, 8) >> 2; /* as super_check wants it */
}

/* Goes on behind end: what is appended must be seen behind what was there. */
static void go_on(struct store *s, const struct geometry *g, const struct journal_position *from,
		  const struct journal_position *end, const struct seen *before)
{
	struct journal_options opt = {.pending_bytes = 64 << 10, .start = from};
	struct record r = {.type = REC_DELETE, .object = 7};
	struct seen after = {.last = from->seq};
	struct journal_position found;
	struct journal *j;

	FUZZ_HOLDS(journal_new(s, g, uuid, end, &opt, &j) == 0);
	FUZZ_HOLDS(journal_reserve(j, 3 * record_size(&r)));
	for (unsigned i = 0; i < 3; i++)
		(void)journal_append(j, &r);
	if (journal_write(j, journal_cut(j)) == 0) { /* else the ring is full */
		FUZZ_HOLDS(journal_scan(s, g, uuid, from, 0, visit, &after, &found) == 0);
		FUZZ_HOLDS(after.n == before->n + 3 && found.batch == end->batch + 1);
	}
	journal_free(j, false);
}

static void judge_journal(const uint8_t *data, size_t len)
{
	struct journal_position from, end, again;
	struct image im = {0};
	struct geometry g;
	struct store *s;

	if (len < POSITION_BYTES || !image_unpack(&im, data + POSITION_BYTES, len - POSITION_BYTES))
		return;
	position_get(data, &from);
	im.zones = MAX(im.zones, JOURNAL_ZONES + 3);
	geometry_init(&g, im.zones, JOURNAL_ZONES, BLOCK_SHIFT_MIN);
	s = image_store(&im);

	struct seen seen = {.last = from.seq}, twice = seen;

	if (journal_scan(s, &g, uuid, &from, 0, visit, &seen, &end) == 0) {
		FUZZ_HOLDS(journal_scan(s, &g, uuid, &from, 0, visit, &twice, &again) == 0);
		FUZZ_HOLDS(seen.n == twice.n && seen.sum == twice.sum && end.seq == again.seq);
		FUZZ_HOLDS(end.offset < JOURNAL_ZONES * ZONE_BYTES);
		go_on(s, &g, &from, &end, &seen);
	}
	store_close(s);
	image_fini(&im);
}

/* ---- the tail ---------------------------------------------------------------------------------- */

static void judge_tail(const uint8_t *data, size_t len)
{
	static char path[200];
	static int fd = -1;
	struct tail_identity want = {.pool_dev = 1, .pool_ino = 2};
	struct seen seen = {0}, twice = {0};
	struct tail_state state = {0};
	struct stat st;

	if (len < 8)
		return;
	if (fd < 0) {
		const char *dir = getenv("TMPDIR");

		snprintf(path, sizeof path, "%s/cowbd-fuzz.XXXXXX", dir ? dir : "/tmp");
		fd = mkstemp(path);
		FUZZ_HOLDS(fd >= 0);
	}
	FUZZ_HOLDS(ftruncate(fd, 0) == 0 && fstat(fd, &st) == 0);
	len -= 8;
	FUZZ_HOLDS(pwrite(fd, data + 8, len, 0) == (ssize_t)len);
	/* a ring of whole pages, and not a byte of the input lost */
	FUZZ_HOLDS(ftruncate(fd, (off_t)round_up(MAX(len, 1u), PAGE_BYTES)) == 0);
	memcpy(want.uuid, uuid, sizeof uuid);
	seen.last = twice.last = fuzz_get(data, 8);
	if (tail_scan(path, st.st_dev, st.st_ino, &want, seen.last, visit, &seen, &state) < 0)
		return;
	FUZZ_HOLDS(tail_scan(path, st.st_dev, st.st_ino, &want, twice.last, visit, &twice,
			     &state) == 0);
	FUZZ_HOLDS(seen.n == twice.n && seen.sum == twice.sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len > 0 && data[0] == 0)
		judge_journal(data + 1, len - 1);
	else if (len > 0)
		judge_tail(data + 1, len - 1);
	return 0;
}

/* ---- mutations ------------------------------------------------------------------------------- */

/* One field of one record somewhere in the bytes. */
static void mutate_record(uint8_t *bytes, size_t len)
{
	size_t at = 0;

	for (uint64_t k = fuzz_chance(&chance_state, 8); at + 40 <= len; k--) {
		size_t size = fuzz_get(bytes + at + 4, 2);

		if (k == 0 || size < 16 || size % 8)
			break;
		at += size;
	}
	if (at + 40 > len)
		return;
	if (fuzz_chance(&chance_state, 4) == 0)
		bytes[at + 6 + fuzz_chance(&chance_state, 2)] =
			(uint8_t)fuzz_chance(&chance_state, 14);
	else if (fuzz_chance(&chance_state, 8) == 0)
		fuzz_put(bytes + at + 4, 2, fuzz_chance(&chance_state, 50) * 8);
	else
		fuzz_field(&chance_state, bytes, at + 8, at + 40);
}

static size_t mutate_journal(uint8_t *data, size_t len, size_t max)
{
	struct image im = {0};
	struct journal_position from;
	struct image_ring ring = {ZONE_BYTES, JOURNAL_ZONES * ZONE_BYTES, 0, 0, 0, uuid};
	uint64_t at;

	if (fuzz_chance(&chance_state, 20) == 0)
		fuzz_field(&chance_state, data, 0, POSITION_BYTES);
	if (!image_unpack(&im, data + POSITION_BYTES, len - POSITION_BYTES))
		return len;
	im.zones = MAX(im.zones, JOURNAL_ZONES + 3);
	position_get(data, &from);
	at = ZONE_BYTES + (from.offset + fuzz_chance(&chance_state, 6) * PAGE_BYTES) % ring.bytes;
	switch (fuzz_chance(&chance_state, 4)) {
	case 0: fuzz_field(&chance_state, image_at(&im, at), 0, sizeof(struct disk_batch)); break;
	case 1: (void)LLVMFuzzerMutate(image_at(&im, at), 400, 400); break;
	default: mutate_record(image_at(&im, at) + sizeof(struct disk_batch), 600); break;
	}
	ring.offset = from.offset;
	ring.number = from.batch;
	ring.chain = from.chain;
	if (fuzz_chance(&chance_state, 16))
		image_repair_journal(&im, &ring);
	len = POSITION_BYTES + image_pack(&im, data + POSITION_BYTES, max - POSITION_BYTES);
	image_fini(&im);
	return len;
}

static void seal_tail(struct disk_tail *h, size_t file_bytes)
{
	uint8_t page[PAGE_BYTES];
	struct disk_tail *sum = (void *)page;

	h->kind = put32(PAGE_TAIL);
	memcpy(h->uuid, uuid, sizeof uuid);
	h->pool_dev = put64(1);
	h->pool_ino = put64(2);
	h->ring_bytes = put64(file_bytes - PAGE_BYTES);
	memcpy(page, h, sizeof page);
	sum->checksum = sum->flags = put64(0);
	sum->start = 0;
	h->checksum = put64(checksum(page, sizeof page, page_seed(PAGE_TAIL, uuid)));
}

static void repair_tail(uint8_t *file, size_t len, uint64_t seq)
{
	struct disk_tail *h = (void *)file;
	uint64_t ring = len - PAGE_BYTES, at = ring ? h->start % ring : 0;
	size_t n;

	for (uint64_t done = 0; at + done < ring; done += n)
		if ((n = image_repair_record(file + PAGE_BYTES + at + done, ring - at - done,
					     ++seq)) == 0)
			break;
	seal_tail(h, len);
}

/* The file has whole pages. */
static size_t mutate_tail(uint8_t *data, size_t len, size_t max)
{
	static _Alignas(8) uint8_t file[RING_MAX];
	uint64_t start;
	size_t bytes;

	len = MIN(len - 8, sizeof file);
	bytes = MIN(MAX(round_up(len, PAGE_BYTES), 2u * PAGE_BYTES), sizeof file);
	memset(file, 0, sizeof file);
	memcpy(file, data + 8, len);
	start = ((struct disk_tail *)(void *)file)->start % (bytes - PAGE_BYTES);
	switch (fuzz_chance(&chance_state, 5)) {
	case 0: fuzz_field(&chance_state, file, 0, sizeof(struct disk_tail)); break;
	case 1: bytes = LLVMFuzzerMutate(file, bytes, sizeof file); break;
	case 2:
		((struct disk_tail *)(void *)file)->start += fuzz_chance(&chance_state, 64) * 8;
		break;
	default: mutate_record(file + PAGE_BYTES + start, bytes - PAGE_BYTES - start); break;
	}
	if (fuzz_chance(&chance_state, 16) && bytes >= PAGE_BYTES)
		repair_tail(file, bytes, fuzz_get(data, 8));
	while (bytes > 0 && !file[bytes - 1])
		bytes--;
	bytes = MIN(bytes, max - 8);
	memcpy(data + 8, file, bytes);
	return 8 + bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
	chance_state = seed;
	if (len < 1 + POSITION_BYTES || max < 2 * POSITION_BYTES ||
	    fuzz_chance(&chance_state, 30) == 0)
		return LLVMFuzzerMutate(data, len, max);
	return 1 + (data[0] == 0 ? mutate_journal(data + 1, len - 1, max - 1)
				 : mutate_tail(data + 1, len - 1, max - 1));
}

/* ---- seeds ------------------------------------------------------------------------------------ */

/* The journal of a pool that was made, under our own uuid. */
static size_t seed_journal(uint8_t *out, size_t max)
{
	struct image_ring ring = {ZONE_BYTES, JOURNAL_ZONES * ZONE_BYTES, 0, 0, 0, uuid};
	struct store *s = use_make(24, true);
	struct image im = {0};
	struct disk_super super;
	size_t len;

	image_load(&im, s);
	store_close(s);
	memcpy(&super, image_at(&im, 0), sizeof super);
	im.zones = 1 + JOURNAL_ZONES;
	memset(image_at(&im, 0), 0, PAGE_BYTES);
	memset(image_at(&im, SLOT_DISTANCE), 0, PAGE_BYTES);
	ring.offset = get64(super.journal_offset);
	ring.number = get64(super.journal_batch);
	ring.chain = get64(super.journal_chain);
	image_repair_journal(&im, &ring);
	fuzz_put(out, 8, ring.offset);
	fuzz_put(out + 8, 8, ring.number << 2);
	fuzz_put(out + 16, 8, ring.chain);
	fuzz_put(out + 24, 8, get64(super.cut) << 2);
	len = POSITION_BYTES + image_pack(&im, out + POSITION_BYTES, max - POSITION_BYTES);
	image_fini(&im);
	return len;
}

static size_t seed_tail(uint8_t *out)
{
	static _Alignas(8) uint8_t file[2 * PAGE_BYTES];
	struct record r[] = {
		{.type = REC_CREATE, .seq = 5, .object = 9, .size = 1 << 20, .name = "new"},
		{.type = REC_MAP, .seq = 6, .object = 9, .length = 1, .physical = 99, .more = true},
		{.type = REC_ZONE, .seq = 7, .zone = 5, .zone_type = ZONE_DATA},
	};
	size_t at = PAGE_BYTES + 64;

	for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
		record_encode(&r[i], file + at);
		at += record_size(&r[i]);
	}
	((struct disk_tail *)(void *)file)->start = 64;
	seal_tail((void *)file, sizeof file);
	fuzz_put(out, 8, 4);
	memcpy(out + 8, file, at);
	return 8 + at;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t max)
{
	if (i > 1 || max < RING_MAX)
		return 0;
	out[0] = (uint8_t)i;
	return 1 + (i == 0 ? seed_journal(out + 1, max - 1) : seed_tail(out + 1));
}
