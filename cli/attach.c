/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach.c - disks of a pool as block devices: finding them, and what both ways share
 *
 *	daemon --socket--> kernel's client                                      /dev/nbdN
 *	daemon --socket--> nbdkit nbd + retry --pipe--> nbdfuse --file--> loop  /dev/loopN
 *
 * Concurrency: commands that change what is attached hold the lock file RUNDIR/attach.lock, which
 * the kernel lets go when its holder dies.
 */
#include "attach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attach_nbd.h"
#include "mounts.h"

#define NODE_SECONDS 10 /* for udev to make a device's node */
#define GONE_SECONDS 10
#define LOCK_POLL_MS 20
#define POLL_US 10000

/* ---- names of devices ----------------------------------------------------------------- */

const char *via_name(enum via via)
{
	return via == VIA_NBD ? "nbd" : via == VIA_FUSE ? "fuse" : "auto";
}

void export_of(uint64_t id, char buf[EXPORT_TEXT])
{
	snprintf(buf, EXPORT_TEXT, "@%" PRIu64, id);
}

bool sysfs_read(const char *name, const char *file, char *buf, size_t len)
{
	char path[300];
	FILE *f;
	bool ok;

	snprintf(path, sizeof path, "/sys/block/%s/%s", name, file);
	f = fopen(path, "re");
	ok = f && fgets(buf, (int)len, f);
	if (f)
		fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

uint64_t attachment_bytes(const struct attachment *a)
{
	char text[32];

	return sysfs_read(a->device + strlen("/dev/"), "size", text, sizeof text)
		       ? strtoull(text, NULL, 10) * 512
		       : 0;
}

/* "UUID/ID", "UUID/ID/copy"; with '-' between in a file's name. */
static bool parse_identity(const char *text, char between, struct attachment *a)
{
	char *end;

	if (strlen(text) < 38 || text[36] != between ||
	    strspn(text, "0123456789abcdef-") < (between == '/' ? 36 : 37))
		return false;
	snprintf(a->uuid, sizeof a->uuid, "%.36s", text);
	a->id = strtoull(text + 37, &end, 10);
	a->copy = end[0] == between && strncmp(end + 1, "copy", 4) == 0;
	return a->id && end != text + 37;
}

static bool read_identity(const char *name, struct attachment *a)
{
	char text[512], *base;

	if (a->via == VIA_NBD)
		return sysfs_read(name, "pid", text, sizeof text) &&
		       sysfs_read(name, "backend", text, sizeof text) &&
		       parse_identity(text, '/', a);
	if (!sysfs_read(name, "loop/backing_file", text, sizeof text))
		return false;
	base = strrchr(text, '/');
	base = base ? base + 1 : text;
	return strncmp(base, "cowbd-", 6) == 0 && parse_identity(base + 6, '-', a);
}

/* Is the device of this name (of /sys/block) a disk of a pool? */
static bool look_at(const char *name, struct attachment *ret)
{
	struct attachment a = {0};
	unsigned major_n, minor_n;
	char text[64];

	if (sscanf(name, "nbd%u", &a.index) == 1)
		a.via = VIA_NBD;
	else if (sscanf(name, "loop%u", &a.index) == 1)
		a.via = VIA_FUSE;
	else
		return false;
	if (!read_identity(name, &a) || !sysfs_read(name, "dev", text, sizeof text) ||
	    sscanf(text, "%u:%u", &major_n, &minor_n) != 2)
		return false;
	a.dev = makedev(major_n, minor_n);
	a.read_only = sysfs_read(name, "ro", text, sizeof text) && text[0] == '1';
	snprintf(a.device, sizeof a.device, "/dev/%.20s", name);
	*ret = a;
	return true;
}

void attachments_free(struct attachments *a)
{
	free(a->list);
	*a = (struct attachments){0};
}

static int compare_attachments(const void *a, const void *b)
{
	const struct attachment *x = a, *y = b;

	return x->via != y->via ? (int)x->via - (int)y->via : (int)x->index - (int)y->index;
}

int attachments_find(const char *uuid, uint64_t id, struct attachments *ret)
{
	DIR *dir = opendir("/sys/block");
	struct attachments found = {0};
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		struct attachment a, *list;

		if (!look_at(e->d_name, &a) || (uuid && strcmp(uuid, a.uuid) != 0) ||
		    (id && id != a.id))
			continue;
		list = realloc(found.list, (found.n + 1) * sizeof *list);
		if (!list) {
			free(found.list);
			closedir(dir);
			return complain("no memory for a list of devices");
		}
		found.list = list;
		list[found.n++] = a;
	}
	if (dir)
		closedir(dir);
	if (found.n)
		qsort(found.list, found.n, sizeof *found.list, compare_attachments);
	*ret = found;
	return DONE;
}

