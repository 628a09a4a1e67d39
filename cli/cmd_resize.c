/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_resize.c - cowbd resize: the volume, its devices here, and the file system on it
 *
 *	nbd    the daemon cuts the volume's connections; new ones have the new size; the kernel is told
 *	fuse   nbdfuse keeps the size that it began with, so only taking it down and up again helps
 *
 * What is to be done follows from what the devices show, not from the size that the volume had: one that was cut
 * short by a death, of the command's or the daemon's, is completed by running it again.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "parts.h"
#include "reattach.h"
#include "remount.h"

/* One run. */
struct resize {
	const struct call *c;
	const char *name;
	uint64_t size, before, id;
	struct attachments there;
	struct remount remount;
};

/* ---- the file system ---------------------------------------------------------------- */

static int grow_fs_of(const char *type, const char *device, const char *mounted_on)
{
	const char *const ext[] = {"resize2fs", device, NULL};
	const char *const check[] = {"e2fsck", "-f", "-p", device, NULL};
	const char *const xfs[] = {"xfs_growfs", mounted_on, NULL};
	const char *const btrfs[] = {"btrfs", "filesystem", "resize", "max", mounted_on, NULL};

	if (strncmp(type, "ext", 3) == 0) {
		int status = mounted_on ? DONE : run_program(check); /* resize2fs wants it */

		return status ? status : run_program(ext);
	}
	if (strcmp(type, "xfs") != 0 && strcmp(type, "btrfs") != 0)
		return complain("%s: %s can't be grown by this", device,
				type[0] ? type : "what is on it");
	if (!mounted_on)
		return complain("%s: %s grows only when it is mounted", device, type);
	return run_program(strcmp(type, "xfs") == 0 ? xfs : btrfs);
}

static int grow_unmounted(const struct resize *r, const struct attachment *a)
{
	SCOPED_FD int fd = open_attachment(a);
	struct parts all;
	int status = fd < 0 ? FAILED : parts_find(a, fd, &all);

	if (status)
		return status;
	if (all.n != 1 || all.list[0].number)
		return complain("%s: grown, but there is no file system on all of it: grow the "
				"partition and what is in it by their own tools",
				r->name);
	return grow_fs_of(all.list[0].type, a->device, NULL);
}

static int grow_fs(const struct resize *r)
{
	SCOPED_MOUNTS struct mounts m = {0};
	const struct attachment *a = &r->there.list[0];
	int status = mounts_of(a, &m);

	if (status)
		return status;
	for (size_t i = 0; i < m.n; i++)
		if (m.list[i].direct && !m.list[i].partition)
			return grow_fs_of(m.list[i].fstype, a->device, m.list[i].target);
	return grow_unmounted(r, a);
}

/* ---- devices -------------------------------------------------------------------------- */

static bool has_via(const struct resize *r, enum via via)
{
	for (size_t i = 0; i < r->there.n; i++)
		if (r->there.list[i].via == via)
			return true;
	return false;
}

static bool shows_less(const struct resize *r, const struct attachment *a)
{
	return attachment_bytes(a) < r->size;
}

/* Is there a device whose connections must be new ones to show the size? */
static bool must_reconnect(const struct resize *r)
{
	for (size_t i = 0; i < r->there.n; i++)
		if (r->there.list[i].via == VIA_NBD && shows_less(r, &r->there.list[i]))
			return geteuid() == 0;
	return false;
}

/* A device outlives its daemon: what is in use must neither shrink nor come up anew without one. */
static int check_served(const struct session *s, const struct resize *r)
{
	char use[1024];

	if (s->daemon || !r->there.n)
		return DONE;
	if (!r->c->opt[OPT_REMOUNT] && !r->c->opt[OPT_RESIZE_FS] && r->size >= r->before)
		return DONE;
	describe_attachments(&r->there, use, sizeof use);
	return complain("%s is attached as %s, and its pool is not served: `cowbd serve %s` first",
			r->name, use, s->path);
}

