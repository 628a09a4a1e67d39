/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connections.h - which sockets of this process are NBD connections, and whose they are
 *
 * nbdkit hands a plugin no descriptor.  To end idle clients, and to cut those of one disk, the
 * plugin must find them; connections.c says how.
 *
 * All calls may come from any thread; conns_init and conns_forget from one, while no client is
 * there.
 */
#ifndef COWBD_CONNECTIONS_H
#define COWBD_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A socket while it lives: the number of a closed one may be used again, its inode not. */
struct conn_id {
	int fd; /* -1: unknown */
	uint64_t inode;
};

/* Remembers on which sockets this process listens, but for except_fd (-1: none).  path: of the Unix socket among
 * them, if it has another than it was bound to; NULL: it hasn't.  0 or -errno. */
int conns_init(int except_fd, const char *path) __attribute__((warn_unused_result));

/* Path of the first Unix socket listened on, or NULL. */
const char *conns_unix_path(void);

/* "nbd+unix:///?socket=..." or "nbd://host:port" of the first listener; false: none. */
bool conns_uri(char *buf, size_t len);

/* From .preconnect: finds the socket of the connection that this thread serves, and remembers
 * it for conns_mine.  False: the peer is gone already, or memory or descriptors ran out; the
 * connection must be refused. */
bool conns_claim(void) __attribute__((warn_unused_result));

/* From .open: what conns_claim found.  fd -1: nothing, because no listener is known. */
struct conn_id conns_mine(void);

/* shutdown(2) of one connection; false: it is gone, or unknown. */
bool conns_shutdown(struct conn_id id, int how);

/* Is something sent that the peer has not yet taken?  (TCP: not yet acknowledged.) */
bool conns_unsent(struct conn_id id);

/* Has the peer hung up, or is the socket closed?  Unknown ones: no. */
bool conns_gone(struct conn_id id);

/* shutdown(2) of all connections, in whatever state; returns how many there were. */
size_t conns_shutdown_all(int how);

/* How many connections there are. */
size_t conns_count(void);

void conns_forget(void);

#endif
