/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_journal.c - the journal ring: batches, chain, wrap, room, scan, crashes
 *
 * Built with the real geometry and with the tiny one.
 */
#include "journal_bench.h"

static void batch_seal(struct disk_batch *h)
{
	h->checksum = put64(0);
	h->checksum = put64(checksum(h, get32(h->length), page_seed(PAGE_BATCH, test_uuid)));
}

/* ---- writing and reading back ------------------------------------------------- */

START_TEST(what_was_written_is_scanned_back)
{
	struct bench b;
	struct journal_position end, at;

	bench_init(&b, PENDING_BYTES);
	scan_expecting(&b, 0);
	for (unsigned i = 1; i <= 20; i++) {
		append_group(b.journal, i);
		write_all(&b);
	}
	end = scan_expecting(&b, 210);
	at = journal_at(b.journal);
	ck_assert(position_same(&end, &at));
	ck_assert_uint_eq(at.batch, 21);
	bench_fini(&b);
}
END_TEST

START_TEST(nothing_pending_writes_nothing)
{
	struct bench b;
	struct journal_cut older;
	uint64_t calls;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 3);
	older = journal_cut(b.journal);
	append_group(b.journal, 3);
	write_all(&b);
	calls = store_sim_calls(b.store, SIM_FAULT_ANY);
	ck_assert_int_eq(journal_write(b.journal, journal_cut(b.journal)), 0);
	ck_assert_int_eq(journal_write(b.journal, older), 0);
	ck_assert_uint_eq(journal_need(b.journal, older), 0);
	ck_assert_uint_eq(store_sim_calls(b.store, SIM_FAULT_ANY), calls);
	ck_assert_uint_eq(journal_durable_seq(b.journal), 6);
	bench_fini(&b);
}
END_TEST

START_TEST(a_write_takes_what_was_pending_at_its_cut_and_no_more)
{
	struct bench b;
	struct journal_cut cut;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 5);
	cut = journal_cut(b.journal);
	append_group(b.journal, 4);
	ck_assert_int_eq(journal_write(b.journal, cut), 0);
	ck_assert_uint_eq(journal_durable_seq(b.journal), 5);
	ck_assert_uint_eq(journal_seq(b.journal), 9);
	ck_assert_uint_eq(journal_pending_bytes(b.journal), journal_cut(b.journal).end - cut.end);
	scan_expecting(&b, 5);
	write_all(&b);
	scan_expecting(&b, 9);
	bench_fini(&b);
}
END_TEST

/* Counts the groups that end in a batch, and checks that it ends with one. */
static unsigned batch_groups(const struct disk_batch *h)
{
	const uint8_t *payload = (const uint8_t *)(h + 1);
	struct record r = {.more = true};
	unsigned groups = 0;

	for (size_t done = 0; done < get32(h->payload);) {
		done += record_decode(payload + done, get32(h->payload) - done, &r);
		groups += !r.more;
	}
	ck_assert(!r.more);
	return groups;
}

START_TEST(a_group_is_never_split_across_batches)
{
	struct bench b;
	uint8_t *ring = ring_buffer();
	uint64_t offset = 0, groups = 0, batches = 0;
	struct journal_position at;

	bench_init(&b, 4 * RING_BYTES);
	/* three quarters of the ring at once, in groups of all sizes */
	for (unsigned i = 0; journal_pending_bytes(b.journal) < RING_BYTES / 4 * 3; i++, groups++)
		append_group(b.journal, 1 + i * 7 % 150);
	write_all(&b);
	at = scan_expecting(&b, journal_seq(b.journal));
	ring_read(&b, 0, ring, RING_BYTES);
	for (; batches < at.batch - 1; batches++) {
		const struct disk_batch *h = (const void *)(ring + offset);

		ck_assert_uint_le(get32(h->length), RING_BYTES / 4);
		groups -= batch_groups(h);
		offset += get32(h->length);
	}
	ck_assert_uint_eq(groups, 0);
	ck_assert_uint_ge(batches, 3);
	bench_fini(&b);
	free(ring);
}
END_TEST

