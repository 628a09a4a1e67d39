/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach_fuse.c - without the kernel's NBD client: nbdfuse makes a file, loop a device of it
 *
 *	loop --> nbdfuse --pipe--> nbdkit, plugin nbd, filter retry --socket--> daemon
 *
 * nbdfuse alone ends with its connection; the retry filter connects again, and sends what had no
 * answer once more, so that a daemon may be restarted below a mounted file system.
 *
 * Invariants
 *   [FUSE-1] The chain hangs on the loop device alone.  Once the device has the file open, its
 *            mount is taken out of the tree (lazily): when the device lets the file go, be it by
 *            detach, umount(8) or losetup(8), FUSE ends, with it nbdfuse, with it nbdkit.
 *   [FUSE-2] A mount of ours in the tree, seen with the lock of attaching held, is left over from
 *            a command that died.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmount.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"

#define MOUNT_PREFIX "attach-"
#define START_SECONDS 20
#define POLL_US 10000
#define LOOP_TRIES 64
#define LOG_TAIL 2048

/* How long I/O waits for a daemon that is gone: a try each second. */
#define RETRIES "retries=600"

/* PR_SET_IO_FLUSHER is younger than some C libraries' headers. */
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* One that is being made. */
struct chain {
	const struct attach *a;
	struct address address;
	char dir[PATH_MAX], file[PATH_MAX + 128], log[PATH_MAX];
	pid_t pid; /* of nbdfuse */
};

/* ---- what a dead command left behind ------------------------------------------------------ */

