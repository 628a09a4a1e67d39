/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_internal.h - what journal.c (the ring is written) and journal_scan.c (it is read) share: sizes
 */
#ifndef COWBD_JOURNAL_INTERNAL_H
#define COWBD_JOURNAL_INTERNAL_H

#include "journal.h"

#define PENDING_BYTES_DEFAULT (UINT64_C(16) << 20) /* of the pending ring */

/* Bytes of the ring on disk. */
static inline uint64_t ring_bytes_of(const struct geometry *g)
{
	return g->journal_zones * ZONE_BYTES;
}

/* Bytes that a batch takes in the ring, when its records and checksums take payload bytes. */
static inline uint64_t batch_bytes(uint64_t payload)
{
	return round_up(sizeof(struct disk_batch) + payload, PAGE_BYTES);
}

#endif
