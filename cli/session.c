/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.c - which pool is meant, and the way to it: its daemon, or the file itself
 *
 *	-p POOL, else $COWBD_POOL:  a file: the link RUNDIR/DEV:INO.ctl leads to its daemon, else
 *	                            its UUID, read from it, names the control socket
 *	                            no file: the link RUNDIR/POOL.ctl
 *	neither:                    the only control socket on which somebody answers
 *
 * A copied pool has the UUID of its origin.  So the daemon says at once which file
 * (device and inode) it serves; if that is another one, this pool isn't served.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define CTL ".ctl"
#define SERVED_MAX 16
#define LOCK_WAIT_MS 5000 /* for another command at work on the same pool */
#define NEXT_SECONDS                                                                               \
	30 /* for a daemon to come after another: a takeover may take 10 s, a recovery a few */
#define NEXT_NOTE_SECONDS 2
#define NEXT_POLL_MS 50

int run_dir_file(char **ret_path, const char *fmt, ...)
{
	char dir[PATH_MAX];
	SCOPED_TEXT char *name = NULL;
	va_list ap;
	int n;

	if (cowbd_run_dir(dir, sizeof dir) < 0)
		return complain_library();
	va_start(ap, fmt);
	n = vasprintf(&name, fmt, ap);
	va_end(ap);
	if (n < 0) {
		name = NULL;
		return complain("no memory for a path");
	}
	if (asprintf(ret_path, "%s/%s", dir, name) < 0)
		return complain("no memory for a path");
	return DONE;
}

static int connect_trouble(const char *path, int err)
{
	switch (-err) {
	case EACCES:
	case EPERM:
		return complain("%s: permission denied: run as the user that serves the pool",
				path);
	case EPROTO:
		return complain("%s: another protocol than this cowbd's: use the cowbd that the "
				"daemon came with",
				path);
	case ETIMEDOUT:
		return complain("%s: the daemon doesn't answer: look at its log, or kill it", path);
	default: return complain("%s: can't connect: %s", path, strerror(-err));
	}
}

static bool nobody_listens(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -ENOTDIR ||
	       err == -ENAMETOOLONG; /* serve refuses such a path */
}

/* ---- by path ------------------------------------------------------------------------ */

/* The daemon that left a link for this very file: nothing is read from it, behind the writes of a busy disk.
 * Whatever goes wrong is seen, and said, on the long way. */
static bool find_by_link(const char *path, struct session *s)
{
	SCOPED_TEXT char *ctl = NULL;
	struct stat st;

	if (stat(path, &st) < 0 || !(s->path = realpath(path, NULL)))
		return false;
	if (run_dir_file(&ctl, "%" PRIx64 ":%" PRIx64 CTL, (uint64_t)st.st_dev,
			 (uint64_t)st.st_ino) == DONE &&
	    client_connect(ctl, &s->daemon, &s->hello) == 0 && s->hello.dev == st.st_dev &&
	    s->hello.ino == st.st_ino) {
		snprintf(s->uuid, sizeof s->uuid, "%s", s->hello.uuid);
		snprintf(s->name, sizeof s->name, "%s", s->hello.name);
		return true;
	}
	client_close(s->daemon);
	s->daemon = NULL;
	free(s->path);
	s->path = NULL;
	return false;
}

int session_find_path(const char *path, struct session *s)
{
	SCOPED_TEXT char *ctl = NULL;
	struct cowbd_identity id;
	int err, status;

	if (find_by_link(path, s))
		return DONE;
	if (cowbd_probe(path, &id) < 0)
		return complain_library();
	s->path = realpath(path, NULL);
	if (!s->path)
		return complain("%s: %s", path, strerror(errno));
	snprintf(s->uuid, sizeof s->uuid, "%s", id.uuid);
	snprintf(s->name, sizeof s->name, "%s", id.name);
	status = run_dir_file(&ctl, "%s" CTL, id.uuid);
	if (status)
		return status;
	err = client_connect(ctl, &s->daemon, &s->hello);
	if (err && !nobody_listens(err))
		return connect_trouble(ctl, err);
	if (!err && (s->hello.dev != id.dev || s->hello.ino != id.ino)) {
		client_close(s->daemon);
		s->daemon = NULL;
	}
	if (!s->daemon && id.one_copy)
		note("%s: one copy of the superblock is damaged, the other is used: `cowbd check` "
		     "tells more",
		     path);
	return DONE;
}

