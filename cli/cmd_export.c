/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_export.c - cowbd export: writes a volume or snapshot to a file, sparse
 *
 *	file     a new one beside it, renamed into place when it is complete and durable
 *	device   in place, with --force; what the volume has as zero is zeroed there
 *	"-" or a pipe   everything in order, zeros too
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum target_kind { TARGET_FILE, TARGET_DEVICE, TARGET_STREAM };

struct export
{
	const struct call *c;
	struct session s;
	struct disk *disk;
	enum target_kind kind;
	const char *path;
	char *temporary; /* name of the file until it is complete */
	int fd;
	uint64_t written; /* bytes of data */
	char *buf;        /* COPY_BYTES */
};

/* ---- targets ------------------------------------------------------------------------------ */

static int target_error(const struct export *x)
{
	if (errno == ENOSPC || errno == EDQUOT)
		return complain("%s: no space left for it: make room and export again", x->path);
	return complain("%s: %s", x->path, strerror(errno));
}

static int open_temporary(struct export *x)
{
	mode_t mask = umask(0);

	umask(mask);
	if (asprintf(&x->temporary, "%s.XXXXXX", x->path) < 0) {
		x->temporary = NULL;
		return complain("no memory for a path");
	}
	x->fd = mkostemp(x->temporary, O_CLOEXEC);
	if (x->fd < 0) {
		free(x->temporary);
		x->temporary = NULL;
		return target_error(x);
	}
	if (fchmod(x->fd, 0666 & ~mask) < 0 || ftruncate(x->fd, (off_t)disk_size(x->disk)) < 0)
		return target_error(x);
	return DONE;
}

static int open_device(struct export *x)
{
	uint64_t size;

	if (!x->c->opt[OPT_FORCE])
		return complain("%s is a device: --force overwrites what is on it", x->path);
	x->fd = open(x->path, O_WRONLY | O_EXCL | O_CLOEXEC);
	if (x->fd < 0)
		return target_error(x);
	if (ioctl(x->fd, BLKGETSIZE64, &size) < 0)
		return target_error(x);
	if (size < disk_size(x->disk))
		return complain("%s has %" PRIu64 " bytes and %s %" PRIu64 ": take a larger device",
				x->path, size, x->c->words[0], disk_size(x->disk));
	return DONE;
}

static int open_target(struct export *x)
{
	struct stat st;

	if (strcmp(x->path, "-") == 0) {
		x->kind = TARGET_STREAM;
		x->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		x->path = "standard output";
		if (isatty(STDOUT_FILENO))
			return complain(
				"a disk's bytes do a terminal no good: redirect the output");
		return x->fd < 0 ? target_error(x) : DONE;
	}
	if (stat(x->path, &st) < 0)
		return errno == ENOENT ? open_temporary(x) : target_error(x);
	if (S_ISBLK(st.st_mode)) {
		x->kind = TARGET_DEVICE;
		return open_device(x);
	}
	if (S_ISREG(st.st_mode)) {
		if (!x->c->opt[OPT_FORCE])
			return complain("%s exists: --force replaces it", x->path);
		return open_temporary(x);
	}
	if (S_ISDIR(st.st_mode))
		return complain("%s is a directory: give a file", x->path);
	x->kind = TARGET_STREAM;
	x->fd = open(x->path, O_WRONLY | O_CLOEXEC);
	return x->fd < 0 ? target_error(x) : DONE;
}

/* ---- copying --------------------------------------------------------------------------------- */

static int write_at(struct export *x, const char *buf, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = x->kind == TARGET_STREAM ? write(x->fd, buf, len)
						     : pwrite(x->fd, buf, len, (off_t)offset);

		if (n < 0 && errno == EINTR && !interrupted())
			continue;
		if (n < 0)
			return interrupted() ? FAILED : target_error(x);
		buf += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return DONE;
}

/* What the volume has not: nothing to do in a new file. */
static int put_hole(struct export *x, uint64_t offset, uint64_t end)
{
	if (x->kind == TARGET_FILE)
		return DONE;
	if (x->kind == TARGET_DEVICE) {
		uint64_t range[2] = {offset, end - offset};

		if (ioctl(x->fd, BLKZEROOUT, range) == 0)
			return DONE;
	}
	memset(x->buf, 0, COPY_BYTES);
	while (offset < end && !interrupted()) {
		size_t len = end - offset < COPY_BYTES ? (size_t)(end - offset) : COPY_BYTES;
		int status = write_at(x, x->buf, len, offset);

		if (status)
			return status;
		offset += len;
	}
	return DONE;
}

