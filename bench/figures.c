/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures.c - measures what cowbd promises, and prints it beside the targets
 *
 *	figures [--quick] [--json FILE] [--only PART] [--plugin FILE]
 *
 * Status 0; 1 on a wrong result, or a figure so far beyond its target that no noise explains it (a
 * time: ten times); 77 where there is no room.  Files are in $TMPDIR or /var/tmp, and go
 * when it ends, also when it is interrupted.
 *
 *	parent: table, JSON, clean-up  <--- pipe: one JSON object a line ---  child: one part
 */
#include "figures.h"

#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <jansson.h>

#define LEAVE_FREE (10 * GIB)
#define NEED_FULL (10 * GIB)
#define NEED_QUICK (2 * GIB)
#define LIMIT_FULL 440u /* seconds, in all */
#define LIMIT_QUICK 100u
#define NO_ROOM 77

static const struct part {
	const char *name;
	void (*run)(const struct setting *s);
} parts[] = {
	{"check", part_check},   {"instant", part_instant}, {"kill", part_kill},
	{"memory", part_memory}, {"nbd", part_nbd},
};

/* ---- child: what is found ---------------------------------------------------------------- */

static FILE *results; /* the pipe to the parent */

static void send_result(json_t *o)
{
	must(o ? 0 : fail(-ENOMEM, "no memory for a result"), "result");
	json_dumpf(o, results, JSON_COMPACT);
	fputc('\n', results);
	fflush(results);
	json_decref(o);
}

void report_figure(const struct figure *f)
{
	static const char *const senses[] = {"none", "at most", "at least"};

	send_result(json_pack("{s:s, s:f, s:s, s:s, s:f, s:f, s:s}", "name", f->name, "value",
			      f->value, "unit", f->unit, "sense", senses[f->sense], "target",
			      f->target, "how_far", f->how_far, "note", f->note ? f->note : ""));
}

void report_skipped(const char *what, const char *why)
{
	send_result(json_pack("{s:s, s:s}", "name", what, "skipped", why));
}

noreturn void wrong(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	send_result(json_pack("{s:s}", "wrong", text));
	_exit(1);
}

void must(int r, const char *what)
{
	if (r != 0)
		wrong("%s: %s", what, cowbd_error());
}

/* ---- parent: table --------------------------------------------------------------------------- */

