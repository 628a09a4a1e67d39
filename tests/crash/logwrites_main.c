/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * logwrites - looks at a log of the kernel's dm-log-writes target, and replays it
 *
 *	logwrites list LOG
 *	logwrites cuts LOG
 *	logwrites replay LOG FILE [--upto N | --mark TEXT] [--lose SEED] [--size BYTES]
 *
 * list: a line an entry: number, first byte and bytes on the device, flags (flush fua discard mark
 * meta), a mark's text.  cuts: the numbers N at which a replay is worth a look: behind each flush, FUA write
 * and mark, and the end.
 *
 * replay: does the entries 0 .. N-1 to FILE (default: all); with --mark those before the first mark
 * of that text.  FILE is what the device held before the log began; it is made, and given a size
 * by --size, if it is not there.  LOG and FILE may be block devices.  With --lose the power goes after entry N-1: of
 * the writes and discards behind the last flush, those without FUA, a selection that follows from SEED is left out.
 * Prints "applied A of N entries, L lost".
 *
 * For a test in a virtual machine: log a pool's device with dm-log-writes (dmsetup create ... log-writes DEV LOG;
 * marks by dmsetup message ... 0 mark TEXT), remove the target, then for N of `cuts`:
 *	cp before.img image; logwrites replay LOG image --upto N --lose N; cowbd -p image check ...
 *
 * Status 0 done, 1 failed, 64 usage.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>

#include "logwrites.h"

struct choice {
	uint64_t upto, seed, size;
	const char *mark;
	bool lose;
};

static int failed(void)
{
	fprintf(stderr, "logwrites: %s\n", error_message());
	return 1;
}

static int list(struct logw *l)
{
	static const char *const names[] = {"flush", "fua", "discard", "mark", "meta"};
	const struct logw_entry *e;

	printf("# %" PRIu64 " entries, sectors of %u bytes\n", l->entries, l->sector_bytes);
	while (logw_next(l, &e) == 0 && e) {
		printf("%" PRIu64 " %" PRIu64 " %" PRIu64, e->number, e->offset, e->length);
		for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
			if (e->flags >> i & 1)
				printf(" %s", names[i]);
		printf(e->mark[0] ? " %s\n" : "\n", e->mark);
	}
	return l->next < l->entries ? failed() : 0;
}

static int cuts(struct logw *l)
{
	const struct logw_entry *e;

	while (logw_next(l, &e) == 0 && e)
		if (e->flags & (LOGW_FLUSH | LOGW_FUA | LOGW_MARK) || e->number + 1 == l->entries)
			printf("%" PRIu64 "\n", e->number + 1);
	return l->next < l->entries ? failed() : 0;
}

/* Where the replay ends, and the first entry that a cut there may undo. */
static int find_end(struct logw *l, const struct choice *c, uint64_t *ret_end, uint64_t *ret_loose)
{
	const struct logw_entry *e;
	uint64_t loose = 0;
	int r;

	while ((r = logw_next(l, &e)) == 0 && e && e->number < c->upto) {
		if (c->mark && e->flags & LOGW_MARK && strcmp(e->mark, c->mark) == 0) {
			*ret_end = e->number;
			*ret_loose = loose;
			return 0;
		}
		if (e->flags & LOGW_FLUSH)
			loose = e->number + 1;
	}
	if (r == 0 && c->mark)
		r = fail(-ENOENT, "the log has no mark \"%s\"", c->mark);
	*ret_end = MIN(c->upto, l->next);
	*ret_loose = loose;
	return r;
}

static bool coin(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return (z ^ z >> 27) >> 40 & 1;
}

static int replay(struct logw *l, const char *path, const struct choice *c)
{
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t end = 0, loose = 0, applied = 0, lost = 0, random = c->seed;
	const struct logw_entry *e;
	int r = fd < 0 ? fail(-errno, "%s: %m", path) : find_end(l, c, &end, &loose);

	if (r == 0 && c->size && ftruncate(fd, (off_t)c->size) < 0)
		r = fail(-errno, "%s: %m", path);
	logw_rewind(l);
	for (uint64_t i = 0; i < end && r == 0; i++) {
		r = logw_next(l, &e);
		if (r < 0 || !e->length)
			continue;
		if (c->lose && e->number >= loose && !(e->flags & LOGW_FUA) && coin(&random)) {
			lost++;
			continue;
		}
		r = logw_apply(l, e, fd);
		applied++;
	}
	if (r < 0)
		return failed();
	printf("applied %" PRIu64 " of %" PRIu64 " entries, %" PRIu64 " lost\n", applied, end,
	       lost);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: logwrites list LOG | cuts LOG | replay LOG FILE [--upto N | "
			"--mark TEXT] [--lose SEED] [--size BYTES]\n");
	return 64;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {{"upto", 1, 0, 'u'},
					      {"mark", 1, 0, 'm'},
					      {"lose", 1, 0, 'l'},
					      {"size", 1, 0, 's'},
					      {0}};
	struct choice choice = {.upto = UINT64_MAX};
	struct logw *l;
	int c, r = 64;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (c) {
		case 'u': choice.upto = strtoull(optarg, NULL, 0); break;
		case 'm': choice.mark = optarg; break;
		case 'l':
			choice.lose = true;
			choice.seed = strtoull(optarg, NULL, 0);
			break;
		case 's': choice.size = strtoull(optarg, NULL, 0); break;
		default: return usage();
		}
	argc -= optind;
	argv += optind;
	if (argc < 2 || argc != (strcmp(argv[0], "replay") == 0 ? 3 : 2))
		return usage();
	if (logw_open(argv[1], &l) < 0)
		return failed();
	if (strcmp(argv[0], "list") == 0)
		r = list(l);
	else if (strcmp(argv[0], "cuts") == 0)
		r = cuts(l);
	else if (strcmp(argv[0], "replay") == 0)
		r = replay(l, argv[2], &choice);
	else
		r = usage();
	logw_close(l);
	return r;
}
