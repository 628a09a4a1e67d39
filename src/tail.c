/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tail.c - the file that keeps records which are not durable yet, should the daemon die
 *
 *	file:	[ header | ring ......................................... ]
 *	mapped:	[ header | ring ......................................... | front of the ring ]
 *
 * The front of the ring is mapped once more behind its end: a record that runs
 * over the end needs no marker, no split, and no special case in a reader.
 *
 * The file says where the oldest record is (start), never where the last one
 * ends.  A reader goes on from start while each record is valid and its
 * sequence is one more than that of the one before.  Why this finds exactly
 * what was appended and not released, whenever the writer died:
 *
 *   [TAIL-1] A file serves one session and begins as zeros, and sequences only
 *            grow: whatever lies in the ring from an earlier lap has a lower
 *            sequence than the record last appended, so it never continues it.
 *   [TAIL-2] A record that was half written fails its checksum.
 *   [TAIL-3] start moves before the space that it frees is written again, and
 *            after the records there are durable.  So if nothing is pending and
 *            an older lap's record happens to begin at start, that one and all that
 *            follow it are durable: not greater than the journal's last.
 *   [TAIL-4] A group counts only with its end, since it took effect at once.
 *
 *   [TAIL-5] durable moves before start does, when the journal or a checkpoint has every record up to it.
 *            A journal that ends before it has lost something, unless the tail still has that too.  An
 *            empty tail could not tell.
 *
 * The header is sealed but for start, durable and flags, each changed by one store.
 *
 * Failure: making a tail fails as a whole, before the old one is replaced.
 */
#include "tail.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define TMPFS_TYPE 0x01021994 /* statfs(2) */
#define NEW_SUFFIX ".new"

static_assert(RECORD_BYTES_MAX <= TAIL_OVERHANG, "a record fits behind the end of the ring");
static_assert(sizeof(struct disk_tail) <= PAGE_BYTES, "the tail's header is one page");
static_assert(offsetof(struct disk_tail, start) % 8 == 0, "start is one aligned store");
static_assert(offsetof(struct disk_tail, durable) % 8 == 0, "durable is one aligned store");

/* ---- header --------------------------------------------------------------- */

/* Checksum of the header page, with what changes in a session left out. */
static uint64_t header_sum(const struct disk_tail *header, const uint8_t uuid[16])
{
	uint8_t page[PAGE_BYTES];
	struct disk_tail *copy = (struct disk_tail *)(void *)page;

	memcpy(page, header, sizeof page);
	copy->checksum = copy->flags = put64(0);
	copy->start = copy->durable = 0;
	return checksum(page, sizeof page, page_seed(PAGE_TAIL, uuid));
}

static void header_seal(struct disk_tail *h, const struct tail_identity *id, uint64_t ring_bytes)
{
	h->kind = put32(PAGE_TAIL);
	memcpy(h->uuid, id->uuid, sizeof h->uuid);
	memcpy(h->boot_id, id->boot_id, sizeof h->boot_id);
	memcpy(h->session_id, id->session_id, sizeof h->session_id);
	h->pool_dev = put64(id->pool_dev);
	h->pool_ino = put64(id->pool_ino);
	h->ring_bytes = put64(ring_bytes);
	h->checksum = put64(header_sum(h, id->uuid));
}

/* What of *want the header has not, NULL if it has all. */
static const char *header_differs(const struct disk_tail *h, const struct tail_identity *want)
{
	if (memcmp(h->uuid, want->uuid, sizeof h->uuid))
		return "another pool's (uuid differs)";
	if (memcmp(h->boot_id, want->boot_id, sizeof h->boot_id))
		return "from before the machine was started (boot id differs)";
	if (memcmp(h->session_id, want->session_id, sizeof h->session_id))
		return "of another session (session id differs)";
	if (get64(h->pool_dev) != want->pool_dev || get64(h->pool_ino) != want->pool_ino)
		return "of another copy of the pool (pool's dev:ino differs)";
	return NULL;
}