static json_t *all; /* figures */
static bool bad;
static unsigned missed;

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static double number_of(json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* "met", "missed" or "FAILED". */
static const char *verdict(json_t *o)
{
	double value = number_of(o, "value"), target = number_of(o, "target");
	double far = number_of(o, "how_far");

	if (strcmp(text_of(o, "sense"), "at most") == 0)
		return value <= target ? "met" : value <= target * far ? "missed" : "FAILED";
	if (strcmp(text_of(o, "sense"), "at least") == 0)
		return value >= target ? "met" : value >= target / far ? "missed" : "FAILED";
	return "";
}

static void print_figure(json_t *o)
{
	const char *v = verdict(o);
	char value[40], target[40] = "";

	snprintf(value, sizeof value, "%.4g %s", number_of(o, "value"), text_of(o, "unit"));
	if (*v)
		snprintf(target, sizeof target, "%s %.4g",
			 *text_of(o, "sense") && text_of(o, "sense")[3] == 'm' ? "<=" : ">=",
			 number_of(o, "target"));
	printf("%-58s %14s  %-9s %-7s%s%s\n", text_of(o, "name"), value, target, v,
	       *text_of(o, "note") ? " " : "", text_of(o, "note"));
	bad |= v[0] == 'F';
	missed += v[0] == 'm' && v[1] == 'i';
	json_object_set_new(o, "verdict", json_string(v));
}

static void take_result(const char *part, char *line)
{
	json_t *o = json_loads(line, 0, NULL);

	if (!o) {
		bad = true;
		printf("%s: unreadable result: %s", part, line);
		return;
	}
	json_object_set_new(o, "part", json_string(part));
	if (json_object_get(o, "wrong")) {
		bad = true;
		printf("%s: WRONG: %s\n", part, text_of(o, "wrong"));
	} else if (json_object_get(o, "skipped")) {
		printf("%-58s skipped: %s\n", text_of(o, "name"), text_of(o, "skipped"));
	} else {
		print_figure(o);
	}
	fflush(stdout);
	json_array_append_new(all, o);
}

/* ---- parent: files ------------------------------------------------------------------------------ */

static char work_dir[3800], run_dir[200];
static volatile pid_t child;              /* leader of its process group; 0 none */
static volatile sig_atomic_t interrupted; /* by which signal */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *dir)
{
	if (dir[0])
		(void)!nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void clean_up(void)
{
	remove_tree(work_dir);
	remove_tree(run_dir);
}

static int make_directories(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(work_dir, sizeof work_dir, "%s/cowbd-figures.XXXXXX",
		 tmp && *tmp ? tmp : "/var/tmp");
	if (!mkdtemp(work_dir)) {
		work_dir[0] = '\0';
		return fail(-errno, "no directory for the pools: %s", strerror(errno));
	}
	/* a killed session leaves its tail: it shall lie where it is removed */
	snprintf(run_dir, sizeof run_dir, "/dev/shm/cowbd-figures.XXXXXX");
	if (!mkdtemp(run_dir))
		run_dir[0] = '\0';
	return 0;
}

static bool room_for(uint64_t need)
{
	struct statvfs v;

	if (statvfs(work_dir, &v) < 0)
		return false;
	if ((uint64_t)v.f_bavail * v.f_frsize >= need + LEAVE_FREE)
		return true;
	printf("figures: skipped: %s has not the %" PRIu64
	       " GiB free that this takes, and 10 GiB beside\n",
	       work_dir, need / GIB);
	return false;
}

/* ---- parent: parts -------------------------------------------------------------------------------- */

/* The part's end is the pipe's, and that ends all waiting. */
static void on_signal(int number)
{
	interrupted = number;
	if (child > 0)
		kill(-child, SIGKILL);
}

static void catch_signals(sigset_t *ret)
{
	static const int list[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigemptyset(ret);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		sigaddset(ret, list[i]);
		sigaction(list[i], &act, NULL);
	}
}

static noreturn void run_child(const struct part *part, const struct setting *s, int fd,
			       const sigset_t *signals)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(signals, i) == 1)
			signal(i, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, signals, NULL);
	results = fdopen(fd, "w");
	if (!results)
		_exit(1);
	part->run(s);
	_exit(0);
}

/* Starts a part, unless interrupted before: its pid, or -1. */
static pid_t start_part(const struct part *part, const struct setting *s, const int fds[2],
			const sigset_t *signals)
{
	pid_t pid = -1;

	sigprocmask(SIG_BLOCK, signals, NULL);
	if (!interrupted)
		pid = fork();
	if (pid == 0)
		run_child(part, s, fds[1], signals);
	if (pid > 0)
		setpgid(pid, pid);
	child = pid;
	sigprocmask(SIG_UNBLOCK, signals, NULL);
	return pid;
}

static void collect(const char *name, int fd)
{
	FILE *from = fdopen(fd, "r");
	char *line = NULL;
	size_t room = 0;

	while (from && getline(&line, &room, from) > 0)
		take_result(name, line);
	free(line);
	if (from)
		fclose(from);
}

static void run_part(const struct part *part, struct setting *s, const sigset_t *signals)
{
	int fds[2], status = 0;
	pid_t pid;

	snprintf(s->dir, sizeof s->dir, "%s/%s", work_dir, part->name);
	if (mkdir(s->dir, 0700) < 0 || pipe2(fds, O_CLOEXEC) < 0) {
		bad = true;
		printf("%s: %s\n", part->name, strerror(errno));
		return;
	}
	fflush(stdout);
	pid = start_part(part, s, fds, signals);
	close(fds[1]);
	collect(part->name, fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		bad = true;
		printf("%s: ended with status %#x\n", part->name, status);
	}
	if (pid > 0)
		kill(-pid, SIGKILL); /* what it may have left behind */
	child = 0;
	remove_tree(s->dir);
}

