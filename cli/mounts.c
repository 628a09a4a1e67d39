/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mounts.c - what of an attached disk is mounted, from sysfs and /proc/self/mountinfo
 *
 * btrfs gives each mount a device number of its own, so a mount is matched by its source, too.
 */
#include "mounts.h"

#include <dirent.h>
#include <errno.h>
#include <libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* ---- devices ------------------------------------------------------------------------ */

static bool class_read(const char *name, const char *file, char *buf, size_t len)
{
	char path[300];
	FILE *f;
	bool ok;

	snprintf(path, sizeof path, "/sys/class/block/%s/%s", name, file);
	f = fopen(path, "re");
	ok = f && fgets(buf, (int)len, f);
	if (f)
		fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

static bool has_device(const struct devices *d, dev_t dev)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->dev[i] == dev)
			return true;
	return false;
}

static void add_device(struct devices *d, const char *name, bool of_disk)
{
	unsigned major_n, minor_n, partition = 0;
	char text[64];

	if (d->n == DEVICES_MAX || strlen(name) >= sizeof d->name[0] ||
	    !class_read(name, "dev", text, sizeof text) ||
	    sscanf(text, "%u:%u", &major_n, &minor_n) != 2 ||
	    has_device(d, makedev(major_n, minor_n)))
		return;
	if (of_disk && class_read(name, "partition", text, sizeof text))
		partition = (unsigned)strtoul(text, NULL, 10);
	d->dev[d->n] = makedev(major_n, minor_n);
	d->partition[d->n] = partition;
	strcpy(d->name[d->n++], name);
}

/* Adds the names in /sys/class/block/NAME/DIR, or with DIR "" NAME's partitions. */
static void add_below(struct devices *d, const char *name, const char *dir)
{
	char path[300];
	struct dirent *e;
	DIR *list;

	snprintf(path, sizeof path, "/sys/class/block/%s/%s", name, dir);
	list = opendir(path);
	while (list && (e = readdir(list)))
		if (e->d_name[0] != '.' && (dir[0] || strncmp(e->d_name, name, strlen(name)) == 0))
			add_device(d, e->d_name, !dir[0]);
	if (list)
		closedir(list);
}

void devices_of(const struct attachment *a, struct devices *ret)
{
	*ret = (struct devices){0};
	add_device(ret, a->device + strlen("/dev/"), true);
	if (!ret->n)
		return;
	add_below(ret, ret->name[0], "");
	for (size_t i = 0; i < ret->n; i++) /* grows meanwhile */
		add_below(ret, ret->name[i], "holders");
}

/* ---- mounts ------------------------------------------------------------------------- */

void mounts_free(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->list[i].source);
		free(m->list[i].target);
		free(m->list[i].root);
		free(m->list[i].fstype);
		free(m->list[i].options);
	}
	free(m->list);
	*m = (struct mounts){0};
}

/* The block device of a mount: by its number, else by its source. */
static dev_t device_of_mount(struct libmnt_fs *fs)
{
	const char *source = mnt_fs_get_srcpath(fs);
	dev_t dev = mnt_fs_get_devno(fs);
	struct stat st;

	if (major(dev) == 0 && source && stat(source, &st) == 0 && S_ISBLK(st.st_mode))
		return st.st_rdev;
	return dev;
}

static char *copy_text(const char *text)
{
	return strdup(text ? text : "");
}

static int add_mount(struct mounts *m, struct libmnt_fs *fs, const struct devices *d, size_t which,
		     size_t place)
{
	struct mounted *list = realloc(m->list, (m->n + 1) * sizeof *list), *one;

	if (!list)
		return complain("no memory for mounts");
	m->list = list;
	one = &list[m->n++];
	*one = (struct mounted){
		.source = copy_text(mnt_fs_get_srcpath(fs)),
		.target = copy_text(mnt_fs_get_target(fs)),
		.root = copy_text(mnt_fs_get_root(fs)),
		.fstype = copy_text(mnt_fs_get_fstype(fs)),
		.options = copy_text(mnt_fs_get_options(fs)),
		.dev = d->dev[which],
		.partition = d->partition[which],
		.place = place,
		.direct = which == 0 || d->partition[which],
	};
	if (!one->source || !one->target || !one->root || !one->fstype || !one->options)
		return complain("no memory for mounts");
	return DONE;
}

static struct libmnt_table *read_mounts(void)
{
	return mnt_new_table_from_file("/proc/self/mountinfo");
}

int mounts_of(const struct attachment *a, struct mounts *ret)
{
	struct libmnt_iter *at = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_table *table = read_mounts();
	struct devices d;
	struct libmnt_fs *fs;
	size_t place = 0;
	int status = DONE;

	*ret = (struct mounts){0};
	devices_of(a, &d);
	if (!table || !at)
		status = complain("can't read /proc/self/mountinfo");
	while (!status && mnt_table_next_fs(table, at, &fs) == 0) {
		dev_t dev = device_of_mount(fs);

		place++;
		for (size_t i = 0; !status && i < d.n; i++)
			if (d.dev[i] == dev)
				status = add_mount(ret, fs, &d, i, place);
	}
	mnt_free_iter(at);
	mnt_unref_table(table);
	if (status)
		mounts_free(ret);
	return status;
}

bool mount_at(const char *dir, dev_t *ret_dev, char **ret_target)
{
	SCOPED_TEXT char *real = realpath(dir, NULL);
	struct libmnt_table *table = read_mounts();
	struct libmnt_fs *fs = NULL;

	if (real && table)
		fs = mnt_table_find_target(table, real, MNT_ITER_BACKWARD);
	if (fs) {
		*ret_dev = device_of_mount(fs);
		*ret_target = strdup(real);
	}
	mnt_unref_table(table);
	return fs && *ret_target;
}

/* ---- in words ------------------------------------------------------------------------- */

static void append(char *buf, size_t len, const char *before, const char *text)
{
	size_t used = strlen(buf);

	snprintf(buf + used, len - used, "%s%s", before, text);
}

static bool is_swap(const char *device)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f))
		found = strncmp(line, device, strlen(device)) == 0;
	if (f)
		fclose(f);
	return found;
}

void describe_use(const struct attachment *a, char *buf, size_t len)
{
	SCOPED_MOUNTS struct mounts m = {0};
	struct devices d;

	buf[0] = '\0';
	if (mounts_of(a, &m) == DONE)
		for (size_t i = 0; i < m.n; i++)
			append(buf, len, i ? ", " : "mounted on ", m.list[i].target);
	devices_of(a, &d);
	for (size_t i = 1; i < d.n; i++)
		if (!d.partition[i] && !m.n)
			append(buf, len, buf[0] ? ", " : "in use by ", d.name[i]);
	if (!buf[0] && is_swap(a->device))
		append(buf, len, "in use as ", "swap");
}