START_TEST(a_group_of_up_to_half_the_ring_is_one_batch)
{
	struct bench b;

	bench_init(&b, 2 * RING_BYTES);
	append_group_of(b.journal, RING_BYTES / 2 - sizeof(struct disk_batch));
	append_group(b.journal, 3);
	write_all(&b);
	ck_assert_uint_eq(journal_at(b.journal).batch, 3);
	scan_expecting(&b, journal_seq(b.journal));
	bench_fini(&b);
}
END_TEST

START_TEST(a_group_of_more_than_half_the_ring_goes_through_a_checkpoint)
{
	struct bench b;
	uint64_t calls;

	bench_init(&b, 2 * RING_BYTES);
	append_group(b.journal, 2);
	append_group_of(b.journal, RING_BYTES / 2 + PAGE_BYTES);
	calls = store_sim_calls(b.store, SIM_FAULT_WRITE);
	ck_assert_int_eq(journal_write(b.journal, journal_cut(b.journal)), -EAGAIN);
	ck_assert_uint_eq(store_sim_calls(b.store, SIM_FAULT_WRITE), calls);
	ck_assert_uint_eq(journal_durable_seq(b.journal), 0);
	checkpoint(&b);
	ck_assert_uint_eq(journal_durable_seq(b.journal), journal_seq(b.journal));
	ck_assert_uint_eq(journal_pending_bytes(b.journal), 0);
	append_group(b.journal, 2);
	write_all(&b);
	scan_expecting(&b, journal_seq(b.journal));
	bench_fini(&b);
}
END_TEST

/* ---- ring -------------------------------------------------------------------------- */

START_TEST(the_ring_wraps_many_times)
{
	struct bench b;
	unsigned laps = 0;
	uint64_t last = 0, state = 1;

	bench_init(&b, PENDING_BYTES);
	while (laps < 20) {
		append_group_of(b.journal, 1 + random_next(&state) % (PENDING_BYTES / 2));
		if (journal_write(b.journal, journal_cut(b.journal)) == -EAGAIN)
			checkpoint(&b);
		if (journal_at(b.journal).offset < last) {
			laps++;
			scan_expecting(&b, journal_durable_seq(b.journal));
		}
		last = journal_at(b.journal).offset;
	}
	bench_fini(&b);
}
END_TEST

START_TEST(a_full_ring_says_again_writes_nothing_and_goes_on_after_a_checkpoint)
{
	struct bench b;
	uint64_t durable, calls;
	int err;

	bench_init(&b, PENDING_BYTES);
	do {
		durable = journal_durable_seq(b.journal);
		append_group_of(b.journal, 3 * PAGE_BYTES);
		calls = store_sim_calls(b.store, SIM_FAULT_WRITE);
		err = journal_write(b.journal, journal_cut(b.journal));
	} while (!err);
	ck_assert_int_eq(err, -EAGAIN);
	ck_assert_uint_eq(store_sim_calls(b.store, SIM_FAULT_WRITE), calls);
	ck_assert_uint_eq(journal_durable_seq(b.journal), durable);
	ck_assert_uint_lt(journal_room(b.journal), journal_need(b.journal, journal_cut(b.journal)));
	scan_expecting(&b, durable);
	checkpoint(&b);
	ck_assert_uint_eq(journal_room(b.journal), RING_BYTES - PAGE_BYTES);
	append_group(b.journal, 1);
	write_all(&b);
	scan_expecting(&b, journal_seq(b.journal));
	bench_fini(&b);
}
END_TEST

