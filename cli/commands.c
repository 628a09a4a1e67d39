/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands.c - the one table of commands and options
 *
 * Dispatch, --help, "did you mean" and the test of the man page come from it.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

const struct option_def option_defs[OPTIONS] = {
	[OPT_POOL] = {'p', "pool", "POOL"},
	[OPT_JSON] = {0, "json", NULL},
	[OPT_COLUMNS] = {'o', "columns", "LIST"},
	[OPT_NOHEADINGS] = {0, "noheadings", NULL},
	[OPT_BYTES] = {0, "bytes", NULL},
	[OPT_NO_WAIT] = {0, "no-wait", NULL},
	[OPT_HELP] = {'h', "help", NULL},
	[OPT_VERSION] = {0, "version", NULL},
	[OPT_NAME] = {0, "name", "NAME"},
	[OPT_SIZE] = {0, "size", "SIZE"},
	[OPT_BLOCK_SIZE] = {0, "block-size", "SIZE"},
	[OPT_JOURNAL_SIZE] = {0, "journal-size", "SIZE"},
	[OPT_PREALLOCATE] = {0, "preallocate", NULL},
	[OPT_FORCE] = {'f', "force", NULL},
	[OPT_TCP] = {0, "tcp", "ADDR"},
	[OPT_TLS] = {0, "tls", NULL},
	[OPT_TLS_CERTIFICATES] = {0, "tls-certificates", "DIR"},
	[OPT_TLS_PSK] = {0, "tls-psk", "FILE"},
	[OPT_INSECURE] = {0, "insecure", NULL},
	[OPT_DAEMON] = {0, "daemon", NULL},
	[OPT_SOCKET] = {0, "socket", "PATH"},
	[OPT_THREADS] = {0, "threads", "N"},
	[OPT_READONLY] = {0, "readonly", NULL},
	[OPT_DIRECT] = {0, "direct", NULL},
	[OPT_CACHE] = {0, "cache", "SIZE"},
	[OPT_ON_FULL] = {0, "on-full", "POLICY"},
	[OPT_HOLD_TIMEOUT] = {0, "hold-timeout", "SECONDS"},
	[OPT_LOW_WATER] = {0, "low-water", "MARK"},
	[OPT_TAKEOVER] = {0, "takeover", NULL},
	[OPT_SOCKET_GROUP] = {0, "socket-group", "GROUP"},
	[OPT_SOCKET_MODE] = {0, "socket-mode", "MODE"},
	[OPT_CONTROL_GROUP] = {0, "control-group", "GROUP"},
	[OPT_LOST_TAIL] = {0, "lost-tail", NULL},
	[OPT_AFTER_ERROR] = {0, "after-error", NULL},
	[OPT_SECTOR_SIZE] = {0, "sector-size", "SIZE"},
	[OPT_RECURSIVE] = {'r', "recursive", NULL},
	[OPT_DRY_RUN] = {0, "dry-run", NULL},
	[OPT_COUNT] = {'n', "count", "N"},
	[OPT_UNDO] = {0, "undo", NULL},
	[OPT_KEEP] = {0, "keep", "NAME"},
	[OPT_DISCARD] = {0, "discard", NULL},
	[OPT_FORMAT] = {0, "format", "FORMAT"},
	[OPT_PAD] = {0, "pad", NULL},
	[OPT_ROOT] = {0, "root", "DIR"},
	[OPT_DEVICE] = {0, "device", "DEVICE"},
	[OPT_CONNECTIONS] = {0, "connections", "N"},
	[OPT_VIA] = {0, "via", "WAY"},
	[OPT_OPTIONS] = {0, "options", "LIST"},
	[OPT_FREEZE] = {0, "freeze", "DIR"},
	[OPT_REMOUNT] = {0, "remount", NULL},
	[OPT_RESIZE_FS] = {0, "resize-fs", NULL},
	[OPT_WATCH] = {0, "watch", NULL},
	[OPT_REPAIR] = {0, "repair", NULL},
};

