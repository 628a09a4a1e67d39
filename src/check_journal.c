/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_journal.c - the checker's own reader of the journal
 *
 * Counts the batches and records that follow the checkpoint.  Where the first batch that is not
 * whole lies the journal ends: that is what a power cut leaves, and no damage.  Damage
 * is what a batch with a right number, chain and checksum should not hold; and an end behind which whole
 * batches of greater numbers lie, for each was written when the one before it was durable.
 *
 * Of a pool in use the journal ends as well where a batch goes on later than the one before it ended: a checkpoint
 * newer than the one that is looked at made durable what lies between, and no batch has it.
 */
#include "check_internal.h"

#define FAR_BYTES ((UINT64_C(16) << 20) + 2 * PAGE_BYTES) /* the longest batch */

struct ring {
	uint64_t bytes, offset; /* offset: where the last batch ended */
	uint64_t number, chain; /* of the next batch; checksum of the last */
	uint64_t seq;           /* of the last record */
	uint64_t batch_end;     /* of the last record of the last batch */
	uint8_t *batch;         /* buffer */
	uint64_t room;
	struct disk_batch_sum *sums; /* [nsums] of the last batch */
	uint32_t nsums;
	uint64_t counted; /* of its records */
	bool begun;       /* the header of the batch after it is there */
	uint64_t budget;  /* bytes that may yet be read for what only claims to be a batch */
};

/* Reads len bytes of the ring into r->batch: true, or false (reported). */
static bool read_ring(struct check *c, struct ring *r, uint64_t offset, uint64_t len)
{
	if (store_read(c->store, STORE_DIRECT, ZONE_BYTES + offset, r->batch, len) == 0)
		return true;
	check_found(c, COWBD_DAMAGE, ZONE_BYTES + offset, "the journal can't be read: %s",
		    error_message());
	return false;
}

/* Is the batch that must follow at offset?  1 with it in r->batch, 0, -ENOMEM. */
static int read_batch(struct check *c, struct ring *r, uint64_t offset)
{
	struct disk_batch h;
	struct le64 sum;
	uint64_t length;

	if (!read_ring(c, r, offset, PAGE_BYTES))
		return 0;
	memcpy(&h, r->batch, sizeof h);
	length = get32(h.length);
	if (get32(h.kind) != PAGE_BATCH || get64(h.number) != r->number ||
	    get64(h.previous) != r->chain || length < PAGE_BYTES || length % PAGE_BYTES ||
	    length > r->bytes / 2 || length > r->bytes - offset)
		return 0;
	if (length > r->room) {
		free(r->batch);
		r->batch = aligned_alloc(PAGE_BYTES, length);
		r->room = length;
		if (!r->batch)
			return fail(-ENOMEM, "out of memory");
	}
	if (!read_ring(c, r, offset, length))
		return 0;
	sum = h.checksum;
	memset(r->batch + offsetof(struct disk_batch, checksum), 0, sizeof sum);
	if (checksum(r->batch, length, page_seed(PAGE_BATCH, c->super.uuid)) != get64(sum)) {
		r->begun = true;
		return 0;
	}
	r->chain = get64(sum);
	return 1;
}

/* Does a newer checkpoint lie between the batch in r->batch and the one before it? */
static bool is_past(const struct check *c, const struct ring *r)
{
	struct disk_batch h;

	memcpy(&h, r->batch, sizeof h);
	return c->opt && c->opt->in_use && get64(h.first) > r->seq + 1;
}

/* What is wrong with the checksums of data that the batch in r->batch has, or NULL. */
static const char *check_sums_named(const struct check *c, const struct ring *r)
{
	struct disk_batch_sum sum;
	struct disk_batch h;

	memcpy(&h, r->batch, sizeof h);
	if (get32(h.sums) > BATCH_SUMS_MAX || (get32(h.sums) && get32(h.length) > BATCH_SUMS_BYTES))
		return "it has too many checksums of data";
	for (uint32_t i = 0; i < get32(h.sums); i++) {
		memcpy(&sum, r->batch + sizeof h + get32(h.payload) + i * sizeof sum, sizeof sum);
		if (get64(sum.block) / c->g.zone_blocks >= c->g.zones)
			return "it names data beyond the pool";
	}
	return NULL;
}

