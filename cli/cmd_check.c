/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_check.c - cowbd check: verifies a pool, served or not; repairs one that is not; cowbd scrub: its data, too
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

static uint64_t count(json_t *ok, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(ok, key));
}

static void print_finding(json_t *f)
{
	const char *object = json_string_value(json_object_get(f, "object"));
	json_t *offset = json_object_get(f, "offset");

	printf("%s: ", json_string_value(json_object_get(f, "kind")));
	if (object && *object)
		printf("%s: ", object);
	printf("%s", json_string_value(json_object_get(f, "message")));
	if (offset)
		printf(" (offset %" JSON_INTEGER_FORMAT ")", json_integer_value(offset));
	putchar('\n');
}

static void print_findings(json_t *ok)
{
	json_t *findings = json_object_get(ok, "findings"), *f;
	size_t i;

	json_array_foreach(findings, i, f) print_finding(f);
	if (count(ok, "findings_left"))
		printf("... and %" PRIu64 " more findings, which are not shown\n",
		       count(ok, "findings_left"));
}

static void print_result(json_t *ok)
{
	uint64_t damages = count(ok, "damages"), leaks = count(ok, "leaks");

	print_findings(ok);
	printf("%s: %" PRIu64 " objects, %" PRIu64 " pages verified, %" PRIu64 " blocks counted\n",
	       damages ? "damaged"
	       : leaks ? "leaks only"
		       : "clean",
	       count(ok, "objects"), count(ok, "pages"), count(ok, "blocks"));
}

/* A pool of which no superblock is left can't be found, but it can be told from what never was one. */
static json_t *without_superblock(const struct call *c)
{
	const char *path = c->opt[OPT_POOL] ? c->opt[OPT_POOL] : getenv("COWBD_POOL");
	struct cowbd_identity id;
	int err = path ? cowbd_probe(path, &id) : 0;

	if (err != -EBADMSG && err != -EUCLEAN)
		return NULL;
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:[{s:s, s:s, s:s}]}", "damages", 1,
			 "leaks", 0, "notes", 0, "pages", 0, "blocks", 0, "objects", 0, "findings",
			 "kind", "damage", "object", "", "message", cowbd_error());
}

static int get_result(const struct call *c, json_t **ret_ok)
{
	struct session s;
	int err = 0, status;

	*ret_ok = without_superblock(c);
	if (*ret_ok)
		return DONE;
	status = session_find(c, &s);
	if (!status && c->opt[OPT_REPAIR] && s.daemon)
		status = complain("%s is being served: stop the daemon to repair it", s.path);
	else if (!status && c->opt[OPT_REPAIR])
		err = admin_repair_file(s.path, c->opt[OPT_DRY_RUN] != NULL, progress_admin, NULL,
					ret_ok);
	else if (!status && s.daemon)
		err = session_call(&s, "check", NULL, progress_admin, NULL, ret_ok);
	else if (!status)
		err = admin_check_file(s.path, progress_admin, NULL, ret_ok);
	progress_end();
	if (err)
		status = s.daemon ? session_complain(&s) : complain_library();
	return session_close(&s, status);
}

/* What --repair adds: what it did, and how the pool is now. */
static void print_repair(json_t *ok)
{
	json_t *after = json_object_get(ok, "after");
	uint64_t pages = count(ok, "written_pages");

	if (!count(ok, "damages") && !count(ok, "leaks"))
		printf("nothing to repair\n");
	else if (json_is_true(json_object_get(ok, "dry_run")))
		printf("would write %" PRIu64 " pages and the superblock\n", pages);
	else
		printf("repaired: %" PRIu64 " pages written; now it is %s\n", pages,
		       count(after, "damages") ? "still damaged"
		       : count(after, "leaks") ? "without damage, but space leaks"
					       : "clean");
}

int cmd_check(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *counts;
	int status;

	if (c->opt[OPT_DRY_RUN] && !c->opt[OPT_REPAIR])
		return usage_error(c, "--dry-run goes with --repair");
	status = get_result(c, &ok);
	if (status)
		return status;
	counts = json_object_get(ok, "after");
	if (!counts || json_is_true(json_object_get(ok, "dry_run")))
		counts = ok;
	if (c->opt[OPT_JSON])
		status = print_json(ok);
	else
		print_result(ok);
	if (!c->opt[OPT_JSON] && json_object_get(ok, "after"))
		print_repair(ok);
	if (status)
		return status;
	return count(counts, "damages") ? DAMAGE : count(counts, "leaks") ? LEAKS : DONE;
}

/* ---- scrub ------------------------------------------------------------------------ */

static uint64_t bad_blocks(json_t *ok)
{
	return count(ok, "rotten_blocks") + count(ok, "unreadable_blocks");
}

static bool is_bad(json_t *ok)
{
	return count(ok, "damages") || bad_blocks(ok) || count(ok, "skipped_map_pages");
}

static void print_scrub(json_t *ok)
{
	uint64_t damages = count(ok, "damages"), bare = count(ok, "without_checksum");

	print_findings(ok);
	if (bare && !damages)
		printf("%" PRIu64
		       " blocks of snapshots have no checksum: there is no room for it, or "
		       "the pool can't be written\n",
		       bare);
	else if (bare)
		printf("%" PRIu64 " blocks of snapshots have no checksum: none are made while the "
		       "metadata is damaged (`cowbd check --repair`)\n",
		       bare);
	printf("%s: %" PRIu64 " pages of metadata verified, %" PRIu64 " blocks read; of snapshots "
	       "%" PRIu64 " verified, %" PRIu64 " new\n",
	       is_bad(ok) ? "damaged" : "fine", count(ok, "pages"), count(ok, "read_blocks"),
	       count(ok, "verified_blocks"), count(ok, "new_checksums"));
}

int cmd_scrub(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	struct session s;
	int status = session_open(c, "scrub", &s);

	if (!status && session_call(&s, "scrub", NULL, progress_admin, NULL, &ok))
		status = session_complain(&s);
	progress_end();
	status = session_close(&s, status);
	if (status)
		return status;
	if (c->opt[OPT_JSON])
		status = print_json(ok);
	else
		print_scrub(ok);
	if (status)
		return status;
	return is_bad(ok) ? DAMAGE : DONE;
}
