/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drain.h - the orderly end: idle clients don't keep a terminated server alive
 */
#ifndef COWBD_DRAIN_H
#define COWBD_DRAIN_H

#include <stdbool.h>
#include <stddef.h>

struct drain_host {
	void (*begin)(void);          /* from now on no client may come */
	void (*cut)(void);            /* end requests under way, hang up on all clients */
	void (*commit)(void);         /* make durable what was acknowledged */
	size_t (*open_handles)(void); /* NBD connections that .close has not seen */
	void (*abandon)(void);        /* close the pool and exit, though connections are there */
};

/* Catches SIGTERM, SIGINT, SIGQUIT and SIGHUP, and starts the thread that waits for them.  From
 * .after_fork: nbdkit has set its own handlers then.  0 or -errno. */
int drain_start(const struct drain_host *host) __attribute__((warn_unused_result));

/* Begins the orderly end, once.  Any thread, and signal handlers.  ahead: what can be made durable is,
 * before clients are cut: then they miss the server for a shorter time. */
void drain_request(bool ahead);

/* Ends the thread.  From .cleanup. */
void drain_join(void);

#endif
