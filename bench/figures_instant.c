/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures_instant.c - snapshot, clone, rollback; opening; and what is left when all is deleted
 *
 * One pool has it all: a fully mapped volume of 1 GiB and one of 16 TiB with scattered blocks,
 * measured in turn, one command on the one, the same on the other; then ten thousand snapshots; then it is closed,
 * opened, emptied and looked at.
 */
#include "figures.h"

#include <fcntl.h>
#include <stdio.h>

#define POOL_BYTES (64 * GIB)
#define LARGE_BYTES (16 * TIB)
#define CLONES 1000u
#define PATIENCE_S 20.0
#define NEAR_BYTES (28 * MIB) /* zones kept ready, and pages of the group */
#define ROUNDS_MAX 400u

enum action { SNAPSHOT, CLONE, ROLLBACK, ACTIONS };
static const char *const action_names[ACTIONS] = {"snapshot", "clone", "rollback"};

struct subject {
	const char *name, *shape;
	uint64_t size, blocks; /* mapped */
	uint64_t version;      /* of the last write */
	double *us[ACTIONS];   /* one a round */
};

static uint64_t a_block(const struct subject *v, uint64_t i)
{
	return v->size == v->blocks * BLOCK ? i % v->blocks
					    : scattered_block(v->size, v->blocks, i % v->blocks);
}

/* ---- snapshot, clone, rollback ------------------------------------------------------------- */

static double us_since(uint64_t from)
{
	return (double)(now_ns() - from) / 1e3;
}

/* One of each; what was written since the snapshot must be gone after the rollback. */
static void one_round(struct cowbd_pool *p, struct subject *v, unsigned round, unsigned flags,
		      size_t i)
{
	char snap[80], clone[80];
	const char *snaps[] = {snap}, *clones[] = {clone};
	uint64_t block = a_block(v, round * UINT64_C(7919)), from;

	snprintf(snap, sizeof snap, "%s@round-%u-%u", v->name, flags, round);
	snprintf(clone, sizeof clone, "%s-clone-%u-%u", v->name, flags, round);
	write_block(p, v->name, block, ++v->version);

	from = now_ns();
	must(cowbd_snapshot(p, snaps, 1, COWBD_LABEL_CRASH, flags), "snapshot");
	v->us[SNAPSHOT][i] = us_since(from);
	write_block(p, v->name, block, v->version + 1000000);

	from = now_ns();
	must(cowbd_clone(p, snap, clones, 1, 0, flags), "clone");
	v->us[CLONE][i] = us_since(from);

	from = now_ns();
	must(cowbd_rollback(p, snap, NULL, flags), "rollback");
	v->us[ROLLBACK][i] = us_since(from);

	expect_block(p, v->name, block, v->version);
	expect_block(p, clone, block, v->version);
	must(cowbd_remove(p, clones, 1, COWBD_NO_WAIT), "rm");
}

/* A flush with one written block, for comparison. */
static double flush_us(struct cowbd_pool *p, struct subject *v, unsigned round)
{
	uint64_t buf[BLOCK / sizeof(uint64_t)], from,
		block = a_block(v, round * UINT64_C(104729) + 1);
	struct cowbd_client *c;
	double us;

	stamp_block(buf, block, ++v->version);
	must(cowbd_client_open(p, v->name, false, NULL, &c), v->name);
	must(cowbd_write(c, buf, sizeof buf, block * BLOCK, 0), "write");
	from = now_ns();
	must(cowbd_flush(c), "flush");
	us = us_since(from);
	cowbd_client_close(c);
	return us;
}

static void new_samples(struct subject *v)
{
	for (unsigned a = 0; a < ACTIONS; a++) {
		v->us[a] = calloc(ROUNDS_MAX, sizeof *v->us[a]);
		must(v->us[a] ? 0 : fail(-ENOMEM, "no memory for samples"), "samples");
	}
}

static void free_samples(struct subject *v)
{
	for (unsigned a = 0; a < ACTIONS; a++)
		free(v->us[a]);
}

