/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_bench.h - a journal on a simulated store, for tests
 */
#ifndef COWBD_JOURNAL_BENCH_H
#define COWBD_JOURNAL_BENCH_H

#include "journal_testing.h"

#define RING_ZONES 2u
#define RING_BYTES (RING_ZONES * (uint64_t)ZONE_BYTES)
#define PENDING_BYTES (RING_BYTES / 4)

static const struct geometry geometry = {.zones = 64, .journal_zones = RING_ZONES};

/* A store with an empty ring, and a journal on it. */
struct bench {
	struct store *store;
	struct journal *journal;
	struct journal_position from; /* what the superblock would say */
};

static inline void bench_start(struct bench *b, const struct journal_position *at,
			       const struct journal_options *opt)
{
	ck_assert_int_eq(journal_new(b->store, &geometry, test_uuid, at, opt, &b->journal), 0);
}

static inline void bench_init(struct bench *b, uint64_t pending_bytes)
{
	struct sim_options sim = {.data_align = 1};
	struct journal_options opt = {.pending_bytes = pending_bytes};

	memset(b, 0, sizeof *b);
	b->from = (struct journal_position){.batch = 1, .chain = 77};
	ck_assert_int_eq(store_sim_new(ZONE_BYTES + RING_BYTES, &sim, &b->store), 0);
	bench_start(b, &b->from, &opt);
}

static inline void bench_fini(struct bench *b)
{
	journal_free(b->journal, true);
	store_close(b->store);
}

static inline void write_all(struct bench *b)
{
	struct journal_cut cut = journal_cut(b->journal);

	ck_assert_int_eq(journal_write(b->journal, cut), 0);
	ck_assert_uint_eq(journal_durable_seq(b->journal), cut.seq);
}

/* A checkpoint that holds everything appended so far. */
static inline void checkpoint(struct bench *b)
{
	struct journal_cut cut = journal_cut(b->journal);

	b->from = journal_at(b->journal);
	b->from.seq = cut.seq;
	journal_checkpointed(b->journal, cut, b->from);
}

/* Number of a batch beyond end, 0: none. */
static inline uint64_t beyond(struct bench *b, const struct journal_position *end)
{
	uint64_t number = 4711;

	ck_assert_int_eq(journal_beyond(b->store, &geometry, test_uuid, end, &number), 0);
	return number;
}

/* Scans from where the superblock says, and expects exactly the records up to last. */
static inline struct journal_position scan_up_to(struct bench *b, uint64_t last)
{
	struct journal_position end;
	struct visited v = {0};

	ck_assert_int_eq(
		journal_scan(b->store, &geometry, test_uuid, &b->from, 0, visit_nth, &v, &end), 0);
	ck_assert_uint_eq(v.n, last - b->from.seq);
	ck_assert(!v.open);
	if (v.n)
		ck_assert_uint_eq(v.first, b->from.seq + 1);
	ck_assert_uint_eq(end.seq, last);
	return end;
}

/* The same, and nothing is beyond. */
static inline struct journal_position scan_expecting(struct bench *b, uint64_t last)
{
	struct journal_position end = scan_up_to(b, last);

	ck_assert_uint_eq(beyond(b, &end), 0);
	return end;
}

static inline int scan_error(struct bench *b)
{
	struct journal_position end = {.offset = 1};
	struct visited v = {0};
	int err = journal_scan(b->store, &geometry, test_uuid, &b->from, 0, visit_nth, &v, &end);

	ck_assert_uint_eq(end.offset, 1); /* untouched */
	return err;
}

static inline bool position_same(const struct journal_position *a, const struct journal_position *b)
{
	return a->offset == b->offset && a->batch == b->batch && a->chain == b->chain &&
	       a->seq == b->seq;
}

/* The ring's bytes, 4 KiB aligned as direct I/O wants them. */
static inline uint8_t *ring_buffer(void)
{
	uint8_t *p = aligned_alloc(PAGE_BYTES, RING_BYTES);

	ck_assert_ptr_nonnull(p);
	return p;
}

static inline void ring_read(struct bench *b, uint64_t offset, void *buf, size_t len)
{
	ck_assert_int_eq(store_read(b->store, STORE_DIRECT, ZONE_BYTES + offset, buf, len), 0);
}

static inline void ring_write(struct bench *b, uint64_t offset, const void *buf, size_t len)
{
	ck_assert_int_eq(store_write(b->store, STORE_DIRECT | STORE_DURABLE | STORE_WRITE,
				     ZONE_BYTES + offset, buf, len),
			 0);
}

/* Appends one group of about bytes. */
static inline void append_group_of(struct journal *j, uint64_t bytes)
{
	uint64_t start = journal_pending_bytes(j);

	while (journal_pending_bytes(j) - start + RECORD_BYTES_MAX < bytes)
		append_nth(j, true);
	append_nth(j, false);
}

#endif
