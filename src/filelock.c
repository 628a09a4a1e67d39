/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * filelock.c - the lock of a pool file, one part for each open file description
 *
 *	pool file:  0 ............ data ............ size ... 2^62  2^62+1
 *	                                                       |     |
 *	description of buffered I/O: OFD lock on this byte ----+     |
 *	description of direct I/O:   OFD lock on this byte ----------+
 *
 * Why not one lock: requests in an io_uring outlive the process that sent
 * them.  Each holds its own open file description, which lives, locks
 * included, until the request has ended.  A lock on one description says
 * nothing of requests on the other, so each that does I/O bears a lock.
 *
 * Why not flock: its locks belong to a description too, but cover the whole
 * file, and the two exclusive ones of one opener would exclude each other.
 * Locks on different bytes don't, and two openers meet on every byte.
 *
 * Why not POSIX locks: they belong to the process, end with its death
 * or with its first close() of any descriptor of the file, and don't survive fork.
 *
 * Invariant
 *   [LOCK-1] Who has all parts exclusively is the only one with a description on
 *            which I/O can be in flight: any other opener, dead or alive, would hold the
 *            part of that description.  Parts are taken in one order, so
 *            two openers can't each hold what the other lacks.
 *
 * Through another device node (mknod) of the same device the lock is not seen;
 * there the O_EXCL of store_file.c keeps writers apart.
 */
#include "filelock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define LOCK_BYTE (INT64_C(1) << 62) /* far beyond any pool's end */

struct holder {
	dev_t dev;
	ino_t ino;
	int64_t byte; /* the part that it holds */
	long pid;     /* 0: none found */
	char name[64];
};

/* Does this line of a /proc/PID/fdinfo say that the open file has an OFD lock on the byte?
 * "lock:	1: OFDLCK  ADVISORY  WRITE -1 fd:00:1234 START END" */
static bool is_lock_on(const char *line, int64_t byte)
{
	char end[64];

	snprintf(end, sizeof end, " %" PRId64 " %" PRId64 "\n", byte, byte);
	return !strncmp(line, "lock:", 5) && strstr(line, "OFDLCK") && strstr(line, end);
}

static bool has_lock(int proc_fd, const char *pid, const char *fd_name, int64_t byte)
{
	char path[600], line[256];
	bool found = false;
	FILE *info;
	int fd;

	snprintf(path, sizeof path, "%s/fdinfo/%s", pid, fd_name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	info = fd < 0 ? NULL : fdopen(fd, "r");
	if (!info) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && fgets(line, sizeof line, info))
		found = is_lock_on(line, byte);
	fclose(info);
	return found;
}

static bool process_holds(int proc_fd, const char *pid, const struct holder *h)
{
	char path[600];
	bool found = false;
	struct dirent *e;
	DIR *dir;
	int fd;

	snprintf(path, sizeof path, "%s/fd", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && (e = readdir(dir))) {
		struct statx st;

		/* Unsynced: a dead NFS server behind some other file must not hang us. */
		if (e->d_name[0] == '.' ||
		    statx(fd, e->d_name, AT_STATX_DONT_SYNC, STATX_INO, &st) < 0)
			continue;
		found = makedev(st.stx_dev_major, st.stx_dev_minor) == h->dev &&
			st.stx_ino == h->ino && has_lock(proc_fd, pid, e->d_name, h->byte);
	}
	closedir(dir);
	return found;
}

static void read_name(int proc_fd, const char *pid, char *buf, size_t size)
{
	char path[600];
	ssize_t len = 0;
	int fd;

	snprintf(path, sizeof path, "%s/comm", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, buf, size - 1);
		close(fd);
	}
	buf[len > 0 ? len : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

/* The kernel gives -1 as the pid of an OFD lock.  But each process's fdinfo lists
 * the locks of its open files, to those who may look. */
static void find_holder(struct holder *h)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;

	if (!proc)
		return;
	while (!h->pid && (e = readdir(proc))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    !process_holds(dirfd(proc), e->d_name, h))
			continue;
		h->pid = atol(e->d_name);
		read_name(dirfd(proc), e->d_name, h->name, sizeof h->name);
	}
	closedir(proc);
}

static int64_t byte_of(enum filelock_part part)
{
	return LOCK_BYTE + (int)part;
}

int filelock_busy(const char *path, enum filelock_part part)
{
	struct holder h = {.byte = byte_of(part)};
	struct stat st;

	if (stat(path, &st) == 0) {
		h.dev = st.st_dev;
		h.ino = st.st_ino;
		find_holder(&h);
	}
	if (h.pid == (long)getpid())
		return fail(-EBUSY, "%s is already open in this process (%ld)", path, h.pid);
	if (h.pid)
		return fail(
			-EBUSY,
			"%s is in use by process %ld (%s): end it first; if it serves the pool, "
			"COWBD_RUNDIR says where it is found",
			path, h.pid, h.name);
	return fail(-EBUSY,
		    "%s is in use (by whom can't be seen from here: another user's process, "
		    "a mount, or writes of a killed process that are still under way)",
		    path);
}

bool filelock_wait(uint64_t deadline_ns)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	if (now_ns() >= deadline_ns)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

int filelock_take(int fd, const char *path, enum filelock_part part, bool shared,
		  uint64_t deadline_ns)
{
	struct flock lock = {
		.l_type = shared ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = byte_of(part),
		.l_len = 1,
	};

	while (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EACCES)
			return fail(-errno, "can't lock %s: %s", path, strerror(errno));
		if (!filelock_wait(deadline_ns))
			return filelock_busy(path, part);
	}
	return 0;
}
