/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_compare.c - commands that walk: diff, check, scrub
 *
 * Differences can be millions; with somebody listening for progress they are
 * sent on in batches as {"extents":[...]} and never held all at once.
 */
#include <stdio.h>

#include "admin_internal.h"

#define BATCH 1000u
#define FINDINGS_MAX 1000u

/* ---- diff ------------------------------------------------------------------------ */

struct diff_run {
	struct admin_request *r;
	json_t *batch;
	uint64_t extents, changed, unmapped;
};

static int send_batch(struct diff_run *d)
{
	json_t *message;

	if (!d->r->progress || json_array_size(d->batch) == 0)
		return 0;
	message = json_pack("{s:o}", "extents", d->batch);
	d->batch = json_array();
	if (!message || !d->batch)
		return fail(-ENOMEM, "no memory for a batch of extents");
	d->r->progress(d->r->opaque, message);
	json_decref(message);
	return 0;
}

static int add_extent(void *opaque, uint64_t offset, uint64_t length, char kind)
{
	struct diff_run *d = opaque;
	json_t *e = json_pack("{s:I, s:I, s:s}", "offset", (json_int_t)offset, "length",
			      (json_int_t)length, "kind", kind == 'z' ? "zero" : "data");

	if (!e || json_array_append_new(d->batch, e) < 0)
		return fail(-ENOMEM, "no memory for extents");
	d->extents++;
	*(kind == 'z' ? &d->unmapped : &d->changed) += length;
	return json_array_size(d->batch) >= BATCH ? send_batch(d) : 0;
}

int admin_diff(struct admin_request *r, json_t **ret_ok)
{
	struct diff_run d = {.r = r};
	const char *a, *b;
	json_t *answer;
	int err = arg_string(r, "a", &a);

	if (!err)
		err = arg_string(r, "b", &b);
	if (err)
		return err;
	d.batch = json_array();
	if (!d.batch)
		return fail(-ENOMEM, "no memory for extents");
	err = cowbd_diff(r->pool, a, b, add_extent, &d);
	if (!err)
		err = send_batch(&d);
	if (err) {
		json_decref(d.batch);
		return err;
	}
	answer = json_pack("{s:I, s:I, s:I}", "count", (json_int_t)d.extents, "data_bytes",
			   (json_int_t)d.changed, "zero_bytes", (json_int_t)d.unmapped);
	if (r->progress)
		json_decref(d.batch);
	else
		json_object_set_new(answer, "extents", d.batch);
	return answer_with(answer, ret_ok);
}

/* ---- check ------------------------------------------------------------------------ */

struct check_run {
	admin_progress progress;
	void *opaque;
	json_t *findings;
	const char *what; /* for progress; NULL: check */
	uint64_t left;    /* findings that are not among them */
};

static void add_finding(void *opaque, enum cowbd_damage_kind kind, const char *object,
			uint64_t offset, const char *message)
{
	static const char *const kinds[] = {"", "damage", "leak", "note", "repair", "lost"};
	struct check_run *c = opaque;
	json_t *f;

	if (json_array_size(c->findings) >= FINDINGS_MAX) {
		c->left++;
		return;
	}
	f = json_pack("{s:s, s:s, s:s}", "kind", kinds[kind], "object", object ? object : "",
		      "message", message);
	if (offset != UINT64_MAX)
		json_object_set_new(f, "offset", json_integer((json_int_t)offset));
	json_array_append_new(c->findings, f);
}

static void pass_progress(void *opaque, uint64_t done, uint64_t total)
{
	struct check_run *c = opaque;
	json_t *message;

	if (!c->progress)
		return;
	message = json_pack("{s:I, s:I, s:s}", "done", (json_int_t)done, "total", (json_int_t)total,
			    "what", c->what ? c->what : "check");
	c->progress(c->opaque, message);
	json_decref(message);
}

static void pass_passes(void *opaque, unsigned n)
{
	struct check_run *c = opaque;
	json_t *message = json_pack("{s:i, s:s}", "passes", (int)n, "what", "check");

	if (c->progress && message)
		c->progress(c->opaque, message);
	json_decref(message);
}

static json_t *result_json(const struct cowbd_check_result *res)
{
	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "passes",
			 (int)res->passes, "damages", (json_int_t)res->damages, "leaks",
			 (json_int_t)res->leaks, "notes", (json_int_t)res->notes, "pages",
			 (json_int_t)res->pages, "blocks", (json_int_t)res->blocks, "objects",
			 (json_int_t)res->objects, "journal_batches",
			 (json_int_t)res->journal_batches, "journal_records",
			 (json_int_t)res->journal_records, "journal_lost",
			 (json_int_t)res->journal_lost, "checkpoints", (json_int_t)res->checkpoints,
			 "saved_pages", (json_int_t)res->saved_pages);
}

