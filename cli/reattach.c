/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reattach.c - new connections for the kernel's NBD devices whose daemon went away, or must be asked anew
 *
 * The kernel puts a new socket in the place of a dead one, and what waited for it goes on.  It does
 * not say how many are dead: a socket that it did not take is closed when we close it, and so is no
 * more in /proc/net.
 */
#include "reattach.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attach_nbd.h"
#include "nbdlink.h"

#define PAUSE_MS 100
#define SETTLE_MS 2000 /* for a kernel to see that its connections are dead */
#define WATCH_POLL_MS 500

/* ---- is a socket still there? -------------------------------------------------------- */

/* Has a line of the file the inode as a word of its own? */
static bool file_has_inode(const char *path, unsigned long inode)
{
	FILE *f = fopen(path, "re");
	char line[1024], want[32];
	bool found = false;

	snprintf(want, sizeof want, " %lu ", inode);
	while (f && !found && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = ' ';
		found = strstr(line, want) != NULL;
	}
	if (f)
		fclose(f);
	return found;
}

static bool socket_lives(unsigned long inode)
{
	return file_has_inode("/proc/net/unix", inode) || file_has_inode("/proc/net/tcp", inode) ||
	       file_has_inode("/proc/net/tcp6", inode);
}

/* ---- one device ------------------------------------------------------------------------- */

/* One more connection: 1 taken, 0 none was dead, -errno.  *ret_size: of the volume. */
static int offer(struct nbdlink *l, const struct attachment *a, const struct address *address,
		 uint64_t size, uint64_t *ret_size)
{
	struct nbd_sockets x = {.n = 0};
	char backend[BACKEND_TEXT];
	struct nbdlink_request q = {.index = (int)a->index, .backend = backend};
	struct stat st = {0};
	int err;

	if (nbd_sockets_add(&x, address, a->id) < 0)
		return -ENOTCONN;
	nbd_backend(a->uuid, a->id, a->copy, backend);
	q.sockets = x.fd;
	q.sockets_n = 1;
	q.size_bytes = size;
	*ret_size = nbd_sockets_size(&x);
	err = fstat(x.fd[0], &st) < 0 ? -errno : nbdlink_reconfigure(l, &q);
	nbd_sockets_close(&x);
	return err ? err : socket_lives(st.st_ino);
}

/* A volume may have grown while nobody served it. */
static int tell_growth(struct nbdlink *l, const struct attachment *a, uint64_t size)
{
	char backend[BACKEND_TEXT];
	struct nbdlink_request q = {.index = (int)a->index, .backend = backend, .size_bytes = size};

	if (size <= attachment_bytes(a))
		return 0;
	nbd_backend(a->uuid, a->id, a->copy, backend);
	return nbdlink_reconfigure(l, &q);
}

int nbd_revive(const struct attachment *a, struct session *s, uint64_t size, unsigned *ret_taken)
{
	struct address address = {0};
	char export[EXPORT_TEXT];
	struct nbdlink l;
	uint64_t shown = 0;
	int taken = 1, err = nbdlink_open(&l);

	*ret_taken = 0;
	export_of(a->id, export);
	if (!err && session_address(s, export, &address))
		err = -ENOTCONN;
	while (!err && taken > 0 && *ret_taken < NBD_SOCKETS_MAX) {
		taken = offer(&l, a, &address, size, &shown);
		err = taken < 0 ? taken : 0;
		*ret_taken += taken > 0;
	}
	if (!err && !size && *ret_taken) /* who lives may have been told another size */
		err = tell_growth(&l, a, shown);
	address_fini(&address);
	nbdlink_close(&l);
	return err;
}

