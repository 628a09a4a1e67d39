/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile.c - an NBD client that means harm, on a Unix socket
 *
 *	hostile SOCKET EXPORT requests	every command at odd offsets, lengths and flags; each must be answered
 *	hostile SOCKET EXPORT options	handshakes and options that are wrong, too long, or too many
 *	hostile SOCKET EXPORT drops N	N times: 64 requests under way, then gone in the middle of a payload
 *	hostile SOCKET EXPORT mute MS	asks for much and reads nothing, for so long
 *
 * It speaks the protocol by hand, since libnbd would refuse to.  Prints how many requests or options
 * it tried; ends with status 1 when the server doesn't do as the protocol says: an answer that is none, no
 * answer within 10 s, or a connection closed where there must be an answer.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
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

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1) << 20)
#define PATIENCE_S 10
#define IN_FLIGHT 64

#define OPTION_MAGIC UINT64_C(0x49484156454F5054) /* "IHAVEOPT" */
#define REPLY_MAGIC UINT64_C(0x3e889045565a9)
#define REQUEST_MAGIC 0x25609513u
#define SIMPLE_MAGIC 0x67446698u
#define CHUNK_MAGIC 0x668e33efu

enum {
	OPT_EXPORT_NAME = 1,
	OPT_ABORT,
	OPT_LIST,
	OPT_STARTTLS = 5,
	OPT_INFO,
	OPT_GO,
	OPT_STRUCTURED,
	OPT_LIST_META,
	OPT_SET_META
};
enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_ZERO, CMD_STATUS };

static const char *path, *export_name;
static uint64_t tried;

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "hostile: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (after %" PRIu64 ")\n", tried);
	exit(1);
}

/* ---- bytes --------------------------------------------------------------------------------- */

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("%s: %s", path, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	return fd;
}

/* False: the server hung up. */
static bool put(int fd, const void *data, size_t len)
{
	while (len > 0) {
		ssize_t r = send(fd, data, len, MSG_NOSIGNAL);

		if (r < 0 && (errno == EPIPE || errno == ECONNRESET))
			return false;
		if (r < 0)
			die("sending: %s", strerror(errno));
		data = (const char *)data + r;
		len -= (size_t)r;
	}
	return true;
}

static bool get(int fd, void *data, size_t len)
{
	while (len > 0) {
		ssize_t r = recv(fd, data, len, 0);

		if (r == 0 || (r < 0 && errno == ECONNRESET))
			return false;
		if (r < 0)
			die("no answer: %s", strerror(errno));
		data = (char *)data + r;
		len -= (size_t)r;
	}
	return true;
}

static void must(bool done, const char *what)
{
	if (!done)
		die("the server hung up: %s", what);
}

/* Takes len bytes and forgets them. */
static bool skip(int fd, uint64_t len)
{
	static char waste[65536];

	while (len > 0) {
		size_t part = len < sizeof waste ? (size_t)len : sizeof waste;

		if (!get(fd, waste, part))
			return false;
		len -= part;
	}
	return true;
}

static uint64_t get_number(int fd, unsigned bytes)
{
	uint8_t b[8] = {0};
	uint64_t n = 0;

	must(get(fd, b, bytes), "in an answer");
	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | b[i];
	return n;
}

/* ---- handshake -------------------------------------------------------------------------------- */

static bool put_option(int fd, uint32_t option, const void *data, uint32_t len)
{
	struct {
		uint64_t magic;
		uint32_t option, len;
	} h = {htobe64(OPTION_MAGIC), htobe32(option), htobe32(len)};

	tried++;
	return put(fd, &h, sizeof h) && put(fd, data, len);
}

/* Reads one reply to an option: its type; UINT32_MAX when the server hung up. */
static uint32_t option_reply(int fd, uint32_t option)
{
	uint8_t h[20];
	uint64_t magic;
	uint32_t of, type, len;

	if (!get(fd, h, sizeof h))
		return UINT32_MAX;
	memcpy(&magic, h, 8);
	memcpy(&of, h + 8, 4);
	memcpy(&type, h + 12, 4);
	memcpy(&len, h + 16, 4);
	if (be64toh(magic) != REPLY_MAGIC || be32toh(of) != option || be32toh(len) > 1 << 20)
		die("what answers option %u is no reply", option);
	must(skip(fd, be32toh(len)), "in a reply to an option");
	return be32toh(type);
}