START_TEST(the_head_never_catches_the_start)
{
	struct bench b;

	for (unsigned begin = 0; begin < 3; begin++) {
		bench_init(&b, PENDING_BYTES);
		for (unsigned i = 0; i < begin; i++) {
			append_group(b.journal, 1);
			write_all(&b);
		}
		checkpoint(&b);
		for (uint64_t used = 0; used < RING_BYTES - PAGE_BYTES; used += PAGE_BYTES) {
			ck_assert_uint_eq(journal_room(b.journal), RING_BYTES - PAGE_BYTES - used);
			append_group(b.journal, 1);
			write_all(&b);
		}
		ck_assert_uint_eq(journal_room(b.journal), 0);
		append_group(b.journal, 1);
		ck_assert_int_eq(journal_write(b.journal, journal_cut(b.journal)), -EAGAIN);
		scan_expecting(&b, journal_durable_seq(b.journal));
		bench_fini(&b);
	}
}
END_TEST

START_TEST(a_reopened_journal_leaves_alone_what_the_checkpoint_needs)
{
	struct bench b;
	struct journal_position end;
	struct journal_options opt = {.pending_bytes = PENDING_BYTES};
	uint64_t room;
	int err;

	bench_init(&b, PENDING_BYTES);
	append_group_of(b.journal, PENDING_BYTES / 2);
	write_all(&b);
	checkpoint(&b);
	append_group_of(b.journal, PENDING_BYTES / 2);
	write_all(&b);
	room = journal_room(b.journal);
	end = scan_expecting(&b, journal_seq(b.journal));
	journal_free(b.journal, true);

	opt.start = &b.from;
	bench_start(&b, &end, &opt);
	ck_assert_uint_eq(journal_room(b.journal), room);
	do {
		append_group_of(b.journal, 2 * PAGE_BYTES);
		err = journal_write(b.journal, journal_cut(b.journal));
	} while (!err);
	ck_assert_int_eq(err, -EAGAIN);
	scan_expecting(&b, journal_durable_seq(b.journal));
	bench_fini(&b);
}
END_TEST

START_TEST(room_and_need_bound_what_a_write_takes)
{
	struct bench b;
	uint64_t state = 5;

	bench_init(&b, 2 * RING_BYTES);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t room = journal_room(b.journal), need;
		int err;

		for (uint64_t n = 1 + random_next(&state) % 12; n--;)
			append_group_of(b.journal, 1 + random_next(&state) % (RING_BYTES / 20));
		need = journal_need(b.journal, journal_cut(b.journal));
		err = journal_write(b.journal, journal_cut(b.journal));
		ck_assert(err == 0 || (err == -EAGAIN && need > room));
		ck_assert_uint_le(room - journal_room(b.journal), need);
		if (err)
			checkpoint(&b);
	}
	bench_fini(&b);
}
END_TEST

/* ---- scan ------------------------------------------------------------------------------ */

START_TEST(a_batch_of_an_earlier_lap_is_not_accepted)
{
	struct bench b;
	uint64_t lap = RING_BYTES / PAGE_BYTES;

	/* every batch is one page: each slot of the ring holds a valid one of the lap before */
	bench_init(&b, PENDING_BYTES);
	for (uint64_t i = 0; i < 3 * lap + 5; i++) {
		append_group(b.journal, 1);
		write_all(&b);
		checkpoint(&b);
		if (i % 16 == 0)
			scan_expecting(&b, i + 1);
	}
	for (unsigned i = 0; i < 3; i++) {
		append_group(b.journal, 1);
		write_all(&b);
	}
	scan_expecting(&b, 3 * lap + 8);
	bench_fini(&b);
}
END_TEST

START_TEST(a_batch_with_the_right_number_and_another_predecessor_is_not_accepted)
{
	struct bench b;
	uint8_t *ring = ring_buffer();
	struct disk_batch *h;

	bench_init(&b, PENDING_BYTES);
	for (unsigned i = 0; i < 4; i++) {
		append_group(b.journal, 2);
		write_all(&b);
	}
	ring_read(&b, 0, ring, RING_BYTES);
	h = (void *)(ring + 2 * PAGE_BYTES);
	h->previous = put64(get64(h->previous) ^ 1);
	batch_seal(h);
	ring_write(&b, 2 * PAGE_BYTES, h, PAGE_BYTES);
	scan_up_to(&b, 4);
	h->previous = put64(get64(h->previous) ^ 1);
	h->number = put64(get64(h->number) + 1);
	batch_seal(h);
	ring_write(&b, 2 * PAGE_BYTES, h, PAGE_BYTES);
	scan_up_to(&b, 4);
	bench_fini(&b);
	free(ring);
}
END_TEST

