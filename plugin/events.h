/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events.h - what happens, told to whoever subscribed on the control socket
 *
 * An event is one JSON object with "event" and "time", on one line; cowbd-protocol(7) lists them.
 * Nobody who tells an event waits for one who listens: each subscriber has a queue, and what
 * doesn't fit into it is counted and dropped.
 *
 * Thread rule: any; a subscriber belongs to one thread.
 */
#ifndef COWBD_EVENTS_H
#define COWBD_EVENTS_H

#include <jansson.h>

struct subscriber;

/* Tells an event; takes the object over (NULL: no memory, nothing is told). */
void events_tell(json_t *event);

/* NULL: no memory or descriptors. */
struct subscriber *events_subscribe(void);
void events_unsubscribe(struct subscriber *s); /* NULL is fine */

/* Readable while there is an event to take. */
int events_fd(const struct subscriber *s);

/* The next event as a line with its end, malloc'd; NULL: none. */
char *events_take(struct subscriber *s);

#endif