/* Up to the reply that ends those to the option. */
static uint32_t last_reply(int fd, uint32_t option)
{
	uint32_t type;

	do {
		type = option_reply(fd, option);
	} while (type != UINT32_MAX && type != 1 && type < 1u << 31);
	return type;
}

static int greet(void)
{
	uint32_t flags = htobe32(3);
	int fd = dial();

	if (get_number(fd, 8) != UINT64_C(0x4e42444d41474943) || get_number(fd, 8) != OPTION_MAGIC)
		die("no greeting");
	(void)get_number(fd, 2);
	must(put(fd, &flags, sizeof flags), "in the greeting");
	return fd;
}

/* The data of INFO and GO: a name, and no requests. */
static uint32_t name_data(uint8_t *out, const void *name, uint32_t len)
{
	uint32_t length = htobe32(len);

	memcpy(out, &length, 4);
	memcpy(out + 4, name, len);
	memset(out + 4 + len, 0, 2);
	return len + 6;
}

static int go(bool structured)
{
	static const char context[] = "base:allocation";
	uint32_t len = (uint32_t)strlen(export_name), n, be = htobe32(len), one = htobe32(1),
		 size = htobe32(sizeof context - 1);
	uint8_t data[1024];
	int fd = greet();

	if (structured) {
		must(put_option(fd, OPT_STRUCTURED, NULL, 0), "STRUCTURED_REPLY");
		if (last_reply(fd, OPT_STRUCTURED) != 1)
			die("no structured replies");
		memcpy(data, &be, 4);
		memcpy(data + 4, export_name, len);
		memcpy(data + 4 + len, &one, 4);
		memcpy(data + 8 + len, &size, 4);
		memcpy(data + 12 + len, context, sizeof context - 1);
		must(put_option(fd, OPT_SET_META, data, 12 + len + (uint32_t)sizeof context - 1),
		     "SET_META_CONTEXT");
		if (last_reply(fd, OPT_SET_META) != 1)
			die("no meta context");
	}
	n = name_data(data, export_name, len);
	must(put_option(fd, OPT_GO, data, n), "GO");
	if (last_reply(fd, OPT_GO) != 1)
		die("GO was refused");
	return fd;
}

/* ---- requests --------------------------------------------------------------------------------- */

struct request {
	uint16_t flags, command;
	uint64_t offset;
	uint32_t len;
};

static bool put_request(int fd, const struct request *r, uint64_t cookie)
{
	uint8_t h[28];
	uint32_t magic = htobe32(REQUEST_MAGIC), len = htobe32(r->len);
	uint16_t flags = htobe16(r->flags), command = htobe16(r->command);
	uint64_t offset = htobe64(r->offset);

	memcpy(h, &magic, 4);
	memcpy(h + 4, &flags, 2);
	memcpy(h + 6, &command, 2);
	memcpy(h + 8, &cookie, 8);
	memcpy(h + 16, &offset, 8);
	memcpy(h + 24, &len, 4);
	tried++;
	return put(fd, h, sizeof h);
}

static bool put_payload(int fd, uint64_t len)
{
	static const char zeros[65536];

	while (len > 0) {
		size_t part = len < sizeof zeros ? (size_t)len : sizeof zeros;

		if (!put(fd, zeros, part))
			return false;
		len -= part;
	}
	return true;
}

struct answer {
	bool gone; /* the server hung up instead */
	uint32_t error;
	uint64_t data; /* bytes */
};

static void read_chunks(int fd, uint64_t cookie, struct answer *a, uint32_t magic)
{
	bool done = false;

	while (!done) {
		uint16_t flags, type;
		uint32_t len;

		if (magic == 0)
			magic = (uint32_t)get_number(fd, 4);
		if (magic != CHUNK_MAGIC)
			die("a chunk with magic %#x", magic);
		magic = 0;
		flags = (uint16_t)get_number(fd, 2);
		type = (uint16_t)get_number(fd, 2);
		if (get_number(fd, 8) != be64toh(cookie))
			die("an answer to another request");
		len = (uint32_t)get_number(fd, 4);
		if (type & 1 << 15) {
			a->error = (uint32_t)get_number(fd, 4);
			must(skip(fd, len - 4), "in an error");
			if (!a->error)
				die("an error without a number");
		} else {
			a->data += type == 1 ? len - 8 : 0;
			must(skip(fd, len), "in a chunk");
		}
		done = flags & 1;
	}
}

