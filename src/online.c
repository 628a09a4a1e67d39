/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * online.c - checks of a pool in a file, and of one that is open and in use
 *
 *	checkpoint -> pin: superblocks kept, slots saved before they are overwritten
 *	check         of what the pinned checkpoint's superblock leads to; requests and
 *	              checkpoints go on
 *	unpin         findings are told only now: if the spill was overrun they are worth nothing,
 *	              and the check begins anew, from a newer checkpoint
 *
 * Why not a hidden snapshot of all roots: it would set S everywhere, so that each write after it copies map
 * pages; and the counts would have to be copied at the cut.  A slot is in danger only when its page is changed
 * in two checkpoints while the check runs, so there is little to save, and checkpoints pay for it, not writes.
 */
#include "pool.h"

#include <stdarg.h>
#include <stdio.h>

#include "check.h"

#define LOCK_WAIT_MS 1000 /* while a killed predecessor's last I/O ends */

#define SPILL_BYTES (UINT64_C(256) << 20)
#define ATTEMPTS 3u
#define FINDINGS_MAX 1000u

struct finding {
	enum cowbd_damage_kind kind;
	uint64_t offset;
	char *object, *message;
};

/* What a check found, until it is known to be true. */
struct findings {
	const struct cowbd_check_options *opt;
	struct finding list[FINDINGS_MAX];
	size_t n;
};

static void note_finding(void *opaque, enum cowbd_damage_kind kind, const char *object,
			 uint64_t offset, const char *message)
{
	struct findings *f = opaque;
	struct finding new = {kind, offset, NULL, NULL};

	if (f->n == FINDINGS_MAX)
		return;
	new.object = strdup(object);
	new.message = strdup(message);
	if (new.object &&new.message) {
		f->list[f->n++] = new;
		return;
	}
	free(new.object);
	free(new.message);
}

static void pass_progress(void *opaque, uint64_t done, uint64_t total)
{
	struct findings *f = opaque;

	if (f->opt && f->opt->progress)
		f->opt->progress(f->opt->opaque, done, total);
}

static void pass_passes(void *opaque, unsigned n)
{
	struct findings *f = opaque;

	if (f->opt && f->opt->passes)
		f->opt->passes(f->opt->opaque, n);
}

static void forget_findings(struct findings *f, bool report)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *x = &f->list[i];

		if (report && f->opt && f->opt->report)
			f->opt->report(f->opt->opaque, x->kind, x->object, x->offset, x->message);
		free(x->object);
		free(x->message);
	}
	f->n = 0;
}

/* One attempt: 0, -ESTALE if it was overrun, or why it could not look. */
static int check_pinned(struct cowbd_pool *p, struct findings *f,
			struct cowbd_check_result *ret_result)
{
	struct cowbd_check_options opt = {.report = note_finding,
					  .progress = pass_progress,
					  .opaque = f,
					  .passes = pass_passes,
					  .memory_bytes = f->opt ? f->opt->memory_bytes : 0,
					  .in_use = true};
	struct cowbd_check_result result;
	struct spill *spill;
	uint64_t before;
	int r = cowbd_checkpoint(p);

	if (r == 0)
		r = checkpoint_pin(p, p->spill_bytes ? p->spill_bytes : SPILL_BYTES, &spill);
	if (r < 0)
		return r;
	before = p->e.stats.checkpoints;
	memset(&result, 0, sizeof result);
	r = check_store(spill_store(spill), &opt, &result);
	result.saved_pages = spill_saved(spill);
	result.checkpoints = p->e.stats.checkpoints - before;
	if (spill_overrun(spill))
		r = fail(-ESTALE, "the pool changes faster than it can be checked: try again when "
				  "less is written, or check it when it is not served");
	else if (r == 0)
		*ret_result = result;
	checkpoint_unpin(p, spill);
	return r;
}

int cowbd_check_pool(struct cowbd_pool *p, const struct cowbd_check_options *opt,
		     struct cowbd_check_result *ret_result)
{
	struct findings *f;
	int r = -ESTALE;

	if (p->e.read_only || atomic_load(&p->e.failed)) /* nothing writes metadata any more */
		return check_store(p->e.store, opt, ret_result);
	f = calloc(1, sizeof *f);
	if (!f)
		return fail(-ENOMEM, "no memory for findings");
	f->opt = opt;
	pthread_mutex_lock(&p->check_lock);
	for (unsigned i = 0; i < ATTEMPTS && r == -ESTALE; i++) {
		forget_findings(f, false);
		r = check_pinned(p, f, ret_result);
	}
	pthread_mutex_unlock(&p->check_lock);
	forget_findings(f, r == 0);
	free(f);
	return r == -ESTALE ? -EBUSY : r;
}

int cowbd_check(const char *path, const struct cowbd_check_options *opt,
		struct cowbd_check_result *ret_result)
{
	struct store *s;
	int r = store_file_open(path, STORE_OPEN_READ_ONLY, LOCK_WAIT_MS, &s);

	if (r < 0)
		return r;
	r = check_store(s, opt, ret_result);
	store_close(s);
	return r;
}

/* ---- repair ------------------------------------------------------------------------------- */

static void tell(const struct cowbd_check_options *opt, enum cowbd_damage_kind kind,
		 const char *message)
{
	if (opt && opt->report)
		opt->report(opt->opaque, kind, "", UINT64_MAX, message);
}

/* Replays what the last session left; a pool that can't be opened is repaired as its checkpoint is. */
static int recover_first(const char *path, bool dry_run, const struct cowbd_check_options *opt,
			 struct store **s, struct cowbd_repair_result *result)
{
	struct cowbd_open_options how = {.flags = 0};
	struct cowbd_pool *p;
	struct disk_super super;
	char note[256];
	int r = super_read(*s, &super, note, sizeof note);

	if (r < 0 || get32(super.flags) & SUPER_CLEAN)
		return 0;
	if (result->before.journal_lost) {
		how.flags = COWBD_OPEN_AFTER_ERROR;
		tell(opt, COWBD_LOST,
		     "what was written and flushed from a damaged batch of the journal on is "
		     "lost: all goes back to the batch before it");
	}
	if (dry_run)
		return 0;
	store_close(*s);
	*s = NULL;
	r = cowbd_open(path, &how, &p);
	if (r == 0)
		r = cowbd_close(p);
	result->recovered = r == 0;
	if (r == -EBUSY || r == -ENOMEM)
		return r;
	if (r < 0)
		tell(opt, COWBD_NOTE,
		     "the journal can't be replayed before the repair; the next opening "
		     "replays it");
	return store_file_open(path, 0, LOCK_WAIT_MS, s);
}

static int repair_opened(struct store *s, bool dry_run, const struct cowbd_check_options *opt,
			 struct cowbd_repair_result *result)
{
	int r = repair_store(s, opt, dry_run, &result->pages);

	return r < 0 || dry_run ? r : check_store(s, opt, &result->after);
}

int cowbd_repair(const char *path, bool dry_run, const struct cowbd_check_options *opt,
		 struct cowbd_repair_result *ret_result)
{
	struct cowbd_repair_result result = {.recovered = false};
	struct store *s;
	int r = store_file_open(path, dry_run ? STORE_OPEN_READ_ONLY : 0, LOCK_WAIT_MS, &s);

	if (r < 0)
		return r;
	r = check_store(s, opt, &result.before);
	if (r == 0 && (result.before.damages || result.before.leaks)) {
		r = recover_first(path, dry_run, opt, &s, &result);
		if (r == 0)
			r = repair_opened(s, dry_run, opt, &result);
	}
	store_close(s);
	if (r == 0)
		*ret_result = result;
	return r;
}
