/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * requests.h - NBD requests of an open export, on cowbd.h
 *
 * Callbacks of nbdkit-plugin(3): 0, or -1 with errno set after nbdkit_error.  Any thread, in parallel.
 */
#ifndef COWBD_REQUESTS_H
#define COWBD_REQUESTS_H

#include <stdint.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

int request_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags);
int request_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags);
int request_flush(void *handle, uint32_t flags);
int request_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int request_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int request_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int request_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
		    struct nbdkit_extents *extents);

#endif
