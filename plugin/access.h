/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * access.h - which users may connect: group and mode of the sockets, and who is at the other end
 */
#ifndef COWBD_ACCESS_H
#define COWBD_ACCESS_H

#include <stdbool.h>

/* A parameter: 1 it is one of ours, 0 it isn't, -1 it is and its value can't be (nbdkit_error said so). */
int access_config(const char *key, const char *value);

/* Group and mode of the NBD socket at path, as the parameters say.  0, or -1 after nbdkit_error. */
int access_nbd_socket(const char *path) __attribute__((warn_unused_result));

/* The same for the control socket, which is our user's alone unless a group was given. */
int access_control_socket(const char *path) __attribute__((warn_unused_result));

/* May the process at the other end of this connected Unix socket manage the pool?  Root, our own user,
 * and members of the group. */
bool access_may_manage(int fd);

#endif