static void report_action(struct subject v[2], enum action a, unsigned n)
{
	double median[2];

	for (unsigned k = 0; k < 2; k++) {
		char name[80], note[80];

		median[k] = quantile(v[k].us[a], n, 0.5);
		snprintf(name, sizeof name, "%s --no-wait, %s", action_names[a], v[k].shape);
		snprintf(note, sizeof note, "p99 %.3f, worst %.3f of %u",
			 v[k].us[a][n * 99 / 100] / 1e3, v[k].us[a][n - 1] / 1e3, n);
		report_figure(&(struct figure){name, "ms", median[k] / 1e3, AT_MOST, 1,
					       TIME_HOW_FAR, note});
		snprintf(name, sizeof name, "%s --no-wait, p99, %s", action_names[a], v[k].shape);
		report_figure(&(struct figure){name, "ms", v[k].us[a][n * 99 / 100] / 1e3, AT_MOST,
					       0.2, 100 * TIME_HOW_FAR, NULL});
	}
	char name[80];

	snprintf(name, sizeof name, "%s: %s / %s", action_names[a], v[1].shape, v[0].shape);
	report_figure(&(struct figure){name, "x", median[1] / median[0], AT_MOST, 1.5, TIME_HOW_FAR,
				       "the same within noise"});
}

static void measure_no_wait(struct cowbd_pool *p, struct subject v[2], unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++)
		for (unsigned k = 0; k < 2; k++)
			one_round(p, &v[(i + k) % 2], i, COWBD_NO_WAIT, i);
	for (enum action a = 0; a < ACTIONS; a++)
		report_action(v, a, rounds);
}

static void measure_durable(struct cowbd_pool *p, struct subject v[2], unsigned rounds)
{
	double flush[2][ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++)
		for (unsigned k = 0; k < 2; k++) {
			unsigned which = (i + k) % 2;

			flush[which][i] = flush_us(p, &v[which], i);
			one_round(p, &v[which], i, 0, i);
		}
	for (enum action a = 0; a < ACTIONS; a++)
		for (unsigned k = 0; k < 2; k++) {
			double us = quantile(v[k].us[a], rounds, 0.5),
			       base = quantile(flush[k], rounds, 0.5);
			char name[80], note[80];

			snprintf(name, sizeof name, "durable %s / one flush, %s", action_names[a],
				 v[k].shape);
			snprintf(note, sizeof note, "%.3f ms, flush %.3f ms", us / 1e3, base / 1e3);
			report_figure(&(struct figure){name, "x", us / base, AT_MOST, 1.5,
						       TIME_HOW_FAR, note});
		}
}

/* ---- ten thousand snapshots --------------------------------------------------------------------- */

static double one_more(struct cowbd_pool *p, struct subject *v, unsigned i)
{
	char snap[80];
	const char *snaps[] = {snap};
	uint64_t from;

	write_block(p, v->name, a_block(v, i * UINT64_C(7919)), ++v->version);
	snprintf(snap, sizeof snap, "%s@%u", v->name, i);
	from = now_ns();
	must(cowbd_snapshot(p, snaps, 1, COWBD_LABEL_CRASH, COWBD_NO_WAIT), "snapshot");
	return us_since(from);
}

static void measure_many(struct cowbd_pool *p, struct subject *v, unsigned n)
{
	CLEANUP_FREE double *us = calloc(n, sizeof *us);
	unsigned end = n / 10;
	uint64_t from = now_ns();
	char name[80], note[120];
	double first, last, took;

	must(us ? 0 : fail(-ENOMEM, "no memory for samples"), "samples");
	for (unsigned i = 0; i < n; i++)
		us[i] = one_more(p, v, i);
	took = seconds_since(from);
	last = quantile(us + n - end, end, 0.5);
	snprintf(note, sizeof note,
		 "median of the last %u; p99 %.3f; all %u took %.1f s with their writes", end,
		 us[n - end + end * 99 / 100] / 1e3, n, took);
	first = quantile(us, end, 0.5);
	snprintf(name, sizeof name, "snapshot number %u, %s", n, v->shape);
	report_figure(&(struct figure){name, "ms", last / 1e3, AT_MOST, 1, TIME_HOW_FAR, note});
	snprintf(name, sizeof name, "the last %u snapshots / the first %u", end, end);
	report_figure(&(struct figure){name, "x", last / first, AT_MOST, 1.5, TIME_HOW_FAR, ""});
}

