/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * source.c - what import reads: raw files, images, compressed images, streams, NBD servers
 *
 *	file        pread, holes by SEEK_DATA        size known
 *	stream      a pipe: "-", or gzip -dc, xz -dc    size known at its end
 *	nbd         an NBD URI, or qemu-nbd --read-only on a private socket
 *
 * The first bytes tell which, unless the user does.  Programs that read formats get the
 * format told, so that what a guest wrote into a raw disk is never taken for a header.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libnbd.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#define HEAD_BYTES 512

struct source {
	const char *format;
	char *what; /* for messages */
	int fd;     /* file or stream, else -1 */
	bool stream;
	pid_t helper; /* that feeds the stream, 0 none */
	struct nbd_handle *nbd;
	bool extents;
	uint64_t size;
	/* of a stream: what was read ahead to look at it */
	unsigned char head[HEAD_BYTES];
	size_t head_n, head_taken;
};

struct image_format {
	const char *name;
	size_t offset;
	const char *magic;
	size_t len;
	const char *tool, *package; /* program that reads it; NULL: ourselves */
};

static const struct image_format formats[] = {
	{"qcow2", 0, "QFI\xfb", 4, "qemu-nbd", "qemu-utils"},
	{"vmdk", 0, "KDMV", 4, "qemu-nbd", "qemu-utils"},
	{"vmdk", 0, "# Disk DescriptorFile", 21, "qemu-nbd", "qemu-utils"},
	{"vdi", 64, "\x7f\x10\xda\xbe", 4, "qemu-nbd", "qemu-utils"},
	{"vhdx", 0, "vhdxfile", 8, "qemu-nbd", "qemu-utils"},
	{"gz", 0, "\x1f\x8b", 2, "gzip", "gzip"},
	{"xz", 0,
	 "\xfd"
	 "7zXZ\0",
	 6, "xz", "xz-utils"},
	{"raw", 0, NULL, 0, NULL, NULL},
};
#define RAW (&formats[ARRAY_SIZE(formats) - 1])

static const struct image_format *format_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

static const struct image_format *format_by_magic(const unsigned char *head, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		const struct image_format *f = &formats[i];

		if (f->offset + f->len <= n && f->magic &&
		    memcmp(head + f->offset, f->magic, f->len) == 0)
			return f;
	}
	return RAW;
}

static bool is_compressed(const struct image_format *f)
{
	return f->tool && strcmp(f->tool, "qemu-nbd") != 0;
}

/* ---- helper programs ------------------------------------------------------------------- */

static bool have_program(const char *name)
{
	const char *path = getenv("PATH");
	SCOPED_TEXT char *copy = strdup(path ? path : "/usr/local/bin:/usr/bin:/bin");
	char *state = NULL;

	for (char *dir = copy ? strtok_r(copy, ":", &state) : NULL; dir;
	     dir = strtok_r(NULL, ":", &state)) {
		SCOPED_TEXT char *file = NULL;

		if (asprintf(&file, "%s/%s", dir, name) < 0)
			file = NULL;
		if (file && access(file, X_OK) == 0)
			return true;
	}
	return false;
}

static int need_program(const struct source *x, const struct image_format *f)
{
	if (have_program(f->tool))
		return DONE;
	return complain("%s is a %s image, which %s reads, and that isn't installed: "
			"`apt install %s`, or take it as it is with --format raw",
			x->what, f->name, f->tool, f->package);
}

/* Runs "tool -dc" with in as its input; x reads its output. in is closed. */
static int decompress(struct source *x, const char *tool, int in)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return complain("can't make a pipe: %s", strerror(errno));
	x->helper = fork();
	if (x->helper == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		signal(SIGINT, SIG_IGN); /* we clean up, and end it */
		dup2(in, STDIN_FILENO);
		dup2(pipes[1], STDOUT_FILENO);
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO); /* we say it */
		execlp(tool, tool, "-dc", (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	close(in);
	x->fd = pipes[0];
	if (x->helper < 0) {
		x->helper = 0;
		return complain("can't start %s: %s", tool, strerror(errno));
	}
	return DONE;
}

/* ---- opening ------------------------------------------------------------------------------ */

static int complain_nbd(const struct source *x)
{
	const char *text = nbd_get_error();

	if (interrupted()) /* the helper was, too: that is no news */
		return FAILED;
	return complain("%s: %s", x->what, text ? text : "NBD: unknown error");
}

static int start_nbd(struct source *x)
{
	int64_t size = nbd_get_size(x->nbd);

	if (size < 0)
		return complain_nbd(x);
	x->size = (uint64_t)size;
	x->extents = nbd_can_meta_context(x->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
	return DONE;
}

static int create_nbd(struct source *x)
{
	x->nbd = nbd_create();
	if (!x->nbd || nbd_add_meta_context(x->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0)
		return complain_nbd(x);
	return DONE;
}

static int open_uri(struct source *x)
{
	int status = create_nbd(x);

	x->format = "nbd";
	if (status)
		return status;
	return nbd_connect_uri(x->nbd, x->what) < 0 ? complain_nbd(x) : start_nbd(x);
}

/* qemu-nbd on a socket that only we know; libnbd makes it and ends the program.  The file gets
 * a "./" before it, so that its name can't be taken for one of qemu's protocols. */
static int open_image(struct source *x, const struct image_format *f, const char *path)
{
	SCOPED_TEXT char *option = NULL, *file = NULL;
	int status = need_program(x, f);

	if (!status)
		status = create_nbd(x);
	if (status)
		return status;
	if (asprintf(&option, "--format=%s", f->name) < 0)
		option = NULL;
	if (asprintf(&file, "%s%s", path[0] == '/' ? "" : "./", path) < 0)
		file = NULL;
	if (!option || !file)
		return complain("no memory for a command");
	/* one clear line, and that is ours: so its own goes nowhere */
	char *argv[] = {"sh",
			"-c",
			"exec \"$@\" 2>/dev/null",
			"sh",
			(char *)f->tool,
			"--read-only",
			option,
			"--persistent",
			file,
			NULL};

	if (nbd_connect_systemd_socket_activation(x->nbd, argv) < 0)
		return complain(
			"%s can't be read as %s: is it damaged? `qemu-img info %s` tells more",
			x->what, f->name, x->what);
	return start_nbd(x);
}

static int read_full(int fd, void *buf, size_t len, size_t *ret_got)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)buf + got, len - got);

		if (n < 0 && errno == EINTR && !interrupted())
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_got = got;
	return 0;
}

