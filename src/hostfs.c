/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostfs.c - what the file system under a pool can and can't do
 *
 * The largest file is found by trying it on an unnamed file, since it depends on block size
 * and features (ext4: 16 TiB less a block with 4 KiB blocks, 4 TiB with 1 KiB).  Only where a size
 * costs nothing: vfat fills a file that is made longer with zeros.
 */
#include "hostfs.h"

#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "store.h"

#define BTRFS_MAGIC 0x9123683e

static const struct hostfs known[] = {
	/* magic, name, holes, probe_size, syncs_ranges, write_syncs */
	{0xef53, "ext4", true, true, true, true},
	{0x58465342, "xfs", true, true, true, true},
	{BTRFS_MAGIC, "btrfs", true, true, false, true},
	{0xf2f52010, "f2fs", true, true, false, true},
	{0xca451a4e, "bcachefs", true, true, false, false},
	{0x01021994, "tmpfs", true, true, false, false},
	{0x794c7630, "overlay", true, true, false, false},
	{0x2fc12fc1, "zfs", true, true, false, false},
	{0x65735546, "fuse", true, false, false, false},
	{0x6969, "nfs", true, false, false, false},
	{0xff534d42, "cifs", true, false, false, false},
	{0xfe534d42, "smb2", true, false, false, false},
	{0x01021997, "9p", true, false, false, false},
	{0x00c36400, "ceph", true, false, false, false},
	{0x4d44, "vfat", false, false, false, false},
	{0x2011bab0, "exfat", false, false, false, false},
};
static const struct hostfs unknown = {.name = "unknown", .holes = true};

#define VFAT_FILE_MAX UINT64_C(0xffffffff)

const struct hostfs *hostfs_of(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return &unknown;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].magic == (uint32_t)fs.f_type)
			return &known[i];
	return &unknown;
}

void hostfs_no_cow(int fd)
{
	int flags;

	if (hostfs_of(fd)->magic == BTRFS_MAGIC && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags |= FS_NOCOW_FL;
		(void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

/* An unnamed file in the directory, or -1. */
static int open_unnamed(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || errno == EACCES || errno == EROFS ||
	    snprintf(path, sizeof path, "%s/.cowbd-XXXXXX", dir) >= (int)sizeof path)
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* Largest size up to most that ftruncate takes. */
static uint64_t largest_size(int fd, uint64_t most)
{
	uint64_t good = 0, bad = most;

	if (ftruncate(fd, (off_t)most) == 0)
		return most;
	while (bad - good > 1) {
		uint64_t middle = good + (bad - good) / 2;

		if (ftruncate(fd, (off_t)middle) == 0)
			good = middle;
		else
			bad = middle;
	}
	return good;
}

/* More than RLIMIT_FSIZE would not fail but kill, by SIGXFSZ. */
static uint64_t process_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur > INT64_MAX)
		return INT64_MAX;
	return limit.rlim_cur;
}

static int device_limit(const char *path, uint64_t *ret_bytes, const char **ret_fs)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t size;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
		return fail(-errno, "%s: can't tell the device's size: %s", path, strerror(errno));
	*ret_bytes = size;
	*ret_fs = "block device";
	return 0;
}

int store_file_limit(const char *path, uint64_t *ret_bytes, const char **ret_fs)
{
	CLEANUP_FREE char *copy = strdup(path);
	CLEANUP_CLOSE int dir_fd = -1;
	CLEANUP_CLOSE int fd = -1;
	const struct hostfs *fs;
	const char *dir;
	uint64_t limit;
	struct stat st;

	if (!copy)
		return fail(-ENOMEM, "out of memory");
	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
		return device_limit(path, ret_bytes, ret_fs);
	dir = dirname(copy);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return fail(-errno, "%s: %s", dir, strerror(errno));
	fs = hostfs_of(dir_fd);
	limit = process_limit();
	if (fs->probe_size) {
		fd = open_unnamed(dir);
		if (fd >= 0)
			limit = largest_size(fd, limit);
	} else if (!fs->holes) {
		limit = MIN(limit, VFAT_FILE_MAX);
	}
	*ret_bytes = limit;
	*ret_fs = fs->name;
	return 0;
}
