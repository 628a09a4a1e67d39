/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugin.c - the nbdkit plugin: NBD requests on cowbd.h
 *
 *	get_ready      open, lock and recover the pool; bind the control socket   (errors are seen)
 *	  (nbdkit binds its socket, forks, drops privileges)
 *	after_fork     threads: engine, drain, control socket
 *	preconnect     which socket is it?   open   client + handle   close
 *	cleanup        control socket stops, clients left are closed, pool is closed
 *
 * Invariants
 *   [PLUG-1] Nothing durable hangs on .close: nbdkit does not call it once it quits.  .cleanup
 *            runs when no connection thread is left, and closes what is on the list of handles.
 *   [PLUG-2] An error that reaches nbdkit is EIO, ENOSPC, EPERM, ENOMEM, EINVAL or ESHUTDOWN: out
 *            of any other it makes EINVAL, which says that the client erred.
 *   [PLUG-3] What is added to an answer about extents ends where the question ends: nbdkit
 *            before 1.44 dies by assertion otherwise (CVE-2025-47711).
 *   [PLUG-4] The pool is closed once: in .cleanup, or by the drain thread where nbdkit would wait
 *            for ever; by then every gate is shut (handles.c), and nothing enters the engine.
 *
 * Concurrency: requests come in parallel, each through the gate of its handle.  Callbacks
 * without a handle hold pool_lock.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "access.h"
#include "admin.h"
#include "config.h"
#include "connections.h"
#include "control.h"
#include "cowbd.h"
#include "drain.h"
#include "events.h"
#include "handles.h"
#include "notify.h"
#include "requests.h"
#include "watch.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define MAX_EXPORTS 10000 /* more, and nbdkit fails the whole list */
#define MAX_REQUEST_BYTES (64u << 20)
#define MIN_CACHE_BYTES (1 << 20)
#define LOCK_WAIT_MS                                                                               \
	5000 /* for the pool: a killed predecessor's last I/O, or a command that works without us */
#define CUT_LIMIT_MS 2000
#define PEER_ROOM 128
#define EXIT_NEEDS_SOMEBODY 74 /* EX_IOERR of sysexits.h */
#define LOW_WATER_PERCENT 10

/* PR_SET_IO_FLUSHER is younger than some C libraries' headers. */
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* The command line; constant after .config_complete. */
static char *pool_path, *control_socket, *nbd_socket;
static bool control_off;
static struct cowbd_open_options options = {.flags = COWBD_OPEN_HOLD, .wait_ms = LOCK_WAIT_MS};

static struct low_water low_water = {.percent = LOW_WATER_PERCENT};

static struct cowbd_pool *pool; /* from .get_ready to .cleanup */
static bool serving;            /* after_fork has run: there may be clients */
static bool io_flusher;
static uint32_t preferred_bytes;
static atomic_bool draining;
static atomic_bool ended; /* somebody closes the pool */

/* Held for reading by callbacks that use the pool without a handle, for writing by abandon(). */
static pthread_rwlock_t pool_lock = PTHREAD_RWLOCK_INITIALIZER;

/* ---- parameters ---------------------------------------------------------------------- */

/* Sets flag in options if the value is true, or if it is false and inverse is asked for. */
static int set_flag(const char *value, unsigned flag, bool inverse)
{
	int on = nbdkit_parse_bool(value);

	if (on < 0)
		return -1;
	if (!!on != inverse)
		options.flags |= flag;
	else
		options.flags &= ~flag;
	return 0;
}

static int set_pool(const char *value)
{
	if (pool_path) {
		nbdkit_error("more than one pool: %s and %s", pool_path, value);
		return -1;
	}
	pool_path = nbdkit_absolute_path(value);
	return pool_path ? 0 : -1;
}

static int set_cache(const char *value)
{
	int64_t bytes = nbdkit_parse_size(value);

	if (bytes < 0)
		return -1;
	if (bytes < MIN_CACHE_BYTES) {
		nbdkit_error("cache=%s is too small: at least 1M", value);
		return -1;
	}
	options.cache_bytes = (uint64_t)bytes;
	return 0;
}

