/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * probe.c - which pool is this file?  Without opening it, so also while it is served
 *
 * Reads the two copies of the superblock, past the page cache like everybody who
 * touches that zone (see format.h), and takes a lock on nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cowbd.h"
#include "format.h"

#define TRIES 4
#define TRY_US 5000

static int open_for_probe(const char *path, int *ret_fd)
{
	struct stat st;
	int fd;

	if (stat(path, &st) < 0)
		return fail(-errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return fail(-EINVAL, "%s is neither a file nor a block device: not a pool", path);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 && errno == EINVAL)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, "%s: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

static int read_copy(int fd, const char *path, unsigned slot, struct disk_super *s)
{
	uint64_t offset = page_offset(0, slot);
	ssize_t got = pread(fd, s, sizeof *s, (off_t)offset);

	if (got < 0)
		return fail(-errno, "%s: %s", path, strerror(errno));
	if (got != (ssize_t)sizeof *s)
		return fail(-EINVAL, "%s is too short for a pool", path);
	return super_check(s, offset);
}

/* What is said of a file with no good copy; err: of the copy that came closest. */
static int no_pool(const char *path, int err)
{
	char why[256];

	snprintf(why, sizeof why, "%s", error_message());
	if (err == -EINVAL)
		return fail(err, "%s is not a cowbd pool: `cowbd init` makes one", path);
	if (err == -EBADMSG || err == -EUCLEAN)
		return fail(
			err,
			"%s: no copy of the superblock is whole (%s): take the pool from a backup",
			path, why);
	if (err == -EOPNOTSUPP)
		return fail(err, "%s: %s", path, why);
	return err;
}

/* Either copy will do: identity never changes.  A copy may be caught half written by its daemon, so
 * it is looked at more than once before it counts as damaged. */
static int read_super(int fd, const char *path, struct disk_super *s, bool *ret_one_copy)
{
	int err[2] = {0, 0};
	unsigned good = 0;

	for (int i = 0; i < TRIES; i++) {
		err[1] = read_copy(fd, path, 1, s);
		err[0] = read_copy(fd, path, 0, s);
		good = err[0] ? 1 : 0;
		if (!err[0] && !err[1])
			break;
		usleep(TRY_US);
	}
	*ret_one_copy = err[0] || err[1];
	if (err[0] && err[1]) { /* a magic that is there says more than one that isn't */
		good = err[0] == -EINVAL && err[1] != -EINVAL;
		return no_pool(path, read_copy(fd, path, good, s));
	}
	return err[0] ? read_copy(fd, path, good, s) : 0;
}

static void uuid_text(const uint8_t uuid[16], char text[37])
{
	char *out = text;

	for (int i = 0; i < 16; i++)
		out += sprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			       uuid[i]);
}

int cowbd_probe(const char *path, struct cowbd_identity *ret_identity)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_FREE struct disk_super *s = NULL;
	struct cowbd_identity id = {0};
	struct stat st;
	int err = open_for_probe(path, &fd);

	if (err)
		return err;
	s = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	if (!s)
		return fail(-ENOMEM, "no memory for a page");
	err = read_super(fd, path, s, &id.one_copy);
	if (err)
		return err;
	if (fstat(fd, &st) < 0)
		return fail(-errno, "%s: %s", path, strerror(errno));
	uuid_text(s->uuid, id.uuid);
	snprintf(id.name, sizeof id.name, "%.*s", (int)sizeof s->name, (const char *)s->name);
	id.dev = st.st_dev;
	id.ino = st.st_ino;
	*ret_identity = id;
	return 0;
}