/* Looks at the first bytes of a stream: an image in it can't be read from a stream. */
static int check_stream(struct source *x, bool told)
{
	const struct image_format *f;
	int err = read_full(x->fd, x->head, sizeof x->head, &x->head_n);

	x->stream = true;
	x->size = UINT64_MAX;
	if (err)
		return complain("%s: %s", x->what, strerror(-err));
	f = format_by_magic(x->head, x->head_n);
	if (f == RAW || told)
		return DONE;
	if (is_compressed(f) && !x->helper)
		return complain(
			"%s holds %s: read it with --format %s, or as it is with --format raw",
			x->what, f->name, f->name);
	return complain(
		"%s holds a %s image, which can't be read from a stream: write it to a file "
		"first, or take it as it is with --format raw",
		x->what, f->name);
}

static int open_stdin(struct source *x, const struct image_format *f)
{
	int fd;

	if (f && f->tool && !is_compressed(f))
		return complain("%s can't be read from standard input: write it to a file first",
				f->name);
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return complain("standard input: %s", strerror(errno));
	if (f && f->tool) {
		int status = need_program(x, f);

		if (!status)
			return decompress(x, f->tool, fd) ? FAILED : check_stream(x, false);
		close(fd);
		return status;
	}
	x->fd = fd;
	return check_stream(x, f != NULL);
}

static int size_of_file(struct source *x, const struct stat *st)
{
	if (S_ISREG(st->st_mode)) {
		x->size = (uint64_t)st->st_size;
		return DONE;
	}
	if (ioctl(x->fd, BLKGETSIZE64, &x->size) < 0)
		return complain("%s: can't tell the size of the device: %s", x->what,
				strerror(errno));
	return DONE;
}

static int open_file(struct source *x, const struct image_format *f)
{
	struct stat st;
	ssize_t n;
	int fd;

	x->fd = open(x->what, O_RDONLY | O_CLOEXEC);
	if (x->fd < 0 || fstat(x->fd, &st) < 0)
		return complain("%s: %s", x->what, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return complain("%s is a directory: give an image", x->what);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		x->format = "raw";
		return check_stream(x, f != NULL);
	}
	n = pread(x->fd, x->head, sizeof x->head, 0);
	if (n < 0)
		return complain("%s: %s", x->what, strerror(errno));
	if (!f)
		f = format_by_magic(x->head, (size_t)n);
	x->format = f->name;
	if (!f->tool)
		return size_of_file(x, &st);
	fd = x->fd;
	x->fd = -1;
	if (!is_compressed(f)) {
		close(fd);
		return open_image(x, f, x->what);
	}
	if (need_program(x, f)) {
		close(fd);
		return FAILED;
	}
	return decompress(x, f->tool, fd) ? FAILED : check_stream(x, false);
}

static bool is_uri(const char *what)
{
	return strncmp(what, "nbd://", 6) == 0 || strncmp(what, "nbds://", 7) == 0 ||
	       strncmp(what, "nbd+unix://", 11) == 0 || strncmp(what, "nbds+unix://", 12) == 0 ||
	       strncmp(what, "nbd+vsock://", 12) == 0 || strncmp(what, "nbds+vsock://", 13) == 0;
}