START_TEST(a_batch_of_another_pool_is_not_accepted)
{
	static const uint8_t other[16] = "somebody else's!";
	struct journal_position end;
	struct visited v = {0};
	struct bench b;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 2);
	write_all(&b);
	ck_assert_int_eq(journal_scan(b.store, &geometry, other, &b.from, 0, visit_nth, &v, &end),
			 0);
	ck_assert_uint_eq(v.n, 0);
	bench_fini(&b);
}
END_TEST

START_TEST(a_batch_at_the_front_is_taken_only_if_it_did_not_fit_at_the_end)
{
	struct bench b;
	uint8_t *ring = ring_buffer();
	struct disk_batch *h = (void *)ring;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 1);
	write_all(&b);
	checkpoint(&b);
	append_group(b.journal, 1);
	write_all(&b);
	ring_read(&b, PAGE_BYTES, ring, PAGE_BYTES);
	scan_expecting(&b, 2);
	ring_write(&b, 0, ring, PAGE_BYTES);
	memset(ring + PAGE_BYTES, 0, PAGE_BYTES);
	ring_write(&b, PAGE_BYTES, ring + PAGE_BYTES, PAGE_BYTES);
	ck_assert_uint_eq(get64(h->number), 2);
	scan_expecting(&b, 1);
	bench_fini(&b);
	free(ring);
}
END_TEST

START_TEST(a_torn_last_batch_is_ignored)
{
	struct bench b;
	uint8_t *ring = ring_buffer(), zero[SECTOR_BYTES] = {0};
	uint64_t begin, end, whole;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 10);
	write_all(&b);
	begin = journal_at(b.journal).offset;
	append_group_of(b.journal, 5 * PAGE_BYTES);
	write_all(&b);
	end = journal_at(b.journal).offset;
	whole = journal_seq(b.journal);
	ring_read(&b, 0, ring, RING_BYTES);
	for (uint64_t at = begin; at < end; at += SECTOR_BYTES) {
		uint64_t page = round_down(at, PAGE_BYTES);
		uint8_t kept[SECTOR_BYTES];
		bool differs = memcmp(ring + at, zero, sizeof zero);

		memcpy(kept, ring + at, sizeof kept);
		memset(ring + at, 0, sizeof kept);
		ring_write(&b, page, ring + page, PAGE_BYTES);
		scan_expecting(&b, differs ? 10 : whole);
		memcpy(ring + at, kept, sizeof kept);
		ring_write(&b, page, ring + page, PAGE_BYTES);
	}
	scan_expecting(&b, whole);
	bench_fini(&b);
	free(ring);
}
END_TEST

/* Wherever in the ring they are: batch after batch is damaged, and those behind it give it away.  Who goes on behind
 * the damage is not disturbed by what is left of them. */