const struct option_use global_options[] = {
	{OPT_POOL, "the pool: its file or device, or the name of one that is served"},
	{OPT_JSON, "print one JSON object instead of text"},
	{OPT_COLUMNS, "columns of a table, with commas between; +LIST adds to the usual ones"},
	{OPT_NOHEADINGS, "tables without their first line"},
	{OPT_BYTES, "sizes in bytes instead of 10G"},
	{OPT_NO_WAIT, "return when the change took effect; it is durable within a second"},
	{OPT_HELP, "print help, of a command if one is given"},
	{OPT_VERSION, "print the version"},
	{0, NULL},
};

#define OPTIONS_OF(command, ...)                                                                   \
	static const struct option_use command##_options[] = {__VA_ARGS__, {0, NULL}}

OPTIONS_OF(no, {0, NULL});
OPTIONS_OF(init, {OPT_NAME, "name of the pool; else the file's, without its extension"},
	   {OPT_SIZE,
	    "size of the pool; else as large as the file system or device allows, sparse"},
	   {OPT_BLOCK_SIZE, "4K (the default) to 1M, a power of two"},
	   {OPT_JOURNAL_SIZE, "size of the journal; else 1/1024 of the pool, 16M to 1G"},
	   {OPT_PREALLOCATE, "take the whole size from the host now"},
	   {OPT_FORCE, "though the file or device holds something, which is lost"});
OPTIONS_OF(serve, {OPT_DAEMON, "return when clients can connect, and go on in the background"},
	   {OPT_TAKEOVER, "take over from the daemon that serves the pool; clients reconnect"},
	   {OPT_SOCKET, "listen on this Unix socket instead of the one in the run directory"},
	   {OPT_SOCKET_GROUP, "group of that socket; its members may connect"},
	   {OPT_SOCKET_MODE, "mode of that socket, in octal; 0660 with a group, else 0600"},
	   {OPT_CONTROL_GROUP, "members of this group may manage the pool, too"},
	   {OPT_TCP, "listen on HOST, :PORT or HOST:PORT instead; beyond loopback only with TLS"},
	   {OPT_TLS, "require TLS"},
	   {OPT_TLS_CERTIFICATES, "require TLS, with the X.509 files in DIR"},
	   {OPT_TLS_PSK, "require TLS, with the pre-shared keys in FILE"},
	   {OPT_INSECURE, "let anybody on the network read and write, without TLS"},
	   {OPT_THREADS, "requests that are worked on at once, per connection (64)"},
	   {OPT_READONLY, "serve everything read-only"},
	   {OPT_DIRECT, "bypass the page cache for data"},
	   {OPT_CACHE, "bound of the cache of metadata (64M)"},
	   {OPT_ON_FULL, "writes to a full pool: hold (the default), or error"},
	   {OPT_HOLD_TIMEOUT, "held writes fail after so long; 0 (the default): never"},
	   {OPT_LOW_WATER, "an event when less space is free: 10% (the default), or a size"},
	   {OPT_LOST_TAIL, "open though what was not flushed when the last daemon died is lost"},
	   {OPT_AFTER_ERROR, "open after a failed sync: what that may have lost stays lost"});
OPTIONS_OF(stop, {OPT_FORCE, "though clients are attached; they are cut off"});
OPTIONS_OF(create, {OPT_SECTOR_SIZE, "what disks show: 512 (the default) or 4096"});
OPTIONS_OF(rm, {OPT_RECURSIVE, "the snapshots of a volume too; clones stay"},
	   {OPT_DRY_RUN, "only say what would go, and how much space it would free"},
	   {OPT_FORCE, "though clients are attached; they are cut off"});
OPTIONS_OF(resize, {OPT_RESIZE_FS, "then grow the file system on it, too: ext4, XFS or btrfs"},
	   {OPT_REMOUNT, "unmount and detach it, resize, attach and mount it again"},
	   {OPT_FORCE, "smaller though data is cut off, or clients are attached"});
OPTIONS_OF(snapshot,
	   {OPT_FREEZE, "freeze the file system on DIR, or (auto) all of the volumes, meanwhile"});
OPTIONS_OF(clone,
	   {OPT_COUNT, "make N clones PREFIX1 ... PREFIXN, with zeros in front to one length"});
OPTIONS_OF(rollback, {OPT_UNDO, "take a volume back to where it was before its last rollback"},
	   {OPT_KEEP, "keep the state left behind as VOL@NAME, for good"},
	   {OPT_DISCARD, "keep nothing of the state left behind"},
	   {OPT_REMOUNT, "unmount and detach it, roll back, attach and mount it again"},
	   {OPT_FORCE, "though clients are attached; they are cut off first"});
