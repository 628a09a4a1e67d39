/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_fork.c - commands that copy without copying: snapshot, clone, rollback
 */
#include <stdio.h>
#include <time.h>

#include "admin_internal.h"

#define BEFORE_ROLLBACK "before-rollback"
#define NAMES_TRIED 1000

static json_t *names_json(const char *const *names, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

/* ---- snapshot ---------------------------------------------------------------------- */

/* Names of a group of snapshots: those without '@' get one from the clock. */
struct snapshot_names {
	char **full;
	size_t n;
};

static void cleanup_names(struct snapshot_names *s)
{
	for (size_t i = 0; s->full && i < s->n; i++)
		free(s->full[i]);
	free(s->full);
	*s = (struct snapshot_names){0};
}

/* "2026-11-22T18:21:47" in local time, with "-2", "-3" ... from the second try on. */
static void time_name(unsigned try, char buf[64])
{
	time_t now = (time_t)(wall_ns() / 1000000000u);
	struct tm tm;
	size_t used;

	localtime_r(&now, &tm);
	used = strftime(buf, 64, "%Y-%m-%dT%H:%M:%S", &tm);
	if (try > 1)
		snprintf(buf + used, 64 - used, "-%u", try);
}

static int make_names(const char *const *given, size_t n, unsigned try,
		      struct snapshot_names *ret_names)
{
	struct snapshot_names s = {calloc(n, sizeof(char *)), n};
	char stamp[64];

	time_name(try, stamp);
	for (size_t i = 0; s.full && i < n; i++)
		if (asprintf(&s.full[i], strchr(given[i], '@') ? "%s" : "%s@%s", given[i], stamp) <
		    0) {
			s.full[i] = NULL;
			cleanup_names(&s);
		}
	if (!s.full)
		return fail(-ENOMEM, "no memory for %zu names", n);
	*ret_names = s;
	return 0;
}

static int parse_label(const char *text, enum cowbd_label *ret)
{
	static const char *const names[] = {"none", "crash", "flushed", "frozen"};

	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum cowbd_label)i;
			return 0;
		}
	if (text)
		return fail(-EINVAL, "no label \"%.40s\": crash, flushed or frozen", text);
	*ret = COWBD_LABEL_CRASH;
	return 0;
}

/* A group is at one instant: to name a volume twice, or a name twice, means nothing. */
static int check_twice(const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(names[i], names[k]) == 0)
				return with_hint(fail(-EINVAL, "%s is named twice", names[i]),
						 "name it once");
	return 0;
}

int admin_snapshot(struct admin_request *r, json_t **ret_ok)
{
	CLEANUP_FREE const char **given = NULL;
	__attribute__((cleanup(cleanup_names))) struct snapshot_names s = {0};
	enum cowbd_label label;
	bool by_clock = false;
	const char *text;
	unsigned flags;
	size_t n;
	int err = arg_names(r, "names", &given, &n);

	if (!err)
		err = arg_optional(r, "label", &text);
	if (!err)
		err = parse_label(text, &label);
	if (!err)
		err = arg_wait(r, &flags);
	if (err)
		return err;
	err = check_twice(given, n);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		by_clock |= !strchr(given[i], '@');
	for (unsigned try = 1; try <= NAMES_TRIED; try++) {
		cleanup_names(&s);
		err = make_names(given, n, try, &s);
		if (!err)
			err = cowbd_snapshot(r->pool, (const char *const *)s.full, n, label, flags);
		if (err != -EEXIST || !by_clock)
			break;
	}
	if (err)
		return err;
	return answer_with(json_pack("{s:o}", "snapshots",
				     names_json((const char *const *)s.full, n)),
			   ret_ok);
}

/* ---- clone ---------------------------------------------------------------------------- */

