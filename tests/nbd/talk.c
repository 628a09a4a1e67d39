/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * talk.c - says to servers what a script tells it, and checks the answers
 *
 * Reads commands from standard input, one a line; the first that fails ends it with status 1.
 * Several connections are open at once, each under a name.
 *
 *	connect NAME URI		refused URI
 *	size NAME BYTES			bye NAME		drop NAME
 *	write NAME OFFSET LENGTH BYTE [fua]
 *	read NAME OFFSET LENGTH BYTE	(every byte read must be BYTE)
 *	zero NAME OFFSET LENGTH [fua] [nohole] [fast]
 *	trim NAME OFFSET LENGTH		cache NAME OFFSET LENGTH
 *	flush NAME			gone NAME MS		(the server hangs up in time)
 *	post NAME OFFSET LENGTH BYTE	(a write that is not waited for; an answer with an error ends talk)
 *	posted NAME MS			(all of these are answered in time)
 *	unanswered NAME COUNT		(so many are not)
 *	flood NAME COUNT		(asks for COUNT MiB, and takes no answer)
 *	status NAME OFFSET LENGTH [one]	(prints OFFSET LENGTH FLAGS of each extent)
 *	random NAME SEED COUNT LENGTH	(reads and writes of odd places, against a model)
 *	fails ERRNO COMMAND...		(one of the above must fail with it)
 *
 *	open NAME PATH			(a Unix socket)	adopt NAME EXPORT	(and go on as NBD)
 *	send NAME TEXT	(and a line end)	part NAME TEXT	(none)	fill NAME COUNT
 *	expect NAME TEXT		(the next line has TEXT in it)
 *	eof NAME			(nothing comes, and the socket is closed)
 *
 *	say TEXT	sleep MS
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <libnbd.h>

#define MAX_CONNECTIONS 128
#define MAX_WORDS 8
#define PATIENCE_S 10
#define CHUNK (1u << 20)

struct connection {
	char name[16];
	struct nbd_handle *nbd;
	FILE *stream;
};

static struct connection connections[MAX_CONNECTIONS];
static unsigned line_number;

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "talk: line %u: ", line_number);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static struct connection *find(const char *name)
{
	for (size_t i = 0; i < MAX_CONNECTIONS; i++)
		if (!strcmp(connections[i].name, name))
			return &connections[i];
	die("no connection %s", name);
}

static struct connection *add(const char *name)
{
	for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
		struct connection *c = &connections[i];

		if (!c->name[0] || !strcmp(c->name, name)) {
			snprintf(c->name, sizeof c->name, "%s", name);
			return c;
		}
	}
	die("too many connections");
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	if (!text)
		die("a number is missing");
	n = strtoull(text, &end, 0);
	if (*end)
		die("%s is no number", text);
	return n;
}

static void *get_memory(size_t len)
{
	void *p = malloc(len ? len : 1);

	if (!p)
		die("out of memory");
	return p;
}

static bool has(char **w, const char *word)
{
	for (size_t i = 0; i < MAX_WORDS && w[i]; i++)
		if (!strcmp(w[i], word))
			return true;
	return false;
}

/* ---- NBD -------------------------------------------------------------------------- */

static struct nbd_handle *new_handle(void)
{
	struct nbd_handle *h = nbd_create();

	/* Not strict: what the server must refuse shall reach it. */
	if (!h || nbd_set_strict_mode(h, 0) || nbd_add_meta_context(h, "base:allocation"))
		die("%s", nbd_get_error());
	return h;
}

static int do_connect(char **w)
{
	struct connection *c = add(w[1]);

	c->nbd = new_handle();
	return nbd_connect_uri(c->nbd, w[2]);
}

static int do_refused(char **w)
{
	struct nbd_handle *h = new_handle();
	int r = nbd_connect_uri(h, w[1]);

	nbd_close(h);
	if (r == 0)
		die("%s was not refused", w[1]);
	return 0;
}

static int do_size(char **w)
{
	int64_t size = nbd_get_size(find(w[1])->nbd);

	if (size != (int64_t)number(w[2]))
		die("size is %" PRIi64 ", not %s", size, w[2]);
	return 0;
}

static int do_bye(char **w)
{
	struct connection *c = find(w[1]);
	int r = nbd_shutdown(c->nbd, 0);

	nbd_close(c->nbd);
	memset(c, 0, sizeof *c);
	return r;
}

static int do_drop(char **w)
{
	struct connection *c = find(w[1]);

	if (c->nbd)
		nbd_close(c->nbd);
	if (c->stream)
		fclose(c->stream);
	memset(c, 0, sizeof *c);
	return 0;
}

static uint32_t flags_of(char **w)
{
	return (has(w, "fua") ? LIBNBD_CMD_FLAG_FUA : 0) |
	       (has(w, "nohole") ? LIBNBD_CMD_FLAG_NO_HOLE : 0) |
	       (has(w, "fast") ? LIBNBD_CMD_FLAG_FAST_ZERO : 0) |
	       (has(w, "one") ? LIBNBD_CMD_FLAG_REQ_ONE : 0);
}