static const char *header_damage(const struct disk_tail *h, const uint8_t uuid[16],
				 uint64_t file_bytes)
{
	uint64_t ring_bytes = get64(h->ring_bytes);

	if (get32(h->kind) != PAGE_TAIL || get64(h->checksum) != header_sum(h, uuid))
		return "checksum of its header";
	if (!ring_bytes || ring_bytes % PAGE_BYTES || file_bytes != PAGE_BYTES + ring_bytes)
		return "size of its ring";
	if (get64(h->flags) & ~(uint64_t)TAIL_TAINTED)
		return "unknown flags";
	if (h->start % 8)
		return "start of its records";
	return NULL;
}

/* ---- making one ------------------------------------------------------------- */

/* Maps [offset, offset + len) of fd at addr, in the room that was reserved. */
static int map_at(uint8_t *addr, size_t len, int fd, uint64_t offset)
{
	void *p =
		mmap(addr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);

	return p == MAP_FAILED ? fail(-errno, "mapping the pending ring: %m") : 0;
}

static size_t map_bytes(const struct tail *t)
{
	return PAGE_BYTES + t->ring_bytes + TAIL_OVERHANG;
}

static int map_file(int fd, uint64_t ring_bytes, struct tail *t)
{
	size_t len = PAGE_BYTES + ring_bytes;
	uint8_t *base;
	int err;

	base = mmap(NULL, len + TAIL_OVERHANG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return fail(-errno, "mapping the pending ring: %m");
	err = map_at(base, len, fd, 0);
	if (!err)
		err = map_at(base + len, TAIL_OVERHANG, fd, PAGE_BYTES);
	if (err) {
		munmap(base, len + TAIL_OVERHANG);
		return err;
	}
	t->header = (struct disk_tail *)(void *)base;
	t->ring = base + PAGE_BYTES;
	t->ring_bytes = ring_bytes;
	return 0;
}

static int map_unnamed(uint64_t ring_bytes, struct tail *t)
{
	int fd CLEANUP_CLOSE = memfd_create("cowbd-pending", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)(PAGE_BYTES + ring_bytes)) < 0)
		return fail(-errno, "memory for the pending ring: %m");
	return map_file(fd, ring_bytes, t);
}

/* All of its pages are taken now: a full tmpfs would be SIGBUS in an append. */
static int allocate_file(int fd, const char *path, uint64_t bytes)
{
	int err;

	if (ftruncate(fd, (off_t)bytes) < 0)
		return fail(-errno, "%s: setting its size: %m", path);
	do {
		err = posix_fallocate(fd, 0, (off_t)bytes);
	} while (err == EINTR);
	if (err == ENOSPC || err == EDQUOT)
		return fail(-ENOSPC,
			    "%s: no room for the volatile tail, the tmpfs is full: "
			    "%" PRIu64 " KiB needed",
			    path, bytes >> 10);
	if (err)
		return fail(-err, "%s: allocating it: %s", path, strerror(err));
	return 0;
}

static int fill_file(int fd, const char *made, const struct journal_options *opt,
		     uint64_t ring_bytes, struct tail *t)
{
	struct stat st;
	int err = allocate_file(fd, made, PAGE_BYTES + ring_bytes);

	if (err)
		return err;
	if (fstat(fd, &st) < 0)
		return fail(-errno, "%s: %m", made);
	err = map_file(fd, ring_bytes, t);
	if (err)
		return err;
	header_seal(t->header, &opt->identity, ring_bytes);
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	if (rename(made, opt->tail_path) == 0)
		return 0;
	err = fail(-errno, "%s: renaming it into place: %m", made);
	munmap(t->header, map_bytes(t));
	return err;
}

