/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fileio.c - batches of reads and writes on the two descriptions of a pool file
 *
 * One I/O, and every buffered write, is plain preadv2/pwritev2; of a batch the
 * reads and the direct writes go through the thread's ring, all at once.  A
 * buffered write is a copy into the page cache, 2 us; through a ring ext4 and
 * block devices hand it to a worker thread, one after the other for one
 * inode, 9 us each.  So those run here while the ring's requests are under way.
 *
 * Buffered writes are cut at multiples of 64 KiB: a larger one makes large folios, in
 * which every later overwrite of 4 KiB costs ten times as much.
 *
 * Invariants
 *   [FILEIO-1] No buffer of the caller or of the bounce pool is let go while the
 *              kernel may touch it: a batch waits for all that it submitted.
 *   [FILEIO-2] Nobody waits for a bounce buffer while holding one.
 *   [FILEIO-3] The caller's iovecs are not changed; a cursor remembers how far we are.
 */
#include "fileio.h"

#include <sys/mman.h>
#include <time.h>

#include "uring.h"

#define WRITE_PIECE (64u << 10)
#define WINDOW 64 /* iovecs of one system call, where they must be copied */
#define AGAIN_MAX 1000

/* ---- cursor over the caller's iovecs ------------------------------------------ */

struct cursor {
	const struct iovec *iov;
	int niov;
	size_t skip; /* bytes of iov[0] that are done */
	uint64_t offset;
	uint64_t left; /* bytes */
};

static void cursor_advance(struct cursor *c, uint64_t bytes)
{
	c->offset += bytes;
	c->left -= bytes;
	bytes += c->skip;
	while (c->niov && bytes >= c->iov->iov_len) {
		bytes -= c->iov->iov_len;
		c->iov++;
		c->niov--;
	}
	c->skip = bytes;
}

static struct cursor cursor_of(const struct store_io *io, uint64_t done)
{
	struct cursor c = {.iov = io->iov, .niov = io->niov, .offset = io->offset};

	for (int i = 0; i < io->niov; i++)
		c.left += io->iov[i].iov_len;
	cursor_advance(&c, done);
	return c;
}

/* The next at most `most` bytes as iovecs: the caller's own where they fit, else in
 * window.  Returns how many. */
static int cursor_window(const struct cursor *c, uint64_t most, struct iovec window[WINDOW],
			 const struct iovec **ret_iov)
{
	size_t skip = c->skip;
	int n = 0;

	if (!skip && c->left <= most) {
		*ret_iov = c->iov;
		return c->niov;
	}
	while (n < WINDOW && n < c->niov && most) {
		size_t len = MIN(c->iov[n].iov_len - skip, most);

		window[n].iov_base = (char *)c->iov[n].iov_base + skip;
		window[n].iov_len = len;
		most -= len;
		skip = 0;
		n++;
	}
	*ret_iov = window;
	return n;
}

/* Copies the next len bytes between the caller's memory and buf; c stays. */
static void cursor_copy(const struct cursor *c, char *buf, size_t len, bool to_caller)
{
	struct cursor at = *c;

	while (len) {
		size_t part = MIN(at.iov->iov_len - at.skip, len);
		char *memory = (char *)at.iov->iov_base + at.skip;

		if (to_caller)
			memcpy(memory, buf, part);
		else
			memcpy(buf, memory, part);
		cursor_advance(&at, part);
		buf += part;
		len -= part;
	}
}

/* ---- bounce buffers -------------------------------------------------------------- */