int source_open(const char *what, const char *format, struct source **ret_source)
{
	const struct image_format *f = format ? format_by_name(format) : NULL;
	struct source *x;
	int status;

	if (format && !f) {
		complain("no format %s: raw, qcow2, vmdk, vdi, vhdx, gz or xz", format);
		return USAGE;
	}
	x = calloc(1, sizeof *x);
	if (!x)
		return complain("no memory for an image");
	x->fd = -1;
	x->format = f ? f->name : "raw";
	x->what = strdup(strcmp(what, "-") == 0 ? "standard input" : what);
	if (!x->what)
		status = complain("no memory for an image");
	else if (strcmp(what, "-") == 0)
		status = open_stdin(x, f);
	else if (is_uri(what))
		status = open_uri(x);
	else
		status = open_file(x, f);
	if (status) {
		source_close(x);
		return status;
	}
	*ret_source = x;
	return DONE;
}

void source_close(struct source *x)
{
	if (!x)
		return;
	if (x->fd >= 0)
		close(x->fd);
	if (x->helper > 0) {
		kill(x->helper, SIGTERM);
		waitpid(x->helper, NULL, 0);
	}
	if (x->nbd)
		nbd_close(x->nbd);
	free(x->what);
	free(x);
}

const char *source_format(const struct source *x)
{
	return x->format;
}

uint64_t source_size(const struct source *x)
{
	return x->size;
}

/* ---- extents ------------------------------------------------------------------------------- */

static int file_extent(struct source *x, uint64_t offset, uint64_t *ret_end, bool *ret_data)
{
	off_t data = lseek(x->fd, (off_t)offset, SEEK_DATA), hole;

	if (data < 0 && errno == ENXIO) { /* no data from here to the end */
		*ret_data = false;
		*ret_end = x->size;
		return DONE;
	}
	if (data > (off_t)offset) {
		*ret_data = false;
		*ret_end = (uint64_t)data;
		return DONE;
	}
	/* also for devices and whoever knows no holes: data to the end */
	hole = data < 0 ? -1 : lseek(x->fd, (off_t)offset, SEEK_HOLE);
	*ret_data = true;
	*ret_end = hole > (off_t)offset ? (uint64_t)hole : x->size;
	return DONE;
}

struct nbd_first {
	uint64_t end;
	bool data, any;
};

static int take_extents(void *opaque, const char *context, uint64_t offset, uint32_t *entries,
			size_t n, int *error)
{
	struct nbd_first *f = opaque;

	(void)error;
	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
		return 0;
	for (size_t i = 0; i + 1 < n; i += 2) {
		bool data = !(entries[i + 1] & LIBNBD_STATE_ZERO);

		if (f->any && data != f->data)
			break;
		f->any = true;
		f->data = data;
		offset += entries[i];
		f->end = offset;
	}
	return 0;
}

int source_extent(struct source *x, uint64_t offset, uint64_t *ret_end, bool *ret_data)
{
	uint64_t left = x->size - offset,
		 len = left < (UINT64_C(1) << 31) ? left : UINT64_C(1) << 31;
	struct nbd_first f = {.end = offset + len, .data = true};

	if (x->nbd && x->extents) {
		nbd_extent_callback cb = {.callback = take_extents, .user_data = &f};

		if (nbd_block_status(x->nbd, len, offset, cb, 0) < 0)
			return complain_nbd(x);
	} else if (!x->nbd) {
		int status = file_extent(x, offset, &f.end, &f.data);

		if (status)
			return status;
	}
	*ret_end = f.end < x->size ? f.end : x->size;
	*ret_data = f.data;
	return DONE;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static int read_stream(struct source *x, char *buf, size_t len, size_t *ret_got)
{
	size_t head = x->head_n - x->head_taken, rest;
	int err;

	if (head > len)
		head = len;
	memcpy(buf, x->head + x->head_taken, head);
	x->head_taken += head;
	err = read_full(x->fd, buf + head, len - head, &rest);
	if (err && !interrupted())
		return complain("%s: %s", x->what, strerror(-err));
	*ret_got = head + (err ? 0 : rest);
	return DONE;
}

int source_read(struct source *x, void *buf, size_t len, uint64_t offset, size_t *ret_got)
{
	size_t got = 0;

	if (x->stream)
		return read_stream(x, buf, len, ret_got);
	if (x->nbd) {
		if (nbd_pread(x->nbd, buf, len, offset, 0) < 0)
			return complain_nbd(x);
		*ret_got = len;
		return DONE;
	}
	while (got < len) {
		ssize_t n = pread(x->fd, (char *)buf + got, len - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return complain("%s: %s", x->what, strerror(errno));
		if (n == 0)
			return complain("%s became shorter while it was read: import it again",
					x->what);
		got += (size_t)n;
	}
	*ret_got = got;
	return DONE;
}

int source_finish(struct source *x)
{
	int how;
	pid_t helper = x->helper;

	if (!helper)
		return DONE;
	x->helper = 0;
	if (waitpid(helper, &how, 0) != helper || !WIFEXITED(how) || WEXITSTATUS(how) != 0)
		return complain("%s is damaged or cut off: what decompresses it failed", x->what);
	return DONE;
}
