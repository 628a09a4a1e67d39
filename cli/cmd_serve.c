/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_serve.c - cowbd serve: becomes nbdkit with the plugin
 *
 * The process that was started is the daemon, in the foreground (so a supervisor sees its
 * death); with --daemon a child is, whose messages go to RUNDIR/<uuid>.log.
 * Who waits for readiness asks the control socket: it answers after the pool
 * is recovered and the NBD socket listens, and tells the pid.
 *
 * The NBD socket, if it is a Unix socket, is made here, before the daemon before this one lets the pool go or a
 * journal is replayed: who connects meanwhile waits, and is not refused (a client that is refused waits a second,
 * or gives up).  One command at a time starts a daemon for a pool: it holds RUNDIR/<uuid>.serve, which goes with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "listener.h"
#include "reattach.h"

#define PLUGIN "nbdkit-cowbd-plugin.so"
#define READY_POLL_MS 10
#define LOG_TAIL 4096
#define ARGS_MAX 256
#define THREADS 64 /* a connection; measured, see docs/ARCHITECTURE.md */
#define TAKEOVER_MS 10000
#define LOCK_MS 1000
#define RESTARTS_MAX 5 /* so often within so many seconds, then no more */
#define RESTARTS_S 60

struct serve {
	const struct call *c;
	struct session s; /* path and uuid */
	char *socket;     /* NULL: TCP */
	bool old;         /* another daemon serves the pool, and is to hand it over, */
	bool handed;      /* and its socket's path as well */
	int lock;         /* of the starting of this pool's daemon */
	struct listener listener;
	char *ctl, *log, *lock_file;
	char host[256], port[16];
	char *plugin;
	char *args[ARGS_MAX]; /* of nbdkit, malloc'ed */
	size_t n;
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- what to run ---------------------------------------------------------------------- */

static int add_arg(struct serve *v, const char *fmt, ...) PRINTF(2, 3);
static int add_arg(struct serve *v, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (v->n + 1 >= ARGS_MAX)
		return complain("too many arguments for nbdkit: %d are the most", ARGS_MAX);
	va_start(ap, fmt);
	n = vasprintf(&v->args[v->n], fmt, ap);
	va_end(ap);
	if (n < 0)
		return complain("no memory for arguments");
	v->n++;
	return DONE;
}

/* The plugin beside a command that runs from its build tree, NULL if it doesn't. */
static char *plugin_of_build(void)
{
	static const char *const places[] = {
		"../plugin/.libs/" PLUGIN, "../.libs/" PLUGIN, "../../plugin/.libs/" PLUGIN,
		"../../.libs/" PLUGIN,     ".libs/" PLUGIN,
	};
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	char *slash;

	if (n < 0)
		return NULL;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		SCOPED_TEXT char *path = NULL;

		if (asprintf(&path, "%s/%s", exe, places[i]) < 0)
			path = NULL;
		if (path && access(path, R_OK) == 0)
			return realpath(path, NULL);
	}
	return NULL;
}

/* $COWBD_PLUGIN, the build tree's, the installed one, else whatever nbdkit knows as cowbd. */
static int find_plugin(struct serve *v)
{
	const char *told = getenv("COWBD_PLUGIN");

	if (told && *told && access(told, R_OK) < 0)
		return complain("COWBD_PLUGIN=%s: %s", told, strerror(errno));
	if (told && *told)
		v->plugin = realpath(told, NULL);
	else
		v->plugin = plugin_of_build();
	if (!v->plugin)
		v->plugin = strdup(access(COWBD_PLUGINDIR "/" PLUGIN, R_OK) == 0 ? COWBD_PLUGINDIR
					   "/" PLUGIN
										 : "cowbd");
	return v->plugin ? DONE : complain("no memory for a path");
}

/* ---- TCP --------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, a, sizeof in);
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	if (a->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, a, sizeof in6);
		return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
	}
	return false;
}

/* Only if all that the host's name stands for is loopback. "" is every interface. */
static int check_loopback(const struct serve *v, bool *ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	int err;

	*ret = false;
	if (!v->host[0])
		return DONE;
	err = getaddrinfo(v->host, v->port, &hints, &list);
	if (err)
		return complain("--tcp %s: %s", v->c->opt[OPT_TCP], gai_strerror(err));
	*ret = true;
	for (struct addrinfo *a = list; a; a = a->ai_next)
		*ret &= is_loopback(a->ai_addr);
	freeaddrinfo(list);
	return DONE;
}

