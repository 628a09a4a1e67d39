/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * writer.c - writes what it can verify, and remembers what was acknowledged
 *
 *	writer write  PATH STATE [-t THREADS] [-s SLOTS] [-n WRITES] [-T SECONDS] [-p PAUSE_US] [-d]
 *	writer verify PATH LOW [HIGH]
 *	writer show   STATE
 *
 * PATH is a file or block device: a slot is 4 KiB of it, written O_DIRECT (and with -d O_DSYNC); or a
 * directory: a slot is a file of it, written anew under another name, fsynced, renamed, and the
 * directory fsynced.  Each thread has slots of its own.  Its n-th write goes to a slot, and writes bytes,
 * that follow from seed, thread and n alone:
 *
 *	write   1   2   3   4   5 ...
 *	slot    7   2   7   0   2         <- what the slots hold after write N is known for every N
 *
 * STATE, which write maps, says of each thread which write has begun and which is done.  A write is done
 * when it was acknowledged as durable (with -d or a directory; else only as written).
 *
 * verify takes two copies of STATE, LOW from before an instant and HIGH from after it, and demands that
 * PATH is what it was at that instant: for each thread there is an N, LOW's done <= N <= HIGH's
 * begun, and *every* slot holds exactly what the first N writes left there.  With one state, of a writer
 * that has ended, PATH must hold all that was acknowledged, and nothing but what was begun.
 *
 * write on a STATE that exists goes on where it ended; a write that had begun is done again.  At its end it says how
 * many there were, and how long the longest took.
 * Exit status: 0, 1 an I/O error or something that isn't as it must be (one line says what), 64 usage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOT_BYTES 4096u
#define FILE_BYTES_MAX 24576u /* of a slot that is a file */
#define THREADS_MAX 16u
#define MAGIC 0x3274697277776f63u
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

struct progress {
	_Atomic uint64_t begun, done; /* numbers of writes; the first is 1 */
};

struct state {
	uint64_t magic, seed;
	uint32_t threads, slots; /* slots of each thread */
	uint32_t directory, durable;
	struct progress of[THREADS_MAX];
};

/* What each slot begins with; the rest follows from it. */
struct header {
	uint64_t magic, seed, thread, slot, n, bytes;
};

static struct {
	const char *path;
	struct state *state;
	int dir_fd;
	uint64_t writes;
	unsigned seconds, pause_us;
	time_t begin;
} job;

static atomic_bool stop, failed;
static _Atomic uint64_t longest_ms;

static int PRINTF(1, 2) complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("writer: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return 1;
}

/* ---- what a write writes, and where ------------------------------------------------------- */

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t random_of(const struct state *s, unsigned thread, uint64_t n)
{
	return mix(mix(s->seed + thread) ^ n);
}

static uint32_t slot_of(const struct state *s, unsigned thread, uint64_t n)
{
	return (uint32_t)(random_of(s, thread, n) % s->slots);
}

/* Fills buf (FILE_BYTES_MAX) with what write n writes; returns its length. */
static size_t make_slot(const struct state *s, unsigned thread, uint64_t n, void *buf)
{
	uint64_t r = random_of(s, thread, n), *words = buf;
	struct header h = {MAGIC, s->seed, thread, slot_of(s, thread, n), n, SLOT_BYTES};
	size_t first = sizeof h / sizeof *words;

	if (s->directory)
		h.bytes = sizeof h + (r >> 32) % (FILE_BYTES_MAX - sizeof h);
	memcpy(buf, &h, sizeof h);
	for (size_t i = first; i < FILE_BYTES_MAX / sizeof *words; i++)
		words[i] = r = r * 6364136223846793005u + 1442695040888963407u;
	return h.bytes;
}

