/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal.c - batches of records in a ring on disk, and the records that wait to get there
 *
 *	pending ring (memory)	            journal ring (disk)
 *	start ....... end	            start ............. head
 *	| group | group |  --journal_write-->  | batch | batch |    (skipped) |
 *
 * A batch is contiguous.  One that does not fit before the end of the ring goes to
 * offset 0 (and only then), and what is skipped counts as used.  journal_scan.c finds them again.
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
#include "journal_internal.h"

#include <stdatomic.h>

#include <sys/mman.h>

#include "tail.h"

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

static uint64_t read_relaxed(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
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
