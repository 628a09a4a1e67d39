/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load.c - the client of bench/compare: one load on NBD exports, measured, as one JSON object
 *
 *	load --socket PATH [--export NAME] [options]
 *
 * A line of work is one connection with `depth` requests in flight, served by one thread; there are
 * --connections of them, which share the blocks of the range.  The name of an export may hold one %u,
 * the number of the line (from 1).
 *
 *	order once	each block of the range once, in random order, then again in the same order
 *	order random	blocks drawn at random
 *	order seq	one after the other, and again from the start
 *
 * A request is --block bytes at a multiple of --stride (default: --block).  With --flush-every N, each
 * N writes are waited for and flushed, as a file system does that must know them to be durable: the latency
 * of these flushes is told apart.  A load that wrote ends with a flush (unless --no-end-flush), whose time is
 * in `seconds`; `ack_seconds` is the time without it.
 *
 * --series adds how many requests were answered in each 10 ms from `start`, an instant of the monotonic clock.
 *
 * Ends after --seconds, or when --requests were answered, whichever is first; `--requests all` is
 * once through the range.
 */
#include "base.h"

#include <err.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include <jansson.h>
#include <libnbd.h>

#define DEPTH_MAX 1024u
#define LINES_MAX 1024u
#define SERIES_MAX 60000u
#define SERIES_NS UINT64_C(10000000)

enum operation { OP_WRITE, OP_READ, OP_MIXED, OP_TRIM, OP_ZERO, OP_NONE };
enum order { ORDER_ONCE, ORDER_RANDOM, ORDER_SEQUENTIAL };

static const char *const operation_names[] = {"write", "read", "mixed", "trim",
					      "zero",  "none", NULL};
static const char *const order_names[] = {"once", "random", "seq", NULL};

static struct {
	const char *socket, *export;
	enum operation operation;
	enum order order;
	uint64_t block, stride, offset, range, requests, seed;
	unsigned depth, lines, flush_every, read_percent;
	double seconds, rate;
	bool all, end_flush, series;
} opt = {.export = "",
	 .operation = OP_WRITE,
	 .order = ORDER_ONCE,
	 .block = 4096,
	 .requests = UINT64_MAX,
	 .seed = 1,
	 .depth = 1,
	 .lines = 1,
	 .read_percent = 70,
	 .seconds = 1e9,
	 .end_flush = true};

/* ---- latencies: counts by size, 64 steps a power of two, so within 1.6 % ------------------------ */

#define STEPS 64u
#define STEP_BITS 6u

struct histogram {
	uint64_t count[64 * STEPS], n, sum_ns, max_ns;
};

static unsigned histogram_index(uint64_t ns)
{
	unsigned shift;

	if (ns < STEPS)
		return (unsigned)ns;
	shift = 63u - (unsigned)__builtin_clzll(ns) - STEP_BITS;
	return (shift + 1) * STEPS + (unsigned)((ns >> shift) - STEPS);
}

static uint64_t histogram_value(unsigned index)
{
	unsigned shift = index / STEPS;

	return shift == 0 ? index : (uint64_t)(STEPS + index % STEPS) << (shift - 1);
}

static void histogram_add(struct histogram *h, uint64_t ns)
{
	h->count[histogram_index(ns)]++;
	h->n++;
	h->sum_ns += ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

static void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (size_t i = 0; i < sizeof to->count / sizeof *to->count; i++)
		to->count[i] += from->count[i];
	to->n += from->n;
	to->sum_ns += from->sum_ns;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
}

static double histogram_quantile_us(const struct histogram *h, double q)
{
	uint64_t want = (uint64_t)((double)h->n * q), seen = 0;

	for (unsigned i = 0; i < sizeof h->count / sizeof *h->count; i++) {
		seen += h->count[i];
		if (seen > want)
			return (double)histogram_value(i) / 1e3;
	}
	return (double)h->max_ns / 1e3;
}

