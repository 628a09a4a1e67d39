/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures_memory.c - resident memory while a volume of 16 TiB is written at random
 *
 * Every write needs a map page of its own, so this is the worst for the cache.  The pool is
 * a sparse file; it ends after a time, or when so much was really written.
 */
#include "figures.h"

#include <stdio.h>

#define POOL_BYTES (64 * GIB)
#define VOLUME_BYTES (16 * TIB)
#define WRITERS 4u
#define BOUND_BYTES (96 * MIB) /* cache bound + 32 MiB */
#define READ_BACK 500u

struct writer {
	pthread_t thread;
	struct cowbd_pool *pool;
	const char *path;
	uint64_t seed, until_ns, bytes_max;
	uint64_t n; /* written */
};

static uint64_t next_block(uint64_t *state)
{
	return next_random(state) % (VOLUME_BYTES / BLOCK);
}

static void *write_at_random(void *opaque)
{
	struct writer *w = opaque;
	uint64_t buf[BLOCK / sizeof(uint64_t)], state = w->seed;
	struct cowbd_client *c;

	must(cowbd_client_open(w->pool, "huge", false, NULL, &c), "huge");
	while (now_ns() < w->until_ns && (w->n % 1024 || space_taken(w->path) < w->bytes_max)) {
		uint64_t block = next_block(&state);

		stamp_block(buf, block, 0);
		must(cowbd_write(c, buf, sizeof buf, block * BLOCK, 0), "write");
		w->n++;
	}
	cowbd_client_close(c);
	return NULL;
}

static void expect_written(const struct writer *w)
{
	uint64_t state = w->seed, n = MIN(w->n, (uint64_t)READ_BACK);

	for (uint64_t i = 0; i < n; i++)
		expect_block(w->pool, "huge", next_block(&state), 0);
}

void part_memory(const struct setting *s)
{
	struct writer w[WRITERS];
	struct cowbd_pool_info info;
	struct cowbd_pool *p;
	uint64_t from, n = 0, peak;
	char path[4096], note[160];
	double took;

	pool_path(s, "memory", path);
	make_pool(path, POOL_BYTES, 0);
	p = open_pool(s, path);
	must(cowbd_start(p), "start");
	must(cowbd_create(p, "huge", VOLUME_BYTES, 0, 0), "create");
	from = now_ns();
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.pool = p,
				       .path = path,
				       .seed = i + 1,
				       .until_ns =
					       from + (s->quick ? 4 : 30) * UINT64_C(1000000000),
				       .bytes_max = s->quick ? GIB : 7 * GIB};
		must(-pthread_create(&w[i].thread, NULL, write_at_random, &w[i]), "thread");
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		n += w[i].n;
	}
	took = seconds_since(from);
	for (unsigned i = 0; i < WRITERS; i++)
		expect_written(&w[i]);
	peak = peak_memory(getpid());
	cowbd_pool_info(p, &info);
	snprintf(note, sizeof note,
		 "VmHWM; cache %.0f MiB; %" PRIu64 " writes in %.0f s, %" PRIu64 " checkpoints",
		 (double)info.cache_bytes / MIB, n, took, info.checkpoints);
	report_figure(&(struct figure){"resident, 16 TiB written at random (4 threads)", "MiB",
				       (double)peak / MIB, AT_MOST, (double)BOUND_BYTES / MIB,
				       SIZE_HOW_FAR, note});
	must(cowbd_close(p), "close");
}
