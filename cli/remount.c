/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remount.c - taking a disk's device and mounts down, and bringing them back as they were
 */
#include "remount.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parts.h"

#define LAST_USE_SECONDS 1 /* for a device to go with its last use */

void describe_attachments(const struct attachments *all, char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < all->n && used < len; i++) {
		char use[1024];

		describe_use(&all->list[i], use, sizeof use);
		used += (size_t)snprintf(buf + used, len - used, "%s%s%s%s", i ? "; " : "",
					 all->list[i].device, use[0] ? ", " : "", use);
	}
}

void note_what_waits(const char *uuid, const char *where)
{
	SCOPED_JSON json_t *status = NULL;
	struct session s;

	if (session_find_uuid(uuid, &s) != DONE)
		note("%s: its pool is not served: what is not yet written waits until you `cowbd "
		     "serve` it",
		     where);
	else if (session_call(&s, "status", NULL, NULL, NULL, &status) == 0 &&
		 json_integer_value(json_object_get(status, "held")) > 0)
		note("%s: the pool is full: what is not yet written waits for space: `cowbd rm` or "
		     "`cowbd grow` makes some",
		     where);
	(void)session_close(&s, DONE);
}

/* ---- down ----------------------------------------------------------------------------- */

/* What could not be brought back is not taken down. */
static int check_mounts(const struct remount *r, const char *name)
{
	char use[1024];

	for (size_t i = 0; i < r->mounts.n; i++) {
		const struct mounted *m = &r->mounts.list[i];

		if (!m->direct)
			return complain("%s: %s is on something built on its device: take that "
					"down first",
					name, m->target);
		if (strcmp(m->root, "/") != 0 && strcmp(m->fstype, "btrfs") != 0)
			return complain("%s: %s is a bind mount of a part of it: umount that first",
					name, m->target);
	}
	describe_use(&r->at, use, sizeof use);
	if (!r->mounts.n && use[0])
		return complain("%s: %s is %s: take that down first", name, r->at.device, use);
	return DONE;
}

/* What mountinfo shows beyond what mount takes. */
static int clean_options(struct mounted *m)
{
	static const char *const shown[] = {"seclabel", "subvolid"};

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		if (mnt_optstr_remove_option(&m->options, shown[i]) < 0)
			return complain("no memory for options");
	return DONE;
}

static int mount_one(const struct remount *r, struct mounted *m)
{
	char device[64];
	int status = clean_options(m);

	snprintf(device, sizeof device, m->partition ? "%sp%u" : "%s", r->at.device, m->partition);
	return status ? status : mount_device(device, m->target, m->fstype, m->options);
}

static int umount_all(struct remount *r)
{
	size_t left = r->mounts.n;
	int status = DONE;

	while (!status && left > 0)
		if (!(status = umount_dir(r->mounts.list[left - 1].target)))
			left--;
	for (size_t i = left; status && i < r->mounts.n; i++)
		(void)mount_one(r, &r->mounts.list[i]);
	return status;
}

/* The kernel does not tell, but the daemon does. */
static int count_connections(struct session *s, const char *name, unsigned *ret)
{
	SCOPED_JSON json_t *object = NULL;
	int status = disk_info(s, name, &object);
	size_t n = json_array_size(json_object_get(object, "connections"));

	*ret = n > 16 ? 16 : n ? (unsigned)n : 1;
	return status;
}

int remount_down(struct session *s, const struct attachment *a, const char *name,
		 struct remount *ret)
{
	struct remount r = {.at = *a, .was_attached = true};
	char text[32];
	int fd, status;

	interruption_hold();
	status = mounts_of(a, &r.mounts);
	if (!status)
		status = check_mounts(&r, name);
	r.sector_bytes = sysfs_read(a->device + strlen("/dev/"), "queue/logical_block_size", text,
				    sizeof text)
				 ? (uint32_t)strtoul(text, NULL, 10)
				 : 0;
	if (!status)
		status = count_connections(s, name, &r.connections);
	fd = open(a->device, O_RDONLY | O_CLOEXEC); /* it stays until all are unmounted */
	if (!status && fd < 0)
		status = complain("%s: %s", a->device, strerror(errno));
	if (!status && r.mounts.n)
		note_what_waits(s->uuid, name);
	if (!status)
		status = umount_all(&r);
	if (fd >= 0)
		close(fd);
	if (!status)
		r.goes_with_last_use = r.mounts.n && wait_detached(a, LAST_USE_SECONDS);
	if (!status && !r.goes_with_last_use && (status = detach_device(a)))
		for (size_t i = 0; i < r.mounts.n; i++)
			(void)mount_one(&r, &r.mounts.list[i]);
	if (!status) {
		s->patient = true; /* without a daemon nothing comes up again */
		*ret = r;
		return DONE;
	}
	mounts_free(&r.mounts);
	interruption_release();
	return status;
}

/* ---- up --------------------------------------------------------------------------------- */

static void say_before(const char *name, const char *device, const struct mounts *m)
{
	char use[1024] = "";
	size_t used = 0;

	for (size_t i = 0; i < m->n && used < sizeof use; i++)
		used += (size_t)snprintf(use + used, sizeof use - used, "%s%s",
					 i ? ", " : ", mounted on ", m->list[i].target);
	(void)complain("%s is not all up again: it was %s%s: `cowbd info %s` shows what is "
		       "missing, `cowbd %s %s` brings it back",
		       name, device, use, name, m->n ? "mount" : "attach", name);
}

int remount_up(struct session *s, const char *name, struct remount *r)
{
	SCOPED_JSON json_t *object = NULL;
	SCOPED_FD int fd = -1;
	struct attach a = {
		.via = r->at.via,
		.index = (int)r->at.index,
		.or_any = true,
		.connections = r->connections,
		.sector_bytes = r->sector_bytes,
		.read_only = r->at.read_only,
		.goes_with_last_use = r->goes_with_last_use,
	};
	char before[sizeof r->at.device];
	int status = s->gone ? FAILED : disk_info(s, name, &object);

	strcpy(before, r->at.device);
	if (!status)
		status = attach_prepare(s, object, &a);
	if (!status)
		status = attach_device(&a, &r->at, &fd);
	if (!status && strcmp(before, r->at.device) != 0)
		note("%s was taken by somebody else meanwhile: %s is attached as %s", before, name,
		     r->at.device);
	if (!status)
		parts_scan(&r->at, fd);
	for (size_t i = 0; !status && i < r->mounts.n; i++)
		status = mount_one(r, &r->mounts.list[i]);
	if (status)
		say_before(name, before, &r->mounts);
	mounts_free(&r->mounts);
	interruption_release();
	return status;
}
