/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_mount.c - cowbd mount, umount
 *
 *	volume    attached, unless it is already, so that it goes with its last use
 *	snapshot  the same with a throw-away clone: file systems want to replay their journals
 *
 * The device is held open from attaching to the end of mounting: so it is there until the file
 * system holds it, and goes when that, or anything before it, ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "parts.h"
#include "remount.h"

#define BTRFS_COPIES_MAJOR 6 /* Linux from which on it mounts a copy beside its origin */
#define BTRFS_COPIES_MINOR 7
#define GONE_SECONDS 10

/* ---- file systems with wishes ---------------------------------------------------------- */

/* $COWBD_KERNEL_RELEASE: for tests of what older kernels need. */
static bool kernel_mounts_btrfs_copies(void)
{
	const char *release = getenv("COWBD_KERNEL_RELEASE");
	unsigned major_n = 0, minor_n = 0;
	struct utsname u;

	if (!release && uname(&u) == 0)
		release = u.release;
	if (!release || sscanf(release, "%u.%u", &major_n, &minor_n) != 2)
		return false;
	return major_n > BTRFS_COPIES_MAJOR ||
	       (major_n == BTRFS_COPIES_MAJOR && minor_n >= BTRFS_COPIES_MINOR);
}

int run_program(const char *const *argv)
{
	pid_t pid;
	int state;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return complain("can't fork: %s", strerror(errno));
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		interruption_in_child();
		dup2(null, STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	while (waitpid(pid, &state, 0) < 0)
		if (errno != EINTR)
			return complain("%s: %s", argv[0], strerror(errno));
	if (WIFEXITED(state) && WEXITSTATUS(state) == 127)
		return complain("%s is not installed", argv[0]);
	return WIFEXITED(state) && WEXITSTATUS(state) == 0 ? DONE : complain("%s failed", argv[0]);
}

/* Older kernels take a second btrfs of the same UUID for a device of the first, and may write to
 * either.  A copy of a frozen one has all in its trees, so that it can have another UUID; what a
 * crash leaves in its log could not follow. */
static int prepare_btrfs(const struct mount *m, const struct part *p)
{
	const char *const argv[] = {"btrfstune", "-f", "-m", p->device, NULL};
	char path[128];

	snprintf(path, sizeof path, "/sys/fs/btrfs/%s", p->uuid);
	if (kernel_mounts_btrfs_copies() || access(path, F_OK) < 0)
		return DONE;
	if (m->frozen)
		return run_program(argv);
	return complain("%s holds a btrfs whose origin is mounted, and was not frozen when it was "
			"copied; this kernel would mix them up: mount a snapshot made with "
			"--freeze, or umount the origin",
			m->name);
}

/* ---- mounting ------------------------------------------------------------------------------ */

static int mount_failed(struct libmnt_context *cxt, int rc, const char *what, const char *dir)
{
	char why[512] = "";

	(void)mnt_context_get_excode(cxt, rc, why, sizeof why);
	return complain("%s: can't mount it on %s: %s", what, dir,
			why[0] ? why : "libmount does not say why");
}

int mount_device(const char *device, const char *dir, const char *type, const char *options)
{
	struct libmnt_context *cxt = mnt_new_context();
	int rc, status = DONE;

	if (!cxt)
		return complain("no memory to mount");
	if (mnt_context_set_source(cxt, device) || mnt_context_set_target(cxt, dir) ||
	    mnt_context_set_fstype(cxt, type) ||
	    (options[0] && mnt_context_set_options(cxt, options)))
		status = complain("no memory to mount");
	if (!status && ((rc = mnt_context_mount(cxt)) != 0 || mnt_context_get_status(cxt) != 1))
		status = mount_failed(cxt, rc, device, dir);
	mnt_free_context(cxt);
	return status;
}

static int mount_part(const struct call *c, const struct mount *m, const struct part *p)
{
	const char *dir = c->words[1], *given = c->opt[OPT_OPTIONS];
	SCOPED_TEXT char *options = NULL;
	int status = DONE;

	if (strcmp(p->type, "btrfs") == 0)
		status = prepare_btrfs(m, p);
	if (status)
		return status;
	if (asprintf(&options, "%s%s%s%s", c->opt[OPT_READONLY] || m->at.read_only ? "ro" : "rw",
		     m->is_copy && strcmp(p->type, "xfs") == 0 ? ",nouuid" : "", given ? "," : "",
		     given ? given : "") < 0) {
		options = NULL;
		return complain("no memory for options");
	}
	return mount_device(p->device, dir, p->type, options);
}

static int refuse_mounted(const struct mount *m, unsigned partition)
{
	SCOPED_MOUNTS struct mounts there = {0};
	int status = mounts_of(&m->at, &there);

	for (size_t i = 0; !status && i < there.n; i++)
		if (there.list[i].partition == partition)
			status = complain("%s is mounted already, on %s", m->name,
					  there.list[i].target);
	return status;
}

static int mount_attached(const struct call *c, const struct mount *m)
{
	struct parts *all = malloc(sizeof *all);
	const struct part *p;
	int status = all ? parts_find(&m->at, m->fd, all) : complain("no memory");

	if (!status)
		status = parts_choose(all, m->name, m->partition, &p);
	if (!status)
		status = refuse_mounted(m, p->number);
	if (!status)
		status = mount_part(c, m, p);
	if (!status && c->opt[OPT_JSON]) {
		SCOPED_JSON json_t *answer = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", m->name,
						       "device", p->device, "dir", c->words[1],
						       "type", p->type, "via", via_name(m->at.via));

		status = print_json(answer);
	}
	free(all);
	return status;
}