static int set_ephemeral(const char *value)
{
	unsigned seconds;

	if (nbdkit_parse_unsigned("ephemeral", value, &seconds))
		return -1;
	if (seconds < 1 || seconds > 86400) {
		nbdkit_error("ephemeral=%s: 1 to 86400 seconds", value);
		return -1;
	}
	options.ephemeral_ms = seconds * 1000;
	return 0;
}

static int set_io(const char *value)
{
	if (!strcmp(value, "auto")) {
		options.flags &= ~(unsigned)COWBD_OPEN_NO_URING;
	} else if (!strcmp(value, "sync")) {
		options.flags |= COWBD_OPEN_NO_URING;
	} else {
		nbdkit_error("io=%s: it is auto or sync", value);
		return -1;
	}
	return 0;
}

static int set_on_full(const char *value)
{
	if (!strcmp(value, "hold")) {
		options.flags |= COWBD_OPEN_HOLD;
	} else if (!strcmp(value, "error")) {
		options.flags &= ~(unsigned)COWBD_OPEN_HOLD;
	} else {
		nbdkit_error("on-full=%s: it is hold or error", value);
		return -1;
	}
	return 0;
}

static int set_hold_timeout(const char *value)
{
	unsigned seconds;

	if (nbdkit_parse_unsigned("hold-timeout", value, &seconds))
		return -1;
	options.hold_timeout_ns = seconds * UINT64_C(1000000000);
	return 0;
}

/* N% or a size. */
static int set_low_water(const char *value)
{
	size_t len = strlen(value);
	int64_t bytes;
	char *end;

	if (len && value[len - 1] == '%') {
		unsigned long percent = strtoul(value, &end, 10);

		if (end != value + len - 1 || end == value || percent > 99) {
			nbdkit_error("low-water=%s: it is 0%% to 99%%, or a size", value);
			return -1;
		}
		low_water = (struct low_water){.percent = (unsigned)percent};
		return 0;
	}
	bytes = nbdkit_parse_size(value);
	if (bytes < 0)
		return -1;
	low_water = (struct low_water){.bytes = (uint64_t)bytes};
	return 0;
}

static int set_control(const char *value)
{
	free(control_socket);
	control_socket = NULL;
	control_off = !strcmp(value, "off");
	if (control_off)
		return 0;
	control_socket = nbdkit_absolute_path(value);
	return control_socket ? 0 : -1;
}

static int cowbd_plugin_config(const char *key, const char *value)
{
	int ours = access_config(key, value);

	if (ours)
		return ours < 0 ? -1 : 0;
	if (!strcmp(key, "pool"))
		return set_pool(value);
	if (!strcmp(key, "cache"))
		return set_cache(value);
	if (!strcmp(key, "direct"))
		return set_flag(value, COWBD_OPEN_DIRECT, false);
	if (!strcmp(key, "io"))
		return set_io(value);
	if (!strcmp(key, "tail"))
		return set_flag(value, COWBD_OPEN_NO_TAIL, true);
	if (!strcmp(key, "read-only"))
		return set_flag(value, COWBD_OPEN_READ_ONLY, false);
	if (!strcmp(key, "lost-tail"))
		return set_flag(value, COWBD_OPEN_LOST_TAIL, false);
	if (!strcmp(key, "after-error"))
		return set_flag(value, COWBD_OPEN_AFTER_ERROR, false);
	if (!strcmp(key, "on-full"))
		return set_on_full(value);
	if (!strcmp(key, "ephemeral"))
		return set_ephemeral(value);
	if (!strcmp(key, "hold-timeout"))
		return set_hold_timeout(value);
	if (!strcmp(key, "low-water"))
		return set_low_water(value);
	if (!strcmp(key, "control"))
		return set_control(value);
	if (!strcmp(key, "nbd-socket")) {
		free(nbd_socket);
		nbd_socket = nbdkit_absolute_path(value);
		return nbd_socket ? 0 : -1;
	}
	nbdkit_error("unknown parameter %s=%s; nbdkit cowbd --help lists them", key, value);
	return -1;
}

static int cowbd_plugin_config_complete(void)
{
	if (pool_path)
		return 0;
	nbdkit_error("no pool given: nbdkit cowbd POOL; cowbd init makes one");
	return -1;
}

