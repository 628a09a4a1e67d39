/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_short.c - reads and writes of a real file that move less than was asked, or are interrupted, change nothing
 *
 * The linker leads the engine's preadv2, pwritev2 and rings here (--wrap).  In turn the n-th call is disturbed, then
 * every call; each time the script must pass untouched, and the pool must hold what it wrote.
 *
 *	test_short [-t SECONDS]	0: every n
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../lib/random.h"
#include "cowbd.h"
#include "store.h"
#include "uring.h"

#define VOLUME (2u << 20)
#define SECONDS 3.0
#define UNIT 512u /* a direct transfer ends at a multiple of it */

static uint64_t calls, disturbed, seed = 1;
static uint64_t wanted; /* the call that is disturbed; 0: none, UINT64_MAX: all */

static bool is_disturbed(void)
{
	calls++;
	if (wanted != UINT64_MAX && wanted != calls)
		return false;
	disturbed++;
	return true;
}

static size_t length_of(const struct iovec *iov, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

/* Less than len, and at least something; 0: it can't be less. */
static size_t less_than(size_t len)
{
	size_t unit = len % UNIT ? 1 : UNIT;

	return len <= unit ? 0 : (1 + random_of(&seed) % (len / unit - 1)) * unit;
}

/* The first bytes of iov in part; how many pieces. */
static int first_of(const struct iovec *iov, size_t bytes, struct iovec part[1024])
{
	int n = 0;

	for (; bytes; n++) {
		part[n] = (struct iovec){iov[n].iov_base, MIN(iov[n].iov_len, bytes)};
		bytes -= part[n].iov_len;
	}
	return n;
}

typedef ssize_t (*transfer)(int fd, const struct iovec *iov, int n, off_t offset, int flags);

static ssize_t disturb(transfer real, int fd, const struct iovec *iov, int n, off_t offset,
		       int flags)
{
	struct iovec part[1024];
	size_t less;

	if (!is_disturbed())
		return real(fd, iov, n, offset, flags);
	switch (wanted == UINT64_MAX ? random_of(&seed) % 8 : random_of(&seed) % 3) {
	case 0: errno = EINTR; return -1;
	case 1: errno = EAGAIN; return -1;
	default: less = less_than(length_of(iov, n));
	}
	return less ? real(fd, part, first_of(iov, less, part), offset, flags)
		    : real(fd, iov, n, offset, flags);
}

ssize_t __real_preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags);
ssize_t __real_pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags);

ssize_t __wrap_preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return disturb(__real_preadv2, fd, iov, n, offset, flags);
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return disturb(__real_pwritev2, fd, iov, n, offset, flags);
}

/* ---- rings ---------------------------------------------------------------------------------------- */

static struct uring_op *started;
static unsigned nstarted;

void __real_uring_start(struct uring *r, struct uring_op *ops, unsigned n);
void __real_uring_finish(struct uring *r);
void __wrap_uring_start(struct uring *r, struct uring_op *ops, unsigned n);
void __wrap_uring_finish(struct uring *r);

void __wrap_uring_start(struct uring *r, struct uring_op *ops, unsigned n)
{
	started = ops;
	nstarted = n;
	__real_uring_start(r, ops, n);
}

/* What a read that was cut short did not fill is garbage. */
static void spoil(const struct uring_op *op, size_t from)
{
	for (unsigned i = 0; i < op->niov; i++) {
		size_t len = op->iov[i].iov_len, skip = MIN(from, len);

		memset((char *)op->iov[i].iov_base + skip, 0xa5, len - skip);
		from -= skip;
	}
}

static void disturb_op(struct uring_op *op)
{
	static const int errors[] = {-EINTR, -EAGAIN, -ECANCELED};
	size_t less = op->result > 0 ? less_than((size_t)op->result) : 0;

	if (op->kind == URING_FDATASYNC || op->result <= 0)
		return;
	if (random_of(&seed) % 4 == 0 || !less) {
		op->result = errors[random_of(&seed) % 3];
		less = 0;
	} else {
		op->result = (int64_t)less;
	}
	if (op->kind == URING_READ)
		spoil(op, less);
}

void __wrap_uring_finish(struct uring *r)
{
	__real_uring_finish(r);
	for (unsigned i = 0; i < nstarted; i++)
		if (is_disturbed())
			disturb_op(&started[i]);
	nstarted = 0;
}

/* ---- the script -------------------------------------------------------------------------------------- */

static uint8_t model[VOLUME], frozen[VOLUME], buf[VOLUME];

#define TRY(call)                                                                                  \
	do {                                                                                       \
		if ((call) < 0) {                                                                  \
			printf("call %" PRIu64 " disturbed: %s: %s\n", wanted, #call,              \
			       cowbd_error());                                                     \
			return -1;                                                                 \
		}                                                                                  \
	} while (0)

