/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * logwrites.h - the log of the kernel's dm-log-writes target: written from a simulated store, and read
 *
 *	sector 0   magic, version, number of entries, sector size
 *	then       [ entry, one sector; a mark's text behind it ] [ its data ]  ...
 *
 * All little-endian, all in sectors of the size that the head names (the logged device's logical
 * block).  The kernel logs a write when it is durable: one with FUA at its end; the others at the end
 * of the next flush, in the order in which they ended, and the flush as an entry after them.  A discard has no data.
 *
 * So what a power cut leaves, when the log is N entries long, is all up to the last flush in it, and any
 * selection of what came after it; entries with FUA are there.
 */
#ifndef CRASH_LOGWRITES_H
#define CRASH_LOGWRITES_H

#include <stdint.h>

#include "base.h"
#include "store.h"

enum { LOGW_FLUSH = 1, LOGW_FUA = 2, LOGW_DISCARD = 4, LOGW_MARK = 8, LOGW_METADATA = 16 };

#define LOGW_SECTOR_MAX 65536u

struct logw_entry {
	uint64_t number;            /* 0, 1, 2 ... */
	uint64_t offset, length;    /* bytes of the device */
	uint64_t flags;             /* LOGW_... */
	uint64_t at;                /* byte of the log where its data is */
	char mark[LOGW_SECTOR_MAX]; /* its text, else "" */
};

struct logw {
	int fd;
	uint32_t sector_bytes;
	uint64_t entries, next; /* in the log; number of the next one */
	uint64_t at;            /* byte of the next one */
	struct logw_entry entry;
};

/* -EUCLEAN if it is no such log. */
int logw_open(const char *path, struct logw **ret_log) MUST_CHECK;
void logw_close(struct logw *l);

/* The next entry, valid until the next call: *ret_entry, NULL at the end.  -EUCLEAN if the log is cut off. */
int logw_next(struct logw *l, const struct logw_entry **ret_entry) MUST_CHECK;

/* From the first entry again. */
void logw_rewind(struct logw *l);

/* Does to the file what the entry did to the device; marks and flushes do nothing. */
int logw_apply(struct logw *l, const struct logw_entry *e, int fd) MUST_CHECK;

/* Writes the log of a simulated store that records, as the kernel would have (sectors of 512 bytes).  A sync of
 * ranges is a flush of what it covers; growth is a mark "size BYTES", SIM_MARK one "mark NUMBER".  What is never
 * synced is not in it.  -EINVAL for a write that is no whole sectors. */
int logw_record(struct store *sim, const char *path) MUST_CHECK;

#endif
