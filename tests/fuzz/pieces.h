/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pieces.h - what of a pool on a store is in use: pages that the superblock leads to, batches of the journal
 *
 * Of a pool that is right; found from the superblock down, by the format alone.
 */
#ifndef COWBD_TESTS_FUZZ_PIECES_H
#define COWBD_TESTS_FUZZ_PIECES_H

#include "format.h"
#include "store.h"

#define PIECES_MAX 2000u

/* Something that can be damaged: a page in use, or a batch of the journal. */
struct piece_of_disk {
	enum page_kind kind;
	uint64_t no; /* of a page */
	uint64_t offset, length;
};

struct pieces {
	struct disk_super super;
	struct geometry g;
	struct piece_of_disk piece[PIECES_MAX]; /* batches come last */
	size_t n;
	uint64_t bits;
};

void pieces_survey(struct store *s, struct pieces *ret_pieces);

/* The slot that page no has in s; *ret_place: offset of where it is named. */
struct le32 pieces_slot(struct store *s, const struct geometry *g, uint64_t no,
			uint64_t *ret_place);

/* "map 17 at 4096"; until the next call. */
const char *pieces_name(const struct piece_of_disk *x);

/* All of it, or the test ends. */
void pieces_read(struct store *s, uint64_t offset, void *buf, size_t len);
void pieces_write(struct store *s, uint64_t offset, const void *buf, size_t len);

#endif
