/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_admin.c - lines of an enemy at the control socket of an open pool
 *
 * The input is what a client sends; the connection's own code reads it from a socket and answers.
 *
 * What must hold: no crash, no hang; each answer is JSON, one object a line; and the pool is
 * without damage afterwards, whatever was asked.
 */
#include "check.h"
#include "fuzz.h"
#include "use.h"

#include "events.c"

#include "control.c" /* what is tried is static there */

#define ZONES 24u
#define SEND_BYTES (FUZZ_BYTES_MAX + 4096)

const char fuzz_name[] = "admin";

static uint64_t chance_state;

/* ---- what the connection needs of the rest of the plugin --------------------------------------- */

int rundir_bind(struct cowbd_pool *p, const char *path, int *ret_listener)
{
	(void)p;
	(void)path;
	(void)ret_listener;
	return -1;
}

const char *rundir_control_path(void)
{
	return "";
}

void rundir_unbind(void)
{
}

void rundir_link_nbd(const char *nbd_socket)
{
	(void)nbd_socket;
}

const char *rundir_error(void)
{
	return "";
}

bool access_may_manage(int fd)
{
	(void)fd;
	return true;
}

static int host_cut(void *opaque, uint64_t object)
{
	(void)opaque;
	(void)object;
	return 0;
}

static void host_status(void *opaque, json_t *answer)
{
	(void)opaque;
	json_object_set_new(answer, "pid", json_integer(1));
}

static int host_stop(void *opaque, bool quick)
{
	(void)opaque;
	(void)quick;
	return 0;
}

static const struct admin_host test_host = {NULL, host_cut, host_status, host_stop};

/* ---- the other end ------------------------------------------------------------------------------- */

