/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_fork.c - cowbd snapshot, clone, rollback
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "freeze.h"
#include "remount.h"

#define CLONES_MAX 100000

static void print_names(json_t *list)
{
	json_t *name;
	size_t i;

	json_array_foreach(list, i, name) printf("%s\n", json_string_value(name));
}

/* ---- snapshot -------------------------------------------------------------------------- */

/* The ids of the volumes that the names are of; how many have clients in *ret_clients. */
static int volume_ids(struct session *s, const struct call *c, uint64_t *ids, size_t *ret_clients)
{
	*ret_clients = 0;
	for (int i = 0; i < c->n; i++) {
		SCOPED_JSON json_t *object = NULL;
		SCOPED_TEXT char *name = strdup(c->words[i]);
		int status;

		if (!name)
			return complain("no memory for a name");
		name[strcspn(name, "@")] = '\0';
		status = disk_info(s, name, &object);
		if (status)
			return status;
		ids[i] = (uint64_t)json_integer_value(json_object_get(object, "id"));
		*ret_clients += (size_t)json_integer_value(json_object_get(object, "clients"));
	}
	return DONE;
}

static void remove_snapshots(struct session *s, json_t *ok)
{
	SCOPED_JSON json_t *args = json_pack("{s:O}", "names", json_object_get(ok, "snapshots"));
	json_t *removed = NULL;

	if (session_call(s, "rm", args, NULL, NULL, &removed) < 0)
		(void)session_complain(s);
	json_decref(removed);
}

/* $COWBD_FREEZE_PAUSE: for tests of what ends a freeze. */
static void pause_for_tests(void)
{
	const char *text = getenv("COWBD_FREEZE_PAUSE");

	if (text)
		sleep((unsigned)strtoul(text, NULL, 10));
}

static int snapshot_frozen(struct session *s, struct freeze *f, json_t *args, json_t **ret_ok)
{
	json_t *ok = NULL;
	int err, status = freeze_begin(f);

	if (status)
		return status;
	pause_for_tests();
	err = session_call(s, "snapshot", args, NULL, NULL, &ok);
	if (!freeze_end(f) && err == 0) {
		remove_snapshots(s, ok);
		json_decref(ok);
		return complain("no snapshot was made: it took so long that the file system had to "
				"be thawed before");
	}
	if (err < 0)
		return session_complain(s);
	*ret_ok = ok;
	return DONE;
}

/* Nothing is mounted here, so nothing holds back what was written, but maybe somebody elsewhere. */
static const char *label_unmounted(const struct freeze *f, size_t clients)
{
	if (!f->attached && clients) {
		note("a client has it open, and nothing of it is mounted here: the snapshot is "
		     "what a "
		     "power cut would leave");
		return "crash";
	}
	note("nothing of it is mounted here: the snapshot has all that was written, label flushed");
	return "flushed";
}

static int take_snapshot(const struct call *c, struct session *s, json_t *args, json_t **ret_ok)
{
	uint64_t *ids = calloc((size_t)c->n, sizeof *ids);
	struct freeze f = {.leash = -1};
	size_t clients = 0;
	int status = ids ? DONE : complain("no memory for names");

	if (!status)
		status = volume_ids(s, c, ids, &clients);
	if (!status)
		status = freeze_choose(s, ids, (size_t)c->n, c->opt[OPT_FREEZE], &f);
	free(ids);
	if (status)
		return status;
	json_object_set_new(args, "label",
			    json_string(f.n ? "frozen" : label_unmounted(&f, clients)));
	if (f.n)
		status = snapshot_frozen(s, &f, args, ret_ok);
	else if (session_call(s, "snapshot", args, NULL, NULL, ret_ok) < 0)
		status = session_complain(s);
	freeze_free(&f);
	return status;
}

/* Without a daemon nothing is attached, and all that was written is in the pool. */
static int run_freezing(const struct call *c, json_t *args, json_t **ret_ok)
{
	struct session s;
	int status = session_open(c, "snapshot", &s);

	if (!status && s.daemon) {
		status = need_root(c);
		if (!status)
			status = take_snapshot(c, &s, args, ret_ok);
	} else if (!status) {
		json_object_set_new(args, "label", json_string("flushed"));
		note("nobody serves the pool: the snapshot has all that was written, label "
		     "flushed");
		if (session_call(&s, "snapshot", args, NULL, NULL, ret_ok) < 0)
			status = session_complain(&s);
	}
	json_decref(args);
	status = session_close(&s, status);
	return status || !c->opt[OPT_JSON] ? status : print_json(*ret_ok);
}

int cmd_snapshot(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *args, *names = json_array();
	int status = DONE;

	for (int i = 0; !status && i < c->n; i++) {
		status = check_name(c->words[i]);
		json_array_append_new(names, json_string(c->words[i]));
	}
	if (status) {
		json_decref(names);
		return status;
	}
	args = new_args(c);
	json_object_set_new(args, "names", names);
	status = c->opt[OPT_FREEZE] ? run_freezing(c, args, &ok)
				    : run_and_note(c, "snapshot", args, &ok);
	if (!status && !c->opt[OPT_JSON])
		print_names(json_object_get(ok, "snapshots"));
	return status;
}