int admin_clone(struct admin_request *r, json_t **ret_ok)
{
	CLEANUP_FREE const char **names = NULL;
	CLEANUP_JSON json_t *answer = NULL;
	uint64_t before = virtual_bytes(r->pool);
	const char *source;
	unsigned flags;
	bool ephemeral;
	size_t n;
	int err = arg_string(r, "source", &source);

	if (!err)
		err = arg_names(r, "names", &names, &n);
	if (!err)
		err = arg_wait(r, &flags);
	if (!err)
		err = arg_flag(r, "ephemeral", &ephemeral);
	if (!err)
		err = cowbd_clone(r->pool, source, names, n, ephemeral ? COWBD_FLAG_EPHEMERAL : 0,
				  flags);
	if (err)
		return err;
	answer = json_pack("{s:s, s:o}", "source", source, "clones", names_json(names, n));
	err = note_overcommit(r, before, answer);
	return err ? err : answer_with(json_incref(answer), ret_ok);
}

/* ---- rollback --------------------------------------------------------------------------- */

struct rollback {
	char snapshot[2 * 256], volume[256];
	const char *keep;
	unsigned flags;
	bool force;
};

/* Whose name is what: "vol@snap", or with undo "vol". */
static int rollback_target(const char *name, bool undo, struct rollback *b)
{
	const char *at = strchr(name, '@');
	int err = cowbd_name_check(name);

	if (err)
		return err;
	if (undo && at)
		return with_hint(fail(-EINVAL, "undo takes a volume, and %s is a snapshot", name),
				 "leave away what follows the @");
	if (!undo && !at)
		return with_hint(fail(-EINVAL, "%s is a volume: roll back to which snapshot?",
				      name),
				 "say %s@SNAP, or --undo %s for the state before the last rollback",
				 name, name);
	snprintf(b->volume, sizeof b->volume, "%.*s", (int)(at ? at - name : 255), name);
	snprintf(b->snapshot, sizeof b->snapshot, "%s%s", name, undo ? "@" BEFORE_ROLLBACK : "");
	return 0;
}

static int rollback_args(struct admin_request *r, struct rollback *b)
{
	bool undo, discard;
	const char *name;
	unsigned flags;
	int err = arg_string(r, "name", &name);

	if (!err)
		err = arg_flag(r, "undo", &undo);
	if (!err)
		err = arg_flag(r, "discard", &discard);
	if (!err)
		err = arg_flag(r, "force", &b->force);
	if (!err)
		err = arg_optional(r, "keep", &b->keep);
	if (!err)
		err = arg_wait(r, &flags);
	if (err)
		return err;
	if (discard && b->keep)
		return fail(-EINVAL, "keep and discard exclude each other: choose one");
	if (b->keep && strchr(b->keep, '@'))
		return with_hint(fail(-EINVAL, "%s: the name to keep it under has an @", b->keep),
				 "give what follows the @ alone");
	b->flags = flags | (discard ? COWBD_DISCARD : 0) | (b->force ? COWBD_IGNORE_CLIENTS : 0);
	return rollback_target(name, undo, b);
}

int admin_rollback(struct admin_request *r, json_t **ret_ok)
{
	struct rollback b = {0};
	struct cowbd_object volume, snapshot;
	const char *keep;
	int err = rollback_args(r, &b);

	if (!err)
		err = cowbd_find(r->pool, b.volume, &volume);
	if (!err)
		err = cowbd_find(r->pool, b.snapshot, &snapshot);
	if (err)
		return err;
	err = clear_clients(r, &volume.id, 1, b.force, "roll back");
	if (!err)
		err = cowbd_rollback(r->pool, b.snapshot, b.keep, b.flags);
	if (err)
		return err;
	keep = b.keep ? b.keep : BEFORE_ROLLBACK;
	return answer_with(
		b.flags & COWBD_DISCARD
			? json_pack("{s:s, s:s, s:n}", "volume", b.volume, "to", b.snapshot, "kept")
			: json_pack("{s:s, s:s, s:o}", "volume", b.volume, "to", b.snapshot, "kept",
				    json_sprintf("%s@%s", b.volume, keep)),
		ret_ok);
}