bool attachment_of_dev(dev_t dev, struct attachment *ret)
{
	char link[64], target[PATH_MAX], *name, *parent;
	ssize_t n;

	/* .../block/loop0 or .../block/loop0/loop0p1 */
	snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(dev), minor(dev));
	n = readlink(link, target, sizeof target - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	name = strrchr(target, '/');
	if (!name)
		return false;
	if (look_at(name + 1, ret) && ret->dev == dev)
		return true;
	*name = '\0';
	parent = strrchr(target, '/');
	return parent && look_at(parent + 1, ret);
}

bool attachment_of_device(const char *path, struct attachment *ret)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && attachment_of_dev(st.st_rdev, ret);
}

/* ---- preparing --------------------------------------------------------------------------- */

int need_root(const struct call *c)
{
	if (geteuid() == 0)
		return DONE;
	return complain("%s needs root: block devices and mounts are root's alone",
			c->command->name);
}

int attach_lock(int *ret_fd)
{
	SCOPED_TEXT char *path = NULL;
	int status = run_dir_file(&path, "attach.lock"), fd;

	if (status)
		return status;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return complain("%s: %s", path, strerror(errno));
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int err = errno;

		if (err == EWOULDBLOCK &&
		    (interruption_poll(NULL, 0, LOCK_POLL_MS) >= 0 || !interrupted()))
			continue;
		close(fd);
		return err == EWOULDBLOCK
			       ? complain("interrupted while another command attaches or detaches")
			       : complain("%s: can't lock: %s", path, strerror(err));
	}
	*ret_fd = fd;
	return DONE;
}

int disk_info(struct session *s, const char *name, json_t **ret_object)
{
	SCOPED_JSON json_t *args = json_pack("{s:s, s:b}", "name", name, "no_usage", true);

	if (!s->daemon)
		return complain("pool %s is not served: `cowbd serve %s` does it", s->name,
				s->path);
	return session_call(s, "info", args, NULL, NULL, ret_object) < 0 ? session_complain(s)
									 : DONE;
}

int disk_attachments(struct session *s, const char *name, struct attachments *ret)
{
	SCOPED_JSON json_t *args = json_pack("{s:s, s:b}", "name", name, "no_usage", true);
	SCOPED_JSON json_t *object = NULL;

	if (session_call(s, "info", args, NULL, NULL, &object) < 0)
		return session_complain(s);
	return attachments_find(s->uuid,
				(uint64_t)json_integer_value(json_object_get(object, "id")), ret);
}

/* What could not be written must not look as if it could: errors would be tried again for minutes. */
static int pool_is_read_only(struct session *s, bool *ret)
{
	SCOPED_JSON json_t *status = NULL;

	if (session_call(s, "status", NULL, NULL, NULL, &status) < 0)
		return session_complain(s);
	*ret = json_is_true(json_object_get(status, "read_only"));
	return DONE;
}

int attach_prepare(struct session *s, json_t *object, struct attach *ret)
{
	const char *kind = json_string_value(json_object_get(object, "kind"));
	bool snapshot = kind && strcmp(kind, "snapshot") == 0;
	uint64_t size = (uint64_t)json_integer_value(json_object_get(object, "size"));
	bool read_only = false;
	int status;

	status = pool_is_read_only(s, &read_only);
	if (status)
		return status;
	ret->s = s;
	ret->name = json_string_value(json_object_get(object, "name"));
	ret->id = (uint64_t)json_integer_value(json_object_get(object, "id"));
	ret->size = size;
	if (!ret->sector_bytes)
		ret->sector_bytes =
			(uint32_t)json_integer_value(json_object_get(object, "sector_size"));
	if (size % ret->sector_bytes)
		return complain("%s has %" PRIu64 " bytes, which is no multiple of a sector of %u",
				ret->name, size, ret->sector_bytes);
	ret->read_only |= snapshot || read_only;
	ret->copy = snapshot || json_is_true(json_object_get(object, "ephemeral"));
	return DONE;
}