static int map_named(const struct journal_options *opt, uint64_t ring_bytes, struct tail *t)
{
	char *path CLEANUP_FREE = strdup(opt->tail_path);
	char *made CLEANUP_FREE = NULL;
	int fd CLEANUP_CLOSE = -1;
	int err;

	if (!path || asprintf(&made, "%s" NEW_SUFFIX, opt->tail_path) < 0) {
		made = NULL;
		return fail(-ENOMEM, "out of memory");
	}
	/* left by a process that died right here; the pool's lock keeps others out */
	(void)unlink(made);
	fd = open(made, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(-errno, "%s: making the volatile tail: %m", made);
	err = fill_file(fd, made, opt, ring_bytes, t);
	if (err) {
		(void)unlink(made);
		return err;
	}
	t->path = path;
	path = NULL;
	return 0;
}

int tail_map(const struct journal_options *opt, uint64_t ring_bytes, struct tail *ret_tail)
{
	struct tail t = {0};
	int err;

	assert(ring_bytes && ring_bytes % PAGE_BYTES == 0);
	err = opt->tail_path ? map_named(opt, ring_bytes, &t) : map_unnamed(ring_bytes, &t);
	if (err)
		return err;
	tail_lock_memory(&t);
	*ret_tail = t;
	return 0;
}

void tail_unmap(struct tail *t, bool remove)
{
	struct stat st;

	if (t->header)
		munmap(t->header, map_bytes(t));
	if (t->path && remove && lstat(t->path, &st) == 0 && st.st_dev == t->dev &&
	    st.st_ino == t->ino)
		(void)unlink(t->path);
	free(t->path);
	*t = (struct tail){0};
}

void tail_lock_memory(const struct tail *t)
{
	(void)mlock(t->header, PAGE_BYTES + t->ring_bytes);
}

/* ---- reading an old one ------------------------------------------------------- */

static int read_fully(int fd, void *buf, size_t len, off_t offset, const char *path)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(-EIO, "%s: reading the tail: %m", path);
		if (n == 0)
			return fail(-ESTALE, "%s: the tail is cut short", path);
		done += (size_t)n;
	}
	return 0;
}

/* What a reader has of a tail: the ring with its front again behind its end. */
struct tail_image {
	uint8_t *ring;
	uint64_t ring_bytes;
	uint64_t start;
};

/* Decodes the record that begins done bytes after start; 0: there is none. */
static size_t image_record(const struct tail_image *image, uint64_t done, struct record *r)
{
	uint64_t place = (image->start + done) % image->ring_bytes;
	uint64_t room = MIN(image->ring_bytes - done, image->ring_bytes + TAIL_OVERHANG - place);

	return record_decode(image->ring + place, room, r);
}

/* Bytes from start to the end of the last whole group. */
static uint64_t image_length(const struct tail_image *image)
{
	uint64_t done = 0, whole = 0, seq = 0;
	struct record r;
	size_t n;

	while (done < image->ring_bytes && (n = image_record(image, done, &r)) > 0) {
		if (done && r.seq != seq + 1)
			break; /* [TAIL-1] */
		seq = r.seq;
		done += n;
		if (!r.more)
			whole = done; /* [TAIL-4] */
	}
	return whole;
}

static int image_visit(const struct tail_image *image, uint64_t after, record_visit visit,
		       void *opaque, struct tail_state *state)
{
	uint64_t length = image_length(image);
	struct record r;

	state->last = after;

	for (uint64_t done = 0; done < length;) {
		int err;

		done += image_record(image, done, &r);
		if (r.seq <= after)
			continue;
		if (state->first == 0)
			state->first = r.seq;
		if (r.seq != after + 1)
			return fail(-EILSEQ,
				    "tail does not follow: it goes on with record %" PRIu64
				    ", the journal ends with %" PRIu64,
				    r.seq, after);
		err = visit(opaque, &r);
		if (err < 0)
			return err;
		state->last = after = r.seq;
	}
	return 0;
}