#define CONFIG_HELP                                                                                \
	"[pool=]FILE        (required) The pool: a file or block device.\n"                        \
	"cache=SIZE         Memory for metadata (default: 64M).\n"                                 \
	"direct=on|off      Bypass the page cache for data (default: off).\n"                      \
	"io=auto|sync       Use io_uring where it is allowed, or never (default: auto).\n"         \
	"tail=on|off        Survive the death of this process without loss (default: on).\n"       \
	"on-full=hold|error What a write to a full pool does: wait for space, or fail with\n"      \
	"                   ENOSPC (default: hold).\n"                                             \
	"low-water=N%|SIZE  Less free space than that is an event, and in the log\n"               \
	"                   (default: 10%).\n"                                                     \
	"hold-timeout=SECS  How long it waits before it fails; 0: for ever (default: 0).\n"        \
	"read-only=true     Open the pool for reading only; nothing in it is changed.\n"           \
	"lost-tail=true     Open though the tail of a killed server is gone; what was\n"           \
	"                   never flushed is lost.\n"                                              \
	"after-error=true   Open after a failed sync; what was never flushed is lost.\n"           \
	"ephemeral=SECONDS  How long a throw-away clone stays after its last client (60).\n"       \
	"socket-group=G     Group and mode of the NBD socket, if it is a Unix socket\n"            \
	"socket-mode=OCTAL  (default with a group: 0660).\n"                                       \
	"nbd-socket=PATH    Where the NBD socket is that nbdkit was started with, by socket\n"     \
	"                   activation, if it was renamed after it was bound.\n"                   \
	"control-group=G    Members of this group may manage the pool, too.\n"                     \
	"control=PATH|off   The control socket (default: <pool-uuid>.ctl in the run\n"             \
	"                   directory: $COWBD_RUNDIR, /run/cowbd or $XDG_RUNTIME_DIR/cowbd)."

/* Is io_uring there and allowed?  Asks the kernel for a ring at an address that can't be. */
static const char *io_uring_state(void)
{
	if (syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno == EFAULT || errno == EINVAL)
		return "yes";
	return errno == ENOSYS ? "no (the kernel has none)" : "no (forbidden)";
}

static void cowbd_plugin_dump_plugin(void)
{
	printf("cowbd_version=%s\n", cowbd_version());
	printf("cowbd_format_version=%d\n", COWBD_FORMAT_VERSION);
	printf("cowbd_protocol_version=1\n");
	printf("cowbd_io_uring=%s\n", io_uring_state());
	printf("cowbd_features=snapshots clones rollback diff control-socket tail\n");
	printf("cowbd_on_full=hold error\n");
}

/* ---- the pool's life ----------------------------------------------------------------- */

static bool closed_badly;       /* the pool had failed */
static bool in_child_elsewhere; /* the pool was handed to a child */

static void forget_pool_in_parent(void)
{
	in_child_elsewhere = true;
}

/* An exit status of its own says that another start would end the same way: somebody must look first. */
static bool needs_somebody(int err)
{
	return err == -EIO || err == -EBADMSG || err == -EUCLEAN || err == -ENODATA;
}

static void exit_failed(void)
{
	if (closed_badly) {
		fflush(NULL);
		_exit(EXIT_NEEDS_SOMEBODY);
	}
}

/* nbdkit exits without a word to us when it can't bind its socket: then the pool would look like a
 * killed server's.  But the parent of a daemon exits too, and there the child has the pool. */
static void close_if_never_served(void)
{
	if (pool && !serving && !in_child_elsewhere) {
		(void)cowbd_close(pool);
		pool = NULL;
		control_finish(0);
	}
}

static void warn_of(const struct cowbd_pool_info *info)
{
	if (!strncmp(info->tail, "off", 3) && !info->read_only &&
	    !(options.flags & COWBD_OPEN_NO_TAIL))
		fprintf(stderr,
			"nbdkit: cowbd: warning: tail %s: if this process dies, what was written "
			"within the last second and never flushed is lost\n",
			info->tail);
	if (info->note[0])
		fprintf(stderr, "nbdkit: cowbd: warning: %s\n", info->note);
	if (info->replayed_journal || info->replayed_tail)
		nbdkit_debug("recovered: %" PRIu64 " records from the journal, %" PRIu64
			     " from the tail",
			     info->replayed_journal, info->replayed_tail);
}