/* The records of the batch in r->batch: what is wrong with them, or NULL. */
static const char *check_batch(struct check *c, struct ring *r)
{
	const uint8_t *at = r->batch + sizeof(struct disk_batch);
	struct disk_batch h;
	struct record record = {0};
	const char *wrong;
	uint64_t left, seq;

	memcpy(&h, r->batch, sizeof h);
	left = get32(h.payload);
	seq = get64(h.first);
	if (left + get32(h.sums) * (uint64_t)sizeof *r->sums > get32(h.length) - sizeof h)
		return "its records can't be as long as it says";
	if (seq > r->seq + 1)
		return "records before it are missing";
	if (seq <= r->batch_end)
		return "it repeats records of the batch before it";
	wrong = check_sums_named(c, r);
	if (wrong)
		return wrong;
	r->counted = c->result.journal_records;
	for (uint32_t i = 0; i < get32(h.records); i++, seq++) {
		size_t n = record_decode(at, left, &record);

		if (n == 0)
			return "a record in it is invalid";
		if (record.seq != seq)
			return "the records in it are not numbered in order";
		at += n;
		left -= n;
		c->result.journal_records += seq > get64(c->super.cut);
	}
	if (left)
		return "something follows its last record";
	if (record.more)
		return "its last group has no end";
	r->counted = c->result.journal_records - r->counted;
	r->batch_end = seq - 1;
	r->seq = MAX(r->seq, r->batch_end);
	return NULL;
}

/* Keeps the checksums of data that the batch in r->batch has. */
static int keep_sums(struct ring *r)
{
	struct disk_batch h;

	memcpy(&h, r->batch, sizeof h);
	free(r->sums);
	r->nsums = get32(h.sums);
	r->sums = malloc(r->nsums * sizeof *r->sums + 1);
	if (!r->sums)
		return fail(-ENOMEM, "out of memory");
	memcpy(r->sums, r->batch + sizeof h + get32(h.payload), r->nsums * sizeof *r->sums);
	return 0;
}

/* The last batch doesn't count if data that it names isn't there: a power cut leaves that, it is no damage. */
static int check_last(struct check *c, const struct ring *r)
{
	CLEANUP_FREE uint8_t *data = aligned_alloc(PAGE_BYTES, c->g.block_bytes);

	if (!data)
		return fail(-ENOMEM, "out of memory");
	if (r->begun || r->counted == 0 || (c->opt && c->opt->in_use))
		return 0;
	for (uint32_t i = 0; i < r->nsums; i++) {
		uint64_t block = get64(r->sums[i].block);
		int err =
			store_read(c->store, 0, block << c->g.block_shift, data, c->g.block_bytes);

		if (err)
			check_found(c, COWBD_NOTE, block << c->g.block_shift,
				    "data that the journal's last batch names can't be read: %s",
				    error_message());
		if (!err &&
		    batch_sum(data, &c->g, block, c->super.uuid) == get64(r->sums[i].checksum))
			continue;
		c->result.journal_batches--;
		c->result.journal_records -= r->counted;
		break;
	}
	return 0;
}

/* Reads batches until none follows: a torn one is what a power cut leaves, no damage. */
static int scan_ring(struct check *c, struct ring *r)
{
	for (;;) {
		uint64_t offset = r->offset;
		struct disk_batch h;
		const char *wrong;
		int got;

		r->begun = false;
		got = read_batch(c, r, offset);

		if (got == 0 && r->bytes - offset < r->bytes / 2) /* it may not have fitted */
			got = read_batch(c, r, offset = 0);
		if (got <= 0 || is_past(c, r))
			return got < 0 ? got : check_last(c, r);
		memcpy(&h, r->batch, sizeof h);
		wrong = check_batch(c, r);
		if (wrong) {
			check_found(c, COWBD_DAMAGE, ZONE_BYTES + offset,
				    "journal batch %" PRIu64 ": %s", r->number, wrong);
			return 0;
		}
		if ((got = keep_sums(r)) < 0)
			return got;
		c->result.journal_batches++;
		r->number++;
		r->offset = (offset + get32(h.length)) % r->bytes;
	}
}

