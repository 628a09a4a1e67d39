/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.h - a pool's bytes as input of a fuzzer: packed, mutated, and its checksums repaired
 *
 *	packed:  zones | run | run | ...       a run: le32 offset / 8, le16 bytes, the bytes
 *
 * Of a pool only what is not zero is packed, so a tiny one takes some KiB.  Any bytes can be unpacked:
 * what lies beyond the image, or is cut short, is left out.
 */
#ifndef COWBD_TESTS_FUZZ_IMAGE_H
#define COWBD_TESTS_FUZZ_IMAGE_H

#include "format.h"
#include "store.h"

#define IMAGE_ZONES_MAX 32u
#define IMAGE_PAGES (IMAGE_ZONES_MAX * (ZONE_BYTES / PAGE_BYTES))

struct image {
	uint64_t zones;
	uint8_t *page[IMAGE_PAGES]; /* NULL: zeros */
};

void image_fini(struct image *im);

/* False: not even the number of zones.  im is new, or was finished. */
bool image_unpack(struct image *im, const uint8_t *data, size_t len);

/* Bytes used of max; what does not fit is left out. */
size_t image_pack(const struct image *im, uint8_t *out, size_t max);

/* The whole pages of s that are not zero, up to the limit of the image; data blocks too. */
void image_load(struct image *im, struct store *s);

/* A simulated store with that content. */
struct store *image_store(const struct image *im);

/* The page at offset, made if it isn't there; NULL: beyond the image. */
uint8_t *image_at(struct image *im, uint64_t offset);

/* Checksums of all pages that the superblocks lead to, and what names them above, are made to agree, and
 * those of the journal's batches and records.  counts: also sums of counts, which decoders compare. */
void image_repair(struct image *im, bool counts);

/* The batches from a place in the ring of so many bytes at offset base: chain, numbers, checksums. */
struct image_ring {
	uint64_t base, bytes;   /* of the ring in the image */
	uint64_t offset;        /* of the first batch, in the ring */
	uint64_t number, chain; /* its number, and the checksum before it */
	const uint8_t *uuid;
};
void image_repair_journal(struct image *im, const struct image_ring *ring);

/* A record's checksum and number; 0: no record that could be one, else its length. */
size_t image_repair_record(uint8_t *record, size_t room, uint64_t seq);

#endif