static json_t *histogram_json(const struct histogram *h)
{
	return json_pack("{s:I s:f s:f s:f s:f s:f s:f}", "n", (json_int_t)h->n, "mean_us",
			 h->n ? (double)h->sum_ns / (double)h->n / 1e3 : 0.0, "p50_us",
			 histogram_quantile_us(h, 0.5), "p99_us", histogram_quantile_us(h, 0.99),
			 "p999_us", histogram_quantile_us(h, 0.999), "p9999_us",
			 histogram_quantile_us(h, 0.9999), "max_us", (double)h->max_ns / 1e3);
}

/* ---- lines of work -------------------------------------------------------------------------- */

struct line;

struct request {
	struct line *line;
	uint64_t begun_ns;
	bool busy, is_read;
	uint64_t *buf;
};

struct line {
	unsigned number;
	pthread_t thread;
	struct nbd_handle *nbd;
	uint64_t random, next; /* position in the order */
	uint64_t begun, done, since_flush;
	unsigned in_flight;
	uint64_t end_ns; /* when the last answer was there, before the end's flush */
	struct request request[DEPTH_MAX];
	struct histogram writes, reads, flushes;
};

static uint32_t *order_of_blocks; /* ORDER_ONCE: shared by all lines */
static uint64_t blocks;           /* in the range */
static uint64_t start_ns;
static atomic_uint_fast32_t series[SERIES_MAX]; /* answers in each SERIES_NS */
static pthread_barrier_t all_connected;
static atomic_uint_fast64_t requests_begun;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void make_order(void)
{
	uint64_t state = opt.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

	if (blocks > UINT32_MAX)
		errx(64, "the range has too many blocks for an order");
	order_of_blocks = malloc(blocks * sizeof *order_of_blocks);
	if (!order_of_blocks)
		errx(1, "no memory");
	for (uint64_t i = 0; i < blocks; i++)
		order_of_blocks[i] = (uint32_t)i;
	for (uint64_t i = blocks; i > 1; i--) {
		uint64_t j = next_random(&state) % i;
		uint32_t was = order_of_blocks[i - 1];

		order_of_blocks[i - 1] = order_of_blocks[j];
		order_of_blocks[j] = was;
	}
}

/* Lines take turns in the order; each export of its own is gone through by its line alone. */
static uint64_t next_block(struct line *l)
{
	bool own = strstr(opt.export, "%u") != NULL;
	uint64_t i = own ? l->next : l->next * opt.lines + l->number;

	l->next++;
	switch (opt.order) {
	case ORDER_RANDOM: return next_random(&l->random) % blocks;
	case ORDER_ONCE: return order_of_blocks[i % blocks];
	default: return i % blocks;
	}
}

static void must_nbd(int64_t r, const char *what)
{
	if (r < 0)
		errx(1, "%s: %s", what, nbd_get_error());
}

static int answered(void *opaque, int *error)
{
	struct request *r = opaque;
	struct line *l = r->line;
	uint64_t now = now_ns(), step = (now - start_ns) / SERIES_NS;

	if (*error)
		errx(1, "a request failed: %s", strerror(*error));
	histogram_add(r->is_read ? &l->reads : &l->writes, now - r->begun_ns);
	if (opt.series && step < SERIES_MAX)
		atomic_fetch_add_explicit(&series[step], 1, memory_order_relaxed);
	r->busy = false;
	l->in_flight--;
	l->done++;
	return 1;
}

static bool is_read(struct line *l)
{
	if (opt.operation == OP_MIXED)
		return next_random(&l->random) % 100 < opt.read_percent;
	return opt.operation == OP_READ;
}

