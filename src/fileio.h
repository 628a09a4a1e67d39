/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fileio.h - batches of reads and writes on the two descriptions of a pool file
 */
#ifndef COWBD_FILEIO_H
#define COWBD_FILEIO_H

#include "store.h"

#define BOUNCE_BYTES (256u << 10)
#define BOUNCE_COUNT 16u /* at most 32, bits of a mask */

/* Aligned buffers for data that O_DIRECT can't take from where it is. */
struct bounce_pool {
	pthread_mutex_t lock; /* protects free; innermost, never held across I/O */
	pthread_cond_t freed;
	uint32_t free; /* mask of the buffers that are free */
	char *memory;
};

struct fileio {
	int data_fd;               /* through the page cache */
	int direct_fd;             /* O_DIRECT, if the host can */
	bool data_direct;          /* data too goes through direct_fd */
	bool dsync;                /* RWF_DSYNC makes a direct write durable */
	bool ring;                 /* io_uring may be used */
	uint32_t mem_align;        /* of memory, for data_direct */
	struct bounce_pool bounce; /* for data_direct */
};

/* Allocates the bounce buffers if data_direct is set. */
int fileio_init(struct fileio *f) MUST_CHECK;
void fileio_fini(struct fileio *f);

/* Runs every I/O whose .result is 0, and sets it: 0 or the host's -errno.  Any thread. */
void fileio_submit(struct fileio *f, struct store_io *ios, unsigned n);

#endif
