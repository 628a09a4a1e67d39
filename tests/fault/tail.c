/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tail.c - the tails' files as they were at a moment
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "fault.h"

char dir[64];

void each_tail(tail_visit visit, void *opaque)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	char path[400];

	while (d && (entry = readdir(d))) {
		size_t len = strlen(entry->d_name);

		if (len < 5 || strcmp(entry->d_name + len - 5, ".tail") != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		visit(path, opaque);
	}
	if (d)
		closedir(d);
}

void keep_tail(const char *path, void *opaque)
{
	static unsigned number;
	struct tails *t = opaque;
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || t->n == TAILS_MAX)
		return;
	t->bytes[t->n] = calloc(1, TAIL_KEPT);
	snprintf(t->path[t->n], sizeof t->path[0], "%s", path);
	snprintf(t->kept[t->n], sizeof t->kept[0], "%s/kept-%u", dir, number++);
	if (!t->bytes[t->n] || pread(fd, t->bytes[t->n], TAIL_KEPT, 0) != (ssize_t)TAIL_KEPT ||
	    link(path, t->kept[t->n]) < 0)
		abort();
	t->n++;
}

void remove_tail(const char *path, void *opaque)
{
	(void)opaque;
	(void)unlink(path);
}

void tails_restore(const struct tails *t)
{
	each_tail(remove_tail, NULL);
	for (unsigned i = 0; i < t->n; i++) {
		CLEANUP_CLOSE int fd = open(t->kept[i], O_RDWR | O_CLOEXEC);

		if (fd < 0 || pwrite(fd, t->bytes[i], TAIL_KEPT, 0) != (ssize_t)TAIL_KEPT ||
		    link(t->kept[i], t->path[i]) < 0)
			abort();
	}
}

void tails_fini(struct tails *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		(void)unlink(t->kept[i]);
		free(t->bytes[i]);
	}
	t->n = 0;
}