START_TEST(a_damaged_batch_that_is_not_the_last_is_told_from_a_torn_one)
{
	struct journal_options opt = {.pending_bytes = PENDING_BYTES};
	uint8_t *page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	struct journal_position at[4], end;
	struct visited v = {0};
	struct bench b;

	bench_init(&b, PENDING_BYTES);
	for (unsigned lap = 0; lap < 40; lap++) {
		for (unsigned i = 0; i < 4; i++) {
			at[i] = journal_at(b.journal);
			append_group_of(b.journal, (lap + 3 * i) % 7 * (PAGE_BYTES / 2) + 100);
			write_all(&b);
		}
		for (unsigned i = 0; i < 4; i++) {
			/* one that did not fit at the end is at the front */
			ring_read(&b, at[i].offset, page, PAGE_BYTES);
			if (get64(((struct disk_batch *)(void *)page)->number) != at[i].batch)
				continue;
			page[100] ^= 1;
			ring_write(&b, at[i].offset, page, PAGE_BYTES);
			v = (struct visited){0};
			ck_assert_int_eq(journal_scan(b.store, &geometry, test_uuid, &b.from, 0,
						      visit_nth, &v, &end),
					 0);
			ck_assert_uint_eq(end.batch, at[i].batch);
			ck_assert_uint_eq(beyond(&b, &end) != 0, i < 3);
			page[100] ^= 1;
			ring_write(&b, at[i].offset, page, PAGE_BYTES);
		}
		checkpoint(&b);
	}
	for (unsigned i = 0; i < 4; i++) {
		at[i] = journal_at(b.journal);
		append_group(b.journal, 3);
		write_all(&b);
	}
	ring_read(&b, at[0].offset, page, PAGE_BYTES);
	page[100] ^= 1;
	ring_write(&b, at[0].offset, page, PAGE_BYTES);
	journal_free(b.journal, true);
	ck_assert_uint_ne(beyond(&b, &at[0]), 0);
	journal_skip_beyond(&geometry, &at[0]);
	b.from = at[0];
	bench_start(&b, &at[0], &opt);
	append_group(b.journal, 2);
	write_all(&b);
	scan_expecting(&b, at[0].seq + 2);
	bench_fini(&b);
	free(page);
}
END_TEST

START_TEST(a_scan_skips_records_that_the_checkpoint_holds)
{
	struct bench b;
	struct journal_cut cut;
	struct journal_position start;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 4);
	write_all(&b);
	append_group(b.journal, 4);
	cut = journal_cut(b.journal);
	start = journal_at(b.journal);
	append_group(b.journal, 4);
	write_all(&b); /* one batch: 5-8 before the cut, 9-12 after it */
	append_group(b.journal, 4);
	write_all(&b);
	b.from = start;
	b.from.seq = cut.seq;
	scan_expecting(&b, 16);
	journal_checkpointed(b.journal, cut, start);
	ck_assert_uint_eq(journal_durable_seq(b.journal), 16);
	scan_expecting(&b, 16);
	bench_fini(&b);
}
END_TEST

START_TEST(records_that_only_a_checkpoint_made_durable_are_not_missed)
{
	struct bench b;
	struct journal_options opt = {.pending_bytes = PENDING_BYTES};
	struct journal_position end;

	/* batch 1-4 behind the checkpoint's start; 5-8 are in the checkpoint alone */
	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 4);
	write_all(&b);
	append_group(b.journal, 4);
	b.from.seq = 8;
	end = scan_expecting(&b, 8);
	journal_free(b.journal, true);

	bench_start(&b, &end, &opt);
	append_group(b.journal, 4);
	write_all(&b);
	scan_expecting(&b, 12);
	bench_fini(&b);
}
END_TEST

START_TEST(a_checkpoint_releases_what_was_never_journaled)
{
	struct bench b;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 4);
	checkpoint(&b);
	ck_assert_uint_eq(journal_pending_bytes(b.journal), 0);
	ck_assert_uint_eq(journal_durable_seq(b.journal), 4);
	ck_assert_uint_eq(journal_at(b.journal).seq, 4);
	scan_expecting(&b, 4);
	append_group(b.journal, 2);
	write_all(&b);
	scan_expecting(&b, 6);
	bench_fini(&b);
}
END_TEST

START_TEST(a_gap_in_the_sequence_is_damage)
{
	struct bench b;
	struct journal_options opt = {.pending_bytes = PENDING_BYTES};
	struct journal_position at;

	for (unsigned i = 0; i < 2; i++) {
		bench_init(&b, PENDING_BYTES);
		append_group(b.journal, 4);
		write_all(&b);
		at = journal_at(b.journal);
		if (i == 0)
			at.seq += 3; /* 5, 6, 7 are nowhere */
		else
			at.seq -= 2; /* 3, 4 come twice */
		journal_free(b.journal, true);
		bench_start(&b, &at, &opt);
		append_group(b.journal, 1);
		write_all(&b);
		ck_assert_int_eq(scan_error(&b), -EUCLEAN);
		bench_fini(&b);
	}
}
END_TEST