static int cowbd_plugin_get_ready(void)
{
	struct cowbd_pool_info *info = malloc(sizeof *info);
	int err;

	if (!info) {
		nbdkit_error("out of memory");
		return -1;
	}
	options.full = watch_wake;
	err = watch_init();
	if (!err)
		err = cowbd_open(pool_path, &options, &pool);
	if (err) {
		nbdkit_error("%s", cowbd_error());
		free(info);
		if (needs_somebody(err))
			exit(EXIT_NEEDS_SOMEBODY);
		return -1;
	}
	cowbd_pool_info(pool, info);
	warn_of(info);
	/* Aligned to blocks nothing is copied, and below 4 KiB pages are read before they are
	 * written.  Above 64 KiB clients would round small requests up. */
	preferred_bytes = info->block_bytes < 4096    ? 4096
			  : info->block_bytes > 65536 ? 65536
						      : info->block_bytes;
	free(info);
	if (!control_off && (err = control_bind(pool, control_socket)))
		nbdkit_error("%s", control_error());
	if (err || (!control_off && access_control_socket(control_path()))) {
		(void)cowbd_close(pool);
		pool = NULL;
		return -1;
	}
	if (pthread_atfork(NULL, forget_pool_in_parent, NULL) || atexit(exit_failed) ||
	    atexit(close_if_never_served))
		nbdkit_debug("out of memory: the pool stays open if nbdkit can't bind");
	signal(SIGXFSZ,
	       SIG_IGN); /* a file that may not be so large is a full disk, no reason to die */
	return 0;
}

/* ---- what only the daemon can do for admin_call -------------------------------------- */

/* Cuts exactly the connections that have the object open now; one that comes later is another. */
static int cut_object(void *opaque, uint64_t object)
{
	(void)opaque;
	return handles_cut(object, CUT_LIMIT_MS);
}

static size_t count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	size_t n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void add_status(void *opaque, json_t *answer)
{
	char uri[1024];
	bool has_uri = conns_uri(uri, sizeof uri);

	(void)opaque;
	json_object_update_new(
		answer,
		json_pack("{s:i,s:s?,s:s?,s:s?,s:I,s:I,s:b,s:b}", "pid", (int)getpid(), "uri",
			  has_uri ? uri : NULL, "socket", conns_unix_path(), "control",
			  control_path()[0] ? control_path() : NULL, "threads",
			  (json_int_t)count_threads(), "connections", (json_int_t)conns_count(),
			  "io_flusher", io_flusher, "draining", atomic_load(&draining)));
}

static int request_stop(void *opaque, bool quick)
{
	(void)opaque;
	if (quick)
		cowbd_close_quickly(pool);
	drain_request(quick);
	return 0;
}

static const struct admin_host admin_host = {
	.cut = cut_object,
	.status = add_status,
	.stop = request_stop,
};

/* ---- start and end ------------------------------------------------------------------- */

static void begin_drain(void)
{
	atomic_store(&draining, true);
	events_tell(json_pack("{s:s}", "event", "ending"));
}

static void commit(void)
{
	if (cowbd_sync(pool))
		nbdkit_error("commit before the end: %s", cowbd_error());
}

static void cut_all(void)
{
	int err = handles_cut(0, -1);

	assert(!err); /* without a limit it waits */
	(void)err;
}

static void close_pool(void)
{
	int err = cowbd_close(pool);

	if (err)
		nbdkit_error("closing the pool: %s", cowbd_error());
	closed_badly = err != 0;
	pool = NULL;
	control_finish(err);
}

/* [PLUG-4] */
static void abandon(void)
{
	if (atomic_exchange(&ended, true))
		return;
	nbdkit_error("clients that take no answers are left behind");
	cowbd_interrupt(pool);
	control_stop();
	watch_stop();
	pthread_rwlock_wrlock(&pool_lock);
	close_pool();
	_exit(closed_badly ? EXIT_NEEDS_SOMEBODY : EXIT_SUCCESS);
}