/* ---- main --------------------------------------------------------------------------------------------- */

static double load_average(void)
{
	double load = 0;

	return getloadavg(&load, 1) == 1 ? load : 0;
}

static int write_json(const char *path, bool quick, double load_before, double took)
{
	json_t *o = json_pack("{s:i, s:s, s:b, s:f, s:f, s:f, s:i, s:O}", "version", 1, "cowbd",
			      cowbd_version(), "quick", quick, "seconds", took, "load_before",
			      load_before, "load_after", load_average(), "processors",
			      (int)sysconf(_SC_NPROCESSORS_ONLN), "figures", all);
	int r = o ? json_dump_file(o, path, JSON_INDENT(2)) : -1;

	json_decref(o);
	return r;
}

static int usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: figures [--quick] [--json FILE] [--only PART] [--plugin FILE]\n"
		"parts: check instant kill memory nbd\n");
	return status;
}

struct arguments {
	bool quick;
	const char *json, *only, *plugin;
};

/* 0, or the status to end with, plus 1. */
static int parse_arguments(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"quick", no_argument, NULL, 'q'},      {"json", required_argument, NULL, 'j'},
		{"only", required_argument, NULL, 'o'}, {"plugin", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
	};
	int c;

	a->plugin = getenv("COWBD_PLUGIN");
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'q': a->quick = true; break;
		case 'j': a->json = optarg; break;
		case 'o': a->only = optarg; break;
		case 'p': a->plugin = optarg; break;
		case 'h': return usage(0) + 1;
		default: return usage(64) + 1;
		}
	if (optind < argc)
		return usage(64) + 1;
	for (size_t i = 0; a->only && i < ARRAY_SIZE(parts); i++)
		if (strcmp(a->only, parts[i].name) == 0)
			return 0;
	return a->only ? usage(64) + 1 : 0;
}

int main(int argc, char **argv)
{
	struct arguments a = {0};
	struct setting s = {0};
	sigset_t signals;
	uint64_t from = now_ns();
	double load = load_average();
	int r = parse_arguments(argc, argv, &a);

	if (r)
		return r - 1;
	catch_signals(&signals);
	if (make_directories() < 0) {
		fprintf(stderr, "figures: %s\n", cowbd_error());
		return 1;
	}
	if (!room_for(a.quick ? NEED_QUICK : NEED_FULL)) {
		clean_up();
		return NO_ROOM;
	}
	s.quick = a.quick;
	s.plugin = a.plugin;
	snprintf(s.run_dir, sizeof s.run_dir, "%s", run_dir);
	all = json_array();
	alarm(a.quick ? LIMIT_QUICK : LIMIT_FULL);
	printf("cowbd %s, %ld processors, load average %.1f%s\n\n%-58s %14s  %-9s\n",
	       cowbd_version(), sysconf(_SC_NPROCESSORS_ONLN), load,
	       load > 0.5 ? " (others are at work: times are noisy)" : "", "figure", "measured",
	       "target");
	for (size_t i = 0; i < ARRAY_SIZE(parts) && !interrupted; i++)
		if (!a.only || strcmp(a.only, parts[i].name) == 0)
			run_part(&parts[i], &s, &signals);
	clean_up();
	if (interrupted) {
		fprintf(stderr, "figures: %s\n",
			interrupted == SIGALRM ? "took too long" : "interrupted");
		return interrupted == SIGALRM ? 1 : 128 + interrupted;
	}
	printf("\n%u missed, %s, %.0f s, load average now %.1f\n", missed,
	       bad ? "FAILED" : "nothing wrong", seconds_since(from), load_average());
	if (a.json && write_json(a.json, a.quick, load, seconds_since(from)) < 0) {
		fprintf(stderr, "figures: %s: can't be written\n", a.json);
		bad = true;
	}
	json_decref(all);
	return bad;
}