static int write_some(struct cowbd_client *c, size_t offset, size_t len, uint64_t *random)
{
	for (size_t i = 0; i < len; i++)
		model[offset + i] = (uint8_t)random_of(random);
	TRY(cowbd_write(c, model + offset, len, offset, 0));
	return 0;
}

static int same_as(struct cowbd_pool *p, const char *name, const uint8_t *wanted_bytes)
{
	struct cowbd_client *c;

	TRY(cowbd_client_open(p, name, true, "test", &c));
	memset(buf, 0xee, sizeof buf);
	TRY(cowbd_read(c, buf, VOLUME, 0));
	cowbd_client_close(c);
	if (memcmp(buf, wanted_bytes, VOLUME) == 0)
		return 0;
	printf("call %" PRIu64 " disturbed: %s holds something else\n", wanted, name);
	return -1;
}

static int work(struct cowbd_pool *p)
{
	const char *snapshot = "a@s", *clone = "b";
	struct cowbd_client *c;
	uint64_t random = 9;

	TRY(cowbd_create(p, "a", VOLUME, 0, 0));
	TRY(cowbd_client_open(p, "a", false, "test", &c));
	TRY(write_some(c, 0, 700000, &random));
	TRY(write_some(c, 900001, 300000, &random));
	TRY(cowbd_flush(c));
	memcpy(frozen, model, sizeof frozen);
	TRY(cowbd_snapshot(p, &snapshot, 1, COWBD_LABEL_CRASH, 0));
	for (unsigned i = 0; i < 12; i++) /* head, tail, fragments */
		TRY(write_some(c, (random_of(&random) % 1800000), 1 + random_of(&random) % 60000,
			       &random));
	TRY(cowbd_zero(c, 50000, 123456, 0));
	memset(model + 123456, 0, 50000);
	TRY(cowbd_flush(c));
	cowbd_client_close(c);
	TRY(cowbd_clone(p, "a@s", &clone, 1, 0, 0));
	TRY(same_as(p, "a", model));
	TRY(same_as(p, "a@s", frozen));
	return cowbd_checkpoint(p);
}

static int look(const char *path)
{
	struct cowbd_check_result result = {0};
	struct cowbd_check_options check = {0};
	struct cowbd_pool *p;

	TRY(cowbd_open(path, NULL, &p));
	TRY(same_as(p, "a", model));
	TRY(same_as(p, "b", frozen));
	TRY(cowbd_close(p));
	TRY(cowbd_check(path, &check, &result));
	if (result.damages || result.leaks)
		printf("call %" PRIu64 " disturbed: the checker complains\n", wanted);
	return result.damages || result.leaks ? -1 : 0;
}

/* direct: through the bounce buffers. */
static int run(bool direct)
{
	const struct cowbd_init_options init = {
		.size = 64u << 20, .journal_bytes = 8u << 20, .block_bytes = 16384};
	const struct cowbd_open_options open = {.flags = direct ? COWBD_OPEN_DIRECT : 0};
	const char *path = "short.cowbd";
	struct cowbd_pool *p;
	int r;

	calls = 0;
	(void)unlink(path);
	memset(model, 0, sizeof model);
	TRY(cowbd_init(path, &init));
	TRY(cowbd_open(path, &open, &p));
	r = work(p);
	if (cowbd_close(p) < 0 && r == 0) {
		printf("call %" PRIu64 " disturbed: closing: %s\n", wanted, cowbd_error());
		r = -1;
	}
	return r < 0 ? r : look(path);
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 && strcmp(argv[1], "-t") == 0 ? strtod(argv[2], NULL) : SECONDS;
	uint64_t until = now_ns() + (uint64_t)(seconds * 1e9), places = 0, n, all;
	const char *dir = getenv("TEST_DIR");

	if (dir && chdir(dir) < 0)
		return 1;
	for (unsigned direct = 0; direct < 2; direct++) {
		wanted = 0;
		if (run(direct) < 0)
			return 1;
		all = calls;
		wanted = UINT64_MAX;
		if (run(direct) < 0)
			return 1;
		for (n = 0; n < all && (seconds <= 0 || now_ns() < until || n < 20);
		     n++, places++) {
			wanted = 1 + (n * 7919) % all; /* a prime: each once, all over */
			if (run(direct) < 0)
				return 1;
		}
		until += (uint64_t)(seconds * 1e9);
		printf("%s: %" PRIu64 " of %" PRIu64 " calls disturbed in turn, and all at once\n",
		       direct ? "direct" : "buffered", n, all);
	}
	printf("# Calls and allocations that fail, once and for ever (make soak-fault)\n"
	       "+ %" PRIu64 " short or interrupted transfers\n",
	       disturbed);
	(void)unlink("short.cowbd");
	return 0;
}