/* Before anything has changed. */
static int check(const struct session *s, const struct resize *r)
{
	bool wants = r->c->opt[OPT_REMOUNT] || r->c->opt[OPT_RESIZE_FS];
	int status = wants ? need_root(r->c) : DONE;

	if (!status)
		status = check_served(s, r);
	if (status || !wants)
		return status;
	if (!r->there.n)
		return complain(
			"%s is not attached here: `cowbd mount` it first, or leave --remount "
			"and --resize-fs away",
			r->name);
	if (r->c->opt[OPT_RESIZE_FS] && r->size < r->before)
		return complain("%s: file systems are only grown: shrink it by its own tool first",
				r->name);
	if (r->c->opt[OPT_RESIZE_FS] && !r->c->opt[OPT_REMOUNT] && has_via(r, VIA_FUSE))
		return complain(
			"%s is attached through nbdfuse, which keeps its size: with --remount "
			"it is attached anew",
			r->name);
	return DONE;
}

static int find_devices(struct session *s, struct resize *r)
{
	SCOPED_JSON json_t *args = json_pack("{s:s, s:b}", "name", r->name, "no_usage", true);
	SCOPED_JSON json_t *object = NULL;

	if (session_call(s, "info", args, NULL, NULL, &object) < 0)
		return session_complain(s);
	r->id = (uint64_t)json_integer_value(json_object_get(object, "id"));
	r->before = (uint64_t)json_integer_value(json_object_get(object, "size"));
	return attachments_find(s->uuid, r->id, &r->there);
}

static int show_size(struct session *s, struct resize *r)
{
	int status = DONE;

	for (size_t i = 0; !status && i < r->there.n; i++) {
		const struct attachment *a = &r->there.list[i];

		if (!shows_less(r, a))
			continue;
		if (s->daemon && a->via == VIA_NBD && geteuid() == 0)
			status = nbd_revive_all(a, s, r->size);
		else
			note("%s: %s shows the new size when %s", r->name, a->device,
			     a->via == VIA_FUSE ? "it is attached anew: --remount does that"
			     : s->daemon        ? "root runs this again"
						: "its pool is served");
	}
	return status;
}

static int change(struct session *s, struct resize *r, json_t **ret_ok)
{
	bool remount = r->c->opt[OPT_REMOUNT] != NULL;
	json_t *args = new_args(r->c);
	int status = remount ? remount_down(s, &r->there.list[0], r->name, &r->remount) : DONE;

	json_object_set_new(args, "name", json_string(r->name));
	json_object_set_new(args, "size", json_integer((json_int_t)r->size));
	json_object_set_new(args, "force", json_boolean(r->c->opt[OPT_FORCE] != NULL));
	if (!remount && must_reconnect(r))
		json_object_set_new(args, "reconnect", json_true());
	if (!status && session_call(s, "resize", args, NULL, NULL, ret_ok) < 0)
		status = session_complain(s);
	json_decref(args);
	if (r->remount.was_attached) { /* also when it failed: as it was before */
		int up = remount_up(s, r->name, &r->remount);

		status = status ? status : up;
	} else if (!status) {
		status = show_size(s, r);
	}
	if (!status && r->c->opt[OPT_RESIZE_FS])
		status = grow_fs(r);
	return status;
}

static int run(struct session *s, struct resize *r, json_t **ret_ok)
{
	SCOPED_FD int lock = -1;
	int status = find_devices(s, r);

	if (!status)
		status = check(s, r);
	if (!status && r->there.n && geteuid() == 0)
		status = attach_lock(&lock);
	s->patient = r->there.n > 0;
	return status ? status : change(s, r, ret_ok);
}

int cmd_resize(const struct call *c)
{
	struct resize r = {.c = c, .name = c->words[0]};
	SCOPED_JSON json_t *ok = NULL;
	struct session s;
	const char *text;
	int status = check_name(r.name);

	if (!status)
		status = parse_disk_size(c->words[1], "size", &r.size);
	if (status)
		return status;
	status = session_open(c, "resize", &s);
	if (!status)
		status = run(&s, &r, &ok);
	attachments_free(&r.there);
	status = session_close(&s, status);
	if (status)
		return status;
	text = json_string_value(json_object_get(ok, "note"));
	if (text)
		note("%s", text);
	return c->opt[OPT_JSON] ? print_json(ok) : DONE;
}
