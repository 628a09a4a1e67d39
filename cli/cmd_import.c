/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_import.c - cowbd import: makes a volume from an image, sparse
 *
 * The volume is made first and filled then; whatever goes wrong on the way, an
 * interruption too, it is removed again.  A stream's size shows only at its end:
 * its volume doubles as it fills (thin, so that costs nothing) and is cut to size.
 *
 * Sizes.  A disk has whole sectors.  An image of another size is more often a
 * download cut off than a disk, so it is refused; --pad takes it with zeros behind.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define SECTOR 512u
#define STREAM_START (UINT64_C(1) << 30)

struct import {
	const struct call *c;
	struct session s;
	struct source *source;
	struct disk *disk;
	const char *volume;
	uint64_t size;        /* of the volume */
	uint64_t sector_size; /* 0: not said */
	uint64_t written;     /* bytes that are not zero */
	char *buf;
	json_t *answer; /* of create */
};

static uint64_t whole_sectors(uint64_t size)
{
	return (size + SECTOR - 1) / SECTOR * SECTOR;
}

/* ---- the volume ------------------------------------------------------------------------ */

static int create_volume(struct import *m)
{
	SCOPED_JSON json_t *args =
		json_pack("{s:s, s:I}", "name", m->volume, "size", (json_int_t)m->size);

	if (m->sector_size)
		json_object_set_new(args, "sector_size", json_integer((json_int_t)m->sector_size));
	if (session_call(&m->s, "create", args, NULL, NULL, &m->answer) < 0)
		return session_complain(&m->s);
	return DONE;
}

/* A command must come to an end: while it works, a full pool is an error.  A daemon of an older version doesn't
 * know that it could be otherwise. */
static void set_on_full(struct import *m, const char *policy)
{
	SCOPED_JSON json_t *args = json_pack("{s:s, s:s}", "name", m->volume, "policy", policy);
	SCOPED_JSON json_t *ok = NULL;

	(void)session_call(&m->s, "on_full", args, NULL, NULL, &ok);
}

static int resize_volume(struct import *m, uint64_t size)
{
	SCOPED_JSON json_t *args =
		json_pack("{s:s, s:I}", "name", m->volume, "size", (json_int_t)size);
	SCOPED_JSON json_t *ok = NULL;

	/* a connection keeps the size that it saw first */
	disk_close(m->disk);
	m->disk = NULL;
	if (session_call(&m->s, "resize", args, NULL, NULL, &ok) < 0)
		return session_complain(&m->s);
	m->size = size;
	return disk_open(&m->s, m->volume, false, &m->disk);
}

static void remove_volume(struct import *m)
{
	SCOPED_JSON json_t *args = json_pack("{s:[s]}", "names", m->volume);
	SCOPED_JSON json_t *ok = NULL;

	disk_close(m->disk);
	m->disk = NULL;
	if (session_call(&m->s, "rm", args, NULL, NULL, &ok) < 0)
		complain("the half-made volume %s could not be removed: %s", m->volume,
			 m->s.trouble.message);
}

/* ---- copying --------------------------------------------------------------------------- */

/* Writes len bytes of m->buf at offset, but for granules that are all zero. */
static int write_sparse(struct import *m, size_t len, uint64_t offset)
{
	size_t at = 0;

	while (at < len) {
		size_t end = at, piece;
		int status;

		while (end < len) {
			piece = len - end < GRANULE_BYTES ? len - end : GRANULE_BYTES;
			if (all_zero(m->buf + end, piece))
				break;
			end += piece;
		}
		if (end == at) {
			at += len - at < GRANULE_BYTES ? len - at : GRANULE_BYTES;
			continue;
		}
		status = disk_write(m->disk, m->buf + at, end - at, offset + at);
		if (status)
			return status;
		m->written += end - at;
		at = end;
	}
	return DONE;
}

static int copy_extent(struct import *m, uint64_t offset, uint64_t end)
{
	while (offset < end && !interrupted()) {
		size_t len = end - offset < COPY_BYTES ? (size_t)(end - offset) : COPY_BYTES, got;
		int status = source_read(m->source, m->buf, len, offset, &got);

		if (!status)
			status = write_sparse(m, got, offset);
		if (status)
			return status;
		offset += got;
		progress_show("import", offset, source_size(m->source));
	}
	return DONE;
}