START_TEST(a_scan_ends_with_the_visitors_error)
{
	struct bench b;
	struct journal_position end;
	struct visited v = {.stop_at = 3};

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 5);
	write_all(&b);
	ck_assert_int_eq(journal_scan(b.store, &geometry, test_uuid, &b.from, 0, visit_nth, &v,
				      &end),
			 -ECANCELED);
	ck_assert_uint_eq(v.n, 3);
	bench_fini(&b);
}
END_TEST

START_TEST(a_scan_that_begins_outside_the_ring_is_damage)
{
	struct bench b;

	bench_init(&b, PENDING_BYTES);
	b.from.offset = RING_BYTES;
	ck_assert_int_eq(scan_error(&b), -EUCLEAN);
	b.from.offset = UINT64_MAX & ~(uint64_t)(PAGE_BYTES - 1);
	ck_assert_int_eq(scan_error(&b), -EUCLEAN);
	b.from.offset = SECTOR_BYTES;
	ck_assert_int_eq(scan_error(&b), -EUCLEAN);
	bench_fini(&b);
}
END_TEST

START_TEST(lengths_on_disk_are_not_trusted)
{
	static const uint64_t lengths[] = {
		0,
		1,
		SECTOR_BYTES,
		PAGE_BYTES + 8,
		RING_BYTES / 2 + PAGE_BYTES,
		RING_BYTES,
		RING_BYTES - PAGE_BYTES,
		UINT32_MAX,
		UINT32_MAX - PAGE_BYTES + 1,
	};
	struct bench b;
	uint8_t *ring = ring_buffer();
	struct disk_batch *h = (void *)ring;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 5);
	write_all(&b);
	ring_read(&b, 0, ring, PAGE_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		h->length = put32((uint32_t)lengths[i]);
		ring_write(&b, 0, ring, PAGE_BYTES);
		scan_expecting(&b, 0);
	}
	bench_fini(&b);
	free(ring);
}
END_TEST

START_TEST(a_batch_of_more_than_half_the_ring_is_not_accepted)
{
	struct bench b;
	uint8_t *ring = ring_buffer();
	struct disk_batch *h = (void *)ring;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 5);
	write_all(&b);
	ring_read(&b, 0, ring, RING_BYTES);
	for (unsigned pages = 0; pages < 2; pages++) {
		h->length = put32((uint32_t)(RING_BYTES / 2 + pages * PAGE_BYTES));
		batch_seal(h);
		ring_write(&b, 0, ring, RING_BYTES);
		scan_expecting(&b, pages ? 0 : 5);
	}
	bench_fini(&b);
	free(ring);
}
END_TEST

/* Ways to break a batch whose checksum is right all the same. */
static void break_batch(struct disk_batch *h, unsigned how)
{
	uint8_t *payload = (uint8_t *)(h + 1);
	struct disk_record *last =
		(void *)(payload + get32(h->payload) - sizeof(struct disk_rec_zone));
	struct record r = {.type = REC_ZONE, .zone = 9, .seq = 3};

	switch (how) {
	case 0: h->records = put32(0); break;
	case 1: h->records = put32(2); break;
	case 2: h->records = put32(4); break;
	case 3: h->payload = put32(get32(h->payload) - 8); break;
	case 4: h->payload = put32(get32(h->payload) + 8); break;
	case 5: h->payload = put32(UINT32_MAX); break;
	case 6: h->first = put64(0); break;
	case 7: h->first = put64(2); break;
	case 8: h->first = put64(UINT64_MAX - 1); break;
	case 9: h->reserved[11] = 1; break;
	case 10: ((uint8_t *)h)[get32(h->length) - 1] = 1; break;
	case 11: last->seq = put64(77); break; /* its own checksum is wrong now */
	case 12:
		r.more = true;
		record_encode(&r, last);
		break;
	case 13:
		r.seq = 4;
		record_encode(&r, last);
		break;
	case 14:
		r.seq = 2;
		record_encode(&r, last);
		break;
	case 15: h->sums = put32(UINT32_MAX); break;
	}
	batch_seal(h);
}

