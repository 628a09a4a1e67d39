/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures_nbd.c - random writes through nbdkit, just after a snapshot against before
 *
 * Two volumes, both fully mapped.  One never has a snapshot: its writes go in place.  The other gets a new one
 * before each round, so that the writes are faults.  Rounds of the two take turns.
 */
#include "figures.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <jansson.h>
#include <libnbd.h>

#define POOL_BYTES (64 * GIB)
#define LARGE_BYTES (16 * TIB)
#define DEPTH 16
#define ROUNDS_MAX 9u
#define PATIENCE_TRIES 400
#define MEMORY_BOUND (96 * MIB)

struct server {
	pid_t pid;
	char nbd[300], control[300]; /* sockets */
};

/* ---- the server ---------------------------------------------------------------------- */

static void start_server(const struct setting *s, const char *path, struct server *v)
{
	const char *where = s->run_dir[0] ? s->run_dir : s->dir;
	char pool[4200], control[320];

	snprintf(v->nbd, sizeof v->nbd, "%.270s/nbd", where);
	snprintf(v->control, sizeof v->control, "%.270s/ctl", where);
	snprintf(pool, sizeof pool, "pool=%s", path);
	snprintf(control, sizeof control, "control=%s", v->control);
	unlink(v->nbd); /* of a server before */
	setenv("COWBD_RUNDIR", where, 1);
	v->pid = fork();
	if (v->pid == 0) {
		execlp("nbdkit", "nbdkit", "-f", "--exit-with-parent", "-U", v->nbd, s->plugin,
		       pool, control, NULL);
		_exit(127);
	}
	if (v->pid < 0)
		wrong("can't start nbdkit: %s", strerror(errno));
	for (int tries = 0; access(v->nbd, F_OK) < 0; tries++) {
		if (tries == PATIENCE_TRIES || waitpid(v->pid, NULL, WNOHANG) == v->pid)
			wrong("nbdkit does not serve %s", path);
		usleep(50000);
	}
}

static void stop_server(const struct server *v)
{
	int status;

	kill(v->pid, SIGTERM);
	if (waitpid(v->pid, &status, 0) != v->pid || status != 0)
		wrong("nbdkit ended with status %#x", status);
}

static FILE *open_control(const struct server *v)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f;

	snprintf(address.sun_path, sizeof address.sun_path, "%.107s", v->control);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		wrong("%s: %s", v->control, strerror(errno));
	f = fdopen(fd, "r");
	if (!f)
		wrong("no memory for a stream");
	return f;
}

/* Asks by the control socket, returns when it is answered: what "ok" says, a new reference. */
static json_t *ask(const struct server *v, const char *request)
{
	FILE *f = open_control(v);
	char line[65536];
	json_t *answer = NULL, *ok;

	if (!fgets(line, sizeof line, f)) /* the greeting */
		wrong("the control socket doesn't greet");
	dprintf(fileno(f), "{\"v\":1,\"id\":1,%s}\n", request);
	while (fgets(line, sizeof line, f)) {
		json_decref(answer);
		answer = json_loads(line, 0, NULL);
		if (json_object_get(answer, "ok") || json_object_get(answer, "error"))
			break;
	}
	ok = json_incref(json_object_get(answer, "ok"));
	if (!ok)
		wrong("%s: %.500s", request, line);
	json_decref(answer);
	fclose(f);
	return ok;
}

static void snapshot_by_socket(const struct server *v, const char *name)
{
	char request[200];

	snprintf(request, sizeof request, "\"cmd\":\"snapshot\",\"args\":{\"names\":[\"%s\"]}",
		 name);
	json_decref(ask(v, request));
}

/* ---- the client ------------------------------------------------------------------------- */

struct load {
	struct nbd_handle *nbd;
	uint64_t seed, blocks;
	unsigned under_way;
	uint64_t done;
	char buf[BLOCK];
};

static int one_done(void *opaque, int *error)
{
	struct load *l = opaque;

	if (*error)
		wrong("a write failed: %s", strerror(*error));
	l->under_way--;
	l->done++;
	return 1; /* and forget the command */
}

static void nbd_must(int64_t r, const char *what)
{
	if (r < 0)
		wrong("%s: %s", what, nbd_get_error());
}

static void connect_load(struct load *l, const struct server *v, const char *export, uint64_t seed)
{
	l->nbd = nbd_create();
	if (!l->nbd)
		wrong("libnbd: %s", nbd_get_error());
	nbd_must(nbd_set_export_name(l->nbd, export), export);
	nbd_must(nbd_connect_unix(l->nbd, v->nbd), export);
	l->blocks = (uint64_t)nbd_get_size(l->nbd) / BLOCK;
	l->seed = seed;
	memset(l->buf, 0x5a, sizeof l->buf);
}

static void end_load(struct load *l)
{
	nbd_must(nbd_shutdown(l->nbd, 0), "shutdown");
	nbd_close(l->nbd);
}

