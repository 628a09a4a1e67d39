/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach_nbd.h - connections for the kernel's NBD client
 */
#ifndef COWBD_ATTACH_NBD_H
#define COWBD_ATTACH_NBD_H

#include "attach.h"

#define NBD_SOCKETS_MAX 16
#define BACKEND_TEXT 80

struct nbd_handle;

/* Negotiated connections: fd[i] is handle[i]'s socket, for the kernel. */
struct nbd_sockets {
	struct nbd_handle *handle[NBD_SOCKETS_MAX];
	int fd[NBD_SOCKETS_MAX];
	size_t n;
};

/* Adds one: -1 and libnbd's error, saying nothing. */
int nbd_sockets_add(struct nbd_sockets *x, const struct address *a, uint64_t id);
void nbd_sockets_close(struct nbd_sockets *x);
/* Bytes of the disk as the last one shows it; 0: not known. */
uint64_t nbd_sockets_size(const struct nbd_sockets *x);

/* Around a planned end of the daemon: what was sent and not answered is sent again sooner.  Leaves
 * a device alone whose requests have another time than nbd_attach gave it. */
void nbd_hurry(const struct attachment *a, bool hurry);

/* What the kernel keeps as the name of the device's disk. */
void nbd_backend(const char *uuid, uint64_t id, bool copy, char buf[BACKEND_TEXT]);

/* The device ends when its last user closes it. */
int nbd_go_with_last_use(const struct attachment *a);

#endif