/* The answer to a request that was sent alone. */
static struct answer read_answer(int fd, const struct request *r, uint64_t cookie)
{
	struct answer a = {0};
	uint32_t magic;

	if (!get(fd, &magic, 4)) {
		a.gone = true;
		return a;
	}
	magic = be32toh(magic);
	if (magic == SIMPLE_MAGIC) {
		a.error = (uint32_t)get_number(fd, 4);
		if (get_number(fd, 8) != be64toh(cookie))
			die("an answer to another request");
		if (!a.error && r->command == CMD_READ) {
			a.data = r->len;
			must(skip(fd, r->len), "in data");
		}
	} else {
		read_chunks(fd, cookie, &a, magic);
	}
	return a;
}

static void must_work(int fd)
{
	struct request r = {0, CMD_READ, 0, 512};
	struct answer a;

	must(put_request(fd, &r, 7), "reading");
	a = read_answer(fd, &r, 7);
	if (a.gone || a.error)
		die("an honest read fails: %s", a.gone ? "hung up" : strerror((int)a.error));
}

static bool beyond(const struct request *r, uint64_t size)
{
	return r->offset > size || r->len > size - r->offset;
}

/* What must be said to r, as far as it is certain. */
static void judge(const struct request *r, const struct answer *a, uint64_t size)
{
	bool touches = r->command != CMD_FLUSH && r->command <= CMD_STATUS;

	if (a->gone)
		die("hung up on command %u flags %#x offset %" PRIu64 " length %u", r->command,
		    r->flags, r->offset, r->len);
	if (!a->error && (r->command > CMD_STATUS || (touches && beyond(r, size))))
		die("command %u at %" PRIu64 ", length %u, of %" PRIu64 " did not fail", r->command,
		    r->offset, r->len, size);
	if (!a->error && r->command == CMD_READ && a->data != r->len)
		die("read %" PRIu64 " bytes instead of %u", a->data, r->len);
	if (a->error && r->flags == 0 && touches && !beyond(r, size) && r->len > 0 &&
	    r->len <= 64 * MIB && r->command <= CMD_ZERO)
		die("command %u at %" PRIu64 ", length %u: error %u", r->command, r->offset, r->len,
		    a->error);
}

/* Is this one left out, for its size in payload? */
static bool too_much(const struct request *r)
{
	return r->len >= 32 * MIB && (r->command == CMD_WRITE || r->command == CMD_READ) &&
	       (r->flags != 0 || (r->offset != 0 && r->offset != UINT64_MAX));
}

static void try_request(int *fd, const struct request *r, uint64_t size, bool structured)
{
	struct answer a = {0};
	uint64_t payload = r->command == CMD_WRITE ? r->len : 0;

	/* nbdkit hangs up on what it would have to read without end; so do we not send it */
	if (payload > 128 * MIB || too_much(r))
		return;
	if (!put_request(*fd, r, tried) || !put_payload(*fd, payload))
		a.gone = true;
	else
		a = read_answer(*fd, r, tried - 1);
	if (a.gone && payload > 64 * MIB) { /* that is allowed, too */
		close(*fd);
		*fd = go(structured);
		return;
	}
	judge(r, &a, size);
}

static void try_requests(uint64_t size, bool structured)
{
	const uint64_t offsets[] = {0,
				    1,
				    511,
				    4095,
				    4096,
				    size - 512,
				    size - 1,
				    size,
				    size + 1,
				    UINT32_MAX,
				    INT64_MAX,
				    UINT64_C(1) << 63,
				    UINT64_MAX - 4095,
				    UINT64_MAX};
	const uint32_t lengths[] = {
		0, 1, 511, 4096, 65537, 1 << 26, (1 << 26) + 1, UINT32_C(1) << 31, UINT32_MAX};
	const uint16_t flags[] = {0, 1, 2, 4, 8, 16, 0x8000, 0xffff};
	const uint16_t commands[] = {CMD_READ,  CMD_WRITE, CMD_FLUSH,  CMD_TRIM,
				     CMD_CACHE, CMD_ZERO,  CMD_STATUS, 8,
				     9,         255,       65535};
	int fd = go(structured);

	for (size_t c = 0; c < ARRAY_SIZE(commands); c++)
		for (size_t o = 0; o < ARRAY_SIZE(offsets); o++)
			for (size_t l = 0; l < ARRAY_SIZE(lengths); l++)
				for (size_t f = 0; f < ARRAY_SIZE(flags); f++) {
					struct request r = {flags[f], commands[c], offsets[o],
							    lengths[l]};

					try_request(&fd, &r, size, structured);
				}
	must_work(fd);
	close(fd);
}

