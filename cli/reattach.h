/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reattach.h - new connections for the kernel's NBD devices
 */
#ifndef COWBD_REATTACH_H
#define COWBD_REATTACH_H

#include "attach.h"

/* Gives the device new connections for those that are dead, how many in *ret_taken, and a new size
 * (0: as it is).  0 or -errno; says nothing of it. */
int nbd_revive(const struct attachment *a, struct session *s, uint64_t size, unsigned *ret_taken);

/* The same right after the daemon has cut them all: waits for the kernel to see that, and complains.  With a patient
 * session. */
int nbd_revive_all(const struct attachment *a, struct session *s, uint64_t size);

/* Before a planned end of the daemon, so that its devices go on soon after the next one's start. */
void reattach_before_end(const char *uuid);

/* For the devices of a daemon that has just started; whatever fails, the watch does it later. */
void reattach_after_start(const char *uuid);

#endif