/* ---- the disk ------------------------------------------------------------------------------- */

static int info_quietly(struct session *s, const char *name, json_t **ret_object)
{
	SCOPED_JSON json_t *args = json_pack("{s:s, s:b}", "name", name, "no_usage", true);

	return session_call(s, "info", args, NULL, NULL, ret_object);
}

/* NAME or NAME:PARTITION; a name may have a colon, too. */
static int find_disk(struct session *s, const char *word, struct mount *m, json_t **ret_object)
{
	const char *colon = strrchr(word, ':');
	SCOPED_TEXT char *name = strdup(word);
	int err, status;

	if (!name)
		return complain("no memory for a name");
	if (!s->daemon)
		return complain("pool %s is not served: `cowbd serve %s` does it", s->name,
				s->path);
	err = info_quietly(s, word, ret_object);
	if (err == 0)
		return DONE;
	if (err != -ENOENT || !colon || !colon[1] ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return session_complain(s);
	name[colon - word] = '\0';
	m->partition = (unsigned)strtoul(colon + 1, NULL, 10);
	if (!m->partition)
		return complain("%s: partitions are counted from 1", word);
	status = check_name(name);
	return status ? status : disk_info(s, name, ret_object);
}

/* VOL.SNAP-mount-NUMBER, or without the names where they are too long. */
static void clone_name(const char *snapshot, unsigned number, char buf[256])
{
	size_t n = (size_t)snprintf(buf, 200, "%s", snapshot);

	if (n >= 200)
		n = (size_t)snprintf(buf, 200, "snapshot");
	buf[strcspn(buf, "@")] = '.';
	snprintf(buf + n, 256 - n, "-mount-%08x", number);
}

/* The snapshot's throw-away clone takes its place in *object. */
static int make_clone(struct session *s, struct mount *m, json_t **object)
{
	const char *snapshot = json_string_value(json_object_get(*object, "name"));
	const char *label = json_string_value(json_object_get(*object, "label"));
	SCOPED_JSON json_t *args = NULL, *ok = NULL;
	struct timespec now;
	char name[256];

	clock_gettime(CLOCK_REALTIME, &now);
	clone_name(snapshot, (unsigned)now.tv_sec * 1000003u ^ (unsigned)now.tv_nsec, name);
	args = json_pack("{s:s, s:[s], s:b, s:b}", "source", snapshot, "names", name, "ephemeral",
			 true, "no_wait", true);
	m->frozen = label && strcmp(label, "frozen") == 0;
	if (session_call(s, "clone", args, NULL, NULL, &ok) < 0)
		return session_complain(s);
	m->clone = strdup(name);
	json_decref(*object);
	*object = NULL;
	return m->clone ? disk_info(s, name, object) : complain("no memory for a name");
}

void drop_clone(struct session *s, const char *name)
{
	SCOPED_JSON json_t *args = json_pack("{s:[s], s:b}", "names", name, "no_wait", true);
	json_t *ok = NULL;

	if (session_call(s, "rm", args, NULL, NULL, &ok) == 0)
		json_decref(ok); /* else the daemon does it in a minute */
}

/* One that is attached already is used as it is. */
static int attach_or_find(const struct call *c, struct session *s, json_t *object, struct mount *m)
{
	SCOPED_ATTACHMENTS struct attachments there = {0};
	struct attach a = {0};
	int status = attach_options(c, &a);

	a.index = -1;
	a.read_only = false; /* the file system is; its journal may have to be replayed */
	a.goes_with_last_use = true;
	if (!status)
		status = attach_prepare(s, object, &a);
	if (!status)
		status = attachments_find(s->uuid, a.id, &there);
	if (status)
		return status;
	if (!there.n)
		return attach_device(&a, &m->at, &m->fd);
	m->at = there.list[0];
	m->fd = open(m->at.device, O_RDONLY | O_CLOEXEC);
	return m->fd < 0 ? complain("%s: %s", m->at.device, strerror(errno)) : DONE;
}

static int check_dir(const char *dir)
{
	SCOPED_TEXT char *target = NULL;
	struct attachment at;
	struct stat st;
	dev_t dev;

	if (stat(dir, &st) < 0)
		return complain("%s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return complain("%s is no directory", dir);
	if (mount_at(dir, &dev, &target) && attachment_of_dev(dev, &at))
		return complain("%s is taken: %s is mounted there", dir, at.device);
	return DONE;
}

static int mount_disk(const struct call *c, struct session *s, struct mount *m)
{
	SCOPED_JSON json_t *object = NULL;
	SCOPED_TEXT char *name = NULL;
	SCOPED_FD int lock = -1;
	int status = find_disk(s, c->words[0], m, &object);

	if (status)
		return status;
	name = strdup(json_string_value(json_object_get(object, "name")));
	m->name = name ? name : "";
	m->is_copy = json_integer_value(json_object_get(object, "parent_id")) != 0;
	status = attach_lock(&lock);
	if (!status && strcmp(json_string_value(json_object_get(object, "kind")), "snapshot") == 0)
		status = make_clone(s, m, &object);
	m->is_copy |= m->clone != NULL;
	if (!status)
		status = attach_or_find(c, s, object, m);
	if (!status) {
		note_what_waits(s->uuid, c->words[0]);
		status = mount_attached(c, m);
	}
	if (m->fd >= 0)
		close(m->fd);
	if (status && m->clone) {
		(void)wait_detached(&m->at, m->at.device[0] ? GONE_SECONDS : 0);
		drop_clone(s, m->clone);
	}
	return status;
}

int cmd_mount(const struct call *c)
{
	struct mount m = {.fd = -1};
	struct session s;
	int status = need_root(c);

	if (c->opt[OPT_COLUMNS]) /* who knows mount(8) and means "-o ro" must not get another mount */
		return usage_error(c, "-o is for columns of tables: options of the mount go with "
				      "--options, and there is --readonly");
	if (!status)
		status = check_dir(c->words[1]);
	if (status)
		return status;
	status = session_find(c, &s);
	if (!status)
		status = mount_disk(c, &s, &m);
	free(m.clone);
	return session_close(&s, status);
}

/* ---- umount --------------------------------------------------------------------------------- */

int umount_dir(const char *dir)
{
	if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
		return DONE;
	if (errno == EBUSY)
		return complain("%s is busy: `fuser -vm %s` shows who has files open there", dir,
				dir);
	return complain("%s: can't umount it: %s", dir, strerror(errno));
}

static bool ends_with_last_use(const struct attachment *a)
{
	char text[8];

	/* the kernel's client does not tell; ours have it for throw-away clones */
	if (a->via == VIA_NBD)
		return a->copy && !a->read_only;
	return sysfs_read(a->device + strlen("/dev/"), "loop/autoclear", text, sizeof text) &&
	       text[0] == '1';
}

/* A throw-away clone goes now instead of in a minute, if its daemon is there. */
static void drop_clone_of(const struct attachment *a)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *one;
	struct session s;
	size_t i;

	if (session_find_uuid(a->uuid, &s) == DONE &&
	    session_call(&s, "ls", NULL, NULL, NULL, &ok) == 0)
		json_array_foreach(
			json_object_get(ok, "objects"), i,
			one) if ((uint64_t)json_integer_value(json_object_get(one, "id")) ==
					 a->id &&
				 json_is_true(json_object_get(one, "ephemeral")))
			drop_clone(&s, json_string_value(json_object_get(one, "name")));
	(void)session_close(&s, DONE);
}

/* What of ours is mounted there. */
static int find_mount(const char *dir, char **ret_target, struct attachment *ret)
{
	char *target = NULL;
	dev_t dev;

	if (access(dir, F_OK) < 0)
		return complain("%s: %s", dir, strerror(errno));
	if (!mount_at(dir, &dev, &target))
		return complain("nothing is mounted on %s", dir);
	if (!attachment_of_dev(dev, ret)) {
		free(target);
		return complain("what is mounted on %s is not cowbd's: `umount %s` is for that",
				dir, dir);
	}
	free(*ret_target);
	*ret_target = target;
	return DONE;
}

int cmd_umount(const struct call *c)
{
	const char *dir = c->words[0];
	SCOPED_TEXT char *target = NULL;
	SCOPED_FD int lock = -1;
	struct attachment at;
	bool ends;
	int status = need_root(c);

	if (!status)
		status = find_mount(dir, &target, &at);
	if (!status)
		status = attach_lock(&lock);
	if (!status) /* once more: who had the lock may have taken it away, or brought another */
		status = find_mount(dir, &target, &at);
	if (status)
		return status;
	ends = ends_with_last_use(&at);
	if (!at.read_only)
		note_what_waits(at.uuid, target);
	status = umount_dir(target);
	if (status || !ends)
		return status;
	if (wait_detached(&at, GONE_SECONDS) && at.copy)
		drop_clone_of(&at);
	return DONE;
}
