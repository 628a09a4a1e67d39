/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures.h - what the parts of `make figures` share
 *
 * Each part runs in a child process of its own, in a directory of its own, and says what it measured
 * by report_figure; the parent prints the table.  A part that ends otherwise than by returning has
 * found a wrong result.
 */
#ifndef COWBD_FIGURES_H
#define COWBD_FIGURES_H

#include <stdnoreturn.h>

#include "base.h"
#include "cowbd.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define BLOCK 4096u

struct setting {
	bool quick;
	char dir[4000];     /* of this part's files */
	char run_dir[256];  /* on a tmpfs where there is one: tails and sockets */
	const char *plugin; /* path of nbdkit-cowbd-plugin.so */
};

/* What a figure is held against. */
enum sense { NO_TARGET, AT_MOST, AT_LEAST };

/* how_far: so many times its target is no longer noise but wrong, and ends with status 1.  note: "" none. */
struct figure {
	const char *name, *unit;
	double value;
	enum sense sense;
	double target, how_far;
	const char *note;
};

#define TIME_HOW_FAR 10.0 /* a machine that does other things, too */
#define SIZE_HOW_FAR 2.0  /* memory and space don't depend on who else is there */

void report_figure(const struct figure *f);

/* A part, or some of it, can't run here. */
void report_skipped(const char *what, const char *why);

/* A wrong result: says so and ends the part. */
noreturn void wrong(const char *format, ...) PRINTF(1, 2);

/* Ends the part unless r is 0: what could not be done, and cowbd_error(). */
void must(int r, const char *what);

/* ---- parts ------------------------------------------------------------------------ */

void part_check(const struct setting *s);   /* figures_check.c */
void part_instant(const struct setting *s); /* figures_instant.c */
void part_kill(const struct setting *s);    /* figures_kill.c */
void part_memory(const struct setting *s);  /* figures_memory.c */
void part_nbd(const struct setting *s);     /* figures_nbd.c */

/* ---- tools (figures_tools.c) --------------------------------------------------------- */

uint64_t next_random(uint64_t *state);

/* A block whose content tells where and when it was written. */
void stamp_block(void *buf, uint64_t block, uint64_t version);
bool block_has_stamp(const void *buf, uint64_t block, uint64_t version);

/* path must hold 4096 bytes. */
void pool_path(const struct setting *s, const char *name, char *path);
void make_pool(const char *path, uint64_t size, uint64_t journal_bytes);
struct cowbd_pool *open_pool(const struct setting *s, const char *path);

/* Creates a volume and writes [0, size), or, spread over it, blocks single blocks, all version 0. */
void make_full(struct cowbd_pool *p, const char *name, uint64_t size);
void make_scattered(struct cowbd_pool *p, const char *name, uint64_t size, uint64_t blocks);

/* The i-th of n blocks that are spread over a volume. */
uint64_t scattered_block(uint64_t size, uint64_t n, uint64_t i);

void write_block(struct cowbd_pool *p, const char *volume, uint64_t block, uint64_t version);
void expect_block(struct cowbd_pool *p, const char *name, uint64_t block, uint64_t version);

/* Bytes of the host's space that a file takes. */
uint64_t space_taken(const char *path);

/* The most memory that a process has had resident, bytes (VmHWM). */
uint64_t peak_memory(pid_t pid);

/* The p-th part (0.5: median) of n values, which are sorted. */
double quantile(double *values, size_t n, double p);

static inline double seconds_since(uint64_t from_ns)
{
	return (double)(now_ns() - from_ns) / 1e9;
}

#endif