static const struct drain_host drain_host = {
	.begin = begin_drain,
	.cut = cut_all,
	.commit = commit,
	.open_handles = handles_count,
	.abandon = abandon,
};

/* Threads of ours must not take the signals that are meant for nbdkit's main thread. */
static int start_threads(void)
{
	char uri[1024];
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = cowbd_start(pool);
	if (err)
		nbdkit_error("%s", cowbd_error());
	if (!err && (err = watch_start(pool, low_water)))
		nbdkit_error("watching thread: %s", strerror(-err));
	if (!err && (err = drain_start(&drain_host)))
		nbdkit_error("drain thread: %s", strerror(-err));
	if (!err && (err = control_start(pool, &admin_host, conns_uri(uri, sizeof uri) ? uri : NULL,
					 conns_unix_path())))
		nbdkit_error("control socket: %s", strerror(-err));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

static void end_everything(void)
{
	if (atomic_exchange(&ended, true)) {
		drain_join(); /* which exits */
		return;
	}
	cowbd_interrupt(pool);
	control_stop();
	drain_join();
	watch_stop();
	handles_free_all(); /* [PLUG-1] */
	close_pool();
	conns_forget();
}

static int prepare_nbd_socket(void)
{
	if (!nbd_socket || conns_unix_path())
		return access_nbd_socket(conns_unix_path());
	nbdkit_error("nbd-socket=%s is for a socket that nbdkit is given by socket activation, and "
		     "there is none: nbdkit --unix=%s listens there",
		     nbd_socket, nbd_socket);
	return -1;
}

static int cowbd_plugin_after_fork(void)
{
	int err;

	/* Writing back to our own device must not wait for us; threads started from here on, nbdkit's
	 * too, inherit it.  Needs CAP_SYS_RESOURCE. */
	io_flusher = prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
	err = conns_init(control_listener(), nbd_socket);
	if (err)
		nbdkit_error("sockets: %s", strerror(-err));
	else if (prepare_nbd_socket())
		err = -1;
	else
		err = start_threads();
	serving = true;
	if (err) {
		end_everything();
		return -1;
	}
	notify("READY=1");
	return 0;
}

static void cowbd_plugin_cleanup(void)
{
	if (pool)
		end_everything();
}

/* glibc raises this threshold by itself; then large tables that come and go stay in the arenas
 * of nbdkit's many threads (94 MiB resident instead of 62 after rounds of snapshots). */
static void cowbd_plugin_load(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	signal(SIGXFSZ, SIG_IGN); /* EFBIG instead, which is a full pool */
}

static void cowbd_plugin_unload(void)
{
	close_if_never_served();
	free(pool_path);
	free(control_socket);
	free(nbd_socket);
}

/* ---- connections --------------------------------------------------------------------- */

static int cowbd_plugin_preconnect(int readonly)
{
	(void)readonly;
	if (atomic_load(&draining)) {
		nbdkit_error("the server is ending");
		return -1;
	}
	if (!conns_claim()) {
		nbdkit_error(
			"connection refused: its peer is gone, or descriptors or memory ran out");
		return -1;
	}
	return 0;
}

static void describe(const struct cowbd_object *o, char *buf, size_t len)
{
	char when[32] = "";
	time_t created = (time_t)(o->created / 1000000000u);
	struct tm tm;

	if (localtime_r(&created, &tm))
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(buf, len, "%s, %" PRIu64 " bytes, made %s",
		 o->kind == COWBD_SNAPSHOT ? "snapshot" : "volume", o->size, when);
}

static int add_exports(struct nbdkit_exports *exports, const struct cowbd_object *list, size_t n,
		       enum cowbd_kind kind, size_t *room)
{
	char description[96];

	for (size_t i = 0; i < n && *room; i++) {
		if (list[i].kind != kind)
			continue;
		describe(&list[i], description, sizeof description);
		if (nbdkit_add_export(exports, list[i].name, description))
			return -1;
		--*room;
	}
	return 0;
}

/* The pool's objects; free(*ret_list). */
static int list_objects(struct cowbd_object **ret_list, size_t *ret_n)
{
	int err = -ESHUTDOWN;

	pthread_rwlock_rdlock(&pool_lock);
	if (!atomic_load(&draining))
		err = cowbd_list(pool, ret_list, ret_n);
	pthread_rwlock_unlock(&pool_lock);
	if (err)
		nbdkit_error("%s", err == -ESHUTDOWN ? "the server is ending" : cowbd_error());
	return err;
}

/* Volumes first: when there are too many names, snapshots are left out. */
static int cowbd_plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	struct cowbd_object *list;
	size_t n, room = MAX_EXPORTS;
	int r;

	(void)readonly;
	(void)is_tls;
	if (list_objects(&list, &n))
		return -1;
	r = add_exports(exports, list, n, COWBD_VOLUME, &room);
	if (!r)
		r = add_exports(exports, list, n, COWBD_SNAPSHOT, &room);
	free(list);
	return r;
}

