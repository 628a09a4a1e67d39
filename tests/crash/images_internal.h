/* SPDX-License-Identifier: BSD-3-Clause */
/* images_internal.h - between images.c, which tries one, and cuts.c, which chooses them */
#ifndef CRASH_IMAGES_INTERNAL_H
#define CRASH_IMAGES_INTERNAL_H

#include "images.h"

/* One image: how it came about. */
struct image {
	const struct phase *ph;
	size_t events; /* the cut */
	size_t dropped[UNSYNCED_MAX];
	size_t ndropped;
	struct sim_tear tear;
	uint8_t reached[64];
	bool torn;
	enum image_kind kind;
	const char *what;
	bool killed;
	unsigned nest; /* so many cuts within its recovery are tried */
	uint64_t random;
};

int try_image(struct image *im);

#endif