/* Is a whole batch, whose number is greater than that of the one that is missed, at offset, where
 * page is?  1, 0, -ENOMEM. */
static int is_later(struct check *c, struct ring *r, uint64_t offset, const void *page)
{
	struct ring other = *r;
	struct disk_batch h;
	int got;

	memcpy(&h, page, sizeof h);
	if (get32(h.kind) != PAGE_BATCH || get64(h.number) <= r->number ||
	    get64(h.number) - r->number >= r->bytes / PAGE_BYTES || get32(h.length) % PAGE_BYTES ||
	    get32(h.length) > r->bytes - offset || get32(h.length) > r->bytes / 2 ||
	    get32(h.length) > r->budget)
		return 0;
	r->budget -= get32(h.length);
	other.number = get64(h.number);
	other.chain = get64(h.previous);
	got = read_batch(c, &other, offset);
	r->batch = other.batch;
	r->room = other.room;
	if (got > 0) {
		c->result.journal_lost = other.number - r->number + 1;
		check_found(c, COWBD_DAMAGE, ZONE_BYTES + r->offset,
			    "journal batch %" PRIu64 " is damaged, and batch %" PRIu64
			    " is there: what was flushed from then on is lost",
			    r->number, other.number);
	}
	return got;
}

/* The same for all pages from offset from to to: what can't be read there need not be of the journal. */
static int find_later(struct check *c, struct ring *r, uint64_t from, uint64_t to)
{
	uint64_t n = AHEAD_PAGES * (uint64_t)PAGE_BYTES;
	uint8_t *pages = check_buffer(c, BUFFERS);
	int got = 0;

	check_ahead_forget(c); /* whose buffers these are */
	for (uint64_t at = from; at < to && got == 0; at += n) {
		int err =
			store_read(c->store, STORE_DIRECT, ZONE_BYTES + at, pages, MIN(n, to - at));

		if (err && n > PAGE_BYTES) { /* one by one from here on */
			n = PAGE_BYTES;
			err = store_read(c->store, STORE_DIRECT, ZONE_BYTES + at, pages, n);
		}
		for (uint64_t i = 0; !err && i < MIN(n, to - at) && got == 0; i += PAGE_BYTES)
			got = is_later(c, r, at + i, pages + i);
	}
	return got;
}

/* The ring has ended at r. */
static int look_beyond(struct check *c, struct ring *r)
{
	uint64_t far = MIN(r->bytes / 2, FAR_BYTES) + PAGE_BYTES;
	uint64_t to = MIN(r->offset + far, r->bytes);
	int got;

	r->budget = 4 * far; /* more is no accident, and would take far * far */
	got = find_later(c, r, r->offset, to);

	if (got == 0 && to == r->bytes) /* what is missed may not have fitted there */
		got = find_later(c, r, 0, MIN(far, r->offset));
	return MIN(got, 0);
}

int check_journal(struct check *c)
{
	struct ring r = {
		.bytes = c->g.journal_zones * ZONE_BYTES,
		.offset = get64(c->super.journal_offset),
		.number = get64(c->super.journal_batch),
		.chain = get64(c->super.journal_chain),
		.seq = get64(c->super.cut),
		.room = PAGE_BYTES,
		.batch = aligned_alloc(PAGE_BYTES, PAGE_BYTES),
	};
	uint64_t before = c->result.damages;
	int err = r.batch ? scan_ring(c, &r) : fail(-ENOMEM, "out of memory");

	/* A clean pool has no journal; of one in use, what comes behind may be written this moment. */
	if (!err && c->result.damages == before && !(get32(c->super.flags) & SUPER_CLEAN) &&
	    !(c->opt && c->opt->in_use))
		err = look_beyond(c, &r);
	free(r.sums);
	free(r.batch);
	return err;
}