/* HOST, :PORT, HOST:PORT, [V6], [V6]:PORT, V6 */
static int split_address(struct serve *v)
{
	const char *text = v->c->opt[OPT_TCP], *colon = strrchr(text, ':'),
		   *end = text + strlen(text);
	unsigned long port = 10809;
	int status = DONE;

	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return usage_error(v->c, "--tcp %s: a ] is missing", text);
		colon = end[1] ? end + 1 : NULL;
		text++;
	} else if (colon && strchr(text, ':') == colon) {
		end = colon;
	} else {
		colon = NULL; /* none, or a bare IPv6 address */
	}
	if (colon)
		status = parse_number(colon + 1, "--tcp: port", 1, 65535, &port);
	snprintf(v->host, sizeof v->host, "%.*s", (int)(end - text), text);
	snprintf(v->port, sizeof v->port, "%lu", port);
	return status;
}

static bool wants_tls(const struct call *c)
{
	if (c->opt[OPT_TLS] || c->opt[OPT_TLS_CERTIFICATES] || c->opt[OPT_TLS_PSK])
		return true;
	for (int i = 0; i < c->rest_n; i++)
		if (strcmp(c->rest[i], "--tls=require") == 0)
			return true;
	return false;
}

static int check_tcp(struct serve *v)
{
	bool loopback;
	int status = split_address(v);

	if (!status)
		status = check_loopback(v, &loopback);
	if (status || loopback || wants_tls(v->c) || v->c->opt[OPT_INSECURE])
		return status;
	return complain(
		"--tcp %s is reachable from other machines: use --tls, or --insecure to let "
		"anybody there read and write",
		v->c->opt[OPT_TCP]);
}

/* ---- sockets and files in the run directory ------------------------------------------------- */

/* open: others may go through it to a socket that is theirs to use, but not look around in it. */
static int make_run_dir(bool open)
{
	char dir[PATH_MAX];
	struct stat st;

	if (cowbd_run_dir(dir, sizeof dir) < 0)
		return complain_library();
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return complain("run directory %s: %s: set COWBD_RUNDIR to one that you can write",
				dir, strerror(errno));
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return complain("run directory %s is not a directory: set COWBD_RUNDIR", dir);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return complain("run directory %s: others can write there: set COWBD_RUNDIR to a "
				"directory of your own",
				dir);
	if (open && (st.st_mode & 0011) != 0011 && chmod(dir, (st.st_mode & 0777) | 0011) < 0)
		return complain("run directory %s: can't let others through: %s", dir,
				strerror(errno));
	return DONE;
}