static int refuse_twice(const struct attach *a)
{
	SCOPED_ATTACHMENTS struct attachments there = {0};
	char use[1024];
	int status = attachments_find(a->s->uuid, a->id, &there);

	if (status || !there.n)
		return status;
	describe_use(&there.list[0], use, sizeof use);
	return complain("%s is attached already, as %s%s%s", a->name, there.list[0].device,
			use[0] ? ", " : "", use);
}

/* ---- attaching ------------------------------------------------------------------------------ */

static int open_node(const struct attachment *a, int *ret_fd)
{
	for (int tries = NODE_SECONDS * 1000000 / POLL_US; tries > 0; tries--) {
		int fd = open(a->device, (a->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		struct stat st;

		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode)) {
			*ret_fd = fd;
			return DONE;
		}
		if (fd >= 0)
			close(fd);
		else if (errno != ENOENT && errno != ENXIO)
			break;
		usleep(POLL_US);
	}
	return complain("%s: can't open it: %s", a->device, strerror(errno));
}

int open_attachment(const struct attachment *a)
{
	int fd = open(a->device, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		complain("%s: can't open it: %s", a->device, strerror(errno));
	return fd;
}

/* udev looks at a new device before it is told whose copy it is. */
static void announce(const struct attachment *a)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/sys/block/%s/uevent", a->device + strlen("/dev/"));
	f = fopen(path, "we");
	if (!f)
		return;
	fputs("change\n", f);
	fclose(f);
}

int attach_device(const struct attach *a, struct attachment *ret, int *ret_fd)
{
	enum via via = a->via;
	int status = refuse_twice(a), fd = -1;

	*ret = (struct attachment){0};
	if (status)
		return status;
	if (via == VIA_AUTO)
		via = nbd_available() ? VIA_NBD : VIA_FUSE;
	if (via == VIA_FUSE) {
		status = fuse_attach(a, ret, &fd);
	} else {
		status = nbd_attach(a, ret);
		if (!status && !(status = open_node(ret, &fd)) && a->goes_with_last_use)
			status = nbd_go_with_last_use(ret);
		if (status && ret->device[0])
			(void)nbd_detach(ret);
	}
	if (status) {
		if (fd >= 0)
			close(fd);
		return status;
	}
	announce(ret);
	*ret_fd = fd;
	return DONE;
}

static bool is_still(const struct attachment *a)
{
	struct attachment now;

	return look_at(a->device + strlen("/dev/"), &now) && now.id == a->id &&
	       strcmp(now.uuid, a->uuid) == 0;
}

bool wait_detached(const struct attachment *a, int seconds)
{
	for (int tries = seconds * 1000000 / POLL_US; tries > 0; tries--) {
		if (!is_still(a))
			return true;
		usleep(POLL_US);
	}
	return false;
}

static int refuse_in_use(const struct attachment *a, int err)
{
	char use[1024];

	describe_use(a, use, sizeof use);
	if (err != EBUSY)
		return complain("%s: can't open it: %s", a->device, strerror(err));
	if (!use[0])
		return complain("can't detach %s: a program has it in use", a->device);
	return complain("can't detach %s: %s: `umount` that first", a->device, use);
}

/* Held open exclusively from the question whether it is free to the end, so that nobody can
 * mount it between; and it may have become another disk, or nobody's of ours, since it was found. */
int detach_device(const struct attachment *a)
{
	SCOPED_FD int fd = open(a->device, (a->read_only ? O_RDONLY : O_RDWR) | O_EXCL | O_CLOEXEC);
	int err = fd < 0 ? errno : 0, status;

	if (!is_still(a))
		return complain("%s was detached meanwhile, by another command", a->device);
	if (fd < 0)
		return refuse_in_use(a, err);
	if (!a->read_only && fsync(fd) < 0)
		note("%s: what was written last did not get through: %s", a->device,
		     strerror(errno));
	status = a->via == VIA_NBD ? nbd_detach(a) : fuse_detach(a, fd);
	if (status)
		return status;
	close(fd);
	fd = -1;
	if (!wait_detached(a, GONE_SECONDS))
		return complain("%s: a program has it still open: it is detached when that one "
				"closes it",
				a->device);
	return DONE;
}

int cut_device(const struct attachment *a)
{
	return a->via == VIA_NBD ? nbd_detach(a) : fuse_cut(a);
}
