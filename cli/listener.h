/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.h - the Unix socket on which a daemon is to listen, made before there is the daemon
 *
 * Who connects from then on waits for the daemon instead of being refused.  nbdkit takes the socket as systemd would
 * give it (sd_listen_fds(3)).
 *
 * One thread.  Functions return a status of the command and have complained.
 */
#ifndef COWBD_LISTENER_H
#define COWBD_LISTENER_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct listener {
	int fd;              /* -1: none */
	int dir;             /* that of the path */
	char name[NAME_MAX]; /* in there */
	char before
		[32]; /* what the socket that was there is called meanwhile; "": there was none */
	dev_t dev;
	ino_t ino;
};

/* Listens at path.  What a dead daemon left there is replaced; so is, with *take_over*, a socket that is listened on,
 * whose group and mode the new one gets.  There is a socket at path at any moment, if there was one.  Refuses what is
 * no socket, and, without *take_over*, a socket that answers. */
int listener_open(const char *path, bool take_over, struct listener *ret);

/* For a process that is about to exec nbdkit: the socket is its descriptor 3. */
int listener_hand_on(const struct listener *l);

/* The daemon before this one will not come back. */
void listener_keep(struct listener *l);

/* There will be no daemon: the socket before this one is put back, or the path is empty again. */
void listener_undo(struct listener *l);

/* Closes the socket here; the daemon has its own descriptor. */
void listener_close(struct listener *l);

/* Forgets all; the socket stays as it is. */
void listener_fini(struct listener *l);

#endif
