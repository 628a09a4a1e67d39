/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parts.c - what is on a device, by libblkid
 */
#include "parts.h"

#include <blkid.h>
#include <errno.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NODE_TRIES 500
#define NODE_POLL_US 10000
#define SECTOR 512u /* blkid's, whatever the device's is */

static void copy_value(blkid_probe probe, const char *name, char *buf, size_t len)
{
	const char *value;

	buf[0] = '\0';
	if (blkid_probe_lookup_value(probe, name, &value, NULL) == 0)
		snprintf(buf, len, "%s", value);
}

/* What is on a device or partition; nothing known is no error. */
static int look(struct part *p)
{
	blkid_probe probe = blkid_new_probe_from_filename(p->device);

	if (!probe)
		return complain("%s: can't look at it: %s", p->device, strerror(errno));
	blkid_probe_enable_superblocks(probe, true);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
							 BLKID_SUBLKS_USAGE | BLKID_SUBLKS_UUID);
	if (blkid_do_safeprobe(probe) == 0) {
		copy_value(probe, "TYPE", p->type, sizeof p->type);
		copy_value(probe, "LABEL", p->label, sizeof p->label);
		copy_value(probe, "USAGE", p->usage, sizeof p->usage);
		copy_value(probe, "UUID", p->uuid, sizeof p->uuid);
	}
	p->size = (uint64_t)blkid_probe_get_size(probe);
	blkid_free_probe(probe);
	return DONE;
}

static bool kernel_has(const struct part *p)
{
	char path[128];

	snprintf(path, sizeof path, "/sys/class/block/%s", p->device + strlen("/dev/"));
	return access(path, F_OK) == 0;
}

/* The kernel looks for partitions by itself when it knows the kind of table, and nobody stands in
 * its way; else it is told. */
static void show_kernel(const struct parts *all, int fd)
{
	bool asked = false;

	for (size_t i = 0; i < all->n; i++) {
		const struct part *p = &all->list[i];
		struct blkpg_partition one = {.start = (long long)p->start,
					      .length = (long long)p->size,
					      .pno = (int)p->number};
		struct blkpg_ioctl_arg add = {
			.op = BLKPG_ADD_PARTITION, .datalen = sizeof one, .data = &one};

		if (!kernel_has(p) && !asked)
			(void)ioctl(fd, BLKRRPART);
		asked = true;
		if (!kernel_has(p))
			(void)ioctl(fd, BLKPG, &add);
	}
}

static int wait_nodes(const struct parts *all)
{
	for (size_t i = 0; i < all->n; i++)
		for (int tries = 0; access(all->list[i].device, F_OK) < 0; tries++) {
			if (tries == NODE_TRIES)
				return complain("%s does not appear: is udev running?",
						all->list[i].device);
			usleep(NODE_POLL_US);
		}
	return DONE;
}

static void list_partitions(const char *device, blkid_probe probe, struct parts *ret)
{
	blkid_partlist list = blkid_probe_get_partitions(probe);
	int n = list ? blkid_partlist_numof_partitions(list) : 0;

	for (int i = 0; i < n && ret->n < PARTS_MAX; i++) {
		blkid_partition one = blkid_partlist_get_partition(list, i);
		struct part *p = &ret->list[ret->n];

		if (blkid_partition_is_extended(one))
			continue;
		p->number = (unsigned)blkid_partition_get_partno(one);
		p->start = (uint64_t)blkid_partition_get_start(one) * SECTOR;
		p->size = (uint64_t)blkid_partition_get_size(one) * SECTOR;
		snprintf(p->device, sizeof p->device, "%sp%u", device, p->number);
		ret->n++;
	}
}

/* The table of the device; ret->n 0: there is none. */
static int read_table(const struct attachment *a, struct parts *ret)
{
	blkid_probe probe = blkid_new_probe_from_filename(a->device);

	ret->n = 0;
	if (!probe)
		return complain("%s: can't look at it: %s", a->device, strerror(errno));
	blkid_probe_enable_superblocks(probe, false);
	blkid_probe_enable_partitions(probe, true);
	if (blkid_do_safeprobe(probe) == 0)
		list_partitions(a->device, probe, ret);
	blkid_free_probe(probe);
	return DONE;
}