static int copy_known(struct import *m)
{
	uint64_t offset = 0, end, size = source_size(m->source);
	bool data;

	while (offset < size && !interrupted()) {
		int status = source_extent(m->source, offset, &end, &data);

		if (!status && data)
			status = copy_extent(m, offset, end);
		if (status)
			return status;
		offset = end;
	}
	return DONE;
}

static int wrong_size(const struct import *m, uint64_t size)
{
	if (size == 0)
		return complain("%s is empty: a volume has at least 512 bytes", m->c->words[0]);
	return complain("%s has %" PRIu64 " bytes, no multiple of 512 (the next one up is %" PRIu64
			"): is it cut off? --pad fills up with zeros",
			m->c->words[0], size, whole_sectors(size));
}

static int copy_stream(struct import *m)
{
	uint64_t offset = 0;
	size_t got;
	int status;

	for (;;) {
		status = source_read(m->source, m->buf, COPY_BYTES, offset, &got);
		if (status || got == 0 || interrupted())
			break;
		if (offset + got > m->size)
			status = resize_volume(m, m->size * 2);
		if (!status)
			status = write_sparse(m, got, offset);
		if (status)
			return status;
		offset += got;
		progress_show("import", offset, 0);
	}
	if (!status && !interrupted())
		status = source_finish(m->source);
	if (status || interrupted())
		return status;
	if (offset == 0 || (offset % SECTOR && !m->c->opt[OPT_PAD]))
		return wrong_size(m, offset);
	return resize_volume(m, whole_sectors(offset));
}

/* ---- the command ------------------------------------------------------------------------ */

static int choose_size(struct import *m)
{
	uint64_t size = source_size(m->source);

	if (size == UINT64_MAX) {
		m->size = STREAM_START;
		return DONE;
	}
	if (size == 0 || (size % SECTOR && !m->c->opt[OPT_PAD]))
		return wrong_size(m, size);
	m->size = whole_sectors(size);
	return DONE;
}

static int fill_volume(struct import *m)
{
	int status = disk_open(&m->s, m->volume, false, &m->disk);

	if (!status)
		status = source_size(m->source) == UINT64_MAX ? copy_stream(m) : copy_known(m);
	if (!status && !interrupted())
		status = disk_flush(m->disk);
	progress_end();
	if (interrupted()) {
		complain("interrupted: volume %s was removed again", m->volume);
		return FAILED;
	}
	return status;
}

static int tell(struct import *m)
{
	SCOPED_JSON json_t *answer = NULL;
	const char *text = json_string_value(json_object_get(m->answer, "note"));

	/* a stream's volume was larger for a while: then the note may be wrong */
	if (text && source_size(m->source) != UINT64_MAX)
		note("%s", text);
	if (!m->c->opt[OPT_JSON])
		return DONE;
	answer = json_pack("{s:s, s:I, s:I, s:s}", "name", m->volume, "size", (json_int_t)m->size,
			   "written", (json_int_t)m->written, "format", source_format(m->source));
	return print_json(answer);
}

static int run_import(struct import *m)
{
	int status = session_open(m->c, "create", &m->s);

	if (!status)
		status = source_open(m->c->words[0], m->c->opt[OPT_FORMAT], &m->source);
	if (!status)
		status = choose_size(m);
	if (!status)
		status = create_volume(m);
	if (status)
		return status;
	set_on_full(m, "error");
	status = fill_volume(m);
	if (status)
		remove_volume(m);
	else
		set_on_full(m, "hold");
	return status ? status : tell(m);
}

int cmd_import(const struct call *c)
{
	struct import m = {.c = c, .volume = c->words[1]};
	int status = check_name(m.volume);

	if (!status && strchr(m.volume, '@'))
		status = usage_error(c, "%s: import makes a volume, whose name has no @", m.volume);
	if (!status && c->opt[OPT_SECTOR_SIZE])
		status = parse_disk_size(c->opt[OPT_SECTOR_SIZE], "sector size", &m.sector_size);
	if (status)
		return status;
	m.buf = malloc(COPY_BYTES);
	if (!m.buf)
		return complain("no memory for a buffer");
	interruption_catch();
	status = run_import(&m);
	disk_close(m.disk);
	source_close(m.source);
	json_decref(m.answer);
	free(m.buf);
	return session_close(&m.s, status);
}