/* Writes a second: depth 16, for so long. */
static double run_load(struct load *l, double seconds)
{
	uint64_t from = now_ns(), done = l->done;
	bool go_on = true;

	while (go_on || l->under_way) {
		go_on = seconds_since(from) < seconds;
		while (go_on && l->under_way < DEPTH) {
			uint64_t block = next_random(&l->seed) % l->blocks;
			nbd_completion_callback cb = {.callback = one_done, .user_data = l};

			l->under_way++;
			nbd_must(nbd_aio_pwrite(l->nbd, l->buf, BLOCK, block * BLOCK, cb, 0),
				 "write");
		}
		if (l->under_way)
			nbd_must(nbd_poll(l->nbd, -1), "poll");
	}
	return (double)(l->done - done) / seconds_since(from);
}

/* ---- the part ------------------------------------------------------------------------------- */

static void report_rates(double *plain, double *shared, double *ratio, unsigned n)
{
	char note[120];
	double before = quantile(plain, n, 0.5), after = quantile(shared, n, 0.5);
	double least = quantile(ratio, n, 0);

	snprintf(note, sizeof note,
		 "medians of %u rounds: %.1f k/s before, %.1f k/s after; ratios %.2f to %.2f", n,
		 before / 1e3, after / 1e3, least, ratio[n - 1]);
	report_figure(&(struct figure){"nbdkit, 4 KiB random writes after a snapshot / before", "x",
				       after / before, AT_LEAST, 0.7, TIME_HOW_FAR, note});
}

static void measure_rounds(const struct server *v, unsigned rounds, double seconds)
{
	double plain[ROUNDS_MAX], shared[ROUNDS_MAX], ratio[ROUNDS_MAX];
	struct load before = {0}, after = {0};
	char name[40];

	connect_load(&before, v, "plain", 1);
	connect_load(&after, v, "shared", 2);
	(void)run_load(&before, seconds / 4);
	(void)run_load(&after, seconds / 4);
	for (unsigned i = 0; i < rounds; i++) {
		plain[i] = run_load(&before, seconds);
		snprintf(name, sizeof name, "shared@%u", i);
		snapshot_by_socket(v, name);
		shared[i] = run_load(&after, seconds);
		ratio[i] = shared[i] / plain[i];
	}
	report_rates(plain, shared, ratio, rounds);
	end_load(&before);
	end_load(&after);
}

static void report_memory(const struct server *v, const char *what, const char *did)
{
	json_t *status = ask(v, "\"cmd\":\"status\"");
	char note[160];

	snprintf(note, sizeof note, "VmHWM; cache %.0f MiB%s",
		 json_number_value(json_object_get(status, "cache_bytes")) / MIB, did);
	json_decref(status);
	report_figure(&(struct figure){what, "MiB", (double)peak_memory(v->pid) / MIB, AT_MOST,
				       (double)MEMORY_BOUND / MIB, SIZE_HOW_FAR, note});
}

static void write_huge(const struct server *v, double seconds)
{
	struct load l = {0};
	char did[80];

	connect_load(&l, v, "huge", 3);
	snprintf(did, sizeof did, "; %.1f k/s for %.0f s", run_load(&l, seconds) / 1e3, seconds);
	end_load(&l);
	report_memory(v, "resident, nbdkit, 16 TiB written at random", did);
}

void part_nbd(const struct setting *s)
{
	uint64_t size = s->quick ? 128 * MIB : GIB;
	struct cowbd_check_result found;
	struct server v;
	struct cowbd_pool *p;
	char path[4096];

	if (!s->plugin || !*s->plugin || system("nbdkit --version >/dev/null 2>&1") != 0) {
		report_skipped("nbdkit, 4 KiB random writes after a snapshot / before",
			       s->plugin && *s->plugin ? "nbdkit is not installed" : "no --plugin");
		return;
	}
	pool_path(s, "nbd", path);
	make_pool(path, POOL_BYTES, s->quick ? 16 * MIB : 0);
	p = open_pool(s, path);
	make_full(p, "plain", size);
	make_full(p, "shared", size);
	must(cowbd_create(p, "huge", LARGE_BYTES, 0, 0), "create");
	must(cowbd_close(p), "close");
	start_server(s, path, &v);
	measure_rounds(&v, s->quick ? 3 : ROUNDS_MAX, s->quick ? 0.5 : 1.5);
	report_memory(&v, "resident, nbdkit, after those rounds", "");
	stop_server(&v);
	start_server(s, path, &v);
	write_huge(&v, s->quick ? 2 : 10);
	stop_server(&v);
	must(cowbd_check(path, &(struct cowbd_check_options){0}, &found), "check");
	if (found.damages || found.leaks)
		wrong("after the load, check found %" PRIu64 " damages, %" PRIu64 " leaks",
		      found.damages, found.leaks);
}
