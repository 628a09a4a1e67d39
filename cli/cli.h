/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli.h - what the files of the command share
 *
 *   main.c      reads the command line     commands.c  the one table of commands
 *   session.c   finds the pool             client.c    its daemon's control socket
 *   cmd_*.c     one command each           disk.c      the data of a volume
 *   attach*.c   disks as block devices     mounts.c    what is mounted of them
 *   source.c    images to import           table.c progress.c size.c report.c  output
 *
 * Errors: a function that fails has said so on standard error (one line,
 * "cowbd: what is wrong: what to do") and returns an exit status above 0,
 * unless its comment says otherwise.
 */
#ifndef COWBD_CLI_H
#define COWBD_CLI_H

#include <jansson.h>
#include <poll.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin.h"
#include "cowbd.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Freed, closed, dropped at the end of the block. */
void cleanup_text(char **text);
void cleanup_fd(int *fd);
void cleanup_answer(json_t **json);
#define SCOPED_TEXT __attribute__((cleanup(cleanup_text)))
#define SCOPED_FD __attribute__((cleanup(cleanup_fd)))
#define SCOPED_JSON __attribute__((cleanup(cleanup_answer)))

enum status { DONE = 0, FAILED = 1, DAMAGE = 2, LEAKS = 3, USAGE = 64 };

/* ---- the command line -------------------------------------------------------- */

enum option_id {
	OPT_POOL,
	OPT_JSON,
	OPT_COLUMNS,
	OPT_NOHEADINGS,
	OPT_BYTES,
	OPT_NO_WAIT,
	OPT_HELP,
	OPT_VERSION,
	OPT_NAME,
	OPT_SIZE,
	OPT_BLOCK_SIZE,
	OPT_JOURNAL_SIZE,
	OPT_PREALLOCATE,
	OPT_FORCE,
	OPT_TCP,
	OPT_TLS,
	OPT_TLS_CERTIFICATES,
	OPT_TLS_PSK,
	OPT_INSECURE,
	OPT_DAEMON,
	OPT_SOCKET,
	OPT_THREADS,
	OPT_READONLY,
	OPT_DIRECT,
	OPT_CACHE,
	OPT_ON_FULL,
	OPT_HOLD_TIMEOUT,
	OPT_LOW_WATER,
	OPT_TAKEOVER,
	OPT_SOCKET_GROUP,
	OPT_SOCKET_MODE,
	OPT_CONTROL_GROUP,
	OPT_LOST_TAIL,
	OPT_AFTER_ERROR,
	OPT_SECTOR_SIZE,
	OPT_RECURSIVE,
	OPT_DRY_RUN,
	OPT_COUNT,
	OPT_UNDO,
	OPT_KEEP,
	OPT_DISCARD,
	OPT_FORMAT,
	OPT_PAD,
	OPT_ROOT,
	OPT_DEVICE,
	OPT_CONNECTIONS,
	OPT_VIA,
	OPT_OPTIONS,
	OPT_FREEZE,
	OPT_REMOUNT,
	OPT_RESIZE_FS,
	OPT_WATCH,
	OPT_REPAIR,
	OPTIONS
};

struct option_def {
	char letter; /* 0: none */
	const char *name;
	const char *arg; /* what it takes, NULL: nothing */
};
extern const struct option_def option_defs[OPTIONS];

struct option_use {
	enum option_id id;
	const char *help;
};

struct call;

struct command {
	const char *name, *alias; /* alias NULL: none */
	const char *words;        /* "VOL SIZE" */
	int min, max;             /* how many words; max -1: any */
	const char *summary;
	int (*run)(const struct call *c);
	const struct option_use *options; /* ends with help NULL */
	bool passes_rest;                 /* what follows "--" is for another program */
};
extern const struct command commands[];
extern const size_t commands_n;
extern const struct option_use global_options[];

/* One run of the command. */
struct call {
	const struct command *command;
	const char *opt[OPTIONS]; /* value of an option, "" if it takes none, NULL if not given */
	int n;
	char **words;
	int rest_n; /* after "--" */
	char **rest;
};

const struct command *command_find(const char *word);
void print_help(void);
void print_command_help(const struct command *c);

/* The word of the list that word was probably meant to be, or NULL. */
const char *did_you_mean(const char *word, const char *const *list, size_t n);

/* ---- messages -------------------------------------------------------------------- */

/* One line on standard error; returns FAILED (usage_error: USAGE) for `return complain(...)`. */
int complain(const char *fmt, ...) PRINTF(1, 2);
int usage_error(const struct call *c, const char *fmt, ...) PRINTF(2, 3);
void note(const char *fmt, ...) PRINTF(1, 2);

/* What the library said last, and what to do. */
int complain_library(void);

/* Prints {"version":1, ...members of answer}. */
int print_json(json_t *answer);

/* ---- sizes and times -------------------------------------------------------------- */

