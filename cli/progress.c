/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * progress.c - a bar on the terminal for what can take more than a second
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define INTERVAL_MS 100
#define DELAY_MS 500 /* what is over sooner needs no bar */
#define BAR 30

static bool drawn;
static int64_t started_ms, drawn_ms;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void draw_known(const char *what, uint64_t done, uint64_t total)
{
	double part = done >= total ? 1.0 : (double)done / (double)total;
	int64_t spent = drawn_ms - started_ms;
	char bar[BAR + 1];
	int filled = (int)(part * BAR);

	memset(bar, '.', BAR);
	memset(bar, '#', (size_t)filled);
	bar[BAR] = '\0';
	fprintf(stderr, "\r%s [%s] %3d%%", what, bar, (int)(part * 100));
	if (part > 0.01)
		fprintf(stderr, " %" PRId64 " s left \033[K",
			(int64_t)((double)spent * (1 - part) / part / 1000));
}

void progress_show(const char *what, uint64_t done, uint64_t total)
{
	int64_t now = now_ms();
	char size[SIZE_TEXT];

	if (!started_ms)
		started_ms = now;
	if (now - drawn_ms < INTERVAL_MS || now - started_ms < DELAY_MS || !isatty(STDERR_FILENO))
		return;
	drawn_ms = now;
	drawn = true;
	if (total)
		draw_known(what, done, total);
	else
		fprintf(stderr, "\r%s %s\033[K", what, size_text(done, false, size));
	fflush(stderr);
}

void progress_end(void)
{
	if (drawn)
		fputs("\r\033[K", stderr);
	drawn = false;
	started_ms = 0;
}

void progress_admin(void *opaque, json_t *progress)
{
	const char *what = json_string_value(json_object_get(progress, "what"));

	(void)opaque;
	if (json_object_get(progress, "passes")) {
		note("the counts do not fit into memory at once: %d passes over the maps",
		     (int)json_integer_value(json_object_get(progress, "passes")));
		return;
	}
	progress_show(what ? what : "working",
		      (uint64_t)json_integer_value(json_object_get(progress, "done")),
		      (uint64_t)json_integer_value(json_object_get(progress, "total")));
}
