/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epoch.h - which requests are still running
 *
 * Every request on data runs in an epoch.  Closing the current epoch gives a tag; once it is
 * drained, every request begun before the closing has ended.  This is how freed
 * blocks know when they may be reused (rule 2), and how a snapshot knows that the writes begun
 * before it are in (rule 7).
 *
 * The idea is quiescent-state reclamation (RCU), with counters instead of grace periods since
 * requests are long.  Thread rule: any thread, anything.  Cost: two atomic adds a request.
 */
#ifndef COWBD_EPOCH_H
#define COWBD_EPOCH_H

#include <stdatomic.h>

#include "base.h"

#define EPOCHS 64u

struct epochs {
	_Atomic uint64_t now;
	_Atomic uint64_t oldest; /* all before it are drained; only grows */
	struct {
		_Alignas(64) _Atomic uint64_t running;
	} count[EPOCHS];
	_Atomic unsigned waiters;
	pthread_mutex_t lock; /* a leaf lock: of changed, and of closing */
	pthread_cond_t changed;
};

void epoch_init(struct epochs *e);
void epoch_fini(struct epochs *e);

/* Begins a request; the token ends it. */
uint64_t epoch_enter(struct epochs *e);
void epoch_exit(struct epochs *e, uint64_t token);

/* Closes the current epoch: drained(tag) means that all requests begun until now have ended.
 * (With all EPOCHS in use the tag is of a younger one, which is as right, but later.) */
uint64_t epoch_close(struct epochs *e);
bool epoch_drained(struct epochs *e, uint64_t tag);

/* Waits for that.  Never inside a request. */
void epoch_wait(struct epochs *e, uint64_t tag);

/* Does a request run just now?  A sample: it may have ended when this returns. */
bool epoch_running(struct epochs *e);

#endif