/* ---- by socket ------------------------------------------------------------------------ */

/* Asks the daemon for what else a session holds. */
static int learn_from_daemon(struct session *s)
{
	SCOPED_JSON json_t *status = NULL;
	const char *name, *path;

	snprintf(s->uuid, sizeof s->uuid, "%s", s->hello.uuid);
	if (session_call(s, "status", NULL, NULL, NULL, &status) < 0)
		return session_complain(s);
	name = json_string_value(json_object_get(status, "name"));
	path = json_string_value(json_object_get(status, "path"));
	snprintf(s->name, sizeof s->name, "%s", name ? name : "");
	s->path = path ? strdup(path) : NULL;
	return DONE;
}

static int find_by_name(const char *name, struct session *s)
{
	SCOPED_TEXT char *ctl = NULL;
	int err, status = run_dir_file(&ctl, "%s" CTL, name);

	if (status)
		return status;
	err = client_connect(ctl, &s->daemon, &s->hello);
	if (nobody_listens(err))
		return complain("no pool %s: no such file, and no daemon serves a pool of that "
				"name: `cowbd init %s` makes one",
				name, name);
	return err ? connect_trouble(ctl, err) : learn_from_daemon(s);
}

int session_find_uuid(const char *uuid, struct session *s)
{
	SCOPED_TEXT char *ctl = NULL;

	*s = (struct session){0};
	if (run_dir_file(&ctl, "%s" CTL, uuid) || client_connect(ctl, &s->daemon, &s->hello) < 0)
		return FAILED;
	return learn_from_daemon(s);
}

struct served {
	struct client *client[SERVED_MAX];
	struct hello hello[SERVED_MAX];
	size_t n;
	int denied; /* sockets of others */
};

/* Connects to every daemon that answers; links are second names and left out. */
static void connect_all(const char *dir, struct served *all)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && all->n < SERVED_MAX && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		char path[PATH_MAX + sizeof e->d_name + 1];
		struct stat st;
		int err;

		if (len <= strlen(CTL) || strcmp(e->d_name + len - strlen(CTL), CTL) != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
			continue;
		err = client_connect(path, &all->client[all->n], &all->hello[all->n]);
		all->n += err == 0;
		all->denied += err == -EACCES || err == -EPERM;
	}
	if (d)
		closedir(d);
}

static int find_only(struct session *s)
{
	struct served all = {.n = 0};
	char dir[PATH_MAX];

	if (cowbd_run_dir(dir, sizeof dir) < 0)
		return complain_library();
	connect_all(dir, &all);
	if (all.n == 1) {
		s->daemon = all.client[0];
		s->hello = all.hello[0];
		return learn_from_daemon(s);
	}
	for (size_t i = 0; i < all.n; i++)
		client_close(all.client[i]);
	if (all.n > 1)
		return complain("%zu pools are served: say which with -p POOL", all.n);
	if (all.denied)
		return complain("the daemons in %s belong to another user: say -p POOL, or run as "
				"that user",
				dir);
	return complain("which pool? none is served: say -p POOL, or set COWBD_POOL");
}

/* ---- sessions ------------------------------------------------------------------------- */

int session_find(const struct call *c, struct session *s)
{
	const char *which = c->opt[OPT_POOL];

	*s = (struct session){0};
	if (!which)
		which = getenv("COWBD_POOL");
	if (which && !*which && c->opt[OPT_POOL])
		return complain("-p: the name of the pool is empty: give its file");
	if (!which || !*which)
		return find_only(s);
	if (strchr(which, '/') || access(which, F_OK) == 0)
		return session_find_path(which, s);
	return find_by_name(which, s);
}

static int open_pool(struct session *s)
{
	struct cowbd_open_options opt = {.flags = s->read_only ? COWBD_OPEN_READ_ONLY : 0,
					 .wait_ms = LOCK_WAIT_MS};

	return cowbd_open(s->path, &opt, &s->pool);
}

int session_open(const struct call *c, const char *cmd, struct session *s)
{
	int status = session_find(c, s);

	s->read_only = admin_reads_only(cmd);
	if (status || s->daemon)
		return status;
	return open_pool(s) < 0 ? complain_library() : DONE;
}

int session_close(struct session *s, int status)
{
	if (s->pool && cowbd_close(s->pool) < 0 && status == DONE)
		status = complain_library();
	client_close(s->daemon);
	free(s->path);
	*s = (struct session){0};
	return status;
}

