/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_change.c - commands on one volume or on the pool: create, rename, resize, grow, stop
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "admin_internal.h"

#define SECTOR 512u

uint64_t virtual_bytes(struct cowbd_pool *p)
{
	struct cowbd_pool_info i;

	cowbd_pool_info(p, &i);
	return i.virtual_bytes;
}

/* "1.5 TiB" */
static const char *human(uint64_t bytes, char buf[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t u = 0;

	for (; v >= 1024 && u + 1 < ARRAY_SIZE(units); u++)
		v /= 1024;
	snprintf(buf, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

int note_overcommit(struct admin_request *r, uint64_t virtual_before, json_t *answer)
{
	char promised[32], held[32];
	struct cowbd_pool_info i;
	bool over;

	cowbd_pool_info(r->pool, &i);
	over = i.virtual_bytes > i.block_zones_bytes;
	json_object_set_new(answer, "overcommitted", json_boolean(over));
	if (over && virtual_before <= i.block_zones_bytes)
		json_object_set_new(
			answer, "note",
			json_sprintf(
				"the volumes promise %s together, and the pool can hold %s: watch "
				"`cowbd df`, and grow the pool before it is full",
				human(i.virtual_bytes, promised),
				human(i.block_zones_bytes, held)));
	return answer ? 0 : fail(-ENOMEM, "no memory for the answer");
}

/* What is said about a size must be the same for every command that takes one. */
static int check_size(uint64_t size)
{
	if (size == 0)
		return with_hint(fail(-EINVAL, "a volume of size zero can't be"),
				 "give at least %u bytes", SECTOR);
	if (size % SECTOR)
		return with_hint(fail(-EINVAL, "size %" PRIu64 " is no multiple of %u", size,
				      SECTOR),
				 "the next one up is %" PRIu64, round_up(size, SECTOR));
	return 0;
}

/* Answers with the object as it is now, and a note if the pool promises too much. */
static int answer_object(struct admin_request *r, const char *name, uint64_t virtual_before,
			 json_t **ret_ok)
{
	CLEANUP_JSON json_t *answer = NULL;
	struct cowbd_object o;
	int err = cowbd_find(r->pool, name, &o);

	if (err)
		return err;
	answer = object_json(&o);
	err = note_overcommit(r, virtual_before, answer);
	return err ? err : answer_with(json_incref(answer), ret_ok);
}

int admin_create(struct admin_request *r, json_t **ret_ok)
{
	uint64_t size, sector = 0, before = virtual_bytes(r->pool);
	const char *name;
	unsigned flags;
	int err = arg_string(r, "name", &name);

	if (!err)
		err = arg_bytes(r, "size", &size);
	if (!err && json_object_get(r->args, "sector_size"))
		err = arg_bytes(r, "sector_size", &sector);
	if (!err)
		err = arg_wait(r, &flags);
	if (!err)
		err = check_size(size);
	if (err)
		return err;
	if (sector != 0 && sector != 512 && sector != 4096)
		return with_hint(fail(-EINVAL, "sectors of %" PRIu64 " bytes can't be", sector),
				 "choose 512 or 4096");
	if (sector && size % sector)
		return with_hint(fail(-EINVAL, "size %" PRIu64 " is no multiple of the sector size",
				      size),
				 "the next one up is %" PRIu64, round_up(size, sector));
	err = cowbd_create(r->pool, name, size, (uint32_t)sector, flags);
	return err ? err : answer_object(r, name, before, ret_ok);
}

int admin_rename(struct admin_request *r, json_t **ret_ok)
{
	const char *name, *new_name;
	unsigned flags;
	int err = arg_string(r, "name", &name);

	if (!err)
		err = arg_string(r, "new_name", &new_name);
	if (!err)
		err = arg_wait(r, &flags);
	if (!err)
		err = cowbd_rename(r->pool, name, new_name, flags);
	return err ? err : answer_object(r, new_name, virtual_bytes(r->pool), ret_ok);
}

int admin_resize(struct admin_request *r, json_t **ret_ok)
{
	uint64_t size, before = virtual_bytes(r->pool);
	struct cowbd_object o;
	const char *name;
	unsigned flags;
	bool force, reconnect;
	int err = arg_string(r, "name", &name);

	if (!err)
		err = arg_bytes(r, "size", &size);
	if (!err)
		err = arg_flag(r, "force", &force);
	if (!err)
		err = arg_flag(r, "reconnect", &reconnect);
	if (!err)
		err = arg_wait(r, &flags);
	if (!err)
		err = check_size(size);
	if (!err)
		err = cowbd_find(r->pool, name, &o);
	if (err)
		return err;
	if (o.kind != COWBD_VOLUME)
		return with_hint(fail(-EINVAL, "%s is a snapshot, which never changes", name),
				 "resize a clone of it");
	if (size < o.size)
		err = clear_clients(r, &o.id, 1, force, "shrink");
	if (!err)
		err = cowbd_resize(r->pool, name, size,
				   flags | (force ? COWBD_SHRINK_FORCE | COWBD_IGNORE_CLIENTS : 0));
	if (err == -EBUSY && size < o.size && !admin_hint()[0])
		with_hint(err,
			  "shrink the file system first, or cut off with --force what is there");
	if (!err && reconnect && r->host && r->host->cut)
		err = r->host->cut(r->host->opaque, o.id);
	return err ? err : answer_object(r, name, before, ret_ok);
}

/* ---- the pool ------------------------------------------------------------------ */

/* Size of the file or device as it is now: what a pool without a size grows to. */
static int size_on_host(const char *path, uint64_t *ret_bytes)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(-errno, "%s: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode)) {
		*ret_bytes = (uint64_t)st.st_size;
		return 0;
	}
	if (ioctl(fd, BLKGETSIZE64, ret_bytes) < 0)
		return fail(-errno, "%s: can't tell the size of the device: %s", path,
			    strerror(errno));
	return 0;
}

int admin_grow(struct admin_request *r, json_t **ret_ok)
{
	struct cowbd_pool_info i;
	uint64_t size;
	int err;

	cowbd_pool_info(r->pool, &i);
	if (json_object_get(r->args, "size"))
		err = arg_bytes(r, "size", &size);
	else
		err = size_on_host(i.path, &size);
	if (err)
		return err;
	if (size < i.size)
		return with_hint(fail(-EINVAL, "the pool has %" PRIu64 " bytes, and can't shrink",
				      i.size),
				 "give more than that");
	err = cowbd_grow_pool(r->pool, size);
	if (err)
		return err;
	cowbd_pool_info(r->pool, &i);
	return answer_with(json_pack("{s:I, s:I, s:I}", "size", (json_int_t)i.size, "capacity",
				     (json_int_t)i.block_zones_bytes, "free",
				     (json_int_t)i.free_bytes),
			   ret_ok);
}

int admin_stop(struct admin_request *r, json_t **ret_ok)
{
	bool force, quick;
	int err = arg_flag(r, "force", &force);

	if (!err)
		err = arg_flag(r, "quick", &quick);
	if (err)
		return err;
	if (!r->host || !r->host->stop)
		return fail(-EOPNOTSUPP, "no daemon serves this pool: nothing to stop");
	if (!force)
		err = clear_clients(r, NULL, 0, false, "stop");
	if (!err)
		err = r->host->stop(r->host->opaque, quick);
	return err ? err : answer_with(json_pack("{s:b}", "stopping", true), ret_ok);
}

int admin_on_full(struct admin_request *r, json_t **ret_ok)
{
	const char *name, *policy;
	bool hold;
	int err = arg_string(r, "name", &name);

	if (!err)
		err = arg_string(r, "policy", &policy);
	if (err)
		return err;
	hold = strcmp(policy, "hold") == 0;
	if (!hold && strcmp(policy, "error") != 0)
		return fail(-EINVAL, "on_full: the policy is \"hold\" or \"error\"");
	err = cowbd_set_on_full(r->pool, name, hold);
	return err ? err
		   : answer_with(json_pack("{s:s, s:s}", "name", name, "policy", policy), ret_ok);
}
