/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.h - the control socket: management commands of a served pool
 *
 * cowbd-protocol(7) describes what is said on it.  In the order of their calls:
 * control_bind, control_start, control_stop, control_finish; from one thread.
 */
#ifndef COWBD_CONTROL_H
#define COWBD_CONTROL_H

#include "admin.h"
#include "cowbd.h"

#define CONTROL_MAX_LINE (1u << 20)
#define CONTROL_MAX_CONNECTIONS 64

/* Makes the socket, mode 0600, at path (NULL: <pool-uuid>.ctl in the run directory, with a link
 * NAME.ctl beside it).  Commands wait in it until control_start.  0, or -errno and the sentence
 * in control_error().  The pool is locked by us: a socket that nobody answers is left over, and
 * is replaced. */
int control_bind(struct cowbd_pool *p, const char *path) __attribute__((warn_unused_result));
const char *control_error(void);

/* Its descriptor, -1 before control_bind; its path, "" then. */
int control_listener(void);
const char *control_path(void);

/* Serves it, in threads of its own.  uri, nbd_socket: for the greeting, NULL if unknown.  If
 * nbd_socket is <pool-uuid>.nbd in the run directory, a link NAME.nbd to it is made. */
int control_start(struct cowbd_pool *p, const struct admin_host *host, const char *uri,
		  const char *nbd_socket) __attribute__((warn_unused_result));

/* Takes no more commands; returns when those under way have ended and are answered.  Clients stay
 * connected. */
void control_stop(void);

/* After the pool is closed, err being what cowbd_close returned: tells those still
 * connected, hangs up, and removes socket and links if they are still ours. */
void control_finish(int err);

#endif
