/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * writer.c - writes on many connections until the daemon is killed, and knows what must be there then
 *
 *	writer run LEDGER SOCKET PID SEED	writes, and changes names and snapshots by the command, until PID is dead
 *	writer verify LEDGER SOCKET killed|lost	compares all that is served with the ledger; the next cycle begins
 *					$KILL_BLOCK: the pool's block size, 4096 to 131072
 *	writer count LEDGER WHAT		adds one to a total: kills, kills_in_recovery ...
 *	writer report LEDGER			prints the totals for scripts/reliability
 *
 * `lost`: the volatile tail was thrown away.  The command is $COWBD, its pool $COWBD_POOL.  Status 0, or 1 when
 * something acknowledged is missing, or something is there that can't be; the reason is on standard output.
 *
 * Concurrency: WORKERS threads, each with a connection at a time and one request on it; the first thread runs
 * the command.  `lock` is for busy, users and closing.  A disk that is `closing` gets no new users.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libnbd.h>

#include "../lib/random.h"
#include "ledger.h"

#define WORKERS 8
#define PIECE (256u << 10)
#define MOST 256u       /* sectors of a request */
#define DEATH_MS 5000   /* an error is the daemon's death, if that is seen in this time */
#define BUSY_TRIES 100u /* of 20 ms: a connection that was closed is still seen as a client */
#define VOLUMES_MIN 3u
#define VOLUMES_MAX 8u
#define SNAPSHOTS_MAX 16u

extern char **environ;

static struct ledger *ledger;
static const char *socket_path;
static uint32_t block = 8; /* sectors; what a trim clears for sure */
static int server = -1;    /* pidfd */
static atomic_bool over, bad;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t unused = PTHREAD_COND_INITIALIZER;
static bool busy[OBJECTS][SECTORS], closing[OBJECTS];
static unsigned users[OBJECTS];

