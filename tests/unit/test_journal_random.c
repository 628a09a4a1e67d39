/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_journal_random.c - the journal under random operations, kills, power cuts, and threads
 *
 * Built with the real geometry and with the tiny one.
 */
#include <stdatomic.h>

#include "journal_bench.h"

/* ---- random operations against the list of what was appended --------------------------------- */

struct model {
	struct bench b;
	uint64_t random;
	char tail_path[128];
	struct journal_options opt;
	/* a checkpoint that was cut and not committed yet */
	bool cut_taken;
	struct journal_cut cut;
	struct journal_position start;
	unsigned crashes, kills, full;
};

static uint64_t model_random(struct model *m, uint64_t below)
{
	return random_next(&m->random) % below;
}

static void model_open(struct model *m, const struct journal_position *at)
{
	memcpy(m->opt.identity.session_id, &m->random, sizeof m->random);
	m->opt.tail_path = m->tail_path[0] ? m->tail_path : NULL;
	m->opt.start = &m->b.from;
	bench_start(&m->b, at, &m->opt);
	m->cut_taken = false;
}

static void model_append(struct model *m)
{
	uint64_t most = m->opt.pending_bytes / 2 - journal_pending_bytes(m->b.journal) / 2;
	uint64_t bytes = model_random(m, 4) ? 1 + model_random(m, 2000) : 1 + model_random(m, most);

	if (journal_reserve(m->b.journal, MIN(bytes + 2 * RECORD_BYTES_MAX, most))) {
		journal_release(m->b.journal, MIN(bytes + 2 * RECORD_BYTES_MAX, most));
		if (bytes + 2 * RECORD_BYTES_MAX <= most)
			append_group_of(m->b.journal, bytes);
	}
}

static void model_checkpoint_cut(struct model *m)
{
	m->cut = journal_cut(m->b.journal);
	m->start = journal_at(m->b.journal);
	m->cut_taken = true;
}

static void model_checkpoint_commit(struct model *m)
{
	if (!m->cut_taken)
		model_checkpoint_cut(m);
	m->b.from = m->start;
	m->b.from.seq = m->cut.seq;
	journal_checkpointed(m->b.journal, m->cut, m->start);
	m->cut_taken = false;
}

static void model_write(struct model *m)
{
	struct journal_cut cut = journal_cut(m->b.journal);
	uint64_t room = journal_room(m->b.journal), need = journal_need(m->b.journal, cut);
	int err = journal_write(m->b.journal, cut);

	if (err == -EAGAIN) {
		ck_assert_uint_gt(need, room);
		m->full++;
		m->cut_taken = false;
		model_checkpoint_commit(m);
		return;
	}
	ck_assert_int_eq(err, 0);
	ck_assert_uint_le(room - journal_room(m->b.journal), need);
}

/* The tail holds, after the journal's last record, exactly what was appended. */
static void model_scan_tail(struct model *m, uint64_t journal_last, uint64_t appended)
{
	struct visited v = {0};
	uint64_t dev, ino;
	struct tail_state state = {0};

	ck_assert(journal_tail_id(m->b.journal, &dev, &ino));
	ck_assert_int_eq(tail_scan(m->tail_path, dev, ino, &m->opt.identity, journal_last,
				   visit_nth, &v, &state),
			 0);
	ck_assert(!state.tainted);
	ck_assert_uint_eq(v.n, appended - journal_last);
	if (v.n)
		ck_assert_uint_eq(v.first, journal_last + 1);
}

/* The daemon is killed: journal and tail together hold everything. */
static void model_kill(struct model *m)
{
	uint64_t appended = journal_seq(m->b.journal);
	struct journal_position end = scan_expecting(&m->b, journal_durable_seq(m->b.journal));

	if (m->tail_path[0])
		model_scan_tail(m, end.seq, appended);
	journal_free(m->b.journal, false);
	model_open(m, &end);
	while (m->tail_path[0] && journal_seq(m->b.journal) < appended)
		append_nth(m->b.journal, false);
	m->kills++;
}

/* Puts sectors of [begin, end) of the ring back to what they were; did any change? */
static bool model_tear(struct model *m, const uint8_t *before, uint64_t begin, uint64_t end)
{
	uint8_t *now = ring_buffer();
	bool torn = false;

	ring_read(&m->b, begin, now, end - begin);
	for (uint64_t at = begin; at < end; at += SECTOR_BYTES) {
		uint8_t *sector = now + (at - begin);

		if (model_random(m, 2) || !memcmp(sector, before + at, SECTOR_BYTES))
			continue;
		memcpy(sector, before + at, SECTOR_BYTES);
		torn = true;
	}
	ring_write(&m->b, begin, now, end - begin);
	free(now);
	return torn;
}

/* The power goes while a batch is being written. */
static void model_power_cut(struct model *m)
{
	struct journal_position at, end;
	uint64_t durable, begin, whole;
	uint8_t *before = ring_buffer();

	write_all(&m->b);
	append_group(m->b.journal, 1 + (unsigned)model_random(m, 40));
	durable = journal_durable_seq(m->b.journal);
	at = journal_at(m->b.journal);
	ring_read(&m->b, 0, before, RING_BYTES);
	if (journal_write(m->b.journal, journal_cut(m->b.journal)) == 0) {
		whole = journal_durable_seq(m->b.journal);
		end = journal_at(m->b.journal);
		ck_assert_uint_eq(end.batch, at.batch + 1);
		begin = end.offset && end.offset < at.offset ? 0 : at.offset;
		durable = model_tear(m, before, begin, end.offset ? end.offset : RING_BYTES)
				  ? durable
				  : whole;
	}
	end = scan_expecting(&m->b, durable);
	journal_free(m->b.journal, true);
	model_open(m, &end);
	free(before);
	m->crashes++;
}