int nbd_revive_all(const struct attachment *a, struct session *s, uint64_t size)
{
	unsigned taken = 0, now = 0;
	bool settled = false;
	int err = 0;

	for (int waited = 0; !settled && waited < SETTLE_MS; waited += PAUSE_MS) {
		if (waited)
			usleep(PAUSE_MS * 1000);
		err = nbd_revive(a, s, size, &now);
		taken += now;
		/* a daemon that died between has its successor found by the session; and until nothing more is dead,
		 * after something was */
		settled = err == -ENOTCONN ? s->gone : err || (taken && !now);
	}
	if (s->gone)
		return FAILED; /* said */
	if (err)
		return complain("%s: no new connections: %s", a->device, strerror(-err));
	/* Whose daemon was restarted meanwhile has got its connections from that one. */
	return taken || (size && attachment_bytes(a) == size)
		       ? DONE
		       : complain("%s: the kernel has given none of its connections up", a->device);
}

/* ---- all devices --------------------------------------------------------------------------- */

/* Those of one daemon, or of all; *ret_waiting: whose daemon isn't there. */
static int revive_devices(const char *uuid, bool tell, unsigned *ret_waiting)
{
	SCOPED_ATTACHMENTS struct attachments all = {0};
	int status = attachments_find(uuid, 0, &all);

	*ret_waiting = 0;
	for (size_t i = 0; !status && i < all.n; i++) {
		struct session s;
		unsigned taken = 0;

		if (all.list[i].via != VIA_NBD)
			continue;
		if (session_find_uuid(all.list[i].uuid, &s) != DONE ||
		    nbd_revive(&all.list[i], &s, 0, &taken) < 0)
			++*ret_waiting;
		(void)session_close(&s, DONE);
		if (taken && tell) {
			printf("%s: %u connection%s\n", all.list[i].device, taken,
			       taken == 1 ? "" : "s");
			fflush(stdout);
		}
	}
	return status;
}

static void hurry_devices(const char *uuid, bool hurry)
{
	SCOPED_ATTACHMENTS struct attachments all = {0};
	int status = attachments_find(uuid, 0, &all);

	for (size_t i = 0; !status && i < all.n; i++)
		if (all.list[i].via == VIA_NBD)
			nbd_hurry(&all.list[i], hurry);
}

void reattach_before_end(const char *uuid)
{
	hurry_devices(uuid, true);
}

void reattach_after_start(const char *uuid)
{
	unsigned waiting;

	/* Twice: a kernel may see the end of its last connections only now. */
	if (revive_devices(uuid, false, &waiting) == DONE) {
		usleep(PAUSE_MS * 1000);
		(void)revive_devices(uuid, false, &waiting);
	}
	hurry_devices(uuid, false);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A dead connection is looked at until it has a successor, and for a while in any case: its message
 * may come before the others of the same daemon die. */
static int watch(struct nbdlink *l)
{
	int64_t busy_until = now_ms() + SETTLE_MS;
	unsigned waiting = 0, index;
	int status = DONE;

	while (!status && !interrupted()) {
		struct pollfd p = {.fd = nbdlink_fd(l), .events = POLLIN};
		int dead = 0, wait = waiting || now_ms() < busy_until ? WATCH_POLL_MS : -1;

		status = revive_devices(NULL, true, &waiting);
		if (interruption_poll(&p, 1, wait) <= 0)
			continue;
		while ((dead = nbdlink_next_dead(l, &index)) > 0)
			busy_until = now_ms() + SETTLE_MS;
		if (dead < 0 && dead != -EAGAIN)
			status = complain("netlink: %s", strerror(-dead));
	}
	return status;
}

int cmd_reattach(const struct call *c)
{
	unsigned waiting;
	struct nbdlink l;
	int err, status = need_root(c);

	if (status)
		return status;
	err = nbdlink_open(&l);
	if (!err && c->opt[OPT_WATCH]) {
		interruption_catch();
		err = nbdlink_listen(&l);
		status = err ? FAILED : watch(&l);
	} else if (!err) {
		status = revive_devices(NULL, true, &waiting);
		if (!status && waiting)
			status = complain("%u device%s still without a daemon: `cowbd serve` their "
					  "pool",
					  waiting, waiting == 1 ? " is" : "s are");
	}
	nbdlink_close(&l);
	if (err == -ENOENT)
		return complain(
			"this kernel has no NBD client, so nothing is to be attached again: "
			"what goes through nbdfuse does it by itself");
	return err ? complain("can't talk to the kernel by netlink: %s", strerror(-err)) : status;
}