static void measure_clones(struct cowbd_pool *p, const struct subject *v)
{
	static char names[CLONES][32];
	static const char *list[CLONES];
	uint64_t from;
	char note[80];
	double took;

	for (unsigned i = 0; i < CLONES; i++) {
		snprintf(names[i], sizeof names[i], "many-%u", i);
		list[i] = names[i];
	}
	from = now_ns();
	must(cowbd_clone(p, "large@0", list, CLONES, 0, 0), "clone");
	took = seconds_since(from);
	expect_block(p, names[CLONES - 1], a_block(v, v->blocks / 2 + 1), 0);
	from = now_ns();
	must(cowbd_remove(p, list, CLONES, COWBD_NO_WAIT), "rm");
	snprintf(note, sizeof note, "durable, one group; their rm --no-wait %.3f s",
		 seconds_since(from));
	report_figure(&(struct figure){"clone -n 1000, 16 TiB", "s", took, AT_MOST, 0.3,
				       TIME_HOW_FAR, note});
}

/* ---- opening ------------------------------------------------------------------------------------- */

/* What the host's cache knows of the file, it forgets. */
static void forget(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

static struct cowbd_pool *measure_open(const struct setting *s, struct cowbd_pool *p,
				       const char *path)
{
	double open_s[5], close_s[5];
	struct cowbd_pool_info info;
	char name[80], note[80];

	for (unsigned i = 0; i < ARRAY_SIZE(open_s); i++) {
		uint64_t from = now_ns();

		must(cowbd_close(p), "close");
		close_s[i] = seconds_since(from);
		forget(path);
		from = now_ns();
		p = open_pool(s, path);
		open_s[i] = seconds_since(from);
		cowbd_pool_info(p, &info);
		if (!info.was_clean)
			wrong("a pool that was closed is not clean");
	}
	must(cowbd_start(p), "start");
	snprintf(name, sizeof name, "open a closed pool, %" PRIu64 " snapshots and a 16 TiB volume",
		 info.snapshots);
	snprintf(note, sizeof note, "first open after the load %.3f", open_s[0]);
	report_figure(&(struct figure){name, "s", quantile(open_s, ARRAY_SIZE(open_s), 0.5),
				       AT_MOST, 1, TIME_HOW_FAR, note});
	snprintf(note, sizeof note, "after the load, with its checkpoint; idle %.3f",
		 quantile(close_s + 1, ARRAY_SIZE(close_s) - 1, 0.5));
	report_figure(&(struct figure){"close it", "s", close_s[0], NO_TARGET, 0, 0, note});
	return p;
}

/* ---- deleting everything ---------------------------------------------------------------------------- */

static void expect_clean(const char *path)
{
	struct cowbd_check_result found;
	uint64_t from = now_ns();
	char note[80];

	must(cowbd_check(path, &(struct cowbd_check_options){0}, &found), "check");
	if (found.damages || found.leaks)
		wrong("check found %" PRIu64 " damages, %" PRIu64 " leaks", found.damages,
		      found.leaks);
	snprintf(note, sizeof note, "clean; %" PRIu64 " pages, %" PRIu64 " blocks", found.pages,
		 found.blocks);
	report_figure(&(struct figure){"check of the closed pool", "s", seconds_since(from),
				       NO_TARGET, 0, 0, note});
}

/* Giving space back is paced, in the background. */
static double wait_for_space(const char *path, uint64_t enough)
{
	uint64_t from = now_ns();

	while (space_taken(path) > enough && seconds_since(from) < PATIENCE_S)
		usleep(50000);
	return seconds_since(from);
}

static struct cowbd_pool *delete_all(struct cowbd_pool *p, const char *path, uint64_t new_bytes,
				     const struct cowbd_pool_info *new_info)
{
	static const char *const names[] = {"small", "large"};
	struct cowbd_pool_info info;
	uint64_t from = now_ns(), before = space_taken(path), after;
	char note[120];
	double rm, reclaim, give;

	must(cowbd_remove(p, names, ARRAY_SIZE(names), COWBD_RECURSIVE | COWBD_NO_WAIT), "rm -r");
	rm = seconds_since(from);
	must(cowbd_reclaim_wait(p), "reclaim");
	reclaim = seconds_since(from);
	cowbd_pool_info(p, &info);
	if (info.used_blocks || info.metadata_bytes != new_info->metadata_bytes || info.volumes ||
	    info.snapshots)
		wrong("after deleting all, %" PRIu64 " blocks and %" PRIu64
		      " bytes of metadata are used (new: %" PRIu64 ")",
		      info.used_blocks, info.metadata_bytes, new_info->metadata_bytes);
	give = wait_for_space(path, new_bytes + NEAR_BYTES);
	after = space_taken(path);
	report_figure(&(struct figure){"delete all: rm -r returns in", "ms", rm * 1e3, NO_TARGET, 0,
				       0, ""});
	snprintf(note, sizeof note,
		 "all blocks and map pages free; %" PRIu64 " blocks reclaimed since opening",
		 info.blocks_reclaimed);
	report_figure(&(struct figure){"reclaimed in", "s", reclaim, NO_TARGET, 0, 0, note});
	snprintf(note, sizeof note, "%.0f MiB, %.0f when new, %.0f before; %.1f s behind reclaim",
		 (double)after / MIB, (double)new_bytes / MIB, (double)before / MIB, give);
	report_figure(&(struct figure){"space of the emptied pool above that of a new one", "MiB",
				       ((double)after - (double)new_bytes) / MIB, AT_MOST,
				       (double)NEAR_BYTES / MIB, SIZE_HOW_FAR, note});
	return p;
}

/* ---- the part ------------------------------------------------------------------------------------------- */

void part_instant(const struct setting *s)
{
	struct subject v[2] = {
		{.name = "small", .shape = "full 1 GiB", .size = GIB},
		{.name = "large", .shape = "sparse 16 TiB", .size = LARGE_BYTES},
	};
	struct cowbd_pool_info new_info;
	struct cowbd_pool *p;
	uint64_t new_bytes;
	char path[4096];

	if (s->quick) {
		v[0].size = 64 * MIB;
		v[0].shape = "full 64 MiB";
	}
	v[0].blocks = v[0].size / BLOCK;
	v[1].blocks = s->quick ? 5000 : 100000;
	new_samples(&v[0]);
	new_samples(&v[1]);
	pool_path(s, "instant", path);
	make_pool(path, POOL_BYTES, s->quick ? 16 * MIB : 0);
	p = open_pool(s, path);
	cowbd_pool_info(p, &new_info);
	must(cowbd_close(p), "close");
	new_bytes = space_taken(path);
	p = open_pool(s, path);
	must(cowbd_start(p), "start");
	make_full(p, v[0].name, v[0].size);
	make_scattered(p, v[1].name, v[1].size, v[1].blocks);

	measure_no_wait(p, v, s->quick ? 50 : ROUNDS_MAX);
	measure_durable(p, v, s->quick ? 9 : 51);
	measure_many(p, &v[1], s->quick ? 500 : 10000);
	measure_clones(p, &v[1]);
	p = measure_open(s, p, path);
	p = delete_all(p, path, new_bytes, &new_info);
	must(cowbd_close(p), "close");
	expect_clean(path);
	free_samples(&v[0]);
	free_samples(&v[1]);
}