static void clear_leftovers(const char *run_dir) /* [FUSE-2] */
{
	DIR *dir = opendir(run_dir);
	struct dirent *e;
	char path[PATH_MAX];

	while (dir && (e = readdir(dir)))
		if (strncmp(e->d_name, MOUNT_PREFIX, strlen(MOUNT_PREFIX)) == 0 &&
		    snprintf(path, sizeof path, "%s/%s", run_dir, e->d_name) < (int)sizeof path) {
			(void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
			(void)rmdir(path);
		}
	if (dir)
		closedir(dir);
}

/* ---- the processes --------------------------------------------------------------------------- */

static int name_things(struct chain *c)
{
	char run_dir[PATH_MAX - 128], export[EXPORT_TEXT];

	if (cowbd_run_dir(run_dir, sizeof run_dir) < 0)
		return complain_library();
	clear_leftovers(run_dir);
	snprintf(c->dir, sizeof c->dir, "%s/" MOUNT_PREFIX "XXXXXX", run_dir);
	if (!mkdtemp(c->dir))
		return complain("%s: can't make a directory: %s", c->dir, strerror(errno));
	snprintf(c->file, sizeof c->file, "%s/cowbd-%s-%" PRIu64 "%s", c->dir, c->a->s->uuid,
		 c->a->id, c->a->copy ? "-copy" : "");
	snprintf(c->log, sizeof c->log, "%s/%s-%" PRIu64 ".attach.log", run_dir, c->a->s->uuid,
		 c->a->id);
	export_of(c->a->id, export);
	return session_address(c->a->s, export, &c->address);
}

/* In the child: becomes nbdfuse, which starts nbdkit. */
static void become_nbdfuse(const struct chain *c)
{
	int log = open(c->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
		       0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	SCOPED_TEXT char *where = NULL;
	char export[EXPORT_TEXT + 16];
	const char *argv[] = {"nbdfuse",
			      c->a->read_only ? "--readonly" : "--connections=1",
			      c->file,
			      "--command",
			      "nbdkit",
			      "-s",
			      "--exit-with-parent",
			      "--filter=retry",
			      "nbd",
			      NULL,
			      NULL,
			      RETRIES,
			      "retry-delay=1",
			      "retry-exponential=no",
			      NULL};

	if (asprintf(&where, c->address.socket ? "socket=%s" : "uri=%s",
		     c->address.socket ? c->address.socket : c->address.uri) < 0)
		_exit(127);
	snprintf(export, sizeof export, "export=@%" PRIu64, c->a->id);
	argv[9] = where;
	argv[10] = c->address.socket ? export : "retry-readonly=no";
	setsid();
	interruption_in_child();
	dup2(null, STDIN_FILENO);
	dup2(log >= 0 ? log : null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
	if (chdir("/") < 0)
		_exit(127);
	/* Writing back to our own device must not wait for us; it is inherited. */
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	execvp(argv[0], (char *const *)argv);
	dprintf(STDERR_FILENO, "can't run nbdfuse: %s%s\n", strerror(errno),
		errno == ENOENT ? ": `apt install libnbd-bin fuse3`" : "");
	_exit(127);
}

/* The last line of the log. */
static int complain_log(const struct chain *c)
{
	SCOPED_FD int fd = open(c->log, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	char text[LOG_TAIL + 1], *line;
	ssize_t n = -1;

	if (fd >= 0)
		n = pread(fd, text, LOG_TAIL, size > LOG_TAIL ? size - LOG_TAIL : 0);
	if (n <= 0)
		return complain("%s: nbdfuse gives no file: look whether /dev/fuse is there",
				c->a->name);
	text[n] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	line = strrchr(text, '\n');
	return complain("%s: %s", c->a->name, line ? line + 1 : text);
}

/* Waits for nbdfuse's file, or its end. */
static int wait_file(struct chain *c)
{
	struct stat st;

	for (int tries = START_SECONDS * 1000000 / POLL_US; tries > 0; tries--) {
		if (stat(c->file, &st) == 0 && S_ISREG(st.st_mode))
			return DONE;
		if (waitpid(c->pid, NULL, WNOHANG) == c->pid) {
			c->pid = 0;
			return complain_log(c);
		}
		if (interruption_waits())
			return complain("%s: interrupted: it is not attached", c->a->name);
		usleep(POLL_US);
	}
	return complain("%s: nbdfuse does not start within %d s: see %s", c->a->name, START_SECONDS,
			c->log);
}

static int start_nbdfuse(struct chain *c)
{
	fflush(NULL);
	c->pid = fork();
	if (c->pid < 0)
		return complain("can't fork: %s", strerror(errno));
	if (c->pid == 0)
		become_nbdfuse(c);
	return wait_file(c);
}

/* ---- the loop device ---------------------------------------------------------------------------- */

static int open_loop(int index, bool read_only)
{
	char path[32];

	snprintf(path, sizeof path, "/dev/loop%d", index);
	return open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
}

static int configure_loop(const struct chain *c, int fd, int file)
{
	struct loop_config config = {
		.fd = (uint32_t)file,
		.block_size = c->a->sector_bytes,
		.info = {.lo_flags = LO_FLAGS_PARTSCAN | LO_FLAGS_DIRECT_IO |
				     (c->a->read_only ? LO_FLAGS_READ_ONLY : 0u) |
				     (c->a->goes_with_last_use ? LO_FLAGS_AUTOCLEAR : 0u)},
	};

	snprintf((char *)config.info.lo_file_name, sizeof config.info.lo_file_name, "%s",
		 c->file + strlen(c->dir) + 1);
	return ioctl(fd, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
}

static int free_loop_index(const struct attach *a, bool again)
{
	SCOPED_FD int control = -1;
	int index;

	if (a->index >= 0 && !again)
		return a->index;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	index = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	return index < 0 ? -errno : index;
}

/* Somebody else may take the free one first. */
static int make_loop(const struct chain *c, struct attachment *ret, int *ret_fd)
{
	SCOPED_FD int file =
		open(c->file, (c->a->read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	int err = -EBUSY, index = -1, fd;

	if (file < 0)
		return complain("%s: can't open nbdfuse's file: %s", c->a->name, strerror(errno));
	for (int tries = 0; err == -EBUSY && tries < LOOP_TRIES; tries++) {
		index = free_loop_index(c->a, tries > 0);
		if (index < 0)
			return complain("no loop device: %s: `modprobe loop`", strerror(-index));
		fd = open_loop(index, c->a->read_only);
		if (fd < 0)
			return complain("/dev/loop%d: %s", index, strerror(errno));
		err = configure_loop(c, fd, file);
		if (!err)
			*ret_fd = fd;
		else
			close(fd);
		if (c->a->index >= 0 && !c->a->or_any)
			break;
	}
	if (err)
		return complain("/dev/loop%d: %s", index,
				err == -EBUSY ? "is in use: choose another, or none"
					      : strerror(-err));
	*ret = (struct attachment){.via = VIA_FUSE,
				   .index = (unsigned)index,
				   .id = c->a->id,
				   .copy = c->a->copy,
				   .read_only = c->a->read_only};
	snprintf(ret->device, sizeof ret->device, "/dev/loop%d", index);
	snprintf(ret->uuid, sizeof ret->uuid, "%s", c->a->s->uuid);
	return DONE;
}

int fuse_attach(const struct attach *a, struct attachment *ret, int *ret_fd)
{
	struct chain c = {.a = a};
	int status;

	interruption_hold();
	status = name_things(&c);
	if (!status)
		status = start_nbdfuse(&c);
	if (!status)
		status = make_loop(&c, ret, ret_fd);
	/* In either case: [FUSE-1], or the end of nbdfuse. */
	(void)umount2(c.dir, MNT_DETACH | UMOUNT_NOFOLLOW);
	(void)rmdir(c.dir);
	if (status && c.pid > 0)
		kill(c.pid, SIGTERM);
	address_fini(&c.address);
	interruption_release();
	return status;
}

int fuse_detach(const struct attachment *a, int fd)
{
	return ioctl(fd, LOOP_CLR_FD) < 0
		       ? complain("%s: can't free it: %s", a->device, strerror(errno))
		       : DONE;
}

/* ---- cutting ---------------------------------------------------------------------------------------- */

/* Is it the nbdfuse of the attachment?  A word of its command line ends in the file's name. */
static bool is_nbdfuse_of(const struct attachment *a, const char *pid)
{
	char path[64], words[8192], want[128];
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
	f = fopen(path, "re");
	n = f ? fread(words, 1, sizeof words - 1, f) : 0;
	if (f)
		fclose(f);
	words[n] = '\0';
	snprintf(want, sizeof want, "/cowbd-%s-%" PRIu64 "%s", a->uuid, a->id,
		 a->copy ? "-copy" : "");
	if (strcmp(words, "nbdfuse") != 0)
		return false;
	for (char *w = words; w < words + n; w += strlen(w) + 1)
		if (strlen(w) > strlen(want) && strcmp(w + strlen(w) - strlen(want), want) == 0)
			return true;
	return false;
}

int fuse_cut(const struct attachment *a)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	SCOPED_FD int fd = -1;

	while (proc && (e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_nbdfuse_of(a, e->d_name))
			kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
	if (proc)
		closedir(proc);
	/* Free at once, or with the last use. */
	fd = open_loop((int)a->index, true);
	if (fd >= 0)
		(void)ioctl(fd, LOOP_CLR_FD);
	return DONE;
}
