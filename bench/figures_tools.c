/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures_tools.c - pools, volumes and numbers for the parts of `make figures`
 */
#include "figures.h"

#include <stdio.h>
#include <sys/stat.h>

#define CHUNK MIB

uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ---- blocks that tell what they are --------------------------------------------------- */

void stamp_block(void *buf, uint64_t block, uint64_t version)
{
	uint64_t *word = buf, state = (block + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (version + 1);

	word[0] = block;
	word[1] = version;
	for (size_t i = 2; i < BLOCK / sizeof *word; i++)
		word[i] = next_random(&state);
}

bool block_has_stamp(const void *buf, uint64_t block, uint64_t version)
{
	uint64_t want[BLOCK / sizeof(uint64_t)];

	stamp_block(want, block, version);
	return memcmp(buf, want, sizeof want) == 0;
}

void write_block(struct cowbd_pool *p, const char *volume, uint64_t block, uint64_t version)
{
	uint64_t buf[BLOCK / sizeof(uint64_t)];
	struct cowbd_client *c;

	stamp_block(buf, block, version);
	must(cowbd_client_open(p, volume, false, NULL, &c), volume);
	must(cowbd_write(c, buf, sizeof buf, block * BLOCK, 0), "write");
	cowbd_client_close(c);
}

void expect_block(struct cowbd_pool *p, const char *name, uint64_t block, uint64_t version)
{
	uint64_t buf[BLOCK / sizeof(uint64_t)];
	struct cowbd_client *c;

	must(cowbd_client_open(p, name, true, NULL, &c), name);
	must(cowbd_read(c, buf, sizeof buf, block * BLOCK), "read");
	cowbd_client_close(c);
	if (!block_has_stamp(buf, block, version))
		wrong("block %" PRIu64 " of %s is not version %" PRIu64, block, name, version);
}

/* ---- pools and volumes ------------------------------------------------------------------- */

void pool_path(const struct setting *s, const char *name, char *path)
{
	snprintf(path, 4096, "%s/%s.cowbd", s->dir, name);
}

void make_pool(const char *path, uint64_t size, uint64_t journal_bytes)
{
	struct cowbd_init_options opt = {.size = size, .journal_bytes = journal_bytes};

	must(cowbd_init(path, &opt), "init");
}

struct cowbd_pool *open_pool(const struct setting *s, const char *path)
{
	struct cowbd_open_options opt = {.run_dir = s->run_dir};
	struct cowbd_pool *p;

	must(cowbd_open(path, &opt, &p), "open");
	return p;
}

void make_full(struct cowbd_pool *p, const char *name, uint64_t size)
{
	CLEANUP_FREE uint8_t *buf = malloc(CHUNK);
	struct cowbd_client *c;

	must(buf ? 0 : -ENOMEM, "memory");
	must(cowbd_create(p, name, size, 0, 0), "create");
	must(cowbd_client_open(p, name, false, NULL, &c), name);
	for (uint64_t at = 0; at < size; at += CHUNK) {
		for (uint64_t i = 0; i < CHUNK / BLOCK; i++)
			stamp_block(buf + i * BLOCK, at / BLOCK + i, 0);
		must(cowbd_write(c, buf, CHUNK, at, 0), "write");
	}
	must(cowbd_flush(c), "flush");
	cowbd_client_close(c);
}

uint64_t scattered_block(uint64_t size, uint64_t n, uint64_t i)
{
	uint64_t stride = size / BLOCK / n, state = i + 1;

	(void)next_random(&state);
	return i * stride + next_random(&state) % stride;
}

void make_scattered(struct cowbd_pool *p, const char *name, uint64_t size, uint64_t blocks)
{
	uint64_t buf[BLOCK / sizeof(uint64_t)];
	struct cowbd_client *c;

	must(cowbd_create(p, name, size, 0, 0), "create");
	must(cowbd_client_open(p, name, false, NULL, &c), name);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t block = scattered_block(size, blocks, i);

		stamp_block(buf, block, 0);
		must(cowbd_write(c, buf, sizeof buf, block * BLOCK, 0), "write");
	}
	must(cowbd_flush(c), "flush");
	cowbd_client_close(c);
}

/* ---- numbers --------------------------------------------------------------------------------- */

uint64_t space_taken(const char *path)
{
	struct stat st;

	must(stat(path, &st) < 0 ? fail(-errno, "%s: %s", path, strerror(errno)) : 0, "stat");
	return (uint64_t)st.st_blocks * 512;
}

uint64_t peak_memory(pid_t pid)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmHWM: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	if (!kib)
		wrong("%s doesn't say VmHWM", path);
	return kib * KIB;
}

static int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double quantile(double *values, size_t n, double p)
{
	qsort(values, n, sizeof *values, compare_doubles);
	return values[MIN((size_t)((double)n * p), n - 1)];
}
