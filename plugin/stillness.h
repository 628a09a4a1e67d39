/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stillness.h - were some threads of this process all asleep at one moment?
 *
 * nbdkit calls no plugin after it has sent an answer.  But the threads of a connection that has none
 * on its way are asleep: they wait for a request, or for whoever does.
 */
#ifndef COWBD_STILLNESS_H
#define COWBD_STILLNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* True: there was a moment, within this call, at which each of them was asleep or had ended.  Threads that
 * wait for the disk or for a processor are not asleep.  False also without memory, and without /proc.
 * Cost: some 20 us a thread. */
bool threads_were_still(const pid_t *tid, size_t n);

#endif
