/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_testing.h - a directory, a mount or a loop device for the tests of stores
 *
 * Needs root for loop devices and mounts; says so and leaves those out otherwise.
 * Files go to $TMPDIR, else /var/tmp.  For one test program each: it holds state.
 */
#ifndef COWBD_STORE_TESTING_H
#define COWBD_STORE_TESTING_H

#include "store.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include <check.h>

#define MIB (1u << 20)
#define SIZE (16u * MIB)

static char dir[200];         /* of this test, removed by teardown */
static char path[300];        /* of the pool */
static char mount_point[300]; /* "": nothing mounted */
static int loop_fd = -1;      /* keeps the loop device alive (autoclear) */

#define ok(call) ok_at(call, #call, __LINE__)
static inline void ok_at(int err, const char *what, int line)
{
	ck_assert_msg(err == 0, "line %d: %s: %s (%s)", line, what, error_name(err),
		      error_message());
}

static inline void setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof dir, "%s/cowbd-store-XXXXXX", tmp ? tmp : "/var/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/pool", dir);
}

static inline void teardown(void)
{
	if (loop_fd >= 0)
		close(loop_fd);
	loop_fd = -1;
	unlink(path);
	snprintf(path, sizeof path, "%s/pool", dir);
	unlink(path);
	if (mount_point[0]) {
		umount2(mount_point, MNT_DETACH);
		rmdir(mount_point);
		mount_point[0] = '\0';
	}
	rmdir(dir);
}

/* Mounts a file system of this type for this test alone; false: may not. */
static inline bool mount_here(const char *type, const char *options)
{
	char name[300];

	snprintf(name, sizeof name, "%s/mnt", dir);
	if (mkdir(name, 0700) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0 ||
	    mount("none", name, type, 0, options ? options : "") < 0) {
		fprintf(stderr, "skipped: can't mount %s: %s\n", type, strerror(errno));
		rmdir(name);
		return false;
	}
	snprintf(mount_point, sizeof mount_point, "%s", name);
	snprintf(path, sizeof path, "%s/pool", dir);
	return true;
}

/* Makes path a loop device over `file`; false: can't. */
static inline bool loop_over(const char *file, bool direct)
{
	struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR |
						      (direct ? LO_FLAGS_DIRECT_IO : 0)};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n = -1;
	int backing = open(file, O_RDWR | O_CLOEXEC);
	bool done = false;

	config.fd = (uint32_t)backing;
	for (int try = 0; try < 20 && control >= 0 && backing >= 0 && !done; try++) {
		n = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(path, sizeof path, "%s/loop", dir);
		unlink(path); /* a node of our own: where /dev is bare it lacks the new one */
		loop_fd = n < 0 || mknod(path, S_IFBLK | 0600, makedev(7, (unsigned)n)) < 0
				  ? -1
				  : open(path, O_RDWR | O_CLOEXEC);
		done = loop_fd >= 0 && ioctl(loop_fd, LOOP_CONFIGURE, &config) == 0;
		if (!done && loop_fd >= 0)
			close(loop_fd);
	}
	if (!done) {
		loop_fd = -1;
		fprintf(stderr, "skipped: no loop device: %s\n", strerror(errno));
	}
	if (control >= 0)
		close(control);
	if (backing >= 0)
		close(backing);
	return done;
}

static inline bool make_device(void)
{
	char file[300];
	int fd;

	snprintf(file, sizeof file, "%s/backing", dir);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	close(fd);
	if (!loop_over(file, false)) {
		unlink(file);
		return false;
	}
	unlink(file);
	return true;
}

static inline struct store *open_file(unsigned flags)
{
	struct store *s;

	ok(store_file_open(path, flags, 0, &s));
	return s;
}

static inline bool all_are(const uint8_t *buf, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != value)
			return false;
	return true;
}

static inline void *page_alloc(size_t len)
{
	void *p = NULL;

	ck_assert_int_eq(posix_memalign(&p, 4096, len), 0);
	return p;
}

#endif