/* "10G" -> bytes; what: the argument's name, for the message. */
int parse_size(const char *text, const char *what, uint64_t *ret_bytes);
/* The same, not zero and a multiple of 512, as a disk must be. */
int parse_disk_size(const char *text, const char *what, uint64_t *ret_bytes);
int parse_number(const char *text, const char *what, unsigned long min, unsigned long max,
		 unsigned long *ret);
#define SIZE_TEXT 32
const char *size_text(uint64_t bytes, bool raw, char buf[SIZE_TEXT]);

/* Local time of ns since 1970. */
#define TIME_TEXT 32
const char *time_text(uint64_t ns, char buf[TIME_TEXT]);

/* ---- tables ------------------------------------------------------------------------ */

struct column {
	const char *name;
	const char *key; /* member of the row's object, for "-o" and cells alike */
	enum { CELL_TEXT, CELL_NUMBER, CELL_SIZE, CELL_TIME, CELL_TREE } kind;
	bool shown; /* without -o */
};

/* Prints rows (array of objects).  parent: for a tree, index of each row's parent or -1; else NULL. */
int print_table(const struct call *c, const struct column *columns, size_t n, json_t *rows,
		const int *parent);
/* Are any of the columns with these keys wanted? For what costs time to find out.  A column that
 * doesn't exist is a usage error, found here before any work. */
int columns_check(const struct call *c, const struct column *columns, size_t n);
bool column_wanted(const struct call *c, const struct column *columns, size_t n, const char *key);

/* ---- progress ------------------------------------------------------------------------ */

/* Draws a bar on a terminal, at most ten times a second; nothing elsewhere. total 0: unknown. */
void progress_show(const char *what, uint64_t done, uint64_t total);
void progress_end(void);
/* As an admin_progress. */
void progress_admin(void *opaque, json_t *progress);

/* ---- interruption --------------------------------------------------------------------- */

/* SIGINT, SIGTERM and SIGHUP set a flag from now on and interrupt what waits. */
void interruption_catch(void);
bool interrupted(void);
/* poll(2) that can't miss one: after interruption_catch, a signal that came before it ends it too, with EINTR. */
int interruption_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

/* Who reads from this socket finds its end, too, whenever the signal comes; -1: none. */
void interruption_shuts(int fd);

/* Between them these signals wait, so that what is half done gets done; calls may nest. */
void interruption_hold(void);
void interruption_release(void);
/* In a child before it executes a program: they don't. */
void interruption_in_child(void);
/* Has one come that only the innermost hold keeps waiting? */
bool interruption_waits(void);

/* ---- the daemon's control socket ------------------------------------------------------- */

struct client;

struct hello {
	char uuid[37], name[65], version[64];
	uint64_t dev, ino;
	int pid;
};

/* A connection to the Unix socket path; flags of socket(2), or 0: 0 or -errno (-EAGAIN with SOCK_NONBLOCK: its queue
 * is full). */
int unix_connect(const char *path, int flags, int *ret_fd);

/* Connects to a control socket: 0; -ECONNREFUSED or -ENOENT if nobody listens; another -errno.
 * Says nothing. */
int client_connect(const char *path, struct client **ret_client, struct hello *ret_hello);
void client_close(struct client *k);

/* What went wrong, and what to do. */
struct trouble {
	char message[1024], hint[512];
	bool lost; /* the connection: whether the request took effect is not known */
};

/* Sends a request and waits for its answer: 0 or -errno and *t. */
int client_call(struct client *k, const char *cmd, json_t *args, admin_progress progress,
		void *opaque, json_t **ret_ok, struct trouble *t);

/* Is the same so whether it is done once or twice? */
bool client_may_repeat(const char *cmd);

/* Waits until the daemon has ended the connection; what went wrong with it in *t. */
void client_wait_end(struct client *k, struct trouble *t);

/* The same, but for so long at most: false when it has not ended by then. */
bool client_wait_end_until(struct client *k, unsigned ms, struct trouble *t);

/* After subscribe: each event until the connection ends, or an interruption.  True: the daemon said goodbye; t as above. */
bool client_events(struct client *k, void (*event)(void *opaque, json_t *event), void *opaque,
		   struct trouble *t);

/* ---- sessions: a pool, served or not ------------------------------------------------------ */

struct session {
	struct client *daemon; /* NULL: not served */
	struct hello hello;
	struct cowbd_pool *pool; /* NULL: served, or not opened yet */
	char *path;              /* of the pool, NULL if only the daemon knows it */
	char uuid[37], name[65];
	bool read_only;         /* how it is opened, when it is opened */
	struct trouble trouble; /* of the last session_call */
	bool patient;           /* a daemon that goes away is waited for: see session_call */
	bool gone;              /* ... in vain */
};

/* Finds the pool that c means, and connects to its daemon if it has one.  Opens
 * nothing.  session_close in any case. */