__attribute__((format(printf, 1, 2))) static void violated(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("VIOLATED: ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	bad = over = true;
}

static uint32_t below(uint64_t *random, uint32_t n)
{
	return (uint32_t)(random_of(random) >> 8) % n;
}

static bool server_dies(int ms)
{
	struct pollfd dead = {.fd = server, .events = POLLIN};

	return server >= 0 && poll(&dead, 1, ms) > 0;
}

/* What failed has failed because the daemon is dead, or shouldn't have. */
static void not_answered(const char *what, const char *name, const char *why)
{
	if (!over && !server_dies(DEATH_MS))
		violated("%s of %s failed, and the daemon lives: %s", what, name, why);
	over = true;
}

static struct nbd_handle *connect_to(const char *name)
{
	struct nbd_handle *h = nbd_create();
	char uri[512];

	snprintf(uri, sizeof uri, "nbd+unix:///%s?socket=%s", name, socket_path);
	if (h && nbd_connect_uri(h, uri) == 0)
		return h;
	nbd_close(h);
	return NULL;
}

static void hang_up(struct nbd_handle *h)
{
	(void)nbd_shutdown(h, 0);
	nbd_close(h);
}

/* ---- workers: data -------------------------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	uint64_t random;
	uint32_t object;
	struct nbd_handle *h;
	uint8_t buf[MOST * SECTOR];
};

/* A range that no other request touches; false: none was found at once. */
static bool take_range(struct worker *w, uint32_t align, uint32_t *ret_first, uint32_t *ret_n)
{
	static const uint32_t lengths[] = {1, 2, 7, 8, 8, 8, 8, 16, 24, 64, 128, MOST};
	uint32_t n = lengths[below(&w->random, sizeof lengths / sizeof lengths[0])], first;
	bool taken = false;

	n = (n + align - 1) / align * align;
	first = below(&w->random, SECTORS - n + 1) / align * align;
	if (n % 8 == 0 && below(&w->random, 4))
		first = first / 8 * 8;
	pthread_mutex_lock(&lock);
	for (uint32_t s = first; s < first + n && !taken; s++)
		taken = busy[w->object][s];
	for (uint32_t s = first; s < first + n && !taken; s++)
		busy[w->object][s] = true;
	pthread_mutex_unlock(&lock);
	*ret_first = first;
	*ret_n = n;
	return !taken;
}

static void release_range(const struct worker *w, uint32_t first, uint32_t n)
{
	pthread_mutex_lock(&lock);
	memset(&busy[w->object][first], 0, n);
	pthread_mutex_unlock(&lock);
}

static void write_some(struct worker *w)
{
	struct object *o = &ledger->object[w->object];
	bool fua = below(&w->random, 10) == 0;
	uint32_t first, n, op;

	if (!take_range(w, 1, &first, &n))
		return;
	op = ledger_ask(ledger, OP_WRITE, w->object, first, n, fua);
	if (op == NONE) {
		over = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		sector_fill(w->buf + i * SECTOR, first + i, ledger_value(ledger, op));
	if (nbd_pwrite(w->h, w->buf, n * SECTOR, first * SECTOR, fua ? LIBNBD_CMD_FLAG_FUA : 0) <
	    0) {
		not_answered("a write", o->name, nbd_get_error());
		return; /* the range stays taken: what it holds is open */
	}
	ledger_answer(ledger, op);
	for (uint32_t s = first; s < first + n; s++)
		o->now[s] = ledger_value(ledger, op);
	release_range(w, first, n);
}

static void clear_some(struct worker *w)
{
	struct object *o = &ledger->object[w->object];
	bool trim = below(&w->random, 2), fua = below(&w->random, 10) == 0;
	uint32_t first, n, op, flags = fua ? LIBNBD_CMD_FLAG_FUA : 0;
	int r;

	if (!take_range(w, trim ? block : 1, &first, &n))
		return;
	op = ledger_ask(ledger, OP_CLEAR, w->object, first, n, fua);
	if (op == NONE) {
		over = true;
		return;
	}
	if (trim)
		r = nbd_trim(w->h, n * SECTOR, first * SECTOR, flags);
	else
		r = nbd_zero(w->h, n * SECTOR, first * SECTOR,
			     flags | (below(&w->random, 2) ? LIBNBD_CMD_FLAG_NO_HOLE : 0));
	if (r < 0) {
		not_answered(trim ? "a trim" : "a zero", o->name, nbd_get_error());
		return;
	}
	ledger_answer(ledger, op);
	memset(&o->now[first], 0, n * sizeof o->now[0]);
	release_range(w, first, n);
}

static void read_some(struct worker *w)
{
	struct object *o = &ledger->object[w->object];
	uint32_t first, n;

	if (!take_range(w, 1, &first, &n))
		return;
	if (nbd_pread(w->h, w->buf, n * SECTOR, first * SECTOR, 0) < 0) {
		not_answered("a read", o->name, nbd_get_error());
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint64_t found = sector_value(w->buf + i * SECTOR, first + i);

		if (found != o->now[first + i]) {
			violated("%s sector %u: read %" PRIu64 ", written %" PRIu64, o->name,
				 first + i, found, o->now[first + i]);
			return;
		}
	}
	release_range(w, first, n);
}

static void flush(struct worker *w)
{
	uint32_t op = ledger_ask(ledger, OP_FLUSH, w->object, 0, 0, false);

	if (op == NONE)
		over = true;
	else if (nbd_flush(w->h, 0) < 0)
		not_answered("a flush", ledger->object[w->object].name, nbd_get_error());
	else
		ledger_answer(ledger, op);
}

static void work(struct worker *w)
{
	uint32_t requests = 5 + below(&w->random, 200);

	w->h = connect_to(ledger->object[w->object].name);
	if (!w->h) {
		not_answered("a connection", ledger->object[w->object].name, nbd_get_error());
		return;
	}
	for (uint32_t i = 0; i < requests && !over && !closing[w->object]; i++) {
		uint32_t dice = below(&w->random, 100);

		if (dice < 60)
			write_some(w);
		else if (dice < 75)
			clear_some(w);
		else if (dice < 95)
			read_some(w);
		else
			flush(w);
	}
	hang_up(w->h);
}

/* A volume that isn't about to be closed; its user from then on. */
static bool use_volume(struct worker *w)
{
	uint32_t i = below(&w->random, OBJECTS);
	bool ok;

	pthread_mutex_lock(&lock);
	for (uint32_t k = 0; k < OBJECTS; k++, i = (i + 1) % OBJECTS)
		if (ledger->object[i].state == OBJECT_THERE && !ledger->object[i].snapshot &&
		    !closing[i])
			break;
	ok = ledger->object[i].state == OBJECT_THERE && !ledger->object[i].snapshot && !closing[i];
	if (ok)
		users[i]++;
	pthread_mutex_unlock(&lock);
	w->object = i;
	return ok;
}

static void *worker_main(void *opaque)
{
	struct worker *w = opaque;

	while (!over) {
		if (!use_volume(w)) {
			usleep(2000);
			continue;
		}
		work(w);
		pthread_mutex_lock(&lock);
		users[w->object]--;
		pthread_cond_broadcast(&unused);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* Nobody writes to it from here on, until it is opened again. */
static void close_volume(uint32_t i)
{
	pthread_mutex_lock(&lock);
	closing[i] = true;
	while (users[i])
		pthread_cond_wait(&unused, &lock);
	pthread_mutex_unlock(&lock);
}

static void open_volume(uint32_t i)
{
	pthread_mutex_lock(&lock);
	closing[i] = false;
	pthread_mutex_unlock(&lock);
}

/* ---- reading a whole disk ------------------------------------------------------------------------------ */

static int read_disk(const char *name, uint64_t found[SECTORS])
{
	struct nbd_handle *h = connect_to(name);
	uint8_t *buf = malloc(PIECE);
	int r = h && buf ? 0 : -1;

	for (uint32_t at = 0; at < DISK_BYTES && r == 0; at += PIECE) {
		r = nbd_pread(h, buf, PIECE, at, 0);
		for (uint32_t i = 0; i < PIECE / SECTOR && r == 0; i++)
			found[at / SECTOR + i] = sector_value(buf + i * SECTOR, at / SECTOR + i);
	}
	free(buf);
	if (h)
		hang_up(h);
	return r;
}

static void adopt(struct object *o, const uint64_t found[SECTORS])
{
	memcpy(o->base, found, sizeof o->base);
	memcpy(o->now, found, sizeof o->now);
	o->unread = false;
}

/* Snapshots that were just taken hold what they must; from here on they are known. */
static void read_snapshots(const uint32_t *objects, uint32_t n)
{
	static uint64_t memory[2][SECTORS];
	uint64_t *const found[2] = {memory[0], memory[1]};

	for (uint32_t i = 0; i < n; i++)
		if (read_disk(ledger->object[objects[i]].name, memory[i]) < 0) {
			not_answered("reading", ledger->object[objects[i]].name, nbd_get_error());
			return;
		}
	if (ledger_judge_snapshots(ledger, objects, n, found) < 0) {
		bad = over = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		adopt(&ledger->object[objects[i]], memory[i]);
}

/* ---- the command ------------------------------------------------------------------------------------------ */

static int run_once(char *const *args, char *ret_text, size_t len)
{
	posix_spawn_file_actions_t actions;
	int status = -1, out[2];
	ssize_t n = 0;
	size_t have = 0;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	if (posix_spawn(&pid, args[0], &actions, NULL, args, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	while (have + 1 < len && (n = read(out[0], ret_text + have, len - 1 - have)) > 0)
		have += (size_t)n;
	ret_text[have] = '\0';
	close(out[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		return WEXITSTATUS(status);
	return -1;
}

/* Runs `cowbd WORDS`, of which op says that it was asked for; true when it was answered. */
static bool command(uint32_t op, const char *const *words)
{
	char *args[16] = {getenv("COWBD")}, text[2048] = "";
	unsigned n = 1, tries = BUSY_TRIES;
	int status;

	while (*words && n < 15)
		args[n++] = (char *)(uintptr_t)*words++;
	while ((status = run_once(args, text, sizeof text)) != 0 && tries-- &&
	       strstr(text, "attached") && !server_dies(20))
		;
	if (status == 0) {
		ledger_answer(ledger, op);
		return true;
	}
	text[strcspn(text, "\n")] = '\0';
	not_answered(args[1], args[2], text);
	return false;
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

static uint32_t count_objects(bool snapshots)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < OBJECTS; i++)
		n += ledger->object[i].state == OBJECT_THERE &&
		     ledger->object[i].snapshot == snapshots;
	return n;
}

/* One of the volumes, or of the snapshots whose content is known; of: of that volume. NONE: there is none. */
static uint32_t pick(uint64_t *random, bool snapshot, uint32_t of)
{
	uint32_t i = below(random, OBJECTS);

	for (uint32_t k = 0; k < OBJECTS; k++, i = (i + 1) % OBJECTS) {
		const struct object *o = &ledger->object[i];

		if (o->state == OBJECT_THERE && o->snapshot == snapshot && !o->unread &&
		    (of == NONE || o->volume == of))
			return i;
	}
	return NONE;
}

/* A free slot for an object that the op makes. NONE: there is none. */
static uint32_t new_object(uint32_t op, uint32_t volume, const struct object *like)
{
	char name[sizeof ledger->object[0].name];
	struct object *o = NULL;

	for (uint32_t i = 0; i < OBJECTS && !o; i++)
		if (ledger->object[i].state == OBJECT_FREE)
			o = &ledger->object[i];
	if (!o)
		return NONE;
	snprintf(name, sizeof name, "%s%s%u", volume == NONE ? "" : ledger->object[volume].name,
		 volume == NONE ? "v" : "@s", ledger->names++);
	memcpy(o->name, name, sizeof o->name);
	o->snapshot = volume != NONE;
	o->unread = volume != NONE;
	o->volume = volume;
	o->made = op;
	o->ended = NONE;
	if (like)
		memcpy(o->base, like->base, sizeof o->base);
	else
		memset(o->base, 0, sizeof o->base);
	memcpy(o->now, o->base, sizeof o->now);
	memset(busy[o - ledger->object], 0, sizeof busy[0]);
	o->state = OBJECT_MAY_BE_THERE;
	return (uint32_t)(o - ledger->object);
}

static void set_state(uint32_t i, enum object_state state)
{
	pthread_mutex_lock(&lock);
	ledger->object[i].state = state;
	pthread_mutex_unlock(&lock);
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

static uint32_t ask(enum op_kind kind, uint32_t object, uint32_t other)
{
	uint32_t op = ledger_ask(ledger, kind, object, other, 0, false);

	over = over || op == NONE;
	return op;
}

/* Without a free slot for what it makes, the command isn't run. */
static bool asked_for(uint32_t op, uint32_t n)
{
	if (n == 0)
		ledger->op[op].kind = OP_NOTHING;
	return n > 0;
}

static void create(void)
{
	uint32_t op = ask(OP_MANAGE, NONE, 0), i = op == NONE ? NONE : new_object(op, NONE, NULL);

	if (op != NONE && asked_for(op, i != NONE) &&
	    command(op, (const char *[]){"create", ledger->object[i].name, "4M", NULL}))
		set_state(i, OBJECT_THERE);
}

static void snapshot(uint64_t *random)
{
	const char *words[4] = {"snapshot"};
	uint32_t volume[2], made[2], n = 1 + below(random, 2), op;

	for (uint32_t i = 0; i < n; i++)
		volume[i] = pick(random, false, NONE);
	if (n == 2 && volume[0] == volume[1])
		n = 1;
	op = ask(OP_MANAGE, volume[0], 0);
	for (uint32_t i = 0; i < n && op != NONE; i++) {
		made[i] = new_object(op, volume[i], NULL);
		if (made[i] == NONE)
			n = i;
		else
			words[1 + i] = ledger->object[made[i]].name;
	}
	if (op == NONE || !asked_for(op, n) || !command(op, words))
		return;
	for (uint32_t i = 0; i < n; i++)
		set_state(made[i], OBJECT_THERE);
	read_snapshots(made, n);
}

static void make_clones(uint64_t *random)
{
	uint32_t source = pick(random, true, NONE), n = 1 + below(random, 2), made[2], op;
	const char *words[5] = {"clone"};

	if (source == NONE)
		return;
	words[1] = ledger->object[source].name;
	op = ask(OP_MANAGE, NONE, 0);
	for (uint32_t i = 0; i < n && op != NONE; i++) {
		made[i] = new_object(op, NONE, &ledger->object[source]);
		if (made[i] == NONE)
			n = i;
		else
			words[2 + i] = ledger->object[made[i]].name;
	}
	if (op == NONE || !asked_for(op, n) || !command(op, words))
		return;
	for (uint32_t i = 0; i < n; i++)
		set_state(made[i], OBJECT_THERE);
}

static void rollback(uint64_t *random)
{
	uint32_t volume = pick(random, false, NONE), source = pick(random, true, volume), op;
	struct object *o = &ledger->object[volume];
	const char *words[5] = {"rollback", "--discard"};
	uint32_t kept = NONE;

	if (source == NONE)
		return;
	close_volume(volume);
	op = over ? NONE : ask(OP_ROLLBACK, volume, source);
	if (op != NONE && below(random, 2))
		kept = new_object(op, volume, NULL);
	words[kept == NONE ? 2 : 3] = ledger->object[source].name;
	if (kept != NONE) {
		words[1] = "--keep";
		words[2] = strchr(ledger->object[kept].name, '@') + 1;
	}
	if (op == NONE || !command(op, words))
		return; /* it stays closed: what it holds is open */
	memcpy(o->now, ledger->object[source].base, sizeof o->now);
	memset(busy[volume], 0, sizeof busy[0]);
	if (kept != NONE) {
		set_state(kept, OBJECT_THERE);
		read_snapshots(&kept, 1);
	}
	open_volume(volume);
}

/* One or two snapshots, or a volume with all of its own. */
static void removal(uint64_t *random, bool whole_volume)
{
	uint32_t gone[OBJECTS], n = 0, op;
	const char *words[5] = {"rm"};

	gone[n] = pick(random, !whole_volume, NONE);
	if (gone[n++] == NONE)
		return;
	words[1] = ledger->object[gone[0]].name;
	if (whole_volume) {
		words[2] = "-r";
		close_volume(gone[0]);
		for (uint32_t i = 0; i < OBJECTS; i++)
			if (ledger->object[i].state == OBJECT_THERE && ledger->object[i].snapshot &&
			    ledger->object[i].volume == gone[0])
				gone[n++] = i;
	} else if (below(random, 2) && (gone[1] = pick(random, true, NONE)) != gone[0]) {
		words[2] = ledger->object[gone[1]].name;
		n++;
	}
	op = over ? NONE : ask(OP_MANAGE, NONE, 0);
	for (uint32_t i = 0; i < n && op != NONE; i++) {
		set_state(gone[i], OBJECT_MAY_BE_GONE);
		ledger->object[gone[i]].ended = op;
	}
	if (op == NONE || !command(op, words))
		return;
	for (uint32_t i = 0; i < n; i++)
		set_state(gone[i], OBJECT_GONE);
	if (whole_volume)
		open_volume(gone[0]);
}

static void change_something(uint64_t *random)
{
	uint32_t volumes = count_objects(false), snapshots = count_objects(true);
	uint32_t dice = below(random, 100);

	if (volumes < VOLUMES_MIN)
		create();
	else if (snapshots >= SNAPSHOTS_MAX || (dice < 15 && snapshots > 2))
		removal(random, false);
	else if (volumes >= VOLUMES_MAX || (dice < 22 && volumes > VOLUMES_MIN))
		removal(random, true);
	else if (dice < 60)
		snapshot(random);
	else if (dice < 75)
		make_clones(random);
	else
		rollback(random);
}

static int run(int pid, uint64_t seed)
{
	static struct worker worker[WORKERS];

	server = (int)syscall(SYS_pidfd_open, pid, 0);
	if (server < 0 && errno != ESRCH) {
		perror("pidfd_open");
		return 1;
	}
	over = server < 0; /* it is dead already */
	while (!over && count_objects(false) < VOLUMES_MIN)
		create();
	for (unsigned i = 0; i < WORKERS; i++) {
		worker[i].random = seed * 100 + i;
		if (pthread_create(&worker[i].thread, NULL, worker_main, &worker[i]) != 0)
			return 1;
	}
	while (!over) {
		if (server_dies((int)below(&seed, 30)))
			over = true;
		else
			change_something(&seed);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(worker[i].thread, NULL);
	return bad;
}

/* ---- what is there after the kill -------------------------------------------------------------------------------- */

static uint64_t found[OBJECTS][SECTORS];
static bool present[OBJECTS];

/* All that the pool has is in the ledger. */
static int list_objects(void)
{
	char command_line[4096], name[256];
	FILE *list;

	snprintf(command_line, sizeof command_line, "%s ls -o NAME --noheadings", getenv("COWBD"));
	list = popen(command_line, "r");
	while (list && fscanf(list, "%255s", name) == 1) {
		struct object *o = ledger_named(ledger, name);

		if (!o)
			violated("%s is there, and nobody made it", name);
		else
			present[o - ledger->object] = true;
	}
	if (!list || pclose(list) != 0)
		violated("the pool can't be listed");
	return bad ? -1 : 0;
}

/* Answered commands hold; those that weren't have happened wholly or not at all. */
static void settle_names(void)
{
	for (uint32_t i = 0; i < OBJECTS; i++) {
		struct object *o = &ledger->object[i];

		if (o->state == OBJECT_THERE && !present[i])
			violated("%s is not there", o->name);
		if (o->state == OBJECT_GONE && present[i])
			violated("%s is there, and was removed", o->name);
		for (uint32_t k = 0; k < i; k++) {
			const struct object *p = &ledger->object[k];

			if (o->state == OBJECT_MAY_BE_THERE && p->state == OBJECT_MAY_BE_THERE &&
			    o->made == p->made && present[i] != present[k])
				violated("half of a command: %s and %s", o->name, p->name);
			if (o->state == OBJECT_MAY_BE_GONE && p->state == OBJECT_MAY_BE_GONE &&
			    o->ended == p->ended && present[i] != present[k])
				violated("half of a removal: %s and %s", o->name, p->name);
		}
	}
	for (uint32_t i = 0; i < OBJECTS; i++)
		if (ledger->object[i].state != OBJECT_FREE)
			ledger->object[i].state = present[i] ? OBJECT_THERE : OBJECT_GONE;
}

static int read_all(void)
{
	for (uint32_t i = 0; i < OBJECTS; i++)
		if (present[i] && read_disk(ledger->object[i].name, found[i]) < 0) {
			violated("%s can't be read: %s", ledger->object[i].name, nbd_get_error());
			return -1;
		}
	return 0;
}

/* A rollback that was not answered keeps the old state if, and only if, it happened. */
static void judge_kept(uint32_t kept)
{
	const struct object *o = &ledger->object[kept];
	const struct op *op = &ledger->op[o->made];

	if (present[o->volume] && op->kind == OP_ROLLBACK && !op->answered &&
	    memcmp(found[o->volume], ledger->object[op->first].base, sizeof found[0]) != 0)
		violated("%s is there, and %s was not rolled back", o->name,
			 ledger->object[o->volume].name);
}

/* One that keeps the old state and didn't, did not happen. */
static void forget_rollbacks(void)
{
	for (uint32_t i = 0; i < OBJECTS; i++) {
		const struct object *o = &ledger->object[i];

		if (o->state == OBJECT_GONE && o->made != NONE && o->snapshot &&
		    !ledger->op[o->made].answered && ledger->op[o->made].kind == OP_ROLLBACK)
			ledger->op[o->made].kind = OP_NOTHING;
	}
}

static void judge_unread(uint32_t first)
{
	uint64_t *memory[OBJECTS];
	uint32_t group[OBJECTS], n = 0;

	for (uint32_t i = first; i < OBJECTS; i++) {
		const struct object *o = &ledger->object[i];

		if (present[i] && o->unread && o->made == ledger->object[first].made) {
			group[n] = i;
			memory[n++] = found[i];
		}
	}
	for (uint32_t i = 0; i < first; i++)
		if (present[i] && ledger->object[i].unread &&
		    ledger->object[i].made == ledger->object[first].made)
			return; /* judged with that one */
	bad = ledger_judge_snapshots(ledger, group, n, memory) < 0 || bad;
	judge_kept(first);
}

static int verify(enum cover cover)
{
	if (list_objects() < 0)
		return 1;
	settle_names();
	if (bad || read_all() < 0)
		return 1;
	forget_rollbacks();
	for (uint32_t i = 0; i < OBJECTS; i++) {
		const struct object *o = &ledger->object[i];

		if (!present[i])
			continue;
		if (o->unread)
			judge_unread(i);
		else if (o->snapshot)
			bad = ledger_judge_exact(ledger, i, found[i]) < 0 || bad;
		else
			bad = ledger_judge_volume(ledger, i, cover, found[i]) < 0 || bad;
	}
	if (bad)
		return 1;
	for (uint32_t i = 0; i < OBJECTS; i++)
		if (present[i])
			adopt(&ledger->object[i], found[i]);
	for (uint32_t i = 0; i < OBJECTS; i++) {
		struct nbd_handle *h = present[i] && !ledger->object[i].snapshot
					       ? connect_to(ledger->object[i].name)
					       : NULL;

		if (h && nbd_flush(h, 0) < 0)
			violated("%s can't be flushed: %s", ledger->object[i].name,
				 nbd_get_error());
		if (h)
			hang_up(h);
	}
	ledger_next_cycle(ledger);
	return bad;
}

/* ---- totals -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t offset;
	const char *figure; /* what scripts/reliability calls it */
} total[] = {
#define TOTAL(name, figure)                                                                        \
	{                                                                                          \
#name, offsetof(struct totals, name), figure                                       \
	}
	TOTAL(cycles, "kill cycles with nothing lost"),
	TOTAL(kills, "kills under load"),
	TOTAL(kills_in_recovery, "kills in or right after recovery"),
	TOTAL(kills_in_init, "kills of init"),
	TOTAL(tails_lost, "cycles with the volatile tail thrown away"),
	TOTAL(writes_answered, "writes answered"),
	TOTAL(clears_answered, "zeros and trims answered"),
	TOTAL(flushes_answered, "flushes answered"),
	TOTAL(unanswered, "requests cut off"),
	TOTAL(commands_answered, "management commands answered"),
	TOTAL(commands_unanswered, "management commands cut off"),
	TOTAL(sectors_judged, "sectors compared"),
	TOTAL(snapshots_judged, "snapshots under load judged"),
};
#define TOTALS (sizeof total / sizeof total[0])

static uint64_t *total_at(unsigned i)
{
	return (uint64_t *)(void *)((char *)&ledger->totals + total[i].offset);
}

static int count(const char *what)
{
	for (unsigned i = 0; i < TOTALS; i++)
		if (strcmp(total[i].name, what) == 0) {
			++*total_at(i);
			return 0;
		}
	return 64;
}

static int report(void)
{
	printf("# A daemon killed under load (make soak-kill)\n< 300 %s\n", total[0].figure);
	for (unsigned i = 0; i < TOTALS; i++)
		printf("+ %" PRIu64 " %s\n", *total_at(i), total[i].figure);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && !(ledger = ledger_open(argv[2])))
		return 1;
	socket_path = argc > 3 ? argv[3] : "";
	if (getenv("KILL_BLOCK"))
		block = (uint32_t)atoi(getenv("KILL_BLOCK")) / SECTOR;
	if (argc == 6 && strcmp(verb, "run") == 0)
		return run(atoi(argv[4]), strtoull(argv[5], NULL, 10));
	if (argc == 5 && strcmp(verb, "verify") == 0)
		return verify(strcmp(argv[4], "lost") == 0 ? COVER_FLUSHED : COVER_ANSWERED);
	if (argc == 4 && strcmp(verb, "count") == 0)
		return count(argv[3]);
	if (argc == 3 && strcmp(verb, "report") == 0)
		return report();
	fprintf(stderr, "usage: writer run|verify|count|report LEDGER ...\n");
	return 64;
}