int fileio_init(struct fileio *f)
{
	void *memory;

	if (!f->data_direct)
		return 0;
	memory = mmap(NULL, (size_t)BOUNCE_BYTES * BOUNCE_COUNT, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return fail(-ENOMEM, "out of memory for %u bounce buffers", BOUNCE_COUNT);
	f->bounce.memory = memory;
	f->bounce.free = (uint32_t)((UINT64_C(1) << BOUNCE_COUNT) - 1);
	pthread_mutex_init(&f->bounce.lock, NULL);
	pthread_cond_init(&f->bounce.freed, NULL);
	return 0;
}

void fileio_fini(struct fileio *f)
{
	if (!f->bounce.memory)
		return;
	pthread_cond_destroy(&f->bounce.freed);
	pthread_mutex_destroy(&f->bounce.lock);
	munmap(f->bounce.memory, (size_t)BOUNCE_BYTES * BOUNCE_COUNT);
}

/* A free buffer; NULL if there is none and we are not to wait. */
static char *bounce_get(struct bounce_pool *p, bool wait)
{
	int i;

	WITH_LOCK_UNTIL_END(&p->lock);
	while (!p->free && wait)
		pthread_cond_wait(&p->freed, &p->lock);
	if (!p->free)
		return NULL;
	i = __builtin_ctz(p->free);
	p->free &= p->free - 1;
	return p->memory + (size_t)i * BOUNCE_BYTES;
}

static void bounce_put(struct bounce_pool *p, const char *buf)
{
	WITH_LOCK_UNTIL_END(&p->lock);
	p->free |= 1u << ((size_t)(buf - p->memory) / BOUNCE_BYTES);
	pthread_cond_signal(&p->freed);
}

/* ---- plain system calls ------------------------------------------------------------ */

static bool is_write(const struct store_io *io)
{
	return io->flags & STORE_WRITE;
}

/* Does the I/O go through the description for direct I/O? */
static bool is_direct(const struct fileio *f, const struct store_io *io)
{
	return f->data_direct || io->flags & STORE_DIRECT;
}

static int fd_of(const struct fileio *f, const struct store_io *io)
{
	return is_direct(f, io) ? f->direct_fd : f->data_fd;
}

static int rw_flags_of(const struct fileio *f, const struct store_io *io)
{
	return is_write(io) && io->flags & STORE_DURABLE && f->dsync ? RWF_DSYNC : 0;
}

/* One preadv2/pwritev2: bytes (more than 0) or -errno. */
static ssize_t transfer(const struct fileio *f, const struct store_io *io, uint64_t offset,
			const struct iovec *iov, int niov)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int flags = rw_flags_of(f, io), fd = fd_of(f, io);
	unsigned again = 0;
	ssize_t ret;

	for (;;) {
		ret = is_write(io) ? pwritev2(fd, iov, niov, (off_t)offset, flags)
				   : preadv2(fd, iov, niov, (off_t)offset, flags);
		if (ret > 0)
			return ret;
		if (ret == 0) /* a read beyond the end of a file that was cut short */
			return -EIO;
		if (errno == EAGAIN && again++ < AGAIN_MAX)
			nanosleep(&pause, NULL);
		else if (errno != EINTR)
			return -errno;
	}
}

/* Bytes that the next system call at offset may move. */
static uint64_t most_at_once(const struct fileio *f, const struct store_io *io, uint64_t offset)
{
	if (!is_write(io) || is_direct(f, io))
		return UINT64_MAX;
	return WRITE_PIECE - offset % WRITE_PIECE;
}

static int run_plain(const struct fileio *f, const struct store_io *io, uint64_t done)
{
	struct cursor c = cursor_of(io, done);
	struct iovec window[WINDOW];

	while (c.left) {
		const struct iovec *iov;
		int n = cursor_window(&c, most_at_once(f, io, c.offset), window, &iov);
		ssize_t ret = transfer(f, io, c.offset, iov, n);

		if (ret < 0)
			return (int)ret;
		cursor_advance(&c, (uint64_t)ret);
	}
	return 0;
}

/* The same through one bounce buffer, piece by piece. */
static int run_bounced(struct fileio *f, const struct store_io *io, uint64_t done)
{
	struct cursor c = cursor_of(io, done);
	char *buf = bounce_get(&f->bounce, true);
	int err = 0;

	while (c.left && !err) {
		struct iovec piece = {.iov_base = buf, .iov_len = MIN(c.left, BOUNCE_BYTES)};
		struct store_io part = {
			.flags = io->flags, .offset = c.offset, .iov = &piece, .niov = 1};

		if (is_write(io))
			cursor_copy(&c, buf, piece.iov_len, false);
		err = run_plain(f, &part, 0);
		if (!err && !is_write(io))
			cursor_copy(&c, buf, piece.iov_len, true);
		cursor_advance(&c, piece.iov_len);
	}
	bounce_put(&f->bounce, buf);
	return err;
}

/* Must the I/O go through aligned memory? */
static bool needs_bounce(const struct fileio *f, const struct store_io *io)
{
	uintptr_t bits = 0;

	if (!f->data_direct || io->flags & STORE_DIRECT)
		return false;
	for (int i = 0; i < io->niov; i++)
		bits |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
	return bits % f->mem_align != 0;
}

/* Runs what is left of an I/O of which `done` bytes have been moved. */
static int run(struct fileio *f, const struct store_io *io, uint64_t done)
{
	return needs_bounce(f, io) ? run_bounced(f, io, done) : run_plain(f, io, done);
}

/* ---- batches through the ring -------------------------------------------------------- */