/* Of the pool, or of the file at path if that is not NULL. */
static int check_either(struct cowbd_pool *p, const char *path, admin_progress progress,
			void *opaque, json_t **ret_ok)
{
	struct check_run c = {progress, opaque, json_array(), NULL, 0};
	struct cowbd_check_options opt = {.report = add_finding,
					  .progress = pass_progress,
					  .opaque = &c,
					  .passes = pass_passes};
	struct cowbd_check_result res = {0};
	json_t *answer;
	int err;

	if (!c.findings)
		return fail(-ENOMEM, "no memory for findings");
	err = path ? cowbd_check(path, &opt, &res) : cowbd_check_pool(p, &opt, &res);
	if (err) {
		json_decref(c.findings);
		return err;
	}
	answer = result_json(&res);
	/* of a pool in use the library itself tells the first ones alone */
	c.left = res.damages + res.leaks + res.notes - json_array_size(c.findings);
	json_object_set_new(answer, "findings", c.findings);
	json_object_set_new(answer, "findings_left", json_integer((json_int_t)c.left));
	return answer_with(answer, ret_ok);
}

int admin_repair_file(const char *path, bool dry_run, admin_progress progress, void *opaque,
		      json_t **ret_ok)
{
	struct check_run c = {progress, opaque, json_array(), NULL, 0};
	struct cowbd_check_options opt = {.report = add_finding,
					  .progress = pass_progress,
					  .opaque = &c,
					  .passes = pass_passes};
	struct cowbd_repair_result res = {.recovered = false};
	json_t *answer;
	int err;

	with_hint(0, "%s", "");
	if (!c.findings)
		return fail(-ENOMEM, "no memory for findings");
	err = cowbd_repair(path, dry_run, &opt, &res);
	if (err) {
		json_decref(c.findings);
		return err;
	}
	answer = result_json(&res.before);
	json_object_set_new(answer, "findings", c.findings);
	json_object_set_new(answer, "findings_left", json_integer((json_int_t)c.left));
	json_object_set_new(answer, "after", result_json(&res.after));
	json_object_set_new(answer, "written_pages", json_integer((json_int_t)res.pages));
	json_object_set_new(answer, "recovered", json_boolean(res.recovered));
	json_object_set_new(answer, "dry_run", json_boolean(dry_run));
	return answer_with(answer, ret_ok);
}

int admin_check(struct admin_request *r, json_t **ret_ok)
{
	return check_either(r->pool, NULL, r->progress, r->opaque, ret_ok);
}

int admin_check_file(const char *path, admin_progress progress, void *opaque, json_t **ret_ok)
{
	with_hint(0, "%s", "");
	return check_either(NULL, path, progress, opaque, ret_ok);
}

/* ---- scrub ------------------------------------------------------------------------ */

static json_t *scrub_json(const struct cowbd_scrub_result *res)
{
	json_t *answer = result_json(&res->check);
	const struct {
		const char *key;
		uint64_t value;
	} counts[] = {
		{"snapshots", res->snapshots},          {"read_blocks", res->read},
		{"verified_blocks", res->verified},     {"new_checksums", res->noted},
		{"without_checksum", res->bare},        {"rotten_blocks", res->rotten},
		{"unreadable_blocks", res->unreadable}, {"skipped_map_pages", res->skipped},
	};

	for (size_t i = 0; answer && i < ARRAY_SIZE(counts); i++)
		json_object_set_new(answer, counts[i].key,
				    json_integer((json_int_t)counts[i].value));
	return answer;
}

int admin_scrub(struct admin_request *r, json_t **ret_ok)
{
	struct check_run c = {r->progress, r->opaque, json_array(), "scrub", 0};
	struct cowbd_check_options opt = {.report = add_finding,
					  .progress = pass_progress,
					  .opaque = &c,
					  .passes = pass_passes};
	struct cowbd_scrub_result res = {0};
	json_t *answer;
	int err;

	if (!c.findings)
		return fail(-ENOMEM, "no memory for findings");
	err = cowbd_scrub(r->pool, &opt, &res);
	if (err) {
		json_decref(c.findings);
		return err;
	}
	answer = scrub_json(&res);
	json_object_set_new(answer, "findings", c.findings);
	json_object_set_new(answer, "findings_left", json_integer((json_int_t)c.left));
	return answer_with(answer, ret_ok);
}