OPTIONS_OF(detach, {OPT_FORCE, "though its pool is not served; what was written last is lost"});
OPTIONS_OF(check, {OPT_REPAIR, "mend what can be mended, and list what is lost"},
	   {OPT_DRY_RUN, "with --repair: only say what it would do"});
OPTIONS_OF(import, {OPT_FORMAT, "raw, qcow2, vmdk, vdi, vhdx, gz or xz, instead of looking"},
	   {OPT_PAD, "fill up with zeros to a multiple of 512 bytes"},
	   {OPT_SECTOR_SIZE, "what disks show: 512 (the default) or 4096"});
#define VIA_OPTION                                                                                 \
	{                                                                                          \
		OPT_VIA, "nbd (the kernel's client), fuse (nbdfuse and loop), or auto"             \
	}
OPTIONS_OF(attach, {OPT_DEVICE, "this /dev/nbdN or /dev/loopN, instead of any that is free"},
	   {OPT_CONNECTIONS, "connections of the kernel's client (1)"},
	   {OPT_READONLY, "nothing can be written; for snapshots always"}, VIA_OPTION,
	   {OPT_SECTOR_SIZE, "what the device shows, instead of what the volume was made with"});
OPTIONS_OF(mount, {OPT_READONLY, "nothing can be written"},
	   {OPT_OPTIONS, "options of the file system, as mount -o has them"}, VIA_OPTION);
OPTIONS_OF(reattach, {OPT_WATCH, "go on, and do it whenever a connection has died"});
OPTIONS_OF(enable, {OPT_NAME, "of the service, cowbd@NAME; else the pool's"},
	   {OPT_ROOT, "write below DIR instead of /"});
OPTIONS_OF(export, {OPT_FORCE, "replace a file that exists, or write to a device"});

const struct command commands[] = {
	{"init", NULL, "[POOL]", 0, 1, "make a pool in a file or block device", cmd_init,
	 init_options, false},
	{"serve", NULL, "[POOL] [-- NBDKIT-ARGS...]", 0, 1, "serve a pool's volumes over NBD",
	 cmd_serve, serve_options, true},
	{"stop", NULL, "", 0, 0, "stop the daemon; returns when the pool is closed", cmd_stop,
	 stop_options, false},
	{"status", NULL, "", 0, 0, "say how the pool and its daemon are", cmd_status, no_options,
	 false},
	{"events", NULL, "", 0, 0, "tell what happens in a served pool, as it happens", cmd_events,
	 no_options, false},
	{"create", NULL, "VOL SIZE", 2, 2, "make an empty volume", cmd_create, create_options,
	 false},
	{"rm", "destroy", "NAME...", 1, -1, "remove volumes and snapshots", cmd_rm, rm_options,
	 false},
	{"rename", NULL, "NAME NEW", 2, 2, "rename a volume or snapshot", cmd_rename, no_options,
	 false},
	{"resize", NULL, "VOL SIZE", 2, 2, "make a volume larger or smaller", cmd_resize,
	 resize_options, false},
	{"ls", "list", "[NAME...]", 0, -1, "list volumes and snapshots", cmd_ls, no_options, false},
	{"tree", NULL, "", 0, 0, "draw what was made from what", cmd_tree, no_options, false},
	{"info", NULL, "NAME", 1, 1, "tell all about a volume or snapshot", cmd_info, no_options,
	 false},
	{"df", NULL, "", 0, 0, "show how space is used and shared", cmd_df, no_options, false},
	{"uri", NULL, "NAME", 1, 1, "print the NBD URI of a volume or snapshot", cmd_uri,
	 no_options, false},
	{"snapshot", "snap", "VOL[@SNAP]...", 1, -1, "take snapshots, all at one instant",
	 cmd_snapshot, snapshot_options, false},
	{"clone", NULL, "NAME NEW... | -n N NAME PREFIX", 2, -1,
	 "make writable copies of a snapshot or volume", cmd_clone, clone_options, false},
	{"rollback", NULL, "VOL@SNAP | --undo VOL", 1, 1, "take a volume back to a snapshot",
	 cmd_rollback, rollback_options, false},
	{"diff", NULL, "A B", 2, 2, "list what changed from A to B", cmd_diff, no_options, false},
	{"check", NULL, "", 0, 0, "verify the pool: 0 clean, 2 damage, 3 leaks only", cmd_check,
	 check_options, false},
	{"scrub", NULL, "", 0, 0, "read all data, and verify that of snapshots: 0 fine, 2 damage",
	 cmd_scrub, no_options, false},
	{"dump", NULL, "", 0, 0, "print the pool's metadata as JSON, one object a line", cmd_dump,
	 no_options, false},
	{"import", NULL, "FILE|URI|- VOL", 2, 2, "make a volume from an image", cmd_import,
	 import_options, false},
	{"export", NULL, "NAME FILE|-", 2, 2, "write a volume or snapshot to a file, sparse",
	 cmd_export, export_options, false},
	{"attach", NULL, "NAME", 1, 1, "make a volume or snapshot a block device", cmd_attach,
	 attach_options, false},
	{"detach", NULL, "NAME|DEVICE", 1, 1, "end that", cmd_detach, detach_options, false},
	{"mount", NULL, "NAME[:PARTITION] DIR", 2, 2,
	 "mount what is on a volume, or on a throw-away clone of a snapshot", cmd_mount,
	 mount_options, false},
	{"umount", "unmount", "DIR", 1, 1, "end that, and what it attached", cmd_umount, no_options,
	 false},
	{"reattach", NULL, "", 0, 0, "give /dev/nbdN new connections in place of dead ones",
	 cmd_reattach, reattach_options, false},
	{"grow", NULL, "[SIZE]", 0, 1, "make the pool larger", cmd_grow, no_options, false},
	{"enable", NULL, "POOL [VOL...]", 1, -1,
	 "let systemd serve the pool, and attach volumes, at boot", cmd_enable, enable_options,
	 false},
	{"help", NULL, "[COMMAND]", 0, 1, "print help", cmd_help, no_options, false},
};
const size_t commands_n = ARRAY_SIZE(commands);