START_TEST(a_batch_that_breaks_a_rule_under_a_right_checksum_is_damage)
{
	struct record r = {.type = REC_ZONE, .zone = 9};
	struct bench b;
	uint8_t *ring = ring_buffer();

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 2);
	ck_assert(journal_reserve(b.journal, record_size(&r)));
	journal_append(b.journal, &r);
	write_all(&b);
	ring_read(&b, 0, ring, PAGE_BYTES);
	break_batch((void *)ring, _i);
	ring_write(&b, 0, ring, PAGE_BYTES);
	ck_assert_int_eq(scan_error(&b), -EUCLEAN);
	bench_fini(&b);
	free(ring);
}
END_TEST

START_TEST(a_scan_reads_in_large_pieces)
{
	struct bench b;
	uint64_t calls;

	bench_init(&b, PENDING_BYTES);
	for (uint64_t i = 0; i < RING_BYTES / PAGE_BYTES - 2; i++) {
		append_group(b.journal, 1);
		write_all(&b);
	}
	calls = store_sim_calls(b.store, SIM_FAULT_READ);
	scan_up_to(&b, journal_seq(b.journal));
	ck_assert_uint_le(store_sim_calls(b.store, SIM_FAULT_READ) - calls,
			  RING_BYTES / (1 << 20) + 3);
	bench_fini(&b);
}
END_TEST

START_TEST(a_read_error_ahead_of_the_journal_does_no_harm_and_one_in_it_is_reported)
{
	struct bench b;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 5);
	write_all(&b);
	store_sim_fault(b.store, SIM_FAULT_READ, 1, 1, -EIO);
	scan_expecting(&b, 5);
	store_sim_fault(b.store, SIM_FAULT_READ, 1, 0, -EIO);
	ck_assert(scan_up_to(&b, 0).stopped);
	bench_fini(&b);
}
END_TEST

/* ---- failure ---------------------------------------------------------------------------- */

START_TEST(after_a_failed_write_records_stay_and_no_other_write_is_tried)
{
	struct bench b;
	uint64_t calls;

	bench_init(&b, PENDING_BYTES);
	append_group(b.journal, 5);
	write_all(&b);
	append_group(b.journal, 5);
	store_sim_fault(b.store, SIM_FAULT_WRITE, 1, 1, -EIO);
	ck_assert_int_eq(journal_write(b.journal, journal_cut(b.journal)), -EIO);
	ck_assert_uint_eq(journal_durable_seq(b.journal), 5);
	ck_assert_uint_gt(journal_pending_bytes(b.journal), 0);
	calls = store_sim_calls(b.store, SIM_FAULT_WRITE);
	ck_assert_int_eq(journal_write(b.journal, journal_cut(b.journal)), -EROFS);
	ck_assert_uint_eq(store_sim_calls(b.store, SIM_FAULT_WRITE), calls);
	bench_fini(&b);
}
END_TEST

/* ---- reservations -------------------------------------------------------------------------- */

START_TEST(a_reservation_waits_for_room_and_is_at_most_half_the_ring)
{
	struct bench b;
	uint64_t half = 2 * PAGE_BYTES;

	bench_init(&b, 2 * half);
	ck_assert(!journal_reserve(b.journal, half + 1));
	ck_assert(!journal_reserve(b.journal, SIZE_MAX));
	ck_assert(journal_reserve(b.journal, half));
	ck_assert(journal_reserve(b.journal, half));
	ck_assert(!journal_reserve(b.journal, 1));
	journal_release(b.journal, half);
	ck_assert(journal_reserve(b.journal, half));
	journal_release(b.journal, 2 * half);
	ck_assert_uint_eq(journal_pending_bytes(b.journal), 0);
	bench_fini(&b);
}
END_TEST

