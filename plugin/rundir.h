/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rundir.h - the control socket's place in the file system, and the links to it
 *
 *	RUNDIR/<pool-uuid>.ctl   the control socket
 *	RUNDIR/<pool-uuid>.nbd   the NBD socket, when nbdkit was told so
 *	RUNDIR/NAME.ctl, .nbd    links to them
 *	RUNDIR/DEV:INO.ctl       link by the pool's file, in hex: so that a command needn't read the
 *	                         file, behind the writes of a busy disk, to know its UUID
 *
 * From one thread, before others run and after they have ended.
 */
#ifndef COWBD_RUNDIR_H
#define COWBD_RUNDIR_H

#include "cowbd.h"

/* A listening socket, mode 0600, at path, or by default in the run directory, with its link.
 * 0, or -errno and the sentence in rundir_error(). */
int rundir_bind(struct cowbd_pool *p, const char *path, int *ret_fd)
	__attribute__((warn_unused_result));
const char *rundir_error(void);

/* Where the control socket is; "" before. */
const char *rundir_control_path(void);

/* Makes NAME.nbd if nbd_socket is <pool-uuid>.nbd in the run directory. */
void rundir_link_nbd(const char *nbd_socket);

/* Removes socket and links if they are still ours. */
void rundir_unbind(void);

#endif