int session_find(const struct call *c, struct session *s);
/* The same for the pool at path. */
int session_find_path(const char *path, struct session *s);
/* The same for the daemon that serves the pool of this UUID; says nothing: FAILED if there is none. */
int session_find_uuid(const char *uuid, struct session *s);
/* Also opens the pool itself when nobody serves it, read-only if cmd allows. */
int session_open(const struct call *c, const char *cmd, struct session *s);
/* Ends it.  An error in closing counts if status was DONE; returns what the command ends with. */
int session_close(struct session *s, int status);

/* Runs an admin command: 0 or -errno and s->trouble.  If the session is patient, a daemon that goes away meanwhile
 * (it died, or is taken over from) has its successor waited for, which is asked again, if
 * client_may_repeat. */
int session_call(struct session *s, const char *cmd, json_t *args, admin_progress progress,
		 void *opaque, json_t **ret_ok);
int session_complain(const struct session *s);

/* All in one: opens, runs cmd with args (taken), closes. */
int run_admin(const struct call *c, const char *cmd, json_t *args, json_t **ret_ok);
/* The same, and prints the answer with --json, else its note. */
int run_and_note(const struct call *c, const char *cmd, json_t *args, json_t **ret_ok);

/* {"no_wait":true} if asked for, with room for more. */
json_t *new_args(const struct call *c);
/* Complains if the name can't be. */
int check_name(const char *name);

/* RUNDIR/FILE; complains if there's no run directory. */
int run_dir_file(char **ret_path, const char *fmt, ...) PRINTF(2, 3);

/* Where clients reach the pool's daemon: a URI for NAME, and the Unix socket (NULL if it is TCP). */
struct address {
	char *uri, *socket;
};
int session_address(struct session *s, const char *name, struct address *ret);
void address_fini(struct address *a);
/* nbd+unix:///NAME?socket=PATH, percent-encoded; malloc'ed. */
char *unix_uri(const char *name, const char *socket);

/* ---- data of volumes and images -------------------------------------------------------------- */

struct disk;

/* Opens a volume or snapshot for I/O through the session, whichever way it is. */
int disk_open(struct session *s, const char *name, bool read_only, struct disk **ret_disk);
void disk_close(struct disk *d); /* NULL is fine */
uint64_t disk_size(const struct disk *d);
int disk_read(struct disk *d, void *buf, size_t len, uint64_t offset);
int disk_write(struct disk *d, const void *buf, size_t len, uint64_t offset);
int disk_flush(struct disk *d);
/* Is there data at offset, and how far does that go (at most to limit)? */
int disk_extent(struct disk *d, uint64_t offset, uint64_t limit, uint64_t *ret_end, bool *ret_data);

struct source;

/* Opens what import reads: a file, an image, "-", an NBD URI. */
int source_open(const char *what, const char *format, struct source **ret_source);
void source_close(struct source *x); /* NULL is fine */
const char *source_format(const struct source *x);
/* Bytes, UINT64_MAX if that shows only at the end. */
uint64_t source_size(const struct source *x);
/* Where data is at or after offset: up to *ret_end there is a hole or data. Only with a known size. */
int source_extent(struct source *x, uint64_t offset, uint64_t *ret_end, bool *ret_data);
/* Reads up to len bytes: *ret_got is 0 only at the end. A stream ignores offset. */
int source_read(struct source *x, void *buf, size_t len, uint64_t offset, size_t *ret_got);
/* After the last read: did the helper program end well? */
int source_finish(struct source *x);

/* First byte that isn't zero in buf, len if all are. */
bool all_zero(const void *buf, size_t len);

#define COPY_BYTES (1u << 20) /* of one read or write */
#define GRANULE_BYTES 4096u   /* zeros are left out in pieces of this */

/* ---- commands ----------------------------------------------------------------------------------- */

int cmd_init(const struct call *c);
int cmd_serve(const struct call *c);
int cmd_stop(const struct call *c);
int cmd_events(const struct call *c);
int cmd_status(const struct call *c);
int cmd_create(const struct call *c);
int cmd_scrub(const struct call *c);
int cmd_rm(const struct call *c);
int cmd_rename(const struct call *c);
int cmd_resize(const struct call *c);
int cmd_ls(const struct call *c);
int cmd_tree(const struct call *c);
int cmd_info(const struct call *c);
int cmd_df(const struct call *c);
int cmd_uri(const struct call *c);
int cmd_snapshot(const struct call *c);
int cmd_clone(const struct call *c);
int cmd_rollback(const struct call *c);
int cmd_diff(const struct call *c);
int cmd_dump(const struct call *c);
int cmd_check(const struct call *c);
int cmd_import(const struct call *c);
int cmd_export(const struct call *c);
int cmd_grow(const struct call *c);
int cmd_enable(const struct call *c);
int cmd_attach(const struct call *c);
int cmd_detach(const struct call *c);
int cmd_mount(const struct call *c);
int cmd_umount(const struct call *c);
int cmd_reattach(const struct call *c);
int cmd_help(const struct call *c);

#endif