/* ---- a daemon that goes away ------------------------------------------------------------ */

/* To a daemon of the same file: a copied pool has the same UUID. */
static bool connect_again(struct session *s)
{
	SCOPED_TEXT char *ctl = NULL;
	struct client *next;
	struct hello hello;

	if (run_dir_file(&ctl, "%s" CTL, s->uuid) || client_connect(ctl, &next, &hello) < 0)
		return false;
	if (hello.dev != s->hello.dev || hello.ino != s->hello.ino) {
		client_close(next);
		return false;
	}
	client_close(s->daemon);
	s->daemon = next;
	s->hello = hello;
	return true;
}

/* Waits for the next daemon: false if none comes, or for Ctrl-C. */
static bool find_next_daemon(struct session *s, time_t until, bool *told)
{
	for (time_t now = time(NULL); now <= until && !interruption_waits(); now = time(NULL)) {
		if (now > until - NEXT_SECONDS + NEXT_NOTE_SECONDS && !*told) {
			*told = true;
			note("the daemon went away: the next one is waited for, %d s at most: "
			     "`cowbd serve %s`",
			     NEXT_SECONDS, s->path);
		}
		usleep(NEXT_POLL_MS * 1000);
		if (connect_again(s))
			return true;
	}
	return false;
}

static int call_again(struct session *s, const char *cmd, json_t *args, admin_progress progress,
		      void *opaque, json_t **ret_ok)
{
	time_t until = time(NULL) + NEXT_SECONDS;
	bool told = false;
	int err = -EPIPE;

	while (s->trouble.lost && find_next_daemon(s, until, &told))
		err = client_call(s->daemon, cmd, args, progress, opaque, ret_ok, &s->trouble);
	if (s->trouble.lost) {
		s->patient = false;
		s->gone = true;
		snprintf(s->trouble.message, sizeof s->trouble.message,
			 "the daemon went away before it answered %s, and there is no other", cmd);
		snprintf(s->trouble.hint, sizeof s->trouble.hint,
			 "`cowbd serve %s`, and run it again", s->path);
	}
	return err;
}

int session_call(struct session *s, const char *cmd, json_t *args, admin_progress progress,
		 void *opaque, json_t **ret_ok)
{
	int err;

	if (s->daemon) {
		err = client_call(s->daemon, cmd, args, progress, opaque, ret_ok, &s->trouble);
		if (err && s->trouble.lost && s->patient && client_may_repeat(cmd))
			err = call_again(s, cmd, args, progress, opaque, ret_ok);
		return err;
	}
	err = admin_call(s->pool, NULL, cmd, args, progress, opaque, ret_ok);
	if (err) {
		snprintf(s->trouble.message, sizeof s->trouble.message, "%s", cowbd_error());
		snprintf(s->trouble.hint, sizeof s->trouble.hint, "%s", admin_hint());
	}
	return err;
}

int session_complain(const struct session *s)
{
	return complain("%s%s%s", s->trouble.message, s->trouble.hint[0] ? ": " : "",
			s->trouble.hint);
}

/* ---- the usual course of a command ------------------------------------------------------ */

json_t *new_args(const struct call *c)
{
	json_t *args = json_object();

	if (c->opt[OPT_NO_WAIT])
		json_object_set_new(args, "no_wait", json_true());
	return args;
}

int check_name(const char *name)
{
	return cowbd_name_check(name) < 0 ? complain_library() : DONE;
}

int run_admin(const struct call *c, const char *cmd, json_t *args, json_t **ret_ok)
{
	struct session s;
	json_t *ok = NULL;
	int status = session_open(c, cmd, &s);

	if (!status && session_call(&s, cmd, args, progress_admin, NULL, &ok) < 0)
		status = session_complain(&s);
	progress_end();
	json_decref(args);
	status = session_close(&s, status);
	if (status)
		json_decref(ok);
	else
		*ret_ok = ok;
	return status;
}

int run_and_note(const struct call *c, const char *cmd, json_t *args, json_t **ret_ok)
{
	int status = run_admin(c, cmd, args, ret_ok);
	const char *text;

	if (status)
		return status;
	text = json_string_value(json_object_get(*ret_ok, "note"));
	if (text)
		note("%s", text);
	return c->opt[OPT_JSON] ? print_json(*ret_ok) : DONE;
}
