/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nbdlink.h - the kernel's NBD client, by generic netlink (<linux/nbd-netlink.h>)
 *
 * Functions say nothing; they return 0 or -errno, as the kernel gave it.
 */
#ifndef COWBD_NBDLINK_H
#define COWBD_NBDLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nl_msg;
struct nl_sock;

struct nbdlink {
	struct nl_sock *sock;
	int family;
	int error; /* of the last request */
	unsigned index;
	bool has_index; /* the last message named a device */
	bool acknowledged;
};

/* What a request carries; what is zero, negative or NULL is left out. */
struct nbdlink_request {
	int index; /* of the device; < 0: the kernel chooses */
	uint64_t size_bytes, block_bytes;
	bool timeouts;         /* I/O never times out; a dead connection does after dead_seconds */
	uint64_t dead_seconds; /* how long requests wait for a new socket */
	uint64_t server_flags, client_flags;
	const int *sockets;
	size_t sockets_n;
	const char *backend; /* must be the device's in a reconfiguration */
};

/* -ENOENT: the kernel has no NBD client (loaded). nbdlink_close in any case. */
int nbdlink_open(struct nbdlink *l);
void nbdlink_close(struct nbdlink *l);

int nbdlink_connect(struct nbdlink *l, const struct nbdlink_request *q, unsigned *ret_index);
/* New sockets take the places of dead ones; the kernel doesn't say whether there were any. */
int nbdlink_reconfigure(struct nbdlink *l, const struct nbdlink_request *q);
int nbdlink_disconnect(struct nbdlink *l, unsigned index);

/* Listens for NBD_CMD_LINK_DEAD on a link of its own. */
int nbdlink_listen(struct nbdlink *l);
int nbdlink_fd(const struct nbdlink *l); /* for poll */
/* Takes in what has come: 1 and a device whose connection died, 0 nothing such, -errno. */
int nbdlink_next_dead(struct nbdlink *l, unsigned *ret_index);

/* The message of a request, for its test; NULL: no memory. nlmsg_free. */
struct nl_msg *nbdlink_message(int family, uint8_t cmd, const struct nbdlink_request *q);

#endif