void parts_scan(const struct attachment *a, int fd)
{
	struct parts *all = malloc(sizeof *all);

	if (all && read_table(a, all) == DONE)
		show_kernel(all, fd);
	free(all);
}

int parts_find(const struct attachment *a, int fd, struct parts *ret)
{
	int status;

	*ret = (struct parts){.n = 1};
	snprintf(ret->list[0].device, sizeof ret->list[0].device, "%s", a->device);
	status = look(&ret->list[0]);
	if (status || ret->list[0].type[0])
		return status;
	status = read_table(a, ret);
	if (status)
		return status;
	show_kernel(ret, fd);
	status = wait_nodes(ret);
	for (size_t i = 0; !status && i < ret->n; i++)
		status = look(&ret->list[i]);
	return status;
}

/* ---- choosing ----------------------------------------------------------------------- */

static bool mountable(const struct part *p)
{
	return strcmp(p->usage, "filesystem") == 0;
}

/* "1 ext4 "boot" 512M, 2 LVM2_member 9G" */
static void describe(const struct parts *all, char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < all->n && used < len; i++) {
		const struct part *p = &all->list[i];
		char size[SIZE_TEXT];

		used += (size_t)snprintf(buf + used, len - used, "%s%u %s %s%s%s%s", i ? ", " : "",
					 p->number, p->type[0] ? p->type : "(unknown)",
					 p->label[0] ? "\"" : "", p->label,
					 p->label[0] ? "\" " : "", size_text(p->size, false, size));
	}
}

static int complain_layer(const struct part *p, const char *name)
{
	char where[32] = "";

	if (p->number)
		snprintf(where, sizeof where, ", in partition %u,", p->number);
	if (strcmp(p->type, "LVM2_member") == 0)
		return complain("%s holds LVM%s not a file system: `cowbd attach %s`, then "
				"`vgchange -ay` and mount the logical volume",
				name, where[0] ? where : " and", name);
	if (strcmp(p->type, "crypto_LUKS") == 0)
		return complain("%s is encrypted with LUKS%s: `cowbd attach %s`, then `cryptsetup "
				"open` the device and mount what it makes",
				name, where, name);
	if (p->number)
		return complain("%s: partition %u holds %s, which can't be mounted", name,
				p->number, p->type[0] ? p->type : "nothing that is known");
	return complain("%s holds %s, which can't be mounted", name,
			p->type[0] ? p->type : "nothing that is known: make a file system on it");
}

static int choose_numbered(const struct parts *all, const char *name, unsigned number,
			   const struct part **ret)
{
	char list[1024];

	for (size_t i = 0; i < all->n; i++)
		if (all->list[i].number == number) {
			*ret = &all->list[i];
			return mountable(*ret) ? DONE : complain_layer(*ret, name);
		}
	describe(all, list, sizeof list);
	if (all->n && all->list[0].number)
		return complain("%s has no partition %u: %s", name, number, list);
	return complain("%s has no partitions", name);
}

int parts_choose(const struct parts *all, const char *name, unsigned number,
		 const struct part **ret)
{
	const struct part *found = NULL, *layer = NULL;
	char list[1024];
	size_t n = 0;

	if (number)
		return choose_numbered(all, name, number, ret);
	for (size_t i = 0; i < all->n; i++) {
		const struct part *p = &all->list[i];

		if (mountable(p)) {
			found = p;
			n++;
		} else if (strcmp(p->type, "LVM2_member") == 0 ||
			   strcmp(p->type, "crypto_LUKS") == 0) {
			layer = p;
		}
	}
	*ret = found;
	if (n == 1)
		return DONE;
	describe(all, list, sizeof list);
	if (n > 1)
		return complain("%s has several file systems: say %s:N, with N of %s", name, name,
				list);
	if (layer)
		return complain_layer(layer, name);
	if (all->n && !all->list[0].number)
		return complain_layer(&all->list[0], name);
	if (!all->n)
		return complain("%s holds nothing that is known: make a file system on it", name);
	return complain("%s holds nothing that can be mounted: %s", name, list);
}