/* Is the file that was locked the one that is there?  The one who had the lock before takes it away. */
static bool is_there(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* 0, -EWOULDBLOCK: somebody else has it, or -errno. */
static int try_lock(struct serve *v)
{
	int err;

	v->lock = open(v->lock_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (v->lock < 0)
		return -errno;
	err = flock(v->lock, LOCK_EX | LOCK_NB) < 0 ? -errno
	      : is_there(v->lock, v->lock_file)     ? 0
						    : -EWOULDBLOCK;
	if (err) {
		close(v->lock);
		v->lock = -1;
	}
	return err;
}

/* One at a time starts a daemon of this pool. */
static int lock_start(struct serve *v)
{
	int err = try_lock(v);

	for (int waited = 0; err == -EWOULDBLOCK && waited < LOCK_MS; waited += READY_POLL_MS) {
		(void)poll(NULL, 0, READY_POLL_MS);
		err = try_lock(v);
	}
	if (err == -EWOULDBLOCK)
		return complain("another `cowbd serve` is just starting a daemon for this pool: "
				"`cowbd status` shows when it serves");
	return err ? complain("%s: %s", v->lock_file, strerror(-err)) : DONE;
}

/* For one who has a copy of the descriptor; another unlocks. */
static void forget_lock(struct serve *v)
{
	if (v->lock >= 0)
		close(v->lock);
	v->lock = -1;
}

static void unlock_start(struct serve *v)
{
	if (v->lock >= 0)
		unlink(v->lock_file);
	forget_lock(v);
}

static int name_files(struct serve *v)
{
	const struct call *c = v->c;
	int status = make_run_dir(c->opt[OPT_SOCKET_GROUP] || c->opt[OPT_SOCKET_MODE] ||
				  c->opt[OPT_CONTROL_GROUP]);

	if (!status)
		status = run_dir_file(&v->ctl, "%s.ctl", v->s.uuid);
	if (!status)
		status = run_dir_file(&v->log, "%s.log", v->s.uuid);
	if (!status)
		status = run_dir_file(&v->lock_file, "%s.serve", v->s.uuid);
	if (!status && strlen(v->ctl) > 107)
		status = complain("control socket %s: its path has %zu bytes, and sockets can have "
				  "107: set COWBD_RUNDIR to a shorter one",
				  v->ctl, strlen(v->ctl));
	return status;
}

/* Another file with this pool's UUID has the names of its sockets. */
static int check_copies(const struct serve *v)
{
	struct client *k;
	struct hello h;

	if (client_connect(v->ctl, &k, &h) < 0)
		return DONE;
	client_close(k);
	return complain(
		"a copy of this pool, with the same UUID, is served by pid %d: stop it first, "
		"or set COWBD_RUNDIR to another directory",
		h.pid);
}

/* Is it the one on which the daemon before this one listens? */
static bool is_handed(struct serve *v)
{
	struct address a = {0};
	struct stat old, new;
	bool same;

	if (!v->old || session_address(&v->s, "", &a))
		return false;
	same = a.socket && stat(a.socket, &old) == 0 && stat(v->socket, &new) == 0 &&
	       old.st_dev == new.st_dev &&old.st_ino == new.st_ino;
	address_fini(&a);
	return same;
}

static int choose_socket(struct serve *v)
{
	int status = DONE;

	if (v->c->opt[OPT_TCP])
		return DONE;
	if (!v->c->opt[OPT_SOCKET])
		status = run_dir_file(&v->socket, "%s.nbd", v->s.uuid);
	else if (asprintf(&v->socket, "%s", v->c->opt[OPT_SOCKET]) < 0)
		status = complain("no memory for a path");
	v->handed = !status && is_handed(v);
	return status;
}

/* ---- arguments --------------------------------------------------------------------------------- */

static int add_listener(struct serve *v)
{
	int status;

	if (v->socket) /* comes as a descriptor */
		return DONE;
	status = add_arg(v, "--port=%s", v->port);
	if (!status && v->host[0])
		status = add_arg(v, "--ipaddr=%s", v->host);
	return status;
}

static int add_server_args(struct serve *v)
{
	const struct call *c = v->c;
	unsigned long threads = THREADS;
	int status = DONE;

	if (c->opt[OPT_THREADS])
		status = parse_number(c->opt[OPT_THREADS], "--threads", 1, 4096, &threads);
	if (!status)
		status = add_arg(v, "--threads=%lu", threads);
	if (!status && c->opt[OPT_READONLY])
		status = add_arg(v, "--readonly");
	if (!status && (c->opt[OPT_TLS] || c->opt[OPT_TLS_CERTIFICATES] || c->opt[OPT_TLS_PSK]))
		status = add_arg(v, "--tls=require");
	if (!status && c->opt[OPT_TLS_CERTIFICATES])
		status = add_arg(v, "--tls-certificates=%s", c->opt[OPT_TLS_CERTIFICATES]);
	if (!status && c->opt[OPT_TLS_PSK])
		status = add_arg(v, "--tls-psk=%s", c->opt[OPT_TLS_PSK]);
	for (int i = 0; !status && i < c->rest_n; i++)
		status = add_arg(v, "%s", c->rest[i]);
	return status;
}

static int add_full_args(struct serve *v)
{
	const char *policy = v->c->opt[OPT_ON_FULL], *timeout = v->c->opt[OPT_HOLD_TIMEOUT];
	unsigned long seconds;
	int status = DONE;

	if (policy && strcmp(policy, "hold") != 0 && strcmp(policy, "error") != 0)
		return usage_error(v->c, "--on-full %s: it is hold or error", policy);
	if (policy)
		status = add_arg(v, "on-full=%s", policy);
	if (!status && timeout) {
		status = parse_number(timeout, "--hold-timeout", 0, UINT32_MAX, &seconds);
		if (!status)
			status = add_arg(v, "hold-timeout=%lu", seconds);
	}
	if (!status && v->c->opt[OPT_LOW_WATER])
		status = add_arg(v, "low-water=%s", v->c->opt[OPT_LOW_WATER]);
	return status;
}

static int add_plugin_args(struct serve *v)
{
	static const struct {
		enum option_id id;
		const char *parameter;
	} flags[] =
		{
			{OPT_READONLY, "read-only=true"},
			{OPT_DIRECT, "direct=on"},
			{OPT_LOST_TAIL, "lost-tail=true"},
			{OPT_AFTER_ERROR, "after-error=true"},
		},
	  access[] = {
		  {OPT_SOCKET_GROUP, "socket-group"},
		  {OPT_SOCKET_MODE, "socket-mode"},
		  {OPT_CONTROL_GROUP, "control-group"},
	  };
	uint64_t cache;
	int status = add_arg(v, "%s", v->plugin);

	if (!status)
		status = add_arg(v, "pool=%s", v->s.path);
	if (!status && v->socket)
		status = add_arg(v, "nbd-socket=%s", v->socket);
	if (!status && v->c->opt[OPT_CACHE]) {
		status = parse_size(v->c->opt[OPT_CACHE], "cache", &cache);
		if (!status)
			status = add_arg(v, "cache=%" PRIu64, cache);
	}
	if (!status)
		status = add_full_args(v);
	for (size_t i = 0; !status && i < ARRAY_SIZE(access); i++)
		if (v->c->opt[access[i].id])
			status = add_arg(v, "%s=%s", access[i].parameter, v->c->opt[access[i].id]);
	for (size_t i = 0; !status && i < ARRAY_SIZE(flags); i++)
		if (v->c->opt[flags[i].id])
			status = add_arg(v, "%s", flags[i].parameter);
	return status;
}

static int make_args(struct serve *v)
{
	int status = add_arg(v, "nbdkit");

	if (!status)
		status = add_arg(v, "--foreground");
	if (!status)
		status = add_listener(v);
	if (!status)
		status = add_server_args(v);
	return status ? status : add_plugin_args(v);
}

/* ---- taking over -------------------------------------------------------------------------------- */

/* Its process ends a moment after its pool is closed. */
static int wait_gone(const struct serve *v, int pidfd, uint64_t until_ms)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	uint64_t now = clock_ms();

	if (pidfd >= 0 && poll(&ended, 1, until_ms > now ? (int)(until_ms - now) : 0) <= 0)
		return complain(
			"pid %d has let the pool go and does not end: kill it, and serve again",
			v->s.hello.pid);
	return DONE;
}

/* The old daemon commits, drops its clients without a word (they send again what was not answered), and closes
 * the pool; all that takes time and can be done before, was. */
static int take_over(struct serve *v)
{
	SCOPED_JSON json_t *ok = NULL, *args = json_pack("{s:b, s:b}", "force", 1, "quick", 1);
	SCOPED_FD int pidfd = pidfd_open(v->s.hello.pid, 0);
	uint64_t until_ms = clock_ms() + TAKEOVER_MS;
	struct trouble t = {.message = ""};

	reattach_before_end(v->s.uuid);
	if (session_call(&v->s, "stop", args, NULL, NULL, &ok) < 0)
		return session_complain(&v->s);
	if (!client_wait_end_until(v->s.daemon, TAKEOVER_MS, &t))
		return complain("pid %d was asked to hand the pool over and has not within %d s: "
				"look at its log; kill it, and serve again: nothing acknowledged "
				"is lost",
				v->s.hello.pid, TAKEOVER_MS / 1000);
	if (t.message[0])
		return complain("the daemon has ended, but not well: %s", t.message);
	return wait_gone(v, pidfd, until_ms);
}

/* ---- running ------------------------------------------------------------------------------------- */

static int become_nbdkit(struct serve *v)
{
	if (listener_hand_on(&v->listener))
		return FAILED;
	execvp("nbdkit", v->args);
	return complain("can't run nbdkit: %s%s", strerror(errno),
			errno == ENOENT ? ": `apt install nbdkit`" : "");
}

/* Waits until the process serves: true, or false when it has ended. */
static bool wait_ready(const struct serve *v, pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	struct pollfd ended = {.fd = fd, .events = POLLIN};
	bool ready = false;

	while (fd >= 0 && !ready) {
		struct client *k;
		struct hello h;

		if (poll(&ended, 1, READY_POLL_MS) > 0)
			break;
		if (client_connect(v->ctl, &k, &h) < 0)
			continue;
		client_close(k);
		ready = h.pid == pid;
	}
	if (fd >= 0)
		close(fd);
	return ready;
}

/* What clients are to use; nbdkit knows no name of a volume, so neither does this. */
static void print_uri(const struct serve *v, pid_t pid)
{
	SCOPED_TEXT char *uri = NULL;
	const char *host = v->host[0] ? v->host : "0.0.0.0";

	if (v->socket)
		uri = unix_uri("", v->socket);
	else if (asprintf(&uri, "%s://%s%s%s:%s/", wants_tls(v->c) ? "nbds" : "nbd",
			  strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "",
			  v->port) < 0)
		uri = NULL;
	if (v->c->opt[OPT_JSON]) {
		SCOPED_JSON json_t *m = json_pack("{s:s?, s:i, s:s, s:s}", "uri", uri, "pid",
						  (int)pid, "pool", v->s.path, "uuid", v->s.uuid);

		print_json(m);
	} else {
		printf("%s\n", uri ? uri : "");
	}
	fflush(stdout);
}

/* Devices of the daemon before this one go on before anybody is told. */
static void announce(const struct serve *v, pid_t pid)
{
	reattach_after_start(v->s.uuid);
	print_uri(v, pid);
}

/* In the foreground this process becomes the daemon, so a grandchild announces it; nobody has
 * to wait for that one. */
static int run_foreground(struct serve *v)
{
	pid_t daemon = getpid(), child;

	fflush(NULL);
	child = fork();
	if (child < 0)
		return complain("can't fork: %s", strerror(errno));
	if (child == 0) {
		if (fork() != 0)
			_exit(0);
		signal(SIGINT, SIG_IGN);
		listener_close(&v->listener);
		if (wait_ready(v, daemon))
			announce(v, daemon);
		else
			listener_undo(&v->listener);
		unlock_start(v);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return become_nbdkit(v);
}

/* The last error that nbdkit told: what it says of its own use comes after it. */
static char *last_error(char *text)
{
	char *found = NULL;

	for (char *at = text; (at = strstr(at, "nbdkit: error: ")); at++)
		found = at;
	if (found)
		found[strcspn(found, "\n")] = '\0';
	return found;
}

/* That, or the last line that the daemon wrote, without nbdkit's "nbdkit: error:" before it. */
static int complain_log(const struct serve *v)
{
	SCOPED_FD int fd = open(v->log, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	char text[LOG_TAIL + 1], *line, *cut;
	ssize_t n = -1;

	if (fd >= 0)
		n = pread(fd, text, LOG_TAIL, size > LOG_TAIL ? size - LOG_TAIL : 0);
	if (n <= 0)
		return complain("the daemon ended at once, and %s is empty", v->log);
	text[n] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	line = last_error(text);
	if (!line) {
		line = strrchr(text, '\n');
		line = line ? line + 1 : text;
	}
	while ((cut = strstr(line, "error: ")))
		line = cut + strlen("error: ");
	return complain("%s", line);
}

static void detach(struct serve *v)
{
	int log = open(v->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
		       0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(log >= 0 ? log : null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
}

static bool died_by_itself(int status)
{
	return WIFSIGNALED(status) && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV ||
				       WTERMSIG(status) == SIGBUS);
}

/* May it be started again, or did it die too often of late? */
static bool may_restart(uint64_t *died_ms, unsigned *n)
{
	uint64_t now = clock_ms();
	bool may = *n < RESTARTS_MAX || now - died_ms[*n % RESTARTS_MAX] > RESTARTS_S * 1000;

	died_ms[(*n)++ % RESTARTS_MAX] = now;
	return may;
}

/* Unless somebody else starts a daemon, or listens there. */
static int listen_again(struct serve *v)
{
	int status = DONE;

	listener_fini(&v->listener);
	if (v->socket && !(status = lock_start(v)))
		status = listener_open(v->socket, false, &v->listener);
	unlock_start(v);
	return status;
}

/* Starts nbdkit, and again when it has died by an error of its own (nbdkit before 1.33.10 can be brought to that by a
 * client that goes away); any other end is meant.  nbdkit asks to be killed when its parent ends (1.32 does,
 * with -f); so this stays until it has ended. */
static int keep_running(struct serve *v, int pid_out)
{
	uint64_t died_ms[RESTARTS_MAX] = {0};
	unsigned n = 0;
	int status;
	pid_t pid;

	forget_lock(v);
	for (;;) {
		pid = fork();
		if (pid < 0)
			return complain("can't fork: %s", strerror(errno));
		if (pid == 0) {
			if (pid_out >= 0)
				close(pid_out);
			_exit(become_nbdkit(v));
		}
		if (pid_out >= 0) {
			if (write(pid_out, &pid, sizeof pid) != (ssize_t)sizeof pid)
				kill(pid, SIGTERM);
			close(pid_out);
			pid_out = -1;
		}
		listener_close(&v->listener);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!died_by_itself(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
		note("nbdkit (pid %d) died of signal %d", (int)pid, WTERMSIG(status));
		if (!may_restart(died_ms, &n))
			return complain("nbdkit died %d times within %d s: not started again",
					RESTARTS_MAX, RESTARTS_S);
		if (listen_again(v))
			return FAILED;
	}
}

/* A child of ours that has ended leaves it an orphan, which nobody waits for. */
static void start_orphan(struct serve *v, int pid_out)
{
	pid_t pid = fork();

	if (pid != 0)
		_exit(pid > 0 ? DONE : FAILED);
	detach(v);
	_exit(keep_running(v, pid_out));
}

static int run_daemon(struct serve *v)
{
	int pipes[2];
	pid_t child, pid = 0;
	ssize_t n;

	fflush(NULL);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return complain("can't make a pipe: %s", strerror(errno));
	child = fork();
	if (child == 0)
		start_orphan(v, pipes[1]);
	close(pipes[1]);
	n = child > 0 ? read(pipes[0], &pid, sizeof pid) : -1;
	close(pipes[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	listener_close(&v->listener);
	if (n != (ssize_t)sizeof pid)
		return complain("can't fork: %s", strerror(errno));
	if (!wait_ready(v, pid)) {
		listener_undo(&v->listener);
		return complain_log(v);
	}
	announce(v, pid);
	return DONE;
}

/* ---- the command ------------------------------------------------------------------------------------ */

static const char *pool_path(const struct serve *v)
{
	return v->c->n               ? v->c->words[0]
	       : v->c->opt[OPT_POOL] ? v->c->opt[OPT_POOL]
				     : getenv("COWBD_POOL");
}

/* Who serves the pool now, and from now on nobody else starts to. */
static int look_up(struct serve *v, const char *path)
{
	int status = session_find_path(path, &v->s);

	if (!status)
		status = name_files(v);
	if (!status)
		status = lock_start(v);
	(void)session_close(&v->s, DONE); /* what was before the lock */
	return status ? status : session_find_path(path, &v->s);
}

static int find_pool(struct serve *v)
{
	const char *path = pool_path(v);
	int status;

	if (!path || !*path)
		return usage_error(v->c, "which pool?");
	status = look_up(v, path);
	v->old = !status && v->s.daemon;
	if (v->old && !v->c->opt[OPT_TAKEOVER])
		return complain("pool %s is already served by pid %d: `cowbd -p %s stop` ends it, "
				"--takeover takes over from it",
				v->s.path, v->s.hello.pid, path);
	if (!status && !v->old)
		status = check_copies(v);
	return status ? status : choose_socket(v);
}

/* From here on nobody who connects is refused.  Ctrl-C waits until one or the other has the door. */
static int open_door(struct serve *v)
{
	int status;

	interruption_hold();
	status = v->socket ? listener_open(v->socket, v->handed, &v->listener) : DONE;
	if (!status && v->old) {
		status = take_over(v);
		if (status)
			listener_undo(&v->listener);
	}
	listener_keep(&v->listener);
	if (interruption_waits()) /* which is our end */
		listener_undo(&v->listener);
	interruption_release();
	return status;
}

int cmd_serve(const struct call *c)
{
	struct serve v = {.c = c, .lock = -1, .listener = {.fd = -1, .dir = -1}};
	int status = DONE;

	if (c->opt[OPT_TCP] && c->opt[OPT_SOCKET])
		return usage_error(c, "--tcp and --socket exclude each other");
	if (c->opt[OPT_TCP])
		status = check_tcp(&v);
	if (!status)
		status = find_pool(&v);
	if (!status)
		status = find_plugin(&v);
	if (!status)
		status = make_args(&v);
	if (!status)
		status = open_door(&v);
	if (!status)
		status = c->opt[OPT_DAEMON] ? run_daemon(&v) : run_foreground(&v);
	for (size_t i = 0; i < v.n; i++)
		free(v.args[i]);
	listener_fini(&v.listener);
	unlock_start(&v);
	free(v.socket);
	free(v.ctl);
	free(v.log);
	free(v.lock_file);
	free(v.plugin);
	return session_close(&v.s, status);
}
