/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * super.c - the two copies of the superblock
 *
 * Invariants
 *   [SUPER-1] A commit writes one copy, durably, then the other, durably; only then is anything
 *             that it released used again.  So either copy alone is enough.
 *   [SUPER-2] Copies whose sequence differs by more than one are damage: the newest is used.
 *   [SUPER-3] Only what a checkpoint committed is written: slots that a running checkpoint
 *             has changed in memory are not in .committed.
 */
#include "pool.h"

#include <stdio.h>

static int read_copy(struct store *s, unsigned slot, struct disk_super *ret)
{
	_Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	int r;

	if (s->size < ZONE_BYTES)
		return fail(-EINVAL, "%s is too small for a cowbd pool", s->path);
	r = store_read(s, STORE_DIRECT, page_offset(0, slot), buf, PAGE_BYTES);
	if (r < 0)
		return r;
	memcpy(ret, buf, PAGE_BYTES);
	return super_check(ret, page_offset(0, slot));
}

int super_read(struct store *s, struct disk_super *ret_super, char *ret_note, size_t note_len)
{
	struct disk_super copy[2];
	int r[2];

	ret_note[0] = '\0';
	r[0] = read_copy(s, 0, &copy[0]);
	if (r[0] < 0)
		snprintf(ret_note, note_len,
			 "the first copy of the superblock is damaged (%.150s); the second is used",
			 error_message());
	r[1] = read_copy(s, 1, &copy[1]);
	if (r[0] < 0 && r[1] < 0) {
		/* a newer version or no pool at all: say that of the first */
		r[0] = read_copy(s, 0, &copy[0]);
		return r[0];
	}
	if (r[1] < 0)
		snprintf(ret_note, note_len,
			 "the second copy of the superblock is damaged (%.150s); the first is used",
			 error_message());
	if (r[0] < 0 || r[1] < 0) {
		*ret_super = copy[r[0] < 0 ? 1 : 0];
		return 0;
	}
	uint64_t a = get64(copy[0].sequence), b = get64(copy[1].sequence);

	if (memcmp(copy[0].uuid, copy[1].uuid, sizeof copy[0].uuid) != 0)
		return fail(
			-EUCLEAN,
			"the two copies of the superblock are of different pools; run cowbd check");
	if ((a > b ? a - b : b - a) > 1) /* [SUPER-2] */
		snprintf(ret_note, note_len,
			 "one copy of the superblock is older than it can be (sequence %" PRIu64
			 " and %" PRIu64 "); the newer is used",
			 a, b);
	*ret_super = copy[a > b ? 0 : 1];
	return 0;
}

static int write_copy(struct cowbd_pool *p, struct disk_super *super)
{
	_Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	uint64_t seq = get64(super->sequence) + 1;
	uint64_t offset = page_offset(0, (unsigned)(seq % 2));

	super->sequence = put64(seq);
	memcpy(buf, super, PAGE_BYTES);
	page_seal(buf, PAGE_SUPER, super->uuid, offset, get64(super->h.generation));
	return store_write(p->e.store,
			   STORE_WRITE | STORE_DIRECT |
				   (MUTANT("super-not-durable") ? 0 : STORE_DURABLE),
			   offset, buf, PAGE_BYTES);
}

int super_commit(struct cowbd_pool *p, const struct disk_super *next)
{
	struct disk_super super = *next;
	int r;

	pthread_mutex_lock(&p->super_lock);
	super.sequence = p->committed.sequence;
	r = write_copy(p, &super);
	if (r == 0 && !MUTANT("one-superblock"))
		r = write_copy(p, &super); /* [SUPER-1] */
	if (r == 0)
		p->committed = super;
	pthread_mutex_unlock(&p->super_lock);
	return r;
}

bool super_may_name(struct cowbd_pool *p, const uint8_t *session)
{
	for (unsigned slot = 0; slot < 2; slot++) {
		struct disk_super copy;

		if (read_copy(p->e.store, slot, &copy) < 0 ||
		    memcmp(copy.session_id, session, sizeof copy.session_id) == 0)
			return true;
	}
	return false;
}

void super_taint(struct engine *e)
{
	struct cowbd_pool *p = pool_of(e);
	struct disk_super super;

	if (pthread_mutex_trylock(&p->super_lock) != 0)
		return;       /* it failed in the middle of a commit; the tail has the flag */
	super = p->committed; /* [SUPER-3] */
	super.flags = put32(get32(super.flags) | SUPER_TAINTED);
	if (write_copy(p, &super) == 0)
		p->committed = super;
	pthread_mutex_unlock(&p->super_lock);
}
