/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin.h - one function per management command: JSON in, JSON out, on an open pool
 *
 * Exists once: the command line calls it directly when no daemon holds the pool, and
 * sends the same JSON through the control socket when one does.  So a command is the
 * same both ways.  cowbd-protocol(7) describes the objects.
 */
#ifndef COWBD_ADMIN_H
#define COWBD_ADMIN_H

#include <jansson.h>

#include "cowbd.h"

/* What only a daemon can do; all NULL in the command line. */
struct admin_host {
	void *opaque;
	/* Cuts every connection that has the object open and returns when they are closed. */
	int (*cut)(void *opaque, uint64_t object);
	/* Adds to the answer of status: pid, uri, socket, threads. */
	void (*status)(void *opaque, json_t *answer);
	/* Begins an orderly end; answers before it happens.  quick: another server waits to go on. */
	int (*stop)(void *opaque, bool quick);
};

/* Long work reports {"done":n,"total":n,"what":"..."}; borrowed. */
typedef void (*admin_progress)(void *opaque, json_t *progress);

/* Runs cmd with args (an object, or NULL).  0 and *ret_ok (a new reference to an object), or
 * -errno with cowbd_error() as message and admin_hint() as what to do ("" none).
 * Unknown cmd: -EINVAL.  Any thread. */
COWBD_PUBLIC int admin_call(struct cowbd_pool *p, const struct admin_host *host, const char *cmd,
			    json_t *args, admin_progress progress, void *opaque,
			    json_t **ret_ok) COWBD_CHECK;

/* The command check on a pool that nobody serves: the same answer, from the file at path. */
COWBD_PUBLIC int admin_check_file(const char *path, admin_progress progress, void *opaque,
				  json_t **ret_ok) COWBD_CHECK;

/* check --repair, on the file at path: the findings before, what was done ("repair") and is "lost", the findings
 * after; pages, recovered, dry_run, and the counts before ("damages" ...) and in "after". */
COWBD_PUBLIC int admin_repair_file(const char *path, bool dry_run, admin_progress progress,
				   void *opaque, json_t **ret_ok) COWBD_CHECK;

/* All metadata of the pool at path, which nobody may have open for writing, thing by thing (borrowed), in
 * memory that does not grow with the pool.  emit: 0, or negative to end it. */
typedef int (*admin_emit)(void *opaque, json_t *item);
COWBD_PUBLIC int admin_dump_file(const char *path, admin_emit emit, void *opaque) COWBD_CHECK;

/* What to do about this thread's last error, or "". */
COWBD_PUBLIC const char *admin_hint(void);

/* May cmd run on a pool opened read-only? (ls info tree df diff check status ...) */
COWBD_PUBLIC bool admin_reads_only(const char *cmd);

/* Name ("ENOSPC") of -errno, and back (0: unknown). */
COWBD_PUBLIC const char *admin_errno_name(int err);
COWBD_PUBLIC int admin_errno(const char *name);

#endif