static int do_write(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;
	size_t len = number(w[3]);
	char *buf = get_memory(len);
	int r;

	memset(buf, (int)number(w[4]), len);
	r = nbd_pwrite(h, buf, len, number(w[2]), flags_of(w));
	free(buf);
	return r;
}

static int do_read(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;
	size_t len = number(w[3]);
	uint64_t offset = number(w[2]);
	unsigned char *buf = get_memory(len), want = (unsigned char)number(w[4]);
	int r = nbd_pread(h, buf, len, offset, 0);

	for (size_t i = 0; r == 0 && i < len; i++)
		if (buf[i] != want)
			die("byte %" PRIu64 " is %u, not %u", offset + i, buf[i], want);
	free(buf);
	return r;
}

static int do_zero(char **w)
{
	return nbd_zero(find(w[1])->nbd, number(w[3]), number(w[2]), flags_of(w));
}

static int do_trim(char **w)
{
	return nbd_trim(find(w[1])->nbd, number(w[3]), number(w[2]), flags_of(w));
}

static int do_cache(char **w)
{
	return nbd_cache(find(w[1])->nbd, number(w[3]), number(w[2]), 0);
}

static int do_flush(char **w)
{
	return nbd_flush(find(w[1])->nbd, 0);
}

/* The server said so: libnbd's own errors, of a connection that is gone, are no answers. */
static int end_post(void *buf, int *error)
{
	free(buf);
	if (*error && *error != ENOTCONN)
		die("a posted write was answered with %s", strerrorname_np(*error));
	return 1;
}

static int do_post(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;
	size_t len = number(w[3]);
	char *buf = get_memory(len);
	nbd_completion_callback end = {.callback = end_post, .user_data = buf};

	memset(buf, (int)number(w[4]), len);
	return nbd_aio_pwrite(h, buf, len, number(w[2]), end, 0) < 0 ? -1 : 0;
}

static int do_posted(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;

	while (nbd_aio_in_flight(h) > 0)
		if (nbd_poll(h, (int)number(w[2])) <= 0)
			die("%d writes of %s are not answered", nbd_aio_in_flight(h), w[1]);
	return 0;
}

/* Takes what has come first. */
static int do_unanswered(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;

	while (nbd_poll(h, 200) > 0)
		;
	if (nbd_aio_in_flight(h) != (int)number(w[2]))
		die("%d writes of %s are not answered, not %s", nbd_aio_in_flight(h), w[1], w[2]);
	return 0;
}

static int do_gone(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;

	while (!nbd_aio_is_dead(h) && !nbd_aio_is_closed(h))
		if (nbd_poll(h, (int)number(w[2])) == 0)
			die("%s is still there", w[1]);
	return 0;
}

/* What libnbd has sent when its socket is full is enough: nothing is read from then on. */
static int do_flood(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;
	static char waste[CHUNK];

	for (uint64_t n = number(w[2]); n; n--)
		if (nbd_aio_pread(h, waste, sizeof waste, 0, NBD_NULL_COMPLETION, 0) < 0)
			return -1;
	return 0;
}

static int print_extents(void *unused, const char *context, uint64_t offset, uint32_t *entries,
			 size_t n, int *error)
{
	(void)unused;
	(void)context;
	(void)error;
	for (size_t i = 0; i + 1 < n; i += 2) {
		printf("%" PRIu64 " %" PRIu32 " %" PRIu32 "\n", offset, entries[i], entries[i + 1]);
		offset += entries[i];
	}
	return 0;
}