START_TEST(a_reservation_waits_for_pending_records_until_they_are_durable)
{
	struct record r = record_nth(1, false);
	size_t bytes = record_size(&r);
	struct bench b;

	bench_init(&b, 4 * PAGE_BYTES);
	for (uint64_t seq = 1; journal_reserve(b.journal, bytes); seq++) {
		r = record_nth(seq, false);
		if (record_size(&r) > bytes) {
			journal_release(b.journal, bytes);
			bytes = record_size(&r);
			if (!journal_reserve(b.journal, bytes))
				break;
		}
		journal_append(b.journal, &r);
		journal_release(b.journal, bytes - record_size(&r));
	}
	ck_assert_uint_gt(journal_pending_bytes(b.journal), 4 * PAGE_BYTES - bytes);
	ck_assert_uint_le(journal_pending_bytes(b.journal), 4 * PAGE_BYTES);
	ck_assert(!journal_reserve(b.journal, bytes));
	write_all(&b);
	ck_assert(journal_reserve(b.journal, 2 * PAGE_BYTES));
	ck_assert(journal_reserve(b.journal, 2 * PAGE_BYTES));
	scan_expecting(&b, journal_seq(b.journal));
	bench_fini(&b);
}
END_TEST

static Suite *journal_suite(void)
{
	Suite *suite = suite_create("journal");
	TCase *c = tcase_create("journal");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, what_was_written_is_scanned_back);
	tcase_add_test(c, nothing_pending_writes_nothing);
	tcase_add_test(c, a_write_takes_what_was_pending_at_its_cut_and_no_more);
	tcase_add_test(c, a_group_is_never_split_across_batches);
	tcase_add_test(c, a_group_of_up_to_half_the_ring_is_one_batch);
	tcase_add_test(c, a_group_of_more_than_half_the_ring_goes_through_a_checkpoint);
	tcase_add_test(c, the_ring_wraps_many_times);
	tcase_add_test(c, a_full_ring_says_again_writes_nothing_and_goes_on_after_a_checkpoint);
	tcase_add_test(c, the_head_never_catches_the_start);
	tcase_add_test(c, a_reopened_journal_leaves_alone_what_the_checkpoint_needs);
	tcase_add_test(c, room_and_need_bound_what_a_write_takes);
	tcase_add_test(c, a_batch_of_an_earlier_lap_is_not_accepted);
	tcase_add_test(c, a_batch_with_the_right_number_and_another_predecessor_is_not_accepted);
	tcase_add_test(c, a_batch_of_another_pool_is_not_accepted);
	tcase_add_test(c, a_batch_at_the_front_is_taken_only_if_it_did_not_fit_at_the_end);
	tcase_add_test(c, a_torn_last_batch_is_ignored);
	tcase_add_test(c, a_damaged_batch_that_is_not_the_last_is_told_from_a_torn_one);
	tcase_add_test(c, a_scan_skips_records_that_the_checkpoint_holds);
	tcase_add_test(c, records_that_only_a_checkpoint_made_durable_are_not_missed);
	tcase_add_test(c, a_checkpoint_releases_what_was_never_journaled);
	tcase_add_test(c, a_gap_in_the_sequence_is_damage);
	tcase_add_test(c, a_scan_ends_with_the_visitors_error);
	tcase_add_test(c, a_scan_that_begins_outside_the_ring_is_damage);
	tcase_add_test(c, lengths_on_disk_are_not_trusted);
	tcase_add_test(c, a_batch_of_more_than_half_the_ring_is_not_accepted);
	tcase_add_loop_test(c, a_batch_that_breaks_a_rule_under_a_right_checksum_is_damage, 0, 16);
	tcase_add_test(c, a_scan_reads_in_large_pieces);
	tcase_add_test(c, a_read_error_ahead_of_the_journal_does_no_harm_and_one_in_it_is_reported);
	tcase_add_test(c, after_a_failed_write_records_stay_and_no_other_write_is_tried);
	tcase_add_test(c, a_reservation_waits_for_room_and_is_at_most_half_the_ring);
	tcase_add_test(c, a_reservation_waits_for_pending_records_until_they_are_durable);
	suite_add_tcase(suite, c);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(journal_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