static void begin(struct line *l, struct request *r)
{
	uint64_t at = opt.offset + next_block(l) * opt.stride;
	nbd_completion_callback cb = {.callback = answered, .user_data = r};
	int64_t cookie;

	r->busy = true;
	r->is_read = is_read(l);
	l->in_flight++;
	l->begun++;
	l->since_flush++;
	r->begun_ns = now_ns();
	r->buf[0] = r->begun_ns; /* no two writes are the same */
	if (r->is_read)
		cookie = nbd_aio_pread(l->nbd, r->buf, opt.block, at, cb, 0);
	else if (opt.operation == OP_TRIM)
		cookie = nbd_aio_trim(l->nbd, opt.block, at, cb, 0);
	else if (opt.operation == OP_ZERO)
		cookie = nbd_aio_zero(l->nbd, opt.block, at, cb, 0);
	else
		cookie = nbd_aio_pwrite(l->nbd, r->buf, opt.block, at, cb, 0);
	must_nbd(cookie, operation_names[opt.operation]);
}

static double elapsed(void)
{
	return (double)(now_ns() - start_ns) / 1e9;
}

/* May another request begin? With --rate, only when its time has come. */
static bool may_begin(struct line *l)
{
	if (elapsed() >= opt.seconds)
		return false;
	if (opt.requests != UINT64_MAX &&
	    atomic_fetch_add_explicit(&requests_begun, 1, memory_order_relaxed) >= opt.requests)
		return false;
	if (opt.rate > 0) {
		double due = (double)l->begun / opt.rate, wait;

		while ((wait = due - elapsed()) > 0)
			usleep((useconds_t)(wait * 1e6) + 1);
	}
	return true;
}

static void wait_for_all(struct line *l)
{
	while (l->in_flight)
		must_nbd(nbd_poll(l->nbd, -1), "poll");
}

static void flush_now(struct line *l, struct histogram *h)
{
	uint64_t from = now_ns();

	must_nbd(nbd_flush(l->nbd, 0), "flush");
	histogram_add(h, now_ns() - from);
	l->since_flush = 0;
}

static void work(struct line *l)
{
	bool go_on = opt.operation != OP_NONE;

	while (go_on || l->in_flight) {
		for (unsigned i = 0; i < opt.depth && go_on; i++) {
			if (l->request[i].busy)
				continue;
			if (opt.flush_every && l->since_flush >= opt.flush_every) {
				wait_for_all(l);
				flush_now(l, &l->flushes);
			}
			go_on = may_begin(l);
			if (go_on)
				begin(l, &l->request[i]);
		}
		if (l->in_flight)
			must_nbd(nbd_poll(l->nbd, -1), "poll");
	}
	l->end_ns = now_ns();
}

static void connect_line(struct line *l)
{
	char name[300];

	l->nbd = nbd_create();
	if (!l->nbd)
		errx(1, "libnbd: %s", nbd_get_error());
	snprintf(name, sizeof name, "%s", opt.export);
	char *u = strstr(name, "%u");
	if (u) {
		char rest[300];

		snprintf(rest, sizeof rest, "%s", u + 2);
		snprintf(u, sizeof name - (size_t)(u - name), "%u%s", l->number + 1, rest);
	}
	must_nbd(nbd_set_export_name(l->nbd, name), name);
	/* Not another copy and zeroing on our side for what the load does not look at. */
	must_nbd(nbd_set_pread_initialize(l->nbd, false), "libnbd");
	must_nbd(nbd_connect_unix(l->nbd, opt.socket), opt.socket);
}

