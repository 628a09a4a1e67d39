/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * disk.c - the data of a volume or snapshot, through the engine or its daemon's NBD socket
 */
#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct disk {
	struct cowbd_client *client; /* one of these two */
	struct nbd_handle *nbd;
	uint64_t size;
	bool extents; /* the server tells them */
};

static int complain_nbd(void)
{
	const char *text = nbd_get_error();

	return complain("%s", text ? text : "NBD: unknown error");
}

static int open_nbd(struct session *s, const char *name, struct disk *d)
{
	struct address a = {0};
	int status = session_address(s, name, &a);
	int64_t size;

	if (status)
		return status;
	d->nbd = nbd_create();
	if (!d->nbd || nbd_add_meta_context(d->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
	    nbd_connect_uri(d->nbd, a.uri) < 0 || (size = nbd_get_size(d->nbd)) < 0) {
		address_fini(&a);
		return complain_nbd();
	}
	d->size = (uint64_t)size;
	d->extents = nbd_can_meta_context(d->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
	address_fini(&a);
	return DONE;
}

int disk_open(struct session *s, const char *name, bool read_only, struct disk **ret_disk)
{
	struct disk *d = calloc(1, sizeof *d);
	int status = DONE;

	if (!d)
		return complain("no memory for a disk");
	if (s->daemon) {
		status = open_nbd(s, name, d);
	} else if (cowbd_client_open(s->pool, name, read_only, "cowbd", &d->client) < 0) {
		status = complain_library();
	} else {
		d->size = cowbd_client_size(d->client);
		d->extents = true;
	}
	if (status) {
		disk_close(d);
		return status;
	}
	*ret_disk = d;
	return DONE;
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	cowbd_client_close(d->client);
	if (d->nbd) {
		nbd_shutdown(d->nbd, 0);
		nbd_close(d->nbd);
	}
	free(d);
}

uint64_t disk_size(const struct disk *d)
{
	return d->size;
}

int disk_read(struct disk *d, void *buf, size_t len, uint64_t offset)
{
	if (d->client)
		return cowbd_read(d->client, buf, len, offset) < 0 ? complain_library() : DONE;
	return nbd_pread(d->nbd, buf, len, offset, 0) < 0 ? complain_nbd() : DONE;
}

int disk_write(struct disk *d, const void *buf, size_t len, uint64_t offset)
{
	if (d->client)
		return cowbd_write(d->client, buf, len, offset, 0) < 0 ? complain_library() : DONE;
	return nbd_pwrite(d->nbd, buf, len, offset, 0) < 0 ? complain_nbd() : DONE;
}

int disk_flush(struct disk *d)
{
	if (d->client)
		return cowbd_flush(d->client) < 0 ? complain_library() : DONE;
	return nbd_flush(d->nbd, 0) < 0 ? complain_nbd() : DONE;
}

/* ---- extents ---------------------------------------------------------------------------- */

/* The first extent, as long as its like follow. */
struct first_extent {
	uint64_t end;
	bool data, any;
};

static int take_first(void *opaque, uint64_t offset, uint64_t length, bool mapped)
{
	struct first_extent *f = opaque;

	if (f->any && mapped != f->data)
		return 1;
	f->any = true;
	f->data = mapped;
	f->end = offset + length;
	return 0;
}

static int take_first_nbd(void *opaque, const char *context, uint64_t offset, uint32_t *entries,
			  size_t n, int *error)
{
	(void)error;
	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
		return 0;
	for (size_t i = 0; i + 1 < n; i += 2) {
		if (take_first(opaque, offset, entries[i], !(entries[i + 1] & LIBNBD_STATE_ZERO)))
			break;
		offset += entries[i];
	}
	return 0;
}

int disk_extent(struct disk *d, uint64_t offset, uint64_t limit, uint64_t *ret_end, bool *ret_data)
{
	/* less than 32 bits hold, and a multiple of any block size */
	uint64_t len = limit - offset < (UINT64_C(1) << 31) ? limit - offset : UINT64_C(1) << 31;
	struct first_extent f = {.end = offset + len, .data = true};

	if (d->client) {
		if (cowbd_extents(d->client, len, offset, take_first, &f) < 0)
			return complain_library();
	} else if (d->extents) {
		nbd_extent_callback cb = {.callback = take_first_nbd, .user_data = &f};

		if (nbd_block_status(d->nbd, len, offset, cb, 0) < 0)
			return complain_nbd();
	}
	*ret_end = f.end < limit ? f.end : limit;
	*ret_data = f.data;
	return DONE;
}

bool all_zero(const void *buf, size_t len)
{
	const char *p = buf;

	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}