static int do_status(char **w)
{
	nbd_extent_callback print = {.callback = print_extents};

	return nbd_block_status(find(w[1])->nbd, number(w[3]), number(w[2]), print, flags_of(w));
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int do_random(char **w)
{
	struct nbd_handle *h = find(w[1])->nbd;
	uint64_t state = number(w[2]) * 2654435761u + 1, count = number(w[3]);
	size_t max = number(w[4]), size = (size_t)nbd_get_size(h);
	unsigned char *model = get_memory(size), *buf = get_memory(max);
	int r = 0;

	for (size_t at = 0; !r && at < size; at += CHUNK)
		r = nbd_pread(h, model + at, size - at < CHUNK ? size - at : CHUNK, at, 0);
	while (!r && count--) {
		size_t offset = next_random(&state) % size;
		size_t len = 1 + next_random(&state) % max;

		if (len > size - offset)
			len = size - offset;
		if (next_random(&state) % 2) {
			for (size_t i = 0; i < len; i++)
				buf[i] = (unsigned char)next_random(&state);
			memcpy(model + offset, buf, len);
			r = nbd_pwrite(h, buf, len, offset, 0);
		} else {
			r = nbd_pread(h, buf, len, offset, 0);
			if (!r && memcmp(model + offset, buf, len) != 0)
				die("%zu bytes at %zu are not what was written", len, offset);
		}
	}
	free(model);
	free(buf);
	return r;
}

/* ---- Unix sockets ---------------------------------------------------------------------- */

static int do_open(char **w)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", w[2]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
		die("%s: %s", w[2], strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	add(w[1])->stream = fdopen(fd, "r");
	return 0;
}

static int do_adopt(char **w)
{
	struct connection *c = find(w[1]);
	int fd = dup(fileno(c->stream));

	fclose(c->stream);
	c->stream = NULL;
	c->nbd = new_handle();
	return nbd_set_export_name(c->nbd, w[2]) || nbd_connect_socket(c->nbd, fd);
}

static void send_bytes(const char *name, const char *bytes, size_t len)
{
	int fd = fileno(find(name)->stream);

	while (len) {
		ssize_t r = send(fd, bytes, len, MSG_NOSIGNAL);

		if (r < 0)
			die("%s: %s", name, strerror(errno));
		bytes += r;
		len -= (size_t)r;
	}
}

static int do_fill(char **w)
{
	size_t len = number(w[2]);
	char *bytes = get_memory(len);

	memset(bytes, 'x', len);
	send_bytes(w[1], bytes, len);
	free(bytes);
	return 0;
}

static void say_text(const char *name, const char *text, bool end)
{
	send_bytes(name, text, strlen(text));
	if (end)
		send_bytes(name, "\n", 1);
}

static void expect_line(const char *name, const char *text)
{
	char line[65536];

	if (!fgets(line, sizeof line, find(name)->stream))
		die("%s: expected a line with %s, got none", name, text);
	if (!strstr(line, text))
		die("%s: expected %s, got %s", name, text, line);
}

static int do_eof(char **w)
{
	FILE *stream = find(w[1])->stream;
	char line[65536];

	if (fgets(line, sizeof line, stream))
		die("%s: expected the end, got %s", w[1], line);
	/* A server that hangs up on unread input resets the connection. */
	if (!feof(stream) && errno != ECONNRESET)
		die("%s: not closed: %s", w[1], strerror(errno));
	return 0;
}

/* ---- commands ------------------------------------------------------------------------------ */

static const struct command {
	const char *name;
	int words; /* at least, with the name */
	int (*run)(char **w);
} commands[] = {
	{"connect", 3, do_connect}, {"refused", 2, do_refused},
	{"size", 3, do_size},       {"bye", 2, do_bye},
	{"drop", 2, do_drop},       {"write", 5, do_write},
	{"read", 5, do_read},       {"zero", 4, do_zero},
	{"trim", 4, do_trim},       {"cache", 4, do_cache},
	{"flush", 2, do_flush},     {"gone", 3, do_gone},
	{"status", 4, do_status},   {"random", 5, do_random},
	{"open", 3, do_open},       {"flood", 3, do_flood},
	{"fill", 3, do_fill},       {"eof", 2, do_eof},
	{"adopt", 3, do_adopt},     {"post", 5, do_post},
	{"posted", 3, do_posted},   {"unanswered", 3, do_unanswered},
};

static int run_words(char **w, int n)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, w[0]) != 0)
			continue;
		if (n < commands[i].words)
			die("%s wants more words", w[0]);
		return commands[i].run(w);
	}
	die("unknown command %s", w[0]);
}

/* Cuts text into words, in place. */
static int split(char *text, char **w)
{
	char *rest = NULL;
	int n = 0;

	for (char *word = strtok_r(text, " ", &rest); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " ", &rest))
		w[n++] = word;
	return n;
}

/* Those whose last argument is a text with spaces. */
static bool run_text(char *line)
{
	static const char *const verbs[] = {"send", "part", "expect"};
	char verb[16], name[16];
	int at = 0;

	if (sscanf(line, "%15s %15s %n", verb, name, &at) < 2 || !at)
		return false;
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		if (strcmp(verb, verbs[i]) != 0)
			continue;
		if (i == 2)
			expect_line(name, line + at);
		else
			say_text(name, line + at, i == 0);
		return true;
	}
	return false;
}

static int errno_of(const char *name)
{
	for (int e = 1; e < 134; e++)
		if (strerrorname_np(e) && name && !strcmp(strerrorname_np(e), name))
			return e;
	die("no such error");
}

static void run_line(char *line)
{
	char *words[MAX_WORDS + 1] = {NULL};
	int n;

	if (run_text(line))
		return;
	if (!strncmp(line, "say ", 4)) {
		puts(line + 4);
		return;
	}
	n = split(line, words);
	if (!n || words[0][0] == '#')
		return;
	if (!strcmp(words[0], "sleep")) {
		usleep((useconds_t)number(words[1]) * 1000);
	} else if (!strcmp(words[0], "fails")) {
		int want = errno_of(words[1]);

		if (run_words(words + 2, n - 2) == 0)
			die("%s did not fail", words[2]);
		if (nbd_get_errno() != want)
			die("%s failed with %s, not %s", words[2], strerrorname_np(nbd_get_errno()),
			    words[1]);
	} else if (run_words(words, n)) {
		die("%s: %s", words[0], nbd_get_error());
	}
}

int main(void)
{
	char line[65536];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		line_number++;
		line[strcspn(line, "\n")] = 0;
		run_line(line);
	}
	return 0;
}