struct batch {
	unsigned nops;
	struct uring_op op[URING_DEPTH];
	struct store_io *io[URING_DEPTH]; /* of each operation */
	char *bounce[URING_DEPTH];        /* its buffer, or NULL */
	struct iovec piece[URING_DEPTH];  /* with a buffer: what the kernel sees */
};

/* Gives the operation a bounce buffer if it needs one; false: there is none, or
 * the I/O is too long for one. */
static bool batch_bounce(struct fileio *f, struct batch *b, struct store_io *io)
{
	struct cursor c = cursor_of(io, 0);
	unsigned i = b->nops;

	b->bounce[i] = NULL;
	if (!needs_bounce(f, io))
		return true;
	if (c.left <= BOUNCE_BYTES)
		b->bounce[i] = bounce_get(&f->bounce, false); /* [FILEIO-2] */
	if (!b->bounce[i])
		return false;
	b->piece[i].iov_base = b->bounce[i];
	b->piece[i].iov_len = c.left;
	if (is_write(io))
		cursor_copy(&c, b->bounce[i], c.left, false);
	return true;
}

/* Adds the I/O to the batch; false if it's not for the ring. */
static bool batch_add(struct fileio *f, struct batch *b, struct store_io *io)
{
	unsigned i = b->nops;

	if ((is_write(io) && !is_direct(f, io)) || !batch_bounce(f, b, io))
		return false;
	b->io[i] = io;
	b->op[i] = (struct uring_op){
		.kind = is_write(io) ? URING_WRITE : URING_READ,
		.fd = fd_of(f, io),
		.rw_flags = rw_flags_of(f, io),
		.iov = b->bounce[i] ? &b->piece[i] : io->iov,
		.niov = b->bounce[i] ? 1 : (unsigned)io->niov,
		.offset = io->offset,
	};
	b->nops++;
	return true;
}

/* Takes the outcome of operation i: what is missing is done by plain calls. */
static void batch_end_one(struct fileio *f, struct batch *b, unsigned i)
{
	struct store_io *io = b->io[i];
	struct cursor c = cursor_of(io, 0);
	int64_t result = b->op[i].result;
	uint64_t done = 0;
	int err = 0;

	if (result > 0)
		done = (uint64_t)result;
	else if (result == 0 && c.left)
		err = -EIO;
	else if (result != -EINTR && result != -EAGAIN && result != -ECANCELED)
		err = (int)result;
	if (b->bounce[i]) {
		if (!is_write(io) && done)
			cursor_copy(&c, b->bounce[i], done, true);
		bounce_put(&f->bounce, b->bounce[i]);
		b->bounce[i] = NULL;
	}
	b->op[i].result = (int64_t)done;
	io->result = err ? err : done < c.left; /* 1: to be continued */
}

static void batch_end(struct fileio *f, struct batch *b)
{
	for (unsigned i = 0; i < b->nops; i++)
		batch_end_one(f, b, i);
	/* All buffers of the batch are back: now it may wait for one [FILEIO-2]. */
	for (unsigned i = 0; i < b->nops; i++)
		if (b->io[i]->result > 0)
			b->io[i]->result = run(f, b->io[i], (uint64_t)b->op[i].result);
}

/* Up to URING_DEPTH I/Os at once. */
static void submit_batch(struct fileio *f, struct uring *ring, struct store_io *ios, unsigned n)
{
	struct store_io *plain[URING_DEPTH];
	unsigned nplain = 0;
	struct batch b;

	b.nops = 0;
	for (unsigned i = 0; i < n; i++)
		if (!ios[i].result && !batch_add(f, &b, &ios[i]))
			plain[nplain++] = &ios[i];
	if (b.nops)
		uring_start(ring, b.op, b.nops);
	for (unsigned i = 0; i < nplain; i++)
		if (!needs_bounce(f, plain[i]))
			plain[i]->result = run(f, plain[i], 0);
	if (b.nops)
		uring_finish(ring); /* [FILEIO-1] */
	batch_end(f, &b);
	for (unsigned i = 0; i < nplain; i++)
		if (needs_bounce(f, plain[i]))
			plain[i]->result = run(f, plain[i], 0);
}

void fileio_submit(struct fileio *f, struct store_io *ios, unsigned n)
{
	while (n) {
		struct uring *ring = n > 1 && f->ring ? uring_get(NULL) : NULL;
		unsigned part = ring ? MIN(n, URING_DEPTH) : 1;

		if (part > 1)
			submit_batch(f, ring, ios, part);
		else if (!ios->result)
			ios->result = run(f, ios, 0);
		ios += part;
		n -= part;
	}
}
