/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal.c - batches of records in a ring on disk, and the records that wait to get there
 *
 *	pending ring (memory)	            journal ring (disk)
 *	start ....... end	            start ............. head
 *	| group | group |  --journal_write-->  | batch | batch |    (skipped) |
 *
 * A batch is contiguous.  One that does not fit before the end of the ring goes to
 * offset 0 (and only then), and what is skipped counts as used.  So a scan looks for the
 * next batch where the last one ended, and then at offset 0: it is the right
 * one if its number and the checksum it names of its predecessor are.
 *
 * Numbers on disk only grow and each batch names the one before it, so that what
 * an earlier lap left in the ring is never taken for the next batch.  No batch is
 * written before the one before it is durable, so nothing that was acknowledged lies behind
 * a batch that is torn.
 *
 * Offsets: of the pending ring, bytes since the start of the session; of the disk
 * ring, head and start count on as well (place: modulo the ring's size).
 * head - start is at most the ring less a page, so full and empty differ.
 *
 * Concurrency.  The owner's metadata lock: end and seq change.  The owner's commit lock:
 * everything of the disk ring, and the pending ring's start.  Each can be read without
 * a lock.  taken, the bytes reserved or pending, is what joins the two: the committer
 * gives back (release) what it has copied, and the reservation (acquire) that
 * takes those bytes again comes after it.
 *
 * Failure: after an I/O error nothing more is written; the records stay in the pending ring.
 */
#include "journal.h"

#include <stdatomic.h>

#include <sys/mman.h>

#include "tail.h"

#define PENDING_BYTES_DEFAULT (UINT64_C(16) << 20)
#define SCAN_BYTES (UINT64_C(1) << 20)  /* of one read */
#define SPLIT_BYTES (UINT64_C(4) << 20) /* larger batches would only take more memory */
#define KEPT_BYTES (UINT64_C(1) << 20)  /* of the batch buffer, between batches */

struct journal {
	struct store *store;
	uint8_t uuid[16];
	struct tail tail; /* memory of the pending ring */

	/* pending ring */
	_Atomic uint64_t taken; /* bytes reserved or pending */
	_Atomic uint64_t start, end;
	_Atomic uint64_t seq;         /* of the last record appended */
	_Atomic uint64_t durable_seq; /* of the record before start */

	/* disk ring */
	uint64_t ring_bytes;
	uint64_t batch_max; /* bytes of a batch, at most */
	uint64_t split;     /* batches of more than one group are not larger than this */
	_Atomic uint64_t ring_start, ring_head;
	uint64_t number; /* of the next batch */
	uint64_t chain;  /* checksum of the last one */
	uint8_t *batch;  /* buffer, batch_max bytes */
	bool failed;
	bool ahead; /* the last batch isn't durable yet: its records are those up to ahead_cut */
	struct journal_cut ahead_cut;

	atomic_flag tainted;
};

static uint64_t ring_bytes_of(const struct geometry *g)
{
	return g->journal_zones * ZONE_BYTES;
}

struct journal_position journal_position_of(const struct disk_super *s)
{
	return (struct journal_position){.offset = get64(s->journal_offset),
					 .batch = get64(s->journal_batch),
					 .chain = get64(s->journal_chain),
					 .seq = get64(s->cut)};
}

static uint64_t batch_bytes(uint64_t payload)
{
	return round_up(sizeof(struct disk_batch) + payload, PAGE_BYTES);
}

static uint64_t read_relaxed(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

/* ---- scan ------------------------------------------------------------------- */

struct scan {
	struct store *store;
	const struct geometry *geo;
	const uint8_t *uuid;
	uint64_t ring_bytes;
	uint64_t from_seq;
	uint64_t used; /* bytes of the ring from the first batch on */
	struct journal_position at;
	uint64_t batch_end; /* seq of the last record of the last batch, 0 before the first */
	struct disk_batch
		*last; /* the last batch, if it has checksums: not visited yet, NULL: it has been */
	struct journal_position last_at; /* where it belongs */
	unsigned flags;
	bool begun;      /* the batch after it was being written */
	uint64_t budget; /* bytes that may yet be read for what only claims to be a batch */
	/* what is read: bytes [low, high) of the ring */
	uint8_t *buf;
	uint64_t buf_bytes, low, high;
	bool careful; /* something ahead can't be read: no more is read than is asked for */
};

/* Gets the ring's bytes [offset, offset + len), reading ahead. */
static int scan_bytes(struct scan *s, uint64_t offset, uint64_t len, uint8_t **ret_bytes)
{
	uint64_t want;
	int err;

	if (offset < s->low || offset + len > s->high) {
		if (len > s->buf_bytes) {
			uint64_t bytes = round_up(len, SCAN_BYTES);

			s->low = s->high = 0;
			free(s->buf);
			s->buf_bytes = 0;
			s->buf = aligned_alloc(PAGE_BYTES, bytes);
			if (!s->buf)
				return fail(-ENOMEM, "out of memory");
			s->buf_bytes = bytes;
		}
		want = s->careful ? len : MIN(s->buf_bytes, s->ring_bytes - offset);
		s->low = s->high = 0;
		err = store_read(s->store, STORE_DIRECT, ZONE_BYTES + offset, s->buf, want);
		if (err && want > len) { /* what lies ahead may be bad and not needed */
			want = len;
			s->careful = true;
			err = store_read(s->store, STORE_DIRECT, ZONE_BYTES + offset, s->buf, want);
		}
		if (err)
			return err;
		s->low = offset;
		s->high = offset + want;
	}
	*ret_bytes = s->buf + (offset - s->low);
	return 0;
}

/* Does h claim to be the next batch, with a length that can be? */
static bool header_is_next(const struct scan *s, const struct disk_batch *h, uint64_t offset)
{
	uint64_t length = get32(h->length);

	if (get32(h->kind) != PAGE_BATCH || get64(h->number) != s->at.batch ||
	    get64(h->previous) != s->at.chain)
		return false;
	if (length < PAGE_BYTES || length % PAGE_BYTES || length > s->ring_bytes / 2 ||
	    length > s->ring_bytes - offset)
		return false;
	/* elsewhere than after its predecessor only if it did not fit there */
	return offset == s->at.offset || length > s->ring_bytes - s->at.offset;
}

/* *ret_batch: the next batch if it is, whole, at offset, else NULL. */
static int scan_at(struct scan *s, uint64_t offset, struct disk_batch **ret_batch)
{
	struct disk_batch *h;
	struct le64 stored;
	uint8_t *bytes;
	uint64_t sum;
	int err;

	*ret_batch = NULL;
	err = scan_bytes(s, offset, PAGE_BYTES, &bytes);
	if (err || !header_is_next(s, (void *)bytes, offset))
		return err;
	err = scan_bytes(s, offset, get32(((struct disk_batch *)(void *)bytes)->length), &bytes);
	if (err) {
		s->begun = true;
		return err;
	}
	h = (void *)bytes;
	stored = h->checksum;
	h->checksum = put64(0);
	sum = checksum(h, get32(h->length), page_seed(PAGE_BATCH, s->uuid));
	h->checksum = stored;
	if (sum == get64(stored))
		*ret_batch = h;
	else
		s->begun = true;
	return 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

static int batch_broken(const struct disk_batch *h, const char *what)
{
	return fail(-EUCLEAN, "journal batch %" PRIu64 ": %s", get64(h->number), what);
}

static const struct disk_batch_sum *batch_sums(const struct disk_batch *h)
{
	return (const void *)((const uint8_t *)(h + 1) + get32(h->payload));
}

/* Are its checksums of blocks that there are? */
static int batch_check_sums(const struct geometry *g, const struct disk_batch *h)
{
	const struct disk_batch_sum *sum = batch_sums(h);

	if (get32(h->sums) > BATCH_SUMS_MAX ||
	    (get32(h->sums) && get32(h->length) > BATCH_SUMS_BYTES))
		return batch_broken(h, "number of its checksums");
	for (uint32_t i = 0; i < get32(h->sums); i++)
		if (get64(sum[i].block) / g->zone_blocks >= g->zones)
			return batch_broken(h, "it names data beyond the pool");
	return 0;
}

/* Checks all that a valid checksum leaves open. */
static int batch_check(const struct geometry *g, const struct disk_batch *h)
{
	const uint8_t *payload = (const uint8_t *)(h + 1);
	uint64_t room = get32(h->length) - sizeof *h, bytes = get32(h->payload), done = 0;
	uint64_t first = get64(h->first), records = get32(h->records), used;
	struct record r = {0};

	used = bytes + get32(h->sums) * (uint64_t)sizeof(struct disk_batch_sum);
	if (!first || first > UINT64_MAX - records)
		return batch_broken(h, "numbers of its records");
	if (used > room)
		return batch_broken(h, "its records are longer than it is");
	if (!all_zero(h->reserved, sizeof h->reserved) || !all_zero(payload + used, room - used))
		return batch_broken(h, "reserved bytes are not zero");
	for (uint64_t i = 0; i < records; i++) {
		size_t n = record_decode(payload + done, bytes - done, &r);

		if (!n)
			return batch_broken(h, "a record is invalid");
		if (r.seq != first + i)
			return batch_broken(h, "its records are not in sequence");
		done += n;
	}
	if (done != bytes)
		return batch_broken(h, "length of its records");
	if (r.more)
		return batch_broken(h, "its last group has no end");
	return batch_check_sums(g, h);
}

/* Does the batch go on where the one before it, or the checkpoint, ended?  A checkpoint can
 * make records durable that then are in no batch; these are not missed. */
static int batch_follows(const struct scan *s, const struct disk_batch *h)
{
	uint64_t first = get64(h->first);

	if (first > s->at.seq + 1)
		return fail(-EUCLEAN,
			    "journal batch %" PRIu64 ": record %" PRIu64 " comes after %" PRIu64,
			    get64(h->number), first, s->at.seq);
	if (first <= s->batch_end)
		return batch_broken(h, "it repeats records");
	return 0;
}

static int batch_visit(const struct scan *s, const struct disk_batch *h, record_visit visit,
		       void *opaque)
{
	const uint8_t *payload = (const uint8_t *)(h + 1);
	uint64_t bytes = get32(h->payload), done = 0;
	struct record r;

	while (done < bytes) {
		int err = 0;

		done += record_decode(payload + done, bytes - done, &r);
		if (r.seq > s->from_seq)
			err = visit(opaque, &r);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Makes *h, found at offset, the last batch. */
static int scan_advance(struct scan *s, const struct disk_batch *h, uint64_t offset)
{
	uint64_t length = get32(h->length);

	s->used += length + (offset == s->at.offset ? 0 : s->ring_bytes - s->at.offset);
	if (s->used > s->ring_bytes - PAGE_BYTES)
		return batch_broken(h, "the journal is longer than its ring");
	s->batch_end = get64(h->first) + get32(h->records) - 1;
	s->at.offset = (offset + length) % s->ring_bytes;
	s->at.batch++;
	s->at.chain = get64(h->checksum);
	s->at.seq = MAX(s->at.seq, s->batch_end);
	return 0;
}

/* The batch that was found is kept until it is known whether it is the last one. */
static int keep_last(struct scan *s, const struct disk_batch *h, uint64_t offset,
		     const struct journal_position *at)
{
	s->last = malloc(get32(h->length));
	if (!s->last)
		return fail(-ENOMEM, "out of memory");
	memcpy(s->last, h, get32(h->length));
	s->last_at = *at;
	s->last_at.bad = offset;
	return 0;
}

static int visit_last(struct scan *s, record_visit visit, void *opaque)
{
	int err = s->last ? batch_visit(s, s->last, visit, opaque) : 0;

	free(s->last);
	s->last = NULL;
	return err;
}

/* Does all data that the last batch names match?  1, 0, -EIO (it can't be read), or -ENOMEM. */
static int last_matches(const struct scan *s)
{
	const struct disk_batch_sum *sum = batch_sums(s->last);
	CLEANUP_FREE uint8_t *data = aligned_alloc(PAGE_BYTES, s->geo->block_bytes);
	int r = 1;

	if (!data)
		return fail(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < get32(s->last->sums) && !MUTANT("last-batch-unverified"); i++) {
		uint64_t block = get64(sum[i].block);
		int err = store_read(s->store, 0, block << s->geo->block_shift, data,
				     s->geo->block_bytes);

		if (err == -ENOMEM)
			return err;
		if (err)
			r = -EIO; /* another may not match, whatever this one is */
		else if (batch_sum(data, s->geo, block, s->uuid) != get64(sum[i].checksum))
			return 0;
	}
	return r;
}

/* Does the last batch count?  [JOURNAL-6]; what was followed is durable, with its data [JOURNAL-3]: the header of
 * the batch after it tells, in its one sector, though the rest be torn or damaged; or a batch behind that.  1, 0, -EIO: as last_matches. */
static int last_counts(const struct scan *s)
{
	uint64_t behind = 0;
	int r, err;

	if (!s->last || s->begun || s->flags & JOURNAL_LAST_COUNTS)
		return 1;
	if (s->flags & JOURNAL_LAST_REJECTED)
		return 0;
	r = last_matches(s);
	if (r > 0 || r == -ENOMEM)
		return r;
	err = journal_beyond(s->store, s->geo, s->uuid, &s->at, &behind);
	return err ? err : behind ? 1 : r;
}

/* No batch follows. */
static int scan_end(struct scan *s, record_visit visit, void *opaque)
{
	int r = last_counts(s);

	if (r > 0)
		return visit_last(s, visit, opaque);
	if (r < 0 && r != -EIO)
		return r;
	s->last_at.stopped = s->at.stopped;
	s->at = s->last_at;
	s->at.rejected = true;
	s->at.unreadable = r == -EIO;
	return 0;
}

/* May the next batch be at the ring's front?  It was too long for what is left behind the last one, and ends before
 * where the journal begins [JOURNAL-4]; else what is there now may be a batch that was read. */
static bool may_wrap(const struct scan *s)
{
	uint64_t left = s->ring_bytes - s->at.offset;

	return s->used + left + 2 * (uint64_t)PAGE_BYTES <= s->at.offset;
}

/* Finds the next batch: where the one before it ended, or at the ring's front, if it may not have fitted there.
 * *ret_batch: NULL if there is none, or it can't be read. */
static int scan_next(struct scan *s, uint64_t *ret_offset, struct disk_batch **ret_batch)
{
	const uint64_t places[] = {s->at.offset, 0};
	unsigned n = may_wrap(s) ? 2 : 1;

	s->begun = s->at.stopped = false;
	for (unsigned i = 0; i < n; i++) {
		int err = scan_at(s, places[i], ret_batch);

		if (err && err != -EIO)
			return err;
		if (err) {
			s->at.stopped = true;
			s->at.bad = places[i];
		}
		if (*ret_batch) {
			s->at.stopped = false;
			*ret_offset = places[i];
			return 0;
		}
	}
	return 0;
}

static int scan_all(struct scan *s, record_visit visit, void *opaque)
{
	for (;;) {
		struct journal_position before = s->at;
		struct disk_batch *h;
		uint64_t offset;
		int err = scan_next(s, &offset, &h);

		if (err || !h)
			return err ? err : scan_end(s, visit, opaque);
		err = visit_last(s, visit, opaque); /* [JOURNAL-3]: its data is there */
		if (!err)
			err = batch_check(s->geo, h);
		if (!err)
			err = batch_follows(s, h);
		if (!err)
			err = scan_advance(s, h, offset);
		if (!err)
			err = get32(h->sums) && s->batch_end > s->from_seq
				      ? keep_last(s, h, offset, &before)
				      : batch_visit(s, h, visit, opaque);
		if (err)
			return err;
	}
}

int journal_scan(struct store *s, const struct geometry *g, const uint8_t uuid[16],
		 const struct journal_position *from, unsigned flags, record_visit visit,
		 void *opaque, struct journal_position *ret_end)
{
	struct scan scan = {
		.store = s,
		.geo = g,
		.uuid = uuid,
		.ring_bytes = ring_bytes_of(g),
		.from_seq = from->seq,
		.flags = flags,
		.at = *from,
		.buf_bytes = SCAN_BYTES,
	};
	int err;

	if (from->offset % PAGE_BYTES || from->offset >= scan.ring_bytes)
		return fail(-EUCLEAN,
			    "journal begins at %" PRIu64 ", beyond its ring or off a page",
			    from->offset);
	scan.buf = aligned_alloc(PAGE_BYTES, scan.buf_bytes);
	if (!scan.buf)
		return fail(-ENOMEM, "out of memory");
	scan.at.rejected = scan.at.unreadable = scan.at.stopped = false;
	err = scan_all(&scan, visit, opaque);
	free(scan.last);
	free(scan.buf);
	if (err)
		return err;
	*ret_end = scan.at;
	return 0;
}

/* ---- beyond the end --------------------------------------------------------------- */

/* How far a batch reaches, at most. */
static uint64_t far_bytes(uint64_t ring_bytes)
{
	return MIN(ring_bytes / 2, batch_bytes(PENDING_BYTES_DEFAULT)) + PAGE_BYTES;
}

#define BEYOND_TRIES 4u /* of the longest batch: more is no accident, and would take far * far */

/* Is there a whole batch at offset that was written after the one at s->at? */
static int is_beyond(struct scan *s, uint64_t offset, uint64_t *ret_number)
{
	struct disk_batch h, *whole;
	uint8_t *bytes;
	int err = scan_bytes(s, offset, PAGE_BYTES, &bytes);

	if (err == -ENOMEM)
		return err;
	if (err) /* what can't be read there need not have been part of the journal */
		return 0;
	memcpy(&h, bytes, sizeof h);
	if (get32(h.kind) != PAGE_BATCH || get64(h.number) <= s->at.batch ||
	    get64(h.number) - s->at.batch >= s->ring_bytes / PAGE_BYTES ||
	    get32(h.length) < PAGE_BYTES || get32(h.length) % PAGE_BYTES ||
	    get32(h.length) > s->budget || get32(h.length) > s->ring_bytes - offset)
		return 0;
	s->budget -= get32(h.length);
	err = scan_bytes(s, offset, get32(h.length), &bytes);
	if (err)
		return err == -ENOMEM ? err : 0;
	whole = (void *)bytes;
	whole->checksum = put64(0);
	if (checksum(whole, get32(h.length), page_seed(PAGE_BATCH, s->uuid)) == get64(h.checksum))
		*ret_number = get64(h.number);
	whole->checksum = h.checksum;
	return 0;
}

static int look_beyond(struct scan *s, uint64_t from, uint64_t to, uint64_t *ret_number)
{
	int err = 0;

	for (uint64_t at = from; at < to && !err && !*ret_number; at += PAGE_BYTES)
		err = is_beyond(s, at, ret_number);
	return err;
}

int journal_beyond(struct store *s, const struct geometry *g, const uint8_t uuid[16],
		   const struct journal_position *end, uint64_t *ret_number)
{
	struct scan scan = {
		.store = s,
		.geo = g,
		.uuid = uuid,
		.ring_bytes = ring_bytes_of(g),
		.at = *end,
		.buf_bytes = SCAN_BYTES,
	};
	uint64_t far = far_bytes(scan.ring_bytes);
	uint64_t to = MIN(end->offset + far, scan.ring_bytes), number = 0;
	int err;

	scan.budget = BEYOND_TRIES * far;

	scan.buf = aligned_alloc(PAGE_BYTES, scan.buf_bytes);
	if (!scan.buf)
		return fail(-ENOMEM, "out of memory");
	err = look_beyond(&scan, end->offset, to, &number);
	if (!err && !number &&
	    to == scan.ring_bytes) /* the one that belongs there may not have fitted */
		err = look_beyond(&scan, 0, MIN(far, end->offset), &number);
	free(scan.buf);
	if (!err)
		*ret_number = number;
	return err;
}

int journal_void(struct store *s, const struct geometry *g, const struct journal_position *end)
{
	CLEANUP_FREE uint8_t *page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	struct disk_batch *h = (void *)page;
	uint64_t wrapped = ring_bytes_of(g) - end->offset + PAGE_BYTES;

	if (!page)
		return fail(-ENOMEM, "out of memory");
	memset(page, 0, PAGE_BYTES);
	h->kind = put32(PAGE_BATCH);
	h->length = put32(end->bad == end->offset ? PAGE_BYTES : (uint32_t)wrapped);
	h->number = put64(end->batch);
	h->previous = put64(end->chain);
	h->checksum = put64(~checksum(page, PAGE_BYTES, 0)); /* right for nothing */
	return store_write(s, STORE_DIRECT | STORE_WRITE | STORE_DURABLE, ZONE_BYTES + end->bad,
			   page, PAGE_BYTES);
}

void journal_skip_beyond(const struct geometry *g, struct journal_position *end)
{
	end->batch += ring_bytes_of(g) / PAGE_BYTES;
	end->rejected = end->unreadable = end->stopped = false;
}

/* ---- start and end -------------------------------------------------------------- */

static int map_batch_buffer(struct journal *j)
{
	void *p = mmap(NULL, j->batch_max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	if (p == MAP_FAILED)
		return fail(-ENOMEM, "memory for journal batches: %m");
	j->batch = p;
	return 0;
}

/* Offsets of the ring count on from one lap, so that start may lie before at. */
static void place_ring(struct journal *j, uint64_t start_offset, uint64_t head_offset)
{
	uint64_t head = j->ring_bytes + head_offset;
	uint64_t used = (head - start_offset) % j->ring_bytes;

	atomic_init(&j->ring_head, head);
	atomic_init(&j->ring_start, head - used);
}

int journal_new(struct store *s, const struct geometry *g, const uint8_t uuid[16],
		const struct journal_position *at, const struct journal_options *opt,
		struct journal **ret_journal)
{
	uint64_t pending = round_up(opt->pending_bytes ? opt->pending_bytes : PENDING_BYTES_DEFAULT,
				    PAGE_BYTES);
	struct journal *j = calloc(1, sizeof *j);
	int err;

	if (!j)
		return fail(-ENOMEM, "out of memory");
	j->store = s;
	memcpy(j->uuid, uuid, sizeof j->uuid);
	j->ring_bytes = ring_bytes_of(g);
	j->batch_max = MIN(j->ring_bytes / 2, batch_bytes(pending));
	j->split = MIN(round_down(j->ring_bytes / 4, PAGE_BYTES), SPLIT_BYTES);
	place_ring(j, opt->start ? opt->start->offset : at->offset, at->offset);
	j->number = at->batch;
	j->chain = at->chain;
	atomic_init(&j->taken, 0);
	atomic_init(&j->start, 0);
	atomic_init(&j->end, 0);
	atomic_init(&j->seq, at->seq);
	atomic_init(&j->durable_seq, at->seq);
	atomic_flag_clear(&j->tainted);
	err = map_batch_buffer(j);
	if (!err)
		err = tail_map(opt, pending, &j->tail);
	if (err) {
		journal_free(j, false);
		return err;
	}
	j->tail.header->durable = at->seq;
	*ret_journal = j;
	return 0;
}

void journal_free(struct journal *j, bool remove_tail)
{
	if (!j)
		return;
	tail_unmap(&j->tail, remove_tail);
	if (j->batch)
		munmap(j->batch, j->batch_max);
	free(j);
}

void journal_lock_memory(struct journal *j)
{
	tail_lock_memory(&j->tail);
}

bool journal_tail_id(const struct journal *j, uint64_t *ret_dev, uint64_t *ret_ino)
{
	if (!j->tail.path)
		return false;
	*ret_dev = j->tail.dev;
	*ret_ino = j->tail.ino;
	return true;
}

void journal_taint(struct journal *j)
{
	if (!atomic_flag_test_and_set(&j->tainted))
		j->tail.header->flags = put64(TAIL_TAINTED);
}

/* ---- pending ring ------------------------------------------------------------------ */

bool journal_reserve(struct journal *j, size_t bytes)
{
	uint64_t taken = read_relaxed(&j->taken);

	if (bytes > j->tail.ring_bytes / 2)
		return false;
	do {
		if (bytes > j->tail.ring_bytes - taken)
			return false;
		/* acquire: with the release in pending_retire */
	} while (!atomic_compare_exchange_weak_explicit(
		&j->taken, &taken, taken + bytes, memory_order_acquire, memory_order_relaxed));
	return true;
}

void journal_release(struct journal *j, size_t bytes)
{
	uint64_t taken = atomic_fetch_sub_explicit(&j->taken, bytes, memory_order_release);

	assert(taken >= bytes);
	(void)taken;
}

uint64_t journal_append(struct journal *j, struct record *r)
{
	uint64_t end = read_relaxed(&j->end);
	size_t bytes = record_size(r);

	/* taken is read last: it falls after start has moved */
	assert(end + bytes - atomic_load_explicit(&j->start, memory_order_acquire) <=
	       j->tail.ring_bytes);
	r->seq = read_relaxed(&j->seq) + 1;
	record_encode(r, j->tail.ring + end % j->tail.ring_bytes);
	atomic_store_explicit(&j->end, end + bytes, memory_order_release);
	atomic_store_explicit(&j->seq, r->seq, memory_order_release);
	return r->seq;
}

uint64_t journal_seq(const struct journal *j)
{
	return atomic_load_explicit(&j->seq, memory_order_acquire);
}

uint64_t journal_durable_seq(const struct journal *j)
{
	/* acquire: who sees a record durable may reuse what it let go of */
	return atomic_load_explicit(&j->durable_seq, memory_order_acquire);
}

uint64_t journal_pending_bytes(const struct journal *j)
{
	/* start first: end is never behind a start that was read before it */
	uint64_t start = atomic_load_explicit(&j->start, memory_order_acquire);

	return atomic_load_explicit(&j->end, memory_order_acquire) - start;
}

struct journal_cut journal_cut(const struct journal *j)
{
	return (struct journal_cut){.seq = read_relaxed(&j->seq), .end = read_relaxed(&j->end)};
}

/* The records before end, the last of them seq, are durable: they leave the pending ring. */
static void pending_retire(struct journal *j, uint64_t end, uint64_t seq)
{
	uint64_t bytes = end - read_relaxed(&j->start);

	assert(end <= atomic_load_explicit(&j->end, memory_order_acquire));
	__atomic_store_n(&j->tail.header->durable, seq, __ATOMIC_RELEASE); /* [TAIL-5] */
	/* [JOURNAL-5] [TAIL-3]: the tail's start moves before the space can be had again */
	__atomic_store_n(&j->tail.header->start, end, __ATOMIC_RELEASE);
	atomic_store_explicit(&j->start, end, memory_order_release);
	atomic_store_explicit(&j->durable_seq, seq, memory_order_release);
	journal_release(j, bytes);
}

static void pending_copy(const struct journal *j, uint64_t offset, uint8_t *to, uint64_t len)
{
	uint64_t place = offset % j->tail.ring_bytes;
	uint64_t front = MIN(len, j->tail.ring_bytes - place);

	memcpy(to, j->tail.ring + place, front);
	memcpy(to + front, j->tail.ring, len - front);
}

/* ---- batches ------------------------------------------------------------------------- */

/* Records of a batch to be: those up to offset end of the pending ring. */
struct span {
	uint64_t end;
	uint64_t seq;    /* of the last one */
	uint64_t length; /* of the batch, bytes */
	const struct journal_sum *sums;
	unsigned nsums;
};

/* The next batch after what ends at offset pos with seq: all up to the cut if it isn't
 * too much, else as many groups as are not, but at least one [JOURNAL-2]. */
static struct span next_span(const struct journal *j, uint64_t pos, uint64_t seq,
			     struct journal_cut cut)
{
	struct span span = {.end = pos};
	uint64_t at = pos;

	if (batch_bytes(cut.end - pos) <= j->split)
		return (struct span){
			.end = cut.end, .seq = cut.seq, .length = batch_bytes(cut.end - pos)};
	while (at < cut.end) {
		const struct disk_record *r =
			(const void *)(j->tail.ring + at % j->tail.ring_bytes);

		at += get16(r->length);
		seq++;
		if (r->flags & RECORD_MORE)
			continue;
		if (span.end > pos && batch_bytes(at - pos) > j->split)
			break;
		span = (struct span){.end = at, .seq = seq, .length = batch_bytes(at - pos)};
	}
	assert(span.end > pos); /* a cut is between groups */
	return span;
}

/* Where a batch of length bytes goes if the last one ended at head. */
static uint64_t batch_place(const struct journal *j, uint64_t head, uint64_t length)
{
	uint64_t left = j->ring_bytes - head % j->ring_bytes;

	return length > left ? head + left : head;
}

/* Is there room for all that is to be written up to cut?  [JOURNAL-4] */
static int check_room(const struct journal *j, struct journal_cut cut)
{
	uint64_t pos = read_relaxed(&j->start), seq = read_relaxed(&j->durable_seq);
	uint64_t head = read_relaxed(&j->ring_head), start = read_relaxed(&j->ring_start);

	while (pos < cut.end) {
		struct span span = next_span(j, pos, seq, cut);

		if (span.length > j->batch_max)
			return fail(-EAGAIN,
				    "a group of %" PRIu64 " bytes is larger than half the journal",
				    span.end - pos);
		head = batch_place(j, head, span.length) + span.length;
		if (head - start > j->ring_bytes - PAGE_BYTES && !MUTANT("ring-overrun"))
			return fail(-EAGAIN, "the journal is full");
		pos = span.end;
		seq = span.seq;
	}
	assert(seq == cut.seq);
	return 0;
}

/* Fills in the batch buffer; returns the batch's checksum. */
static uint64_t batch_build(struct journal *j, const struct span *span)
{
	struct disk_batch *h = (struct disk_batch *)(void *)j->batch;
	uint64_t pos = read_relaxed(&j->start), seq = read_relaxed(&j->durable_seq);
	uint64_t payload = span->end - pos,
		 used = payload + span->nsums * sizeof(struct disk_batch_sum), sum;
	struct disk_batch_sum *sums = (void *)((uint8_t *)(h + 1) + payload);

	*h = (struct disk_batch){
		.kind = put32(PAGE_BATCH),
		.length = put32((uint32_t)span->length),
		.number = put64(j->number),
		.previous = put64(j->chain),
		.first = put64(seq + 1),
		.records = put32((uint32_t)(span->seq - seq)),
		.payload = put32((uint32_t)payload),
		.sums = put32(span->nsums),
	};
	pending_copy(j, pos, (uint8_t *)(h + 1), payload);
	for (unsigned i = 0; i < span->nsums; i++)
		sums[i] = (struct disk_batch_sum){put64(span->sums[i].block),
						  put64(span->sums[i].checksum)};
	memset((uint8_t *)(h + 1) + used, 0, span->length - sizeof *h - used);
	sum = checksum(h, span->length, page_seed(PAGE_BATCH, j->uuid));
	h->checksum = put64(sum);
	return sum;
}

/* Writes one batch.  Another may follow it when it's durable [JOURNAL-3]. */
static int batch_write(struct journal *j, const struct span *span, unsigned durable)
{
	uint64_t at = batch_place(j, read_relaxed(&j->ring_head), span->length);
	uint64_t sum = batch_build(j, span);
	int err;

	assert(!j->ahead);
	err = store_write(j->store,
			  STORE_DIRECT | STORE_WRITE | (MUTANT("ack-flush-early") ? 0 : durable),
			  ZONE_BYTES + at % j->ring_bytes, j->batch, span->length);
	if (span->length > KEPT_BYTES)
		(void)madvise(j->batch + KEPT_BYTES, j->batch_max - KEPT_BYTES, MADV_DONTNEED);
	if (err) {
		j->failed = true;
		return err;
	}
	atomic_store_explicit(&j->ring_head, at + span->length, memory_order_relaxed);
	j->number++;
	j->chain = sum;
	if (durable)
		pending_retire(j, span->end, span->seq);
	return 0;
}

/* Is there room in the ring for one batch?  [JOURNAL-4] */
static bool has_room(const struct journal *j, uint64_t length)
{
	uint64_t end = batch_place(j, read_relaxed(&j->ring_head), length) + length;

	return end - read_relaxed(&j->ring_start) <= j->ring_bytes - PAGE_BYTES;
}

int journal_write_ahead(struct journal *j, struct journal_cut cut, const struct journal_sum *sums,
			unsigned n)
{
	uint64_t start = read_relaxed(&j->start), payload = cut.end - start;
	struct span span = {cut.end, cut.seq,
			    batch_bytes(payload + n * sizeof(struct disk_batch_sum)), sums, n};
	int err;

	if (cut.end <= start) /* a checkpoint came between */
		return 0;
	if (j->failed || span.length > MIN(j->split, BATCH_SUMS_BYTES) || !has_room(j, span.length))
		return 0;
	err = batch_write(j, &span, 0);
	if (err)
		return err;
	j->ahead = true;
	j->ahead_cut = cut;
	return 1;
}

void journal_synced(struct journal *j)
{
	assert(j->ahead);
	j->ahead = false;
	pending_retire(j, j->ahead_cut.end, j->ahead_cut.seq);
}

int journal_seal(struct journal *j)
{
	struct span span = {.end = read_relaxed(&j->start),
			    .seq = read_relaxed(&j->durable_seq),
			    .length = PAGE_BYTES};

	if (j->failed)
		return fail(-EROFS, "the journal is closed: a write to it failed before");
	if (!has_room(j, PAGE_BYTES))
		return fail(-EAGAIN, "the journal is full");
	return batch_write(j, &span, STORE_DURABLE);
}

int journal_write(struct journal *j, struct journal_cut cut)
{
	int err;

	if (j->failed)
		return fail(-EROFS, "the journal is closed: a write to it failed before");
	if (cut.end <= read_relaxed(&j->start))
		return 0;
	err = check_room(j, cut);
	while (!err && read_relaxed(&j->start) < cut.end) {
		struct span span =
			next_span(j, read_relaxed(&j->start), read_relaxed(&j->durable_seq), cut);

		err = batch_write(j, &span, STORE_DURABLE);
	}
	return err;
}

/* ---- disk ring -------------------------------------------------------------------------- */

uint64_t journal_ring_bytes(const struct journal *j)
{
	return j->ring_bytes;
}

uint64_t journal_room(const struct journal *j)
{
	/* start first, as in journal_pending_bytes; head may then be a lap further on */
	uint64_t start = read_relaxed(&j->ring_start);
	uint64_t used, most = j->ring_bytes - PAGE_BYTES;

	atomic_thread_fence(memory_order_acquire);
	used = read_relaxed(&j->ring_head) - start;
	return used < most ? most - used : 0;
}

uint64_t journal_need(const struct journal *j, struct journal_cut cut)
{
	uint64_t start = read_relaxed(&j->start);
	uint64_t offset = read_relaxed(&j->ring_head) % j->ring_bytes;
	uint64_t payload, bytes, skip = 0;

	if (cut.end <= start)
		return 0;
	payload = cut.end - start;
	bytes = batch_bytes(payload);
	/* two batches in a row are larger than split together; each has a header and padding */
	if (bytes > j->split)
		bytes += (2 * payload / j->split + 1) * 2 * PAGE_BYTES;
	if (offset + bytes > j->ring_bytes) /* less than one batch is skipped */
		skip = MIN(j->ring_bytes - offset, MIN(bytes, j->batch_max) - PAGE_BYTES);
	return bytes + skip;
}

struct journal_position journal_at(const struct journal *j)
{
	return (struct journal_position){
		.offset = read_relaxed(&j->ring_head) % j->ring_bytes,
		.batch = j->number,
		.chain = j->chain,
		.seq = read_relaxed(&j->durable_seq),
	};
}

void journal_checkpointed(struct journal *j, struct journal_cut cut, struct journal_position start)
{
	uint64_t head = read_relaxed(&j->ring_head);
	uint64_t used = (head - start.offset) % j->ring_bytes;

	assert(used <= head - read_relaxed(&j->ring_start));
	atomic_store_explicit(&j->ring_start, head - used, memory_order_relaxed);
	if (cut.end > read_relaxed(&j->start))
		pending_retire(j, cut.end, cut.seq);
}