static void init_line(struct line *l, unsigned number)
{
	bool no_data = opt.operation == OP_TRIM || opt.operation == OP_ZERO;
	size_t words = no_data ? 1 : opt.block / sizeof(uint64_t) + 1;

	l->number = number;
	l->random = (opt.seed + number + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (unsigned i = 0; i < opt.depth; i++) {
		struct request *r = &l->request[i];

		r->line = l;
		r->buf = malloc(words * sizeof *r->buf);
		if (!r->buf)
			errx(1, "no memory");
		for (size_t w = 0; w < words; w++)
			r->buf[w] = next_random(&l->random);
	}
}

static bool writes_something(void)
{
	return opt.operation != OP_READ; /* OP_NONE too: a flush alone */
}

static void *run_line(void *opaque)
{
	struct line *l = opaque;

	pthread_barrier_wait(&all_connected); /* all are connected, the order is made */
	pthread_barrier_wait(&all_connected); /* the clock runs */
	work(l);
	if (opt.end_flush && writes_something() && nbd_can_flush(l->nbd) == 1)
		must_nbd(nbd_flush(l->nbd, 0), "flush");
	return NULL;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static void find_range(struct line *first)
{
	int64_t size = nbd_get_size(first->nbd);

	must_nbd(size, "size");
	if (!opt.stride)
		opt.stride = opt.block;
	if (!opt.range)
		opt.range = (uint64_t)size - opt.offset;
	if (opt.offset + opt.range > (uint64_t)size)
		errx(64, "the range ends beyond the export");
	blocks = opt.range / opt.stride;
	if (blocks == 0)
		errx(64, "the range holds no request");
	if (opt.all)
		opt.requests = blocks * (strstr(opt.export, "%u") ? opt.lines : 1);
	if (opt.order == ORDER_ONCE)
		make_order();
}

static void add_series(json_t *o, uint64_t end)
{
	json_t *list = json_array();

	for (uint64_t i = 0; i < SERIES_MAX && start_ns + i * SERIES_NS < end; i++)
		json_array_append_new(list, json_integer((json_int_t)series[i]));
	json_object_set_new(o, "start", json_real((double)start_ns / 1e9));
	json_object_set_new(o, "series_seconds", json_real((double)SERIES_NS / 1e9));
	json_object_set_new(o, "series", list);
}

static void print_result(struct line *lines, double cpu)
{
	struct histogram *all = calloc(3, sizeof *all);
	uint64_t done = 0, last = start_ns, end = now_ns();

	if (!all)
		errx(1, "no memory");
	for (unsigned i = 0; i < opt.lines; i++) {
		histogram_merge(&all[0], &lines[i].writes);
		histogram_merge(&all[1], &lines[i].reads);
		histogram_merge(&all[2], &lines[i].flushes);
		done += lines[i].done;
		if (lines[i].end_ns > last)
			last = lines[i].end_ns;
	}
	json_t *o = json_pack("{s:I s:I s:f s:f s:f s:f s:o s:o s:o}", "requests", (json_int_t)done,
			      "bytes", (json_int_t)(done * opt.block), "seconds",
			      (double)(end - start_ns) / 1e9, "ack_seconds",
			      (double)(last - start_ns) / 1e9, "end_flush_seconds",
			      (double)(end - last) / 1e9, "client_cpu_seconds", cpu,
			      "write_latency", histogram_json(&all[0]), "read_latency",
			      histogram_json(&all[1]), "flush_latency", histogram_json(&all[2]));

	if (o && opt.series)
		add_series(o, end);
	if (!o || json_dumpf(o, stdout, JSON_INDENT(1)) < 0)
		errx(1, "can't print the result");
	putchar('\n');
	json_decref(o);
	free(all);
}

static unsigned one_of(const char *const *names, const char *word)
{
	for (unsigned i = 0; names[i]; i++)
		if (strcmp(names[i], word) == 0)
			return i;
	errx(64, "%s: unknown", word);
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (end != text && *end && strchr(units, *end)) {
		n <<= 10 * (unsigned)(strchr(units, *end) - units + 1);
		end++;
	}
	if (errno || end == text || *end || n < least || n > most)
		errx(64, "%s: not a number that fits", text);
	return n;
}

enum {
	O_SOCKET = 1,
	O_EXPORT,
	O_OPERATION,
	O_ORDER,
	O_BLOCK,
	O_STRIDE,
	O_OFFSET,
	O_RANGE,
	O_REQUESTS,
	O_SEED,
	O_DEPTH,
	O_LINES,
	O_FLUSH_EVERY,
	O_READS,
	O_SECONDS,
	O_RATE,
	O_NO_END_FLUSH,
	O_SERIES
};

static const struct option options[] = {{"socket", 1, NULL, O_SOCKET},
					{"export", 1, NULL, O_EXPORT},
					{"op", 1, NULL, O_OPERATION},
					{"order", 1, NULL, O_ORDER},
					{"block", 1, NULL, O_BLOCK},
					{"stride", 1, NULL, O_STRIDE},
					{"offset", 1, NULL, O_OFFSET},
					{"range", 1, NULL, O_RANGE},
					{"requests", 1, NULL, O_REQUESTS},
					{"seed", 1, NULL, O_SEED},
					{"depth", 1, NULL, O_DEPTH},
					{"connections", 1, NULL, O_LINES},
					{"flush-every", 1, NULL, O_FLUSH_EVERY},
					{"reads", 1, NULL, O_READS},
					{"seconds", 1, NULL, O_SECONDS},
					{"rate", 1, NULL, O_RATE},
					{"no-end-flush", 0, NULL, O_NO_END_FLUSH},
					{"series", 0, NULL, O_SERIES},
					{NULL, 0, NULL, 0}};

static void take_option(int o, const char *text)
{
	switch (o) {
	case O_SOCKET: opt.socket = text; break;
	case O_EXPORT: opt.export = text; break;
	case O_OPERATION: opt.operation = (enum operation)one_of(operation_names, text); break;
	case O_ORDER: opt.order = (enum order)one_of(order_names, text); break;
	case O_BLOCK: opt.block = number(text, 1, UINT64_C(1) << 32); break;
	case O_STRIDE: opt.stride = number(text, 1, INT64_MAX); break;
	case O_OFFSET: opt.offset = number(text, 0, INT64_MAX); break;
	case O_RANGE: opt.range = number(text, 1, INT64_MAX); break;
	case O_REQUESTS:
		opt.all = strcmp(text, "all") == 0;
		opt.requests = opt.all ? 0 : number(text, 1, INT64_MAX);
		break;
	case O_SEED: opt.seed = number(text, 0, INT64_MAX); break;
	case O_DEPTH: opt.depth = (unsigned)number(text, 1, DEPTH_MAX); break;
	case O_LINES: opt.lines = (unsigned)number(text, 1, LINES_MAX); break;
	case O_FLUSH_EVERY: opt.flush_every = (unsigned)number(text, 1, UINT32_MAX); break;
	case O_READS: opt.read_percent = (unsigned)number(text, 0, 100); break;
	case O_SECONDS: opt.seconds = strtod(text, NULL); break;
	case O_RATE: opt.rate = strtod(text, NULL); break;
	case O_NO_END_FLUSH: opt.end_flush = false; break;
	case O_SERIES: opt.series = true; break;
	default: exit(64);
	}
}

int main(int argc, char **argv)
{
	struct line *lines;
	double cpu;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		take_option(o, optarg);
	if (!opt.socket || optind != argc)
		errx(64, "usage: load --socket PATH [--export NAME] [options]");
	lines = calloc(opt.lines, sizeof *lines);
	if (!lines || pthread_barrier_init(&all_connected, NULL, opt.lines + 1) != 0)
		errx(1, "no memory");
	for (unsigned i = 0; i < opt.lines; i++) {
		init_line(&lines[i], i);
		connect_line(&lines[i]);
		if (pthread_create(&lines[i].thread, NULL, run_line, &lines[i]) != 0)
			errx(1, "no thread");
	}
	find_range(&lines[0]);
	pthread_barrier_wait(&all_connected);
	cpu = cpu_seconds();
	start_ns = now_ns();
	pthread_barrier_wait(&all_connected);
	for (unsigned i = 0; i < opt.lines; i++)
		pthread_join(lines[i].thread, NULL);
	print_result(lines, cpu_seconds() - cpu);
	for (unsigned i = 0; i < opt.lines; i++) {
		(void)nbd_shutdown(lines[i].nbd, 0);
		nbd_close(lines[i].nbd);
	}
	free(lines);
	return 0;
}