/* Takes the answers, and looks at each. */
static void *read_answers(void *opaque)
{
	FILE *f = fdopen(*(int *)opaque, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	FUZZ_HOLDS(f != NULL);
	while ((len = getline(&line, &room, f)) > 0) {
		json_t *answer = json_loadb(line, (size_t)len, 0, NULL);

		FUZZ_HOLDS(json_is_object(answer));
		FUZZ_HOLDS(json_object_get(answer, "ok") || json_object_get(answer, "error") ||
			   json_object_get(answer, "progress"));
		json_decref(answer);
	}
	free(line);
	fclose(f);
	return NULL;
}

static void talk(const uint8_t *data, size_t len)
{
	int pair[2], bytes = SEND_BYTES;
	pthread_t reader_thread;

	FUZZ_HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	FUZZ_HOLDS(pthread_create(&reader_thread, NULL, read_answers, &pair[1]) == 0);
	FUZZ_HOLDS(send(pair[1], data, len, MSG_NOSIGNAL) == (ssize_t)len || len == 0);
	shutdown(pair[1], SHUT_WR);
	serve_lines(pair[0]);
	close(pair[0]);
	pthread_join(reader_thread, NULL);
}

static struct store *base_store(void)
{
	static struct store *base;
	struct store *copy;

	if (!base)
		base = use_make(ZONES, true);
	FUZZ_HOLDS(store_sim_copy(base, NULL, &copy) == 0);
	return copy;
}

static bool is_sound(struct store *s)
{
	struct cowbd_check_options opt = {0};
	struct cowbd_check_result result = {0};

	return check_store(s, &opt, &result) == 0 && result.damages + result.leaks == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cowbd_pool *p;
	struct store *copy;

	if (len > FUZZ_BYTES_MAX)
		return 0;
	FUZZ_HOLDS(use_open(base_store(), 0, &p) == 0);
	pool = p;
	host = &test_host;
	talk(data, len);
	FUZZ_HOLDS(checkpoint_run(&p->e) == 0);
	FUZZ_HOLDS(store_sim_copy(p->e.store, NULL, &copy) == 0);
	FUZZ_HOLDS(is_sound(copy));
	store_close(copy);
	FUZZ_HOLDS(cowbd_close(p) == 0);
	return 0;
}

/* ---- mutations --------------------------------------------------------------------------------- */

static const char *pick(const char *const *list, size_t n)
{
	return list[fuzz_chance(&chance_state, n)];
}

#define PICK(list) pick(list, ARRAY_SIZE(list))

/* Appends the text of a value: mostly one that fits, sometimes of any kind. */
static size_t add_value(char *out, size_t max, const char *key)
{
	static const char *const names[] = {"a",       "b",       "void",    "a@one",
					    "b@two",   "c@three", "new",     "a@",
					    "@",       "x@y@z",   "",        "\\u0000",
					    "\\ud800", "..",      "../../x", "a@before-rollback",
					    "\\u00e9", "-a",      "new@s",   "b@s"};
	static const char *const wild[] = {"null",
					   "true",
					   "false",
					   "[]",
					   "{}",
					   "[[[[]]]]",
					   "-1",
					   "1e308",
					   "1e999",
					   "0",
					   "\"\"",
					   "9223372036854775807",
					   "9223372036854775808",
					   "-9223372036854775808",
					   "[null]",
					   "[\"a\",1]",
					   "{\"a\":{}}",
					   "0.5"};
	static const char *const sizes[] = {"0",
					    "512",
					    "4096",
					    "4097",
					    "1048576",
					    "81920",
					    "163840",
					    "3145728",
					    "4194304",
					    "4611686018427387904",
					    "4611686018427388416"};
	static const char *const flags[] = {"true", "true", "false"};
	static const char *const labels[] = {"none", "crash", "flushed", "frozen", "cold"};

	if (fuzz_chance(&chance_state, 8) == 0)
		return (size_t)snprintf(out, max, "%s", PICK(wild));
	if (strcmp(key, "names") == 0)
		return (size_t)snprintf(out, max, "[\"%s\",\"%s\"]", PICK(names), PICK(names));
	if (strcmp(key, "size") == 0 || strcmp(key, "sector_size") == 0)
		return (size_t)snprintf(out, max, "%s", PICK(sizes));
	if (strcmp(key, "label") == 0)
		return (size_t)snprintf(out, max, "\"%s\"", PICK(labels));
	if (strstr("name new_name source a b keep", key))
		return (size_t)snprintf(out, max, "\"%s\"", PICK(names));
	return (size_t)snprintf(out, max, "%s", PICK(flags));
}

/* A request of some command with some of its arguments. */
static size_t make_line(char *out, size_t max)
{
	static const char *const cmds[][10] = {
		{"status"},
		{"ls", "usage"},
		{"info", "name"},
		{"df"},
		{"diff", "a", "b"},
		{"check"},
		{"create", "name", "size", "sector_size", "no_wait"},
		{"rm", "names", "recursive", "dry_run", "force", "no_wait"},
		{"rename", "name", "new_name", "no_wait"},
		{"resize", "name", "size", "force", "no_wait"},
		{"snapshot", "names", "label", "no_wait"},
		{"clone", "source", "names", "no_wait"},
		{"rollback", "name", "undo", "keep", "discard", "force", "no_wait"},
		{"grow", "size"},
		{"stop", "force"},
		{"nonsense", "name"}};
	const char *const *cmd = cmds[fuzz_chance(&chance_state, ARRAY_SIZE(cmds))];
	const char *comma = "";
	size_t n = (size_t)snprintf(out, max, "{\"v\":1,\"id\":%u,\"cmd\":\"%s\",\"args\":{",
				    (unsigned)fuzz_chance(&chance_state, 100), cmd[0]);

	for (unsigned i = 1; i < 10 && cmd[i] && n < max; i++) {
		if (fuzz_chance(&chance_state, 4) == 0)
			continue;
		n += (size_t)snprintf(out + n, max - n, "%s\"%s\":", comma, cmd[i]);
		if (n < max)
			n += add_value(out + n, max - n, cmd[i]);
		comma = ",";
	}
	if (n < max)
		n += (size_t)snprintf(out + n, max - n, "}}\n");
	return n < max ? n : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
	char line[1024];
	size_t n, at = len;

	chance_state = seed;
	if (fuzz_chance(&chance_state, 3) == 0)
		return LLVMFuzzerMutate(data, len, max);
	n = make_line(line, sizeof line);
	if (n == 0 || len + n > MIN(max, 4096u))
		return LLVMFuzzerMutate(data, len, max);
	/* between lines */
	if (len > 0 && fuzz_chance(&chance_state, 2)) {
		at = fuzz_chance(&chance_state, len);
		while (at < len && at > 0 && data[at - 1] != '\n')
			at++;
	}
	memmove(data + at + n, data + at, len - at);
	memcpy(data + at, line, n);
	return len + n;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t max)
{
	static const char *const seeds[] = {
		"{\"v\":1,\"id\":1,\"cmd\":\"status\"}\n{\"cmd\":\"ls\",\"args\":{\"usage\":true}}"
		"\n",
		"{\"cmd\":\"create\",\"args\":{\"name\":\"v\",\"size\":1048576}}\n"
		"{\"cmd\":\"snapshot\",\"args\":{\"names\":[\"v@s\",\"a@s\"],\"label\":\"frozen\"}}"
		"\n"
		"{\"cmd\":\"clone\",\"args\":{\"source\":\"v@s\",\"names\":[\"x\",\"y\"]}}\n"
		"{\"cmd\":\"rollback\",\"args\":{\"name\":\"v@s\"}}\n"
		"{\"cmd\":\"rollback\",\"args\":{\"name\":\"v\",\"undo\":true}}\n"
		"{\"cmd\":\"rm\",\"args\":{\"names\":[\"v\"],\"recursive\":true}}\n"
		"{\"cmd\":\"check\"}\n",
		"{\"cmd\":\"grow\",\"args\":{\"size\":4194304}}\n{\"cmd\":\"df\"}\n"
		"{\"cmd\":\"diff\",\"args\":{\"a\":\"b@two\",\"b\":\"b\"}}\n"
		"{\"cmd\":\"info\",\"args\":{\"name\":\"a\"}}\n"
		"{\"cmd\":\"resize\",\"args\":{\"name\":\"a\",\"size\":4096,\"force\":true}}\n"
		"{\"cmd\":\"rename\",\"args\":{\"name\":\"b\",\"new_name\":\"bb\"}}\n",
		"{\"id\":[1,{\"a\":2}],\"cmd\":\"stop\"}\nnot json\n",
		"{\"a\":1,\"a\":2}\n",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
		"\xff\xfe\n",
		"{\"v\":2}\n",
	};
	size_t len;

	if (i >= ARRAY_SIZE(seeds))
		return 0;
	len = strlen(seeds[i]);
	memcpy(out, seeds[i], MIN(len, max));
	return MIN(len, max);
}