/* The only volume, if there is exactly one; else "", which .open refuses with a reason. */
static const char *cowbd_plugin_default_export(int readonly, int is_tls)
{
	struct cowbd_object *list;
	const char *only = NULL;
	size_t n, volumes = 0;

	(void)readonly;
	(void)is_tls;
	if (list_objects(&list, &n))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (list[i].kind == COWBD_VOLUME && ++volumes == 1)
			only = list[i].name;
	only = volumes == 1 ? nbdkit_strdup_intern(only) : "";
	free(list);
	return only;
}

/* Who it is, for messages: "pid 12 uid 0", or an address. */
static void describe_peer(char *buf, size_t len)
{
	struct sockaddr_storage address;
	socklen_t address_len = sizeof address;
	char host[64], port[16];
	int family;

	snprintf(buf, len, "unknown");
	if (conns_mine().fd < 0) /* nbdkit -s: there may be no socket at all */
		return;
	if (nbdkit_peer_name((struct sockaddr *)&address, &address_len))
		return;
	family = address.ss_family;
	if (family == AF_UNIX)
		snprintf(buf, len, "pid %" PRIi64 " uid %" PRIi64, nbdkit_peer_pid(),
			 nbdkit_peer_uid());
	else if ((family == AF_INET || family == AF_INET6) &&
		 !getnameinfo((struct sockaddr *)&address, address_len, host, sizeof host, port,
			      sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(buf, len, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	else
		snprintf(buf, len, "address family %d", family);
}

/* "vol", "vol@snap", or "@ID", which a renaming doesn't change: no name begins so. */
static int find_export(const char *name, struct cowbd_object *object)
{
	char *end;
	uint64_t id;

	if (name[0] != '@')
		return cowbd_find(pool, name, object);
	id = strtoull(name + 1, &end, 10);
	return cowbd_find_id(pool, *end ? 0 : id, object);
}

/* Opens the client of h under pool_lock. */
static int open_client_locked(const char *name, bool readonly, struct handle *h,
			      struct cowbd_object *object)
{
	char peer[PEER_ROOM];
	int err;

	if (atomic_load(&draining)) {
		nbdkit_error("the server is ending");
		return -1;
	}
	describe_peer(peer, sizeof peer);
	err = find_export(name, object);
	if (!err)
		err = cowbd_client_open(pool, object->name,
					readonly || object->kind == COWBD_SNAPSHOT, peer,
					&h->client);
	if (err) {
		nbdkit_error("export \"%s\": %s", name, cowbd_error());
		return -1;
	}
	h->name = strdup(object->name);
	if (!h->name || cowbd_client_object(h->client) != object->id) {
		if (h->name)
			nbdkit_error("export \"%s\" was renamed meanwhile", name);
		else
			nbdkit_error("out of memory");
		cowbd_client_close(h->client);
		return -1;
	}
	h->object = cowbd_client_object(h->client);
	h->size = cowbd_client_size(h->client);
	h->writable = cowbd_client_writable(h->client);
	describe(object, h->description, sizeof h->description);
	if (!handles_add(h)) {
		cowbd_client_close(h->client);
		return -1;
	}
	events_tell(json_pack("{s:s,s:s,s:s,s:b}", "event", "connected", "name", object->name,
			      "peer", peer, "writable", h->writable));
	return 0;
}

static int open_handle(const char *name, bool readonly, struct handle *h)
{
	struct cowbd_object *object = malloc(sizeof *object);
	int r = -1;

	h->connection = conns_mine();
	if (object) {
		pthread_rwlock_rdlock(&pool_lock);
		r = open_client_locked(name, readonly, h, object);
		pthread_rwlock_unlock(&pool_lock);
	} else {
		nbdkit_error("out of memory");
	}
	free(object);
	return r;
}

static void *cowbd_plugin_open(int readonly)
{
	const char *name = nbdkit_export_name();
	struct handle *h;

	if (!name)
		return NULL;
	if (!*name)
		name = cowbd_plugin_default_export(readonly, false);
	if (!name)
		return NULL;
	if (!*name) {
		nbdkit_error("no export name given, and the pool does not hold exactly one volume: "
			     "cowbd ls, or nbdinfo --list, shows the names");
		return NULL;
	}
	h = calloc(1, sizeof *h);
	if (!h) {
		nbdkit_error("out of memory");
		return NULL;
	}
	if (open_handle(name, readonly, h)) {
		free(h->name);
		free(h);
		return NULL;
	}
	return h;
}

static void cowbd_plugin_close(void *handle)
{
	const struct handle *h = handle;

	events_tell(json_pack("{s:s,s:s,s:I}", "event", "disconnected", "name", h->name, "id",
			      (json_int_t)h->object));
	handle_free(handle);
}

static const char *cowbd_plugin_export_description(void *handle)
{
	const struct handle *h = handle;

	return nbdkit_strdup_intern(h->description);
}

/* ---- what an export can do ----------------------------------------------------------- */

static int64_t cowbd_plugin_get_size(void *handle)
{
	const struct handle *h = handle;

	return (int64_t)h->size;
}

static int cowbd_plugin_can_write(void *handle)
{
	const struct handle *h = handle;

	return h->writable;
}

static int cowbd_plugin_yes(void *handle)
{
	(void)handle;
	return 1;
}

static int cowbd_plugin_no(void *handle)
{
	(void)handle;
	return 0;
}

static int cowbd_plugin_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

static int cowbd_plugin_can_cache(void *handle)
{
	(void)handle;
	return NBDKIT_CACHE_NATIVE;
}

/* Any request is taken, down to one byte at any offset. */
static int cowbd_plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
				   uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = preferred_bytes;
	*maximum = MAX_REQUEST_BYTES;
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "cowbd",
	.longname = "cowbd: copy-on-write volumes with instant snapshots",
	.version = PACKAGE_VERSION,
	.description = "Serves the volumes and snapshots of a cowbd pool.",
	.load = cowbd_plugin_load,
	.unload = cowbd_plugin_unload,
	.config = cowbd_plugin_config,
	.config_complete = cowbd_plugin_config_complete,
	.config_help = CONFIG_HELP,
	.magic_config_key = "pool",
	.dump_plugin = cowbd_plugin_dump_plugin,
	.get_ready = cowbd_plugin_get_ready,
	.after_fork = cowbd_plugin_after_fork,
	.cleanup = cowbd_plugin_cleanup,
	.preconnect = cowbd_plugin_preconnect,
	.list_exports = cowbd_plugin_list_exports,
	.default_export = cowbd_plugin_default_export,
	.open = cowbd_plugin_open,
	.close = cowbd_plugin_close,
	.export_description = cowbd_plugin_export_description,
	.get_size = cowbd_plugin_get_size,
	.can_write = cowbd_plugin_can_write,
	.can_flush = cowbd_plugin_yes,
	.can_trim = cowbd_plugin_yes,
	.can_zero = cowbd_plugin_yes,
	.can_fast_zero = cowbd_plugin_yes,
	.can_extents = cowbd_plugin_yes,
	.can_multi_conn = cowbd_plugin_yes,
	.can_fua = cowbd_plugin_can_fua,
	.can_cache = cowbd_plugin_can_cache,
	.is_rotational = cowbd_plugin_no,
	.block_size = cowbd_plugin_block_size,
	.pread = request_pread,
	.pwrite = request_pwrite,
	.flush = request_flush,
	.trim = request_trim,
	.zero = request_zero,
	.cache = request_cache,
	.extents = request_extents,
	.errno_is_preserved = 1,
};

extern struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