const struct command *command_find(const char *word)
{
	for (size_t i = 0; i < commands_n; i++)
		if (strcmp(commands[i].name, word) == 0 ||
		    (commands[i].alias && strcmp(commands[i].alias, word) == 0))
			return &commands[i];
	return NULL;
}

/* ---- help ------------------------------------------------------------------------- */

static void print_options(const struct option_use *use)
{
	for (; use->help; use++) {
		const struct option_def *d = &option_defs[use->id];
		char text[64], letter[8] = "    ";

		if (d->letter)
			snprintf(letter, sizeof letter, "-%c, ", d->letter);
		snprintf(text, sizeof text, "%s--%s%s%s", letter, d->name, d->arg ? " " : "",
			 d->arg ? d->arg : "");
		printf("  %-26s %s\n", text, use->help);
	}
}

void print_help(void)
{
	printf("usage: cowbd [-p POOL] COMMAND ...\n"
	       "fork() for disks: copy-on-write volumes, snapshots and clones over NBD\n\n"
	       "commands:\n");
	for (size_t i = 0; i < commands_n; i++) {
		const struct command *c = &commands[i];

		printf("  %-10s %s%s%s%s\n", c->name, c->summary, c->alias ? " (also: " : "",
		       c->alias ? c->alias : "", c->alias ? ")" : "");
	}
	printf("\noptions of all commands:\n");
	print_options(global_options);
	printf("\nSizes: 4096, 512M, 1.5T; K M G T P are powers of 1024, KB MB GB of 1000.\n"
	       "Names: vol is a volume, vol@snap a snapshot of it.\n"
	       "Without -p and $COWBD_POOL the only running daemon's pool is meant.\n"
	       "`cowbd COMMAND --help` tells more; cowbd(1) tells all.\n");
}

void print_command_help(const struct command *c)
{
	printf("usage: cowbd [-p POOL] %s%s%s\n%s\n", c->name, c->words[0] ? " " : "", c->words,
	       c->summary);
	if (c->alias)
		printf("also called: %s\n", c->alias);
	if (c->options->help) {
		printf("\noptions:\n");
		print_options(c->options);
	}
	printf("\noptions of all commands:\n");
	print_options(global_options);
}