/* ---- clone ----------------------------------------------------------------------------- */

/* PREFIX001 ... PREFIXn: as many digits as the last one has. */
static int count_names(const struct call *c, json_t *names)
{
	unsigned long n;
	int width, status = parse_number(c->opt[OPT_COUNT], "-n", 1, CLONES_MAX, &n);

	if (status)
		return status;
	if (c->n != 2)
		return usage_error(c, "with -n takes NAME PREFIX");
	width = snprintf(NULL, 0, "%lu", n);
	for (unsigned long i = 1; !status && i <= n; i++) {
		SCOPED_TEXT char *name = NULL;

		if (asprintf(&name, "%s%0*lu", c->words[1], width, i) < 0) {
			name = NULL;
			return complain("no memory for names");
		}
		status = check_name(name);
		json_array_append_new(names, json_string(name));
	}
	return status;
}

int cmd_clone(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *args, *names = json_array();
	int status = check_name(c->words[0]);

	if (!status && c->opt[OPT_COUNT])
		status = count_names(c, names);
	for (int i = 1; !status && !c->opt[OPT_COUNT] && i < c->n; i++) {
		status = check_name(c->words[i]);
		json_array_append_new(names, json_string(c->words[i]));
	}
	if (status) {
		json_decref(names);
		return status;
	}
	args = new_args(c);
	json_object_set_new(args, "source", json_string(c->words[0]));
	json_object_set_new(args, "names", names);
	return run_and_note(c, "clone", args, &ok);
}

/* ---- rollback ----------------------------------------------------------------------------- */

/* What is attached here of the volume: none, or taken down or cut off as asked for, or refused. */
static int clear_devices(const struct call *c, struct session *s, const struct attachments *there,
			 const char *volume, struct remount *r)
{
	char list[2048];
	int status = there->n ? need_root(c) : DONE;

	if (status || !there->n)
		return status;
	if (c->opt[OPT_REMOUNT] && s->daemon)
		return remount_down(s, &there->list[0], volume, r);
	if (c->opt[OPT_FORCE]) {
		for (size_t i = 0; !status && i < there->n; i++)
			status = cut_device(&there->list[i]);
		return status;
	}
	describe_attachments(there, list, sizeof list);
	if (c->opt[OPT_REMOUNT])
		return complain("can't roll back: %s is attached as %s, and its pool is not "
				"served: `cowbd serve %s` first",
				volume, list, s->path);
	return complain(
		"can't roll back: %s is attached as %s: --remount takes that down and brings "
		"it back, --force cuts it off",
		volume, list);
}

/* Rolls back, with what is attached here out of the way. */
static int roll_back(const struct call *c, struct session *s, json_t *args, json_t **ret_ok)
{
	SCOPED_ATTACHMENTS struct attachments there = {0};
	SCOPED_TEXT char *volume = strdup(c->words[0]);
	SCOPED_FD int lock = -1;
	struct remount r = {0};
	int status = volume ? DONE : complain("no memory for a name");

	if (status)
		return status;
	volume[strcspn(volume, "@")] = '\0';
	if (geteuid() == 0 || !s->daemon) { /* a daemon refuses others by itself */
		status = s->daemon ? attach_lock(&lock) : DONE;
		if (!status)
			status = disk_attachments(s, volume, &there);
		if (!status)
			status = clear_devices(c, s, &there, volume, &r);
	}
	if (status)
		return status;
	if (session_call(s, "rollback", args, NULL, NULL, ret_ok) < 0)
		status = session_complain(s);
	if (r.was_attached) { /* also when it failed: as it was before */
		int up = remount_up(s, volume, &r);

		status = status ? status : up;
	}
	return status;
}

int cmd_rollback(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	const char *keep = c->opt[OPT_KEEP], *kept;
	struct session s;
	json_t *args;
	int status = check_name(c->words[0]);

	if (!status && keep)
		status = check_name(keep);
	if (status)
		return status;
	if (keep && c->opt[OPT_DISCARD])
		return usage_error(c, "--keep and --discard exclude each other");
	if (c->opt[OPT_REMOUNT] && c->opt[OPT_FORCE])
		return usage_error(c, "--remount and --force exclude each other");
	args = new_args(c);
	json_object_set_new(args, "name", json_string(c->words[0]));
	json_object_set_new(args, "undo", json_boolean(c->opt[OPT_UNDO] != NULL));
	json_object_set_new(args, "discard", json_boolean(c->opt[OPT_DISCARD] != NULL));
	json_object_set_new(args, "force", json_boolean(c->opt[OPT_FORCE] != NULL));
	if (keep)
		json_object_set_new(args, "keep", json_string(keep));
	status = session_open(c, "rollback", &s);
	if (!status)
		status = roll_back(c, &s, args, &ok);
	json_decref(args);
	status = session_close(&s, status);
	if (status || c->opt[OPT_JSON])
		return status ? status : print_json(ok);
	kept = json_string_value(json_object_get(ok, "kept"));
	if (kept)
		printf("the state left behind is kept as %s\n", kept);
	return DONE;
}
