/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_internal.h - what the files of admin share: requests, arguments, answers
 */
#ifndef COWBD_ADMIN_INTERNAL_H
#define COWBD_ADMIN_INTERNAL_H

#include "admin.h"
#include "base.h"

struct admin_request {
	struct cowbd_pool *pool;
	const struct admin_host *host; /* NULL: no daemon */
	json_t *args;                  /* an object, or NULL */
	admin_progress progress;       /* may be NULL */
	void *opaque;
};

typedef int (*admin_run)(struct admin_request *r, json_t **ret_ok);

/* Commands, one each; see cowbd-protocol(7). */
int admin_status(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_ls(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_info(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_df(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_diff(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_check(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_scrub(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_create(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_rm(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_rename(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_resize(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_snapshot(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_clone(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_rollback(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_grow(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_stop(struct admin_request *r, json_t **ret_ok) MUST_CHECK;
int admin_on_full(struct admin_request *r, json_t **ret_ok) MUST_CHECK;

/* ---- errors ---- */

/* Says what to do about the error err, which is returned. */
int with_hint(int err, const char *fmt, ...) PRINTF(2, 3);

/* *ret_ok = answer, or -ENOMEM if it is NULL. */
int answer_with(json_t *answer, json_t **ret_ok) MUST_CHECK;

void cleanup_json(json_t **json);
#define CLEANUP_JSON __attribute__((cleanup(cleanup_json)))

/* ---- arguments ---- */

/* A required string; a string or NULL; false if absent; a required number of bytes. */
int arg_string(const struct admin_request *r, const char *key, const char **ret) MUST_CHECK;
int arg_optional(const struct admin_request *r, const char *key, const char **ret) MUST_CHECK;
int arg_flag(const struct admin_request *r, const char *key, bool *ret) MUST_CHECK;
int arg_bytes(const struct admin_request *r, const char *key, uint64_t *ret) MUST_CHECK;

/* A required array of strings, at least one; free(*ret_names), not the strings. */
int arg_names(const struct admin_request *r, const char *key, const char ***ret_names,
	      size_t *ret_n) MUST_CHECK;

/* COWBD_NO_WAIT if "no_wait" is true. */
int arg_wait(const struct admin_request *r, unsigned *ret_flags) MUST_CHECK;

/* ---- shared steps ---- */

/* An object as JSON. */
json_t *object_json(const struct cowbd_object *o);

/* Clients, all or those of one object (0: all), as JSON. */
int clients_json(struct cowbd_pool *p, uint64_t object, json_t **ret_list) MUST_CHECK;

/* Waits up to 2 s until nobody is attached to any of the n objects (n == 0: to
 * anything), else -EBUSY and who.  With force their connections are cut. */
int clear_clients(struct admin_request *r, const uint64_t *objects, size_t n, bool force,
		  const char *verb) MUST_CHECK;

/* Adds "overcommitted", and "note" if the command passed the line just now:
 * virtual_before is the sum of the sizes before it. */
int note_overcommit(struct admin_request *r, uint64_t virtual_before, json_t *answer) MUST_CHECK;

/* Sum of the volumes' sizes. */
uint64_t virtual_bytes(struct cowbd_pool *p);

#endif
