/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * filelock.h - the lock of a pool file, one part for each open file description
 */
#ifndef COWBD_FILELOCK_H
#define COWBD_FILELOCK_H

#include "base.h"

/* Parts of the lock.  Every opener takes all, in this order, each on the
 * description of that name. */
enum filelock_part { FILELOCK_DATA, FILELOCK_DIRECT };

/* Takes one part on fd's open file description, shared or exclusive (fd must
 * be open for writing), trying until now_ns() reaches deadline.  -EBUSY with a message
 * that names the holder where /proc tells.  Released when the last
 * reference to the description is gone, requests in flight included. */
int filelock_take(int fd, const char *path, enum filelock_part part, bool shared,
		  uint64_t deadline_ns) MUST_CHECK;

/* Sets the message for -EBUSY, naming who holds this part, and returns it. */
int filelock_busy(const char *path, enum filelock_part part) MUST_CHECK;

/* Sleeps a little; false, at once, if the deadline has passed. */
bool filelock_wait(uint64_t deadline_ns);

#endif
