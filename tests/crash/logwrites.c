/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * logwrites.c - the log of the kernel's dm-log-writes target: written from a simulated store, and read
 */
#include "logwrites.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define LOGW_MAGIC UINT64_C(0x6a736677736872)
#define LOGW_VERSION 1u
#define RECORD_SECTOR 512u
#define BUFFER_BYTES (1u << 20)

struct disk_logw_head {
	struct le64 magic, version, entries;
	struct le32 sector_bytes;
};

struct disk_logw_entry {
	struct le64 sector, sectors, flags, data_bytes;
};

/* ---- reading -------------------------------------------------------------------------- */

static int read_all(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(-errno, "reading the log: %m");
		if (n == 0)
			return fail(-EUCLEAN, "the log ends at byte %" PRIu64 ", within an entry",
				    offset + done);
		done += (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n =
			pwrite(fd, (const uint8_t *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(-errno, "writing at byte %" PRIu64 ": %m", offset + done);
		done += (size_t)n;
	}
	return 0;
}

static int read_head(struct logw *l)
{
	struct disk_logw_head head;
	int r = read_all(l->fd, &head, sizeof head, 0);

	if (r < 0)
		return r;
	if (get64(head.magic) != LOGW_MAGIC)
		return fail(-EUCLEAN, "no dm-log-writes log: magic %" PRIx64, get64(head.magic));
	if (get64(head.version) != LOGW_VERSION)
		return fail(-EUCLEAN, "version %" PRIu64 " of dm-log-writes is not known",
			    get64(head.version));
	l->sector_bytes = get32(head.sector_bytes);
	l->entries = get64(head.entries);
	if (l->sector_bytes < 512 || l->sector_bytes > LOGW_SECTOR_MAX ||
	    l->sector_bytes & (l->sector_bytes - 1))
		return fail(-EUCLEAN, "sectors of %u bytes", l->sector_bytes);
	logw_rewind(l);
	return 0;
}

int logw_open(const char *path, struct logw **ret_log)
{
	struct logw *l = calloc(1, sizeof *l);
	int r;

	if (!l)
		return fail(-ENOMEM, "out of memory");
	l->fd = open(path, O_RDONLY | O_CLOEXEC);
	r = l->fd < 0 ? fail(-errno, "%s: %m", path) : read_head(l);
	if (r < 0) {
		logw_close(l);
		return r;
	}
	*ret_log = l;
	return 0;
}

void logw_close(struct logw *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l);
}

void logw_rewind(struct logw *l)
{
	l->next = 0;
	l->at = l->sector_bytes;
}

static int decode_entry(struct logw *l, const struct disk_logw_entry *d, const char *text)
{
	const uint64_t most = (uint64_t)INT64_MAX / l->sector_bytes / 2;
	uint64_t sectors = get64(d->sectors), text_bytes = get64(d->data_bytes);
	struct logw_entry *e = &l->entry;

	e->number = l->next;
	e->flags = get64(d->flags);
	if (get64(d->sector) > most || sectors > most)
		return fail(-EUCLEAN, "entry %" PRIu64 ": beyond any device", e->number);
	e->offset = get64(d->sector) * l->sector_bytes;
	e->length = sectors * l->sector_bytes;
	e->at = l->at + l->sector_bytes;
	e->mark[0] = '\0';
	if (!(e->flags & LOGW_MARK))
		return 0;
	if (text_bytes >= l->sector_bytes - sizeof *d)
		return fail(-EUCLEAN, "entry %" PRIu64 ": a mark of %" PRIu64 " bytes", e->number,
			    text_bytes);
	memcpy(e->mark, text, text_bytes);
	e->mark[text_bytes] = '\0';
	return 0;
}

int logw_next(struct logw *l, const struct logw_entry **ret_entry)
{
	char sector[LOGW_SECTOR_MAX];
	int r;

	if (l->next >= l->entries) {
		*ret_entry = NULL;
		return 0;
	}
	r = read_all(l->fd, sector, l->sector_bytes, l->at);
	if (r == 0)
		r = decode_entry(l, (const struct disk_logw_entry *)(const void *)sector,
				 sector + sizeof(struct disk_logw_entry));
	if (r < 0)
		return r;
	l->next++;
	l->at = l->entry.at + (l->entry.flags & LOGW_DISCARD ? 0 : l->entry.length);
	*ret_entry = &l->entry;
	return 0;
}

int logw_apply(struct logw *l, const struct logw_entry *e, int fd)
{
	CLEANUP_FREE uint8_t *buf = calloc(1, BUFFER_BYTES);
	uint64_t done = 0;
	int r = buf ? 0 : fail(-ENOMEM, "out of memory");

	if (e->flags & LOGW_MARK)
		return r;
	if (r == 0 && e->flags & LOGW_DISCARD &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)e->offset,
		      (off_t)e->length) == 0)
		return 0;
	while (done < e->length && r == 0) {
		size_t part = (size_t)MIN(e->length - done, (uint64_t)BUFFER_BYTES);

		if (!(e->flags & LOGW_DISCARD))
			r = read_all(l->fd, buf, part, e->at + done);
		if (r == 0)
			r = write_all(fd, buf, part, e->offset + done);
		done += part;
	}
	return r;
}

/* ---- recording -------------------------------------------------------------------------- */

