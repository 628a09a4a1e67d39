/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handles.h - the open exports of all connections, and cutting them off
 *
 * A handle has a gate.  Requests go through it into the engine; once it is shut they wait before
 * it, unanswered, until their connection is hung up: a client that
 * gets no answer sends its request again elsewhere or later, one that gets an error gives up.
 */
#ifndef COWBD_HANDLES_H
#define COWBD_HANDLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "connections.h"
#include "cowbd.h"

struct handle {
	struct cowbd_client *client; /* NULL once cut; constant for who has entered */
	struct conn_id connection;
	uint64_t object, size;
	bool writable;
	char *name;
	char description[96];

	atomic_uint inside; /* requests in the engine */
	atomic_bool shut;
	uint64_t serial; /* no other handle has or had it; constant */
	/* under the lock of the list */
	pid_t *thread; /* [threads]: all that have brought requests */
	size_t threads, threads_room;
	unsigned held;     /* requests before the shut gate */
	unsigned released; /* how many of them may go (with an error) */
	bool hung_up;      /* so may all, once no answer waits in the socket */
	bool cutting;      /* a call to handles_cut waits for it */
	struct handle *next, *previous;
};

/* Adds one; false when the end has begun: then it is still the caller's. */
bool handles_add(struct handle *h) __attribute__((warn_unused_result));

/* From .close: takes it off the list, closes its client and frees it. */
void handle_free(struct handle *h);

/* A request begins.  False: it must fail with ESHUTDOWN (after the connection was hung up, when
 * nobody is there to hear it). */
bool handle_enter(struct handle *h) __attribute__((warn_unused_result));
void handle_leave(struct handle *h);

/* A request that entered is dropped, since it waited for space when the handle was cut: leaves, and
 * waits before the gate as if it had never entered.  It must fail with ESHUTDOWN then. */
void handle_dropped(struct handle *h);

/* Cuts off the handles of one object, or (object 0) all, then and later: waits until no request
 * of theirs is in the engine, closes their clients, and hangs up.  -EBUSY: a request did not end
 * within limit_ms (< 0: none); its gate stays shut. */
int handles_cut(uint64_t object, int limit_ms) __attribute__((warn_unused_result));

/* Cuts off the handles that have writes waiting for space, and whose client is gone. */
void handles_drop_gone(void);

/* How many connections .close has not seen. */
size_t handles_count(void);

/* Frees what is left, once no connection thread is. */
void handles_free_all(void);

#endif