static void model_step(struct model *m)
{
	switch (model_random(m, 512)) {
	case 0: model_kill(m); break;
	case 1:
		model_write(m);
		if (journal_room(m->b.journal) > RING_BYTES / 2)
			model_power_cut(m);
		break;
	case 2:
	case 3: model_checkpoint_cut(m); break;
	case 4: model_checkpoint_commit(m); break;
	case 5:
	case 6: scan_expecting(&m->b, journal_durable_seq(m->b.journal)); break;
	default:
		if (model_random(m, 2))
			model_append(m);
		else
			model_write(m);
	}
}

START_TEST(random_operations_and_crashes_keep_exactly_what_was_durable)
{
	const char *dir = getenv("TMPDIR");
	struct model m = {.random = random_seed("random_operations")};

	m.opt.pending_bytes = MAX(RING_BYTES / 16, 4 * PAGE_BYTES);
	if (_i)
		snprintf(m.tail_path, sizeof m.tail_path, "%s/cowbd-journal-%d.tail",
			 dir ? dir : "/tmp", (int)getpid());
	bench_init(&m.b, m.opt.pending_bytes);
	journal_free(m.b.journal, true);
	model_open(&m, &m.b.from);
	for (unsigned i = 0; i < (RING_BYTES > 1 << 20 ? 8000 : 60000); i++)
		model_step(&m);
	ck_assert_uint_gt(m.crashes, 0);
	ck_assert_uint_gt(m.kills, 0);
	ck_assert_uint_gt(m.full, 0);
	bench_fini(&m.b);
}
END_TEST

/* ---- threads -------------------------------------------------------------------------------- */

#define WRITERS 3
#define GROUPS_EACH 400u

struct shared {
	struct bench b;
	pthread_mutex_t metadata, commit;
	atomic_uint running;
};

static void commit_once(struct shared *s)
{
	struct journal_cut cut;
	int err;

	WITH_LOCK_UNTIL_END(&s->commit);
	pthread_mutex_lock(&s->metadata);
	cut = journal_cut(s->b.journal);
	pthread_mutex_unlock(&s->metadata);
	err = journal_write(s->b.journal, cut);
	if (err == -EAGAIN) {
		s->b.from = journal_at(s->b.journal);
		s->b.from.seq = cut.seq;
		journal_checkpointed(s->b.journal, cut, s->b.from);
	} else {
		ck_assert_int_eq(err, 0);
	}
	ck_assert_uint_ge(journal_durable_seq(s->b.journal), cut.seq);
}

static void *writer_main(void *opaque)
{
	struct shared *s = opaque;

	for (unsigned i = 0; i < GROUPS_EACH; i++) {
		unsigned n = 1 + i % 5;
		size_t room = n * RECORD_BYTES_MAX, used = 0;

		while (!journal_reserve(s->b.journal, room))
			commit_once(s);
		pthread_mutex_lock(&s->metadata);
		while (n--) {
			struct record r = record_nth(journal_seq(s->b.journal) + 1, n > 0);

			used += record_size(&r);
			journal_append(s->b.journal, &r);
		}
		pthread_mutex_unlock(&s->metadata);
		journal_release(s->b.journal, room - used);
	}
	atomic_fetch_sub(&s->running, 1);
	return NULL;
}

static void *committer_main(void *opaque)
{
	struct shared *s = opaque;

	while (atomic_load(&s->running)) {
		uint64_t durable = journal_durable_seq(s->b.journal);

		ck_assert_uint_ge(journal_seq(s->b.journal), durable);
		ck_assert_uint_le(journal_pending_bytes(s->b.journal), 8 * PAGE_BYTES);
		commit_once(s);
	}
	return NULL;
}

START_TEST(several_threads_append_while_one_commits)
{
	static struct shared s = {
		.metadata = PTHREAD_MUTEX_INITIALIZER,
		.commit = PTHREAD_MUTEX_INITIALIZER,
	};
	pthread_t writers[WRITERS], committer;

	bench_init(&s.b, 8 * PAGE_BYTES);
	atomic_store(&s.running, WRITERS);
	for (unsigned i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&writers[i], NULL, writer_main, &s), 0);
	ck_assert_int_eq(pthread_create(&committer, NULL, committer_main, &s), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	pthread_join(committer, NULL);
	write_all(&s.b);
	ck_assert_uint_eq(journal_seq(s.b.journal), WRITERS * GROUPS_EACH * 3);
	scan_expecting(&s.b, WRITERS * GROUPS_EACH * 3);
	/* nothing is left reserved or pending */
	ck_assert(journal_reserve(s.b.journal, 4 * PAGE_BYTES));
	ck_assert(journal_reserve(s.b.journal, 4 * PAGE_BYTES));
	bench_fini(&s.b);
}
END_TEST

static Suite *journal_suite(void)
{
	Suite *suite = suite_create("journal, at random");
	TCase *c = tcase_create("random");

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, random_operations_and_crashes_keep_exactly_what_was_durable, 0, 2);
	tcase_add_test(c, several_threads_append_while_one_commits);
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