/* Writes len bytes of x->buf, in a file without the granules that are all zero. */
static int put_data(struct export *x, size_t len, uint64_t offset)
{
	size_t at = 0;

	while (at < len) {
		size_t piece = len - at < GRANULE_BYTES ? len - at : GRANULE_BYTES, end = at;
		int status;

		while (end < len && !(x->kind == TARGET_FILE && all_zero(x->buf + end, piece))) {
			end += piece;
			piece = len - end < GRANULE_BYTES ? len - end : GRANULE_BYTES;
		}
		if (end == at) {
			at += piece;
			continue;
		}
		status = write_at(x, x->buf + at, end - at, offset + at);
		if (status)
			return status;
		x->written += end - at;
		at = end;
	}
	return DONE;
}

static int copy_data(struct export *x, uint64_t offset, uint64_t end)
{
	while (offset < end && !interrupted()) {
		size_t len = end - offset < COPY_BYTES ? (size_t)(end - offset) : COPY_BYTES;
		int status = disk_read(x->disk, x->buf, len, offset);

		if (!status)
			status = put_data(x, len, offset);
		if (status)
			return status;
		offset += len;
		progress_show("export", offset, disk_size(x->disk));
	}
	return DONE;
}

static int copy_all(struct export *x)
{
	uint64_t offset = 0, end, size = disk_size(x->disk);
	bool data;

	while (offset < size && !interrupted()) {
		int status = disk_extent(x->disk, offset, size, &end, &data);

		if (!status)
			status = data ? copy_data(x, offset, end) : put_hole(x, offset, end);
		if (status)
			return status;
		offset = end;
	}
	progress_end();
	return interrupted() ? complain("interrupted: %s is not complete", x->path) : DONE;
}

/* ---- the end ------------------------------------------------------------------------------------ */

/* Gives the file its name: in place of another, or only where there is none. */
static int rename_file(const char *from, const char *to, bool replace)
{
	if (replace)
		return rename(from, to);
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -1;
	/* a file system that can't: link never replaces */
	return link(from, to) < 0 ? -1 : unlink(from);
}

static int finish(struct export *x)
{
	if (x->kind != TARGET_STREAM && fsync(x->fd) < 0)
		return target_error(x);
	if (x->kind != TARGET_FILE)
		return DONE;
	if (rename_file(x->temporary, x->path, x->c->opt[OPT_FORCE] != NULL) < 0)
		return errno == EEXIST ? complain("%s exists now: --force replaces it", x->path)
				       : target_error(x);
	free(x->temporary);
	x->temporary = NULL;
	return DONE;
}

static int tell(struct export *x)
{
	SCOPED_JSON json_t *answer = NULL;

	if (!x->c->opt[OPT_JSON] || strcmp(x->c->words[1], "-") == 0)
		return DONE;
	answer = json_pack("{s:s, s:s, s:I, s:I}", "name", x->c->words[0], "file", x->path, "size",
			   (json_int_t)disk_size(x->disk), "written", (json_int_t)x->written);
	return print_json(answer);
}

static int run_export(struct export *x)
{
	int status = session_open(x->c, "info", &x->s);

	if (!status)
		status = disk_open(&x->s, x->c->words[0], true, &x->disk);
	if (!status)
		status = open_target(x);
	if (!status)
		status = copy_all(x);
	if (!status)
		status = finish(x);
	return status ? status : tell(x);
}

int cmd_export(const struct call *c)
{
	struct export x = {.c = c, .path = c->words[1], .fd = -1};
	int status = check_name(c->words[0]);

	if (status)
		return status;
	x.buf = malloc(COPY_BYTES);
	if (!x.buf)
		return complain("no memory for a buffer");
	interruption_catch();
	status = run_export(&x);
	if (x.temporary)
		unlink(x.temporary);
	if (x.fd >= 0)
		close(x.fd);
	free(x.temporary);
	disk_close(x.disk);
	free(x.buf);
	return session_close(&x.s, status);
}