static uint64_t export_size(void)
{
	uint8_t data[1024];
	uint64_t size = 0;
	int fd = greet();

	must(put_option(fd, OPT_INFO, data,
			name_data(data, export_name, (uint32_t)strlen(export_name))),
	     "INFO");
	for (;;) {
		uint32_t type, len;

		(void)get_number(fd, 8);
		(void)get_number(fd, 4);
		type = (uint32_t)get_number(fd, 4);
		len = (uint32_t)get_number(fd, 4);
		if (type == 3 && len == 12 && get_number(fd, 2) == 0) {
			size = get_number(fd, 8);
			(void)get_number(fd, 2);
		} else if (type == 3) {
			must(skip(fd, len - (len == 12 ? 2 : 0)), "in INFO");
		} else {
			break;
		}
	}
	close(fd);
	if (size == 0)
		die("no size");
	return size;
}

static void run_requests(void)
{
	uint64_t size = export_size();

	try_requests(size, false);
	try_requests(size, true);
	/* a request that is none: the server may only hang up */
	for (unsigned i = 0; i < 50; i++) {
		uint8_t garbage[28];
		int fd = go(i % 2);

		for (size_t k = 0; k < sizeof garbage; k++)
			garbage[k] = (uint8_t)(k * 37 + i * 11);
		tried++;
		if (put(fd, garbage, sizeof garbage) && get(fd, garbage, 1))
			die("garbage was answered");
		close(fd);
	}
}

/* ---- options -------------------------------------------------------------------------------------- */

/* One option on a connection of its own: answered, or hung up on, in time. */
static uint32_t one_option(uint32_t option, const void *data, uint32_t len)
{
	int fd = greet();
	uint32_t type = UINT32_MAX;

	if (put_option(fd, option, data, len)) {
		if (option == OPT_EXPORT_NAME) {
			char c;

			type = get(fd, &c, 1) ? 1 : UINT32_MAX;
		} else {
			type = last_reply(fd, option);
		}
	}
	close(fd);
	return type;
}

static void try_name(const void *name, uint32_t len)
{
	static const uint32_t options[] = {OPT_INFO, OPT_GO, OPT_LIST_META, OPT_SET_META};
	static uint8_t data[70000];

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		uint32_t n = name_data(data, name, len);

		if (options[i] >= OPT_LIST_META) {
			memset(data + 4 + len, 0, 4); /* no queries */
			n = len + 8;
		}
		if (one_option(options[i], data, n) == 1 && options[i] <= OPT_GO)
			die("an export of that name (%u bytes) can't be", len);
	}
	if (one_option(OPT_EXPORT_NAME, name, len) == 1)
		die("an export of that name (%u bytes) can't be", len);
}

static void try_names(void)
{
	static const char *const names[] = {"../../etc/passwd",
					    "..",
					    "/",
					    "vol/../vol",
					    "vol@",
					    "@",
					    "@@",
					    "vol@../x",
					    "-vol",
					    "vol\n",
					    "\x7f",
					    "\xff\xfe",
					    "\xc0\xaf",
					    "\xed\xa0\x80",
					    "\xf8\x88\x80\x80\x80",
					    "%s%s%n",
					    "vol@\xff"};
	static char long_name[65536];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		try_name(names[i], (uint32_t)strlen(names[i]));
	try_name("vol\0", 4);
	try_name("vol\0x", 5);
	try_name("\0", 1);
	memset(long_name, 'x', sizeof long_name);
	for (uint32_t len = 255; len <= 65536; len *= 2) {
		try_name(long_name, len);
		try_name(long_name, len - 1);
	}
	try_name(long_name, 4096);
	try_name(long_name, 4097);
	memset(long_name, '@', sizeof long_name);
	try_name(long_name, 4096);
	memset(long_name, 0xc3, sizeof long_name);
	try_name(long_name, 4096);
}

/* A length of a name or list that the option's own length does not allow. */
static void try_lengths(void)
{
	static const uint32_t lengths[] = {0, 1, 5, 6, 7, 100, 0x7fffffff, 0x80000000, UINT32_MAX};
	uint8_t data[64] = {0};

	for (uint32_t option = 0; option < 20; option++)
		for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
			for (uint32_t len = 0; len <= 16; len++) {
				uint32_t be = htobe32(lengths[i]);

				memcpy(data, &be, 4);
				memcpy(data + 4 + len % 8, &be, 4);
				(void)one_option(option, data, len);
			}
}