/* Opens path if it is the file dev:ino. */
static int open_old(const char *path, uint64_t dev, uint64_t ino, int *ret_fd, uint64_t *ret_bytes)
{
	int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return fail(-ENOENT, "%s: there is no tail", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(-errno, "%s: opening the tail: %m", path);
	if (!S_ISREG(st.st_mode) || st.st_dev != dev || st.st_ino != ino)
		return fail(-ENOENT,
			    "%s: not the tail of that session, another file is in its place", path);
	*ret_fd = fd;
	*ret_bytes = (uint64_t)st.st_size;
	fd = -1;
	return 0;
}

int tail_scan(const char *path, uint64_t dev, uint64_t ino, const struct tail_identity *want,
	      uint64_t after, record_visit visit, void *opaque, struct tail_state *ret_state)
{
	union {
		struct disk_tail h;
		uint8_t bytes[PAGE_BYTES];
	} page;
	int fd CLEANUP_CLOSE = -1;
	uint8_t *ring CLEANUP_FREE = NULL;
	struct tail_image image;
	const char *wrong;
	uint64_t bytes = 0;
	int err;

	err = open_old(path, dev, ino, &fd, &bytes);
	if (!err)
		err = read_fully(fd, &page, sizeof page, 0, path);
	if (err)
		return err;
	wrong = header_differs(&page.h, want);
	if (wrong)
		return fail(-ESTALE, "%s: the tail is %s", path, wrong);
	wrong = header_damage(&page.h, want->uuid, bytes);
	if (wrong)
		return fail(-ESTALE, "%s: the tail is damaged: %s", path, wrong);

	image.ring_bytes = get64(page.h.ring_bytes);
	image.start = page.h.start;
	image.ring = ring = malloc(image.ring_bytes + TAIL_OVERHANG);
	if (!ring)
		return fail(-ENOMEM, "out of memory");
	err = read_fully(fd, ring, image.ring_bytes, PAGE_BYTES, path);
	if (err)
		return err;
	memcpy(ring + image.ring_bytes, ring, TAIL_OVERHANG);
	*ret_state = (struct tail_state){.tainted = get64(page.h.flags) & TAIL_TAINTED,
					 .durable = page.h.durable};
	return image_visit(&image, after, visit, opaque, ret_state);
}

/* ---- where to keep it ------------------------------------------------------------ */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int tail_boot_id(uint8_t boot_id[16])
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t id[16] = {0};
	unsigned digits = 0;
	char text[64];
	ssize_t n;

	if (fd < 0 || (n = read(fd, text, sizeof text)) < 0)
		return fail(-errno, "%s: %m", path);
	for (ssize_t i = 0; i < n && digits < 32; i++) {
		int value = hex_digit(text[i]);

		if (value < 0)
			continue; /* the dashes */
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
		digits++;
	}
	if (digits != 32)
		return fail(-EIO, "%s: is no uuid", path);
	memcpy(boot_id, id, sizeof id);
	return 0;
}

int tail_directory_check(const char *path, bool follow)
{
	int fd CLEANUP_CLOSE =
		open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return fail(errno == ENOTDIR || errno == ELOOP ? -EPERM : -ENOENT, "%s: %m", path);
	if (fs.f_type != TMPFS_TYPE)
		return fail(-ENOENT, "%s: not on a tmpfs", path);
	if (st.st_uid != geteuid())
		return fail(-EPERM, "%s: belongs to uid %u, not to us", path, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return fail(-EPERM, "%s: others may write to it (mode %04o)", path,
			    st.st_mode & 07777u);
	return 0;
}

int tail_directory_make(const char *path)
{
	struct stat st;
	int err;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(-ENOENT, "%s: %m", path);
	err = tail_directory_check(path, false);
	if (err)
		return err;
	if (lstat(path, &st) < 0 || (st.st_mode & 07777u) != 0700)
		return fail(-EPERM, "%s: its mode must be 0700; remove it", path);
	return 0;
}

int tail_directory(const char *rundir, char *buf, size_t len)
{
	char shared[64];
	const char *chosen = rundir;
	int err;

	if (!rundir || tail_directory_check(rundir, true)) {
		snprintf(shared, sizeof shared, "/dev/shm/cowbd-%u", (unsigned)geteuid());
		err = tail_directory_make(shared);
		if (err)
			return err;
		chosen = shared;
	}
	if (strlen(chosen) >= len)
		return fail(-ENAMETOOLONG, "%s: path is too long", chosen);
	strcpy(buf, chosen);
	return 0;
}
