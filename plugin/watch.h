/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.h - looks after the pool: says when it is full, nearly full, or failed
 */
#ifndef COWBD_WATCH_H
#define COWBD_WATCH_H

#include "cowbd.h"

/* When little space is left: so many bytes, or (percent > 0) so many hundredths of what data can take. */
struct low_water {
	uint64_t bytes;
	unsigned percent;
};

/* Before the pool is opened.  0 or -errno. */
int watch_init(void) __attribute__((warn_unused_result));

/* Look now.  Any thread, with any lock. */
void watch_wake(void *unused);

/* Starts the thread, ends it.  It tells events and writes to the log. */
int watch_start(struct cowbd_pool *p, struct low_water mark) __attribute__((warn_unused_result));
void watch_stop(void);

#endif