/* More than a server takes, or without end. */
static void try_many(void)
{
	for (uint32_t option = 0; option < 12; option++) {
		int fd = greet();
		unsigned n = 0;

		while (n < 200 &&
		       put_option(fd, option == OPT_EXPORT_NAME ? 77 : option, NULL, 0) &&
		       last_reply(fd, option == OPT_EXPORT_NAME ? 77 : option) != UINT32_MAX)
			n++;
		close(fd);
		if (n == 200)
			die("option %u was taken 200 times", option);
	}
}

static void try_garbage(void)
{
	for (unsigned i = 0; i < 100; i++) {
		uint8_t bytes[64];
		int fd = dial();
		uint64_t state = i * 2654435761u + 1;

		for (size_t k = 0; k < sizeof bytes; k++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			bytes[k] = (uint8_t)state;
		}
		tried++;
		(void)skip(fd, i % 19);
		(void)put(fd, bytes, 1 + i % sizeof bytes);
		if (i % 3 == 0) {
			shutdown(fd, SHUT_WR);
			(void)skip(fd, 18);
		}
		close(fd);
	}
}

static void run_options(void)
{
	int fd;

	try_names();
	try_lengths();
	try_many();
	try_garbage();
	/* an option of 4 GiB, of which nothing comes */
	fd = greet();
	uint32_t head[4] = {htobe32(OPTION_MAGIC >> 32), htobe32(OPTION_MAGIC & UINT32_MAX),
			    htobe32(OPT_GO), UINT32_MAX};

	tried++;
	if (put(fd, head, sizeof head) && last_reply(fd, OPT_GO) == 1)
		die("an option of 4 GiB was taken");
	close(fd);
	fd = go(true);
	must_work(fd);
	close(fd);
}

/* ---- leaving ---------------------------------------------------------------------------------------- */

static void run_drops(unsigned rounds)
{
	static const uint16_t commands[] = {CMD_READ,   CMD_WRITE, CMD_ZERO, CMD_TRIM,
					    CMD_STATUS, CMD_FLUSH, CMD_CACHE};

	for (unsigned round = 0; round < rounds; round++) {
		bool structured = round % 2;
		int fd = go(structured);

		for (unsigned i = 0; i < IN_FLIGHT; i++) {
			struct request r = {0, commands[(i + round) % ARRAY_SIZE(commands)],
					    (uint64_t)i * 4096, 4096};

			if (r.command == CMD_STATUS && !structured)
				r.command = CMD_READ;
			if (i == IN_FLIGHT - 1)
				r.command = CMD_WRITE;
			if (r.command == CMD_FLUSH)
				r.offset = r.len = 0;
			if (!put_request(fd, &r, i))
				break;
			if (r.command == CMD_WRITE)
				(void)put_payload(fd, i == IN_FLIGHT - 1 ? r.len / 2 : r.len);
		}
		if (round % 4 == 3)
			shutdown(fd, SHUT_WR);
		if (round % 3 == 2)
			usleep(1000 * (round % 10));
		close(fd);
	}
}

/* Requests until the server takes no more, and no answer read. */
static void run_mute(unsigned ms)
{
	struct request r = {0, CMD_READ, 0, 4096};
	struct pollfd p;
	int fd = go(true);

	p = (struct pollfd){.fd = fd, .events = POLLOUT};
	while (poll(&p, 1, 200) == 1 && tried < 200000)
		if (!put_request(fd, &r, tried))
			die("hung up on a client that reads nothing");
	printf("mute\n");
	fflush(stdout);
	usleep(ms * 1000);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		die("SOCKET EXPORT WHAT [N]");
	path = argv[1];
	export_name = argv[2];
	if (!strcmp(argv[3], "requests"))
		run_requests();
	else if (!strcmp(argv[3], "options"))
		run_options();
	else if (!strcmp(argv[3], "drops") && argc > 4)
		run_drops((unsigned)strtoul(argv[4], NULL, 0));
	else if (!strcmp(argv[3], "mute") && argc > 4)
		run_mute((unsigned)strtoul(argv[4], NULL, 0));
	else
		die("what?");
	printf("%" PRIu64 " tried\n", tried);
	return 0;
}