/* Which write left these bytes: *ret_n, 0 for none.  Demands that they are that write's, all of them. */
static int identify(const struct state *s, unsigned thread, uint32_t slot, const void *bytes,
		    size_t len, uint64_t *ret_n)
{
	static _Thread_local uint64_t expected[FILE_BYTES_MAX / 8];
	struct header h;

	*ret_n = 0;
	if (len == 0 || (!s->directory && !memcmp(bytes, memset(expected, 0, len), len)))
		return 0;
	if (len < sizeof h)
		return complain("slot %u of thread %u has %zu bytes", slot, thread, len);
	memcpy(&h, bytes, sizeof h);
	if (h.magic != MAGIC || h.seed != s->seed || h.thread != thread || h.slot != slot)
		return complain("slot %u of thread %u holds what was never written there", slot,
				thread);
	if (h.n == 0 || slot_of(s, thread, h.n) != slot)
		return complain("slot %u of thread %u: no write %" PRIu64 " goes there", slot,
				thread, h.n);
	if (make_slot(s, thread, h.n, expected) != len || memcmp(expected, bytes, len) != 0)
		return complain("slot %u of thread %u: write %" PRIu64 " is not whole", slot,
				thread, h.n);
	*ret_n = h.n;
	return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int write_block(int fd, unsigned thread, uint32_t slot, const void *buf)
{
	off_t offset = ((off_t)thread * job.state->slots + slot) * SLOT_BYTES;
	ssize_t n = pwrite(fd, buf, SLOT_BYTES, offset);

	if (n >= 0 && n != SLOT_BYTES)
		errno = EIO;
	return n == SLOT_BYTES ? 0 : -1;
}

static int write_file(unsigned thread, uint32_t slot, const void *buf, size_t len)
{
	char name[64], new[80];
	int fd, err;

	snprintf(name, sizeof name, "%u-%u", thread, slot);
	snprintf(new, sizeof new, "%s.new", name);
	fd = openat(job.dir_fd, new, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return -1;
	err = write(fd, buf, len) == (ssize_t)len ? fsync(fd) : -1;
	close(fd);
	if (err)
		return -1;
	return renameat(job.dir_fd, new, job.dir_fd, name) || fsync(job.dir_fd) ? -1 : 0;
}

static int open_direct(int flags)
{
	int fd = open(job.path, flags | O_DIRECT | (job.state->durable ? O_DSYNC : 0));

	if (fd < 0)
		complain("%s: %s", job.path, strerror(errno));
	return fd;
}

static bool is_over(uint64_t written)
{
	return stop || failed || (job.writes && written >= job.writes) ||
	       (job.seconds && time(NULL) - job.begin >= (time_t)job.seconds);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void note_longest(uint64_t ms)
{
	uint64_t seen = longest_ms;

	while (seen < ms && !atomic_compare_exchange_weak(&longest_ms, &seen, ms))
		;
}

static void write_slots(unsigned thread, int fd, void *buf)
{
	struct progress *p = &job.state->of[thread];

	for (uint64_t written = 0; !is_over(written); written++) {
		uint64_t n = p->done + 1, began = now_ms();
		uint32_t slot = slot_of(job.state, thread, n);
		size_t len = make_slot(job.state, thread, n, buf);

		p->begun = n;
		if (fd >= 0 ? write_block(fd, thread, slot, buf)
			    : write_file(thread, slot, buf, len)) {
			complain("write %" PRIu64 " of thread %u: %s", n, thread, strerror(errno));
			failed = true;
			return;
		}
		p->done = n;
		note_longest(now_ms() - began);
		if (job.pause_us)
			usleep(job.pause_us);
	}
}

static void *write_thread(void *arg)
{
	unsigned thread = (unsigned)(uintptr_t)arg;
	void *buf = aligned_alloc(SLOT_BYTES, FILE_BYTES_MAX);
	int fd = job.state->directory ? -1 : open_direct(O_WRONLY);

	if (buf && (fd >= 0 || job.state->directory))
		write_slots(thread, fd, buf);
	else
		failed = true;
	if (fd >= 0)
		close(fd);
	free(buf);
	return NULL;
}

static void on_signal(int number)
{
	(void)number;
	stop = true;
}

static int run_threads(void)
{
	pthread_t threads[THREADS_MAX];
	uint64_t before = 0, after = 0;
	unsigned n = 0;

	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	job.begin = time(NULL);
	for (unsigned i = 0; i < job.state->threads; i++)
		before += job.state->of[i].done;
	while (n < job.state->threads &&
	       pthread_create(&threads[n], NULL, write_thread, (void *)(uintptr_t)n) == 0)
		n++;
	failed |= n < job.state->threads;
	while (n > 0)
		pthread_join(threads[--n], NULL);
	for (unsigned i = 0; i < job.state->threads; i++)
		after += job.state->of[i].done;
	printf("writer: %" PRIu64 " writes, the longest %" PRIu64 " ms\n", after - before,
	       (uint64_t)longest_ms);
	return failed ? 1 : 0;
}

/* ---- verifying ------------------------------------------------------------------------------- */

/* Reads a slot into buf; its length, 0 where there is no such file, -1 after an error, told. */
static ssize_t read_slot(const struct state *s, int fd, unsigned thread, uint32_t slot, void *buf)
{
	char name[64];
	ssize_t len;
	int file;

	if (!s->directory) {
		len = pread(fd, buf, SLOT_BYTES, ((off_t)thread * s->slots + slot) * SLOT_BYTES);
		if (len == SLOT_BYTES)
			return len;
		complain("slot %u of thread %u: %s", slot, thread,
			 len < 0 ? strerror(errno) : "short read");
		return -1;
	}
	snprintf(name, sizeof name, "%u-%u", thread, slot);
	file = openat(fd, name, O_RDONLY);
	if (file < 0 && errno == ENOENT)
		return 0;
	len = file < 0 ? -1 : read(file, buf, FILE_BYTES_MAX);
	if (len < 0)
		complain("%s: %s", name, strerror(errno));
	if (len == 0)
		complain("%s is empty", name);
	if (file >= 0)
		close(file);
	return len > 0 ? len : -1;
}

/* The write that each slot of the thread holds, and the highest of them. */
static int find_writes(const struct state *s, int fd, unsigned thread, uint64_t *found,
		       uint64_t *ret_last)
{
	static _Alignas(SLOT_BYTES) char buf[FILE_BYTES_MAX];
	int bad = 0;

	*ret_last = 0;
	for (uint32_t slot = 0; slot < s->slots; slot++) {
		ssize_t len = read_slot(s, fd, thread, slot, buf);

		if (len < 0 || identify(s, thread, slot, buf, (size_t)len, &found[slot])) {
			bad++;
			continue;
		}
		if (found[slot] > *ret_last)
			*ret_last = found[slot];
	}
	return bad;
}

static int verify_thread(const struct state *low, const struct state *high, int fd, unsigned thread)
{
	uint64_t *found = calloc(high->slots, sizeof *found);
	uint64_t *expected = calloc(high->slots, sizeof *expected);
	uint64_t last, done = low->of[thread].done, begun = high->of[thread].begun;
	int bad = found && expected ? find_writes(high, fd, thread, found, &last) : 1;

	if (!bad && (last < done || last > begun))
		bad = complain("thread %u: the last write there is %" PRIu64
			       ", and must be %" PRIu64 " to %" PRIu64,
			       thread, last, done, begun);
	if (!bad) {
		for (uint64_t n = 1; n <= last; n++)
			expected[slot_of(high, thread, n)] = n;
		for (uint32_t slot = 0; slot < high->slots; slot++)
			if (found[slot] != expected[slot])
				bad = complain("slot %u of thread %u holds write %" PRIu64
					       " instead of %" PRIu64 ", though %" PRIu64
					       " is there",
					       slot, thread, found[slot], expected[slot], last);
		printf("writer: thread %u: write %" PRIu64 " of %" PRIu64 " to %" PRIu64 "\n",
		       thread, last, done, begun);
	}
	free(found);
	free(expected);
	return bad;
}

static int verify(const struct state *low, const struct state *high)
{
	int bad = 0, fd;

	if (low->seed != high->seed || low->slots != high->slots || low->threads != high->threads)
		return complain("the states are of different writers");
	fd = open(job.path, high->directory ? O_RDONLY | O_DIRECTORY : O_RDONLY | O_DIRECT);
	if (fd < 0)
		return complain("%s: %s", job.path, strerror(errno));
	for (unsigned i = 0; i < high->threads; i++)
		bad += verify_thread(low, high, fd, i);
	close(fd);
	return bad ? 1 : 0;
}

/* ---- the state and the command line ------------------------------------------------------------ */

/* Maps it; made is what a new one is to be, NULL: it must be there. */
static struct state *open_state(const char *path, const struct state *made)
{
	int fd = open(path, made ? O_RDWR | O_CREAT : O_RDWR, 0644);
	struct state *s = MAP_FAILED;
	struct stat st;
	bool fresh = false;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		fresh = made && st.st_size == 0;
		if ((!fresh || write(fd, made, sizeof *made) == sizeof *made) &&
		    (fresh || st.st_size == sizeof *s))
			s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	if (s == MAP_FAILED)
		complain("%s: no state: %s", path, strerror(errno));
	else if (s->magic != MAGIC || s->threads > THREADS_MAX || s->slots == 0)
		complain("%s is no state", path);
	else
		return s;
	return NULL;
}

static int usage(void)
{
	fputs("usage: writer write PATH STATE [-t THREADS] [-s SLOTS] [-n WRITES] [-T SECONDS] "
	      "[-p PAUSE_US] [-d]\n"
	      "       writer verify PATH LOW [HIGH]\n"
	      "       writer show STATE\n",
	      stderr);
	return 64;
}

static int do_write(int argc, char **argv)
{
	struct state made = {.magic = MAGIC, .threads = 1, .slots = 256};
	struct timespec now;
	struct stat st;
	int c;

	clock_gettime(CLOCK_REALTIME, &now);
	made.seed = mix((uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30);
	if (argc < 3)
		return usage();
	job.path = argv[1];
	for (optind = 3; (c = getopt(argc, argv, "t:s:n:T:p:d")) >= 0;) {
		unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 't': made.threads = (uint32_t)number; break;
		case 's': made.slots = (uint32_t)number; break;
		case 'n': job.writes = number; break;
		case 'T': job.seconds = (unsigned)number; break;
		case 'p': job.pause_us = (unsigned)number; break;
		case 'd': made.durable = 1; break;
		default: return usage();
		}
	}
	if (made.threads < 1 || made.threads > THREADS_MAX || made.slots < 1 || optind != argc)
		return usage();
	if (stat(job.path, &st))
		return complain("%s: %s", job.path, strerror(errno));
	made.directory = S_ISDIR(st.st_mode);
	if (S_ISREG(st.st_mode) &&
	    truncate(job.path, (off_t)made.threads * made.slots * SLOT_BYTES))
		return complain("%s: %s", job.path, strerror(errno));
	job.state = open_state(argv[2], &made);
	job.dir_fd = made.directory ? open(job.path, O_RDONLY | O_DIRECTORY) : -1;
	return job.state && (!made.directory || job.dir_fd >= 0) ? run_threads() : 1;
}

static int do_verify(int argc, char **argv)
{
	struct state *low, *high;

	if (argc != 3 && argc != 4)
		return usage();
	job.path = argv[1];
	low = open_state(argv[2], NULL);
	high = open_state(argv[argc - 1], NULL);
	return low && high ? verify(low, high) : 1;
}

static int do_show(int argc, char **argv)
{
	struct state *s;

	if (argc != 2)
		return usage();
	s = open_state(argv[1], NULL);
	for (unsigned i = 0; s && i < s->threads; i++)
		printf("%" PRIu64 " %" PRIu64 "\n", s->of[i].begun, s->of[i].done);
	return s ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "write") == 0)
		return do_write(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "verify") == 0)
		return do_verify(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "show") == 0)
		return do_show(argc - 1, argv + 1);
	return usage();
}