struct recorder {
	int fd;
	uint64_t at, entries; /* byte of the log where the next goes */
};

static int record_entry(struct recorder *rec, uint64_t flags, uint64_t offset, uint64_t length,
			const void *data, const char *mark)
{
	char sector[RECORD_SECTOR] = {0};
	struct disk_logw_entry *d = (struct disk_logw_entry *)(void *)sector;
	int r;

	if (offset % RECORD_SECTOR || length % RECORD_SECTOR)
		return fail(-EINVAL, "%" PRIu64 " bytes at %" PRIu64 " are no whole sectors",
			    length, offset);
	d->sector = put64(offset / RECORD_SECTOR);
	d->sectors = put64(length / RECORD_SECTOR);
	d->flags = put64(flags);
	if (mark) {
		d->data_bytes = put64(strlen(mark));
		strcpy(sector + sizeof *d, mark);
	}
	r = write_all(rec->fd, sector, sizeof sector, rec->at);
	if (r == 0 && data)
		r = write_all(rec->fd, data, length, rec->at + sizeof sector);
	rec->at += sizeof sector + (data ? length : 0);
	rec->entries++;
	return r;
}

static int record_event(struct recorder *rec, const struct sim_event *e)
{
	if (e->kind == SIM_DISCARD) /* the engine gives back whole zones */
		return record_entry(rec, LOGW_DISCARD, e->offset, e->length, NULL, NULL);
	return record_entry(rec,
			    (e->flags & STORE_DURABLE ? LOGW_FUA : 0u) |
				    (e->flags & STORE_DIRECT ? LOGW_METADATA : 0u),
			    e->offset, e->length, e->data, NULL);
}

static bool contains(const size_t *list, size_t n, size_t x)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == x)
			return true;
	return false;
}

static bool overlap(const struct sim_event *a, const struct sim_event *b)
{
	return a->offset < b->offset + b->length && b->offset < a->offset + a->length;
}

struct waiting { /* writes and discards that are not in the log yet */
	size_t *index;
	size_t n;
};

/* The sync at event k: what it covers goes to the log, in order, then the flush. */
static int record_sync(struct recorder *rec, struct store *sim, const struct sim_event *event,
		       size_t k, struct waiting *w)
{
	CLEANUP_FREE size_t *lost = calloc(w->n + 1, sizeof *lost);
	size_t nlost, kept = 0;
	int r = lost ? 0 : fail(-ENOMEM, "out of memory");

	/* nothing else than what waits can be lost, but growth */
	nlost = r < 0 ? 0 : MIN(store_sim_unsynced(sim, k + 1, lost, w->n), w->n);
	for (size_t i = 0; i < w->n && r == 0; i++) {
		if (contains(lost, nlost, w->index[i])) {
			w->index[kept++] = w->index[i];
			continue;
		}
		for (size_t x = 0; x < kept && r == 0; x++)
			if (overlap(&event[w->index[x]], &event[w->index[i]]))
				r = fail(-EINVAL, "event %zu is synced in part, and overwritten",
					 w->index[x]);
		if (r == 0)
			r = record_event(rec, &event[w->index[i]]);
	}
	w->n = kept;
	return r < 0 ? r : record_entry(rec, LOGW_FLUSH, 0, 0, NULL, NULL);
}

static int record_mark(struct recorder *rec, const char *what, uint64_t number)
{
	char text[64];

	snprintf(text, sizeof text, "%s %" PRIu64, what, number);
	return record_entry(rec, LOGW_MARK, 0, 0, NULL, text);
}

static int record_all(struct recorder *rec, struct store *sim, struct waiting *w)
{
	size_t n;
	const struct sim_event *e = store_sim_events(sim, &n);
	int r = 0;

	for (size_t k = 0; k < n && r == 0; k++)
		switch (e[k].kind) {
		case SIM_WRITE:
			if (e[k].flags & STORE_DURABLE)
				r = record_event(rec, &e[k]);
			else
				w->index[w->n++] = k;
			break;
		case SIM_DISCARD: w->index[w->n++] = k; break;
		case SIM_SYNC: r = record_sync(rec, sim, e, k, w); break;
		case SIM_GROW: r = record_mark(rec, "size", e[k].length); break;
		case SIM_MARK: r = record_mark(rec, "mark", e[k].mark); break;
		case SIM_PREALLOC: break;
		}
	return r;
}

int logw_record(struct store *sim, const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct recorder rec = {.fd = fd, .at = RECORD_SECTOR};
	char sector[RECORD_SECTOR] = {0};
	struct disk_logw_head *head = (struct disk_logw_head *)(void *)sector;
	CLEANUP_FREE size_t *index = NULL;
	size_t n;
	int r;

	(void)store_sim_events(sim, &n);
	index = calloc(n + 1, sizeof *index);
	if (fd < 0 || !index)
		return fail(fd < 0 ? -errno : -ENOMEM, "%s: %m", path);
	r = record_all(&rec, sim, &(struct waiting){.index = index});
	if (r < 0)
		return r;
	head->magic = put64(LOGW_MAGIC);
	head->version = put64(LOGW_VERSION);
	head->entries = put64(rec.entries);
	head->sector_bytes = put32(RECORD_SECTOR);
	return write_all(fd, sector, sizeof sector, 0);
}
