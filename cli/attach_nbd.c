/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach_nbd.c - the kernel's NBD client: libnbd negotiates, the kernel goes on with its sockets
 *
 * The kernel knows neither structured replies nor what else may be negotiated, so
 * none of it is.  What the server said comes to the kernel as flags.
 *
 * Timeouts (seen with Linux 6.1).  What was sent on a connection that died is sent again when its
 * request's time is over, not before, so that time is made short.  With one connection and no I/O timeout
 * nothing else happens then: a request that takes longer (a full pool holds it) goes on waiting.
 * With several, the kernel gives the connection up instead: there it keeps its own 30 s.
 */
#include <errno.h>
#include <libnbd.h>
#include <linux/nbd.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "attach_nbd.h"
#include "nbdlink.h"

#define REQUEST_MS                                                                                 \
	1000 /* until a request is looked at again; a second more, since the kernel adds that */
#define HASTY_MS 20      /* the same while a daemon hands over */
#define DEAD_SECONDS 600 /* how long I/O waits for a daemon that is gone */

/* Of the protocol; <linux/nbd.h> has not all. */
#define FLAG_ROTATIONAL (1 << 4)
#define FLAG_WRITE_ZEROES (1 << 6)

static int open_link(struct nbdlink *l)
{
	int err = nbdlink_open(l);

	if (err)
		nbdlink_close(l);
	return err;
}

/* Best effort: whether it helped shows the next try. */
static void load_module(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("modprobe", "modprobe", "-q", "nbd", (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static int open_or_load(struct nbdlink *l)
{
	int err = open_link(l);

	if (err != -ENOENT)
		return err;
	load_module();
	return open_link(l);
}

bool nbd_available(void)
{
	struct nbdlink l;

	if (open_or_load(&l) < 0)
		return false;
	nbdlink_close(&l);
	return true;
}

static int open_link_or_complain(struct nbdlink *l)
{
	int err = open_or_load(l);

	if (err == -ENOENT)
		return complain("this kernel has no NBD client (modprobe nbd does not help): "
				"--via fuse does without");
	return err ? complain("can't talk to the kernel by netlink: %s", strerror(-err)) : DONE;
}

/* ---- connections ------------------------------------------------------------------------ */

void nbd_sockets_close(struct nbd_sockets *x)
{
	for (size_t i = 0; i < x->n; i++) {
		close(x->fd[i]);
		nbd_close(x->handle[i]);
	}
	x->n = 0;
}

static int connect_handle(struct nbd_handle *h, const struct address *a, uint64_t id)
{
	char export[EXPORT_TEXT];

	export_of(id, export);
	if (nbd_set_request_structured_replies(h, false) < 0 || nbd_set_export_name(h, export) < 0)
		return -1;
	return a->socket ? nbd_connect_unix(h, a->socket) : nbd_connect_uri(h, a->uri);
}

int nbd_sockets_add(struct nbd_sockets *x, const struct address *a, uint64_t id)
{
	struct nbd_handle *h = nbd_create();
	int fd = -1;

	if (h && connect_handle(h, a, id) == 0)
		fd = dup(nbd_aio_get_fd(h));
	if (fd < 0) {
		nbd_close(h);
		return -1;
	}
	x->fd[x->n] = fd;
	x->handle[x->n++] = h;
	return 0;
}

uint64_t nbd_sockets_size(const struct nbd_sockets *x)
{
	int64_t bytes = x->n ? nbd_get_size(x->handle[x->n - 1]) : -1;

	return bytes > 0 ? (uint64_t)bytes : 0;
}

static uint64_t flags_of(struct nbd_handle *h, bool read_only)
{
	const struct {
		int can;
		uint64_t flag;
	} can[] = {
		{1, NBD_FLAG_HAS_FLAGS},
		{read_only || nbd_is_read_only(h) == 1, NBD_FLAG_READ_ONLY},
		{nbd_can_flush(h), NBD_FLAG_SEND_FLUSH},
		{nbd_can_fua(h), NBD_FLAG_SEND_FUA},
		{nbd_is_rotational(h), FLAG_ROTATIONAL},
		{nbd_can_trim(h), NBD_FLAG_SEND_TRIM},
		{nbd_can_zero(h), FLAG_WRITE_ZEROES},
		{nbd_can_multi_conn(h), NBD_FLAG_CAN_MULTI_CONN},
	};
	uint64_t flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(can); i++)
		flags |= can[i].can > 0 ? can[i].flag : 0;
	return flags;
}

/* As many as asked for, if the server says that several see the same. */
static int connect_all(const struct attach *a, struct nbd_sockets *x)
{
	struct address address = {0};
	char export[EXPORT_TEXT];
	unsigned wanted = a->connections;
	int status;

	if (wanted > NBD_SOCKETS_MAX)
		wanted = NBD_SOCKETS_MAX;
	export_of(a->id, export);
	status = session_address(a->s, export, &address);
	if (!status && strncmp(address.uri, "nbds", 4) == 0)
		status = complain("the daemon wants TLS, which the kernel's client can't speak: "
				  "--via fuse can");
	while (!status && x->n < wanted) {
		if (nbd_sockets_add(x, &address, a->id) < 0)
			status = complain("%s: can't connect: %s", a->name, nbd_get_error());
		else if (nbd_can_multi_conn(x->handle[0]) != 1)
			wanted = 1;
	}
	address_fini(&address);
	return status;
}

/* ---- attaching ---------------------------------------------------------------------------- */

void nbd_backend(const char *uuid, uint64_t id, bool copy, char buf[BACKEND_TEXT])
{
	snprintf(buf, BACKEND_TEXT, "%s/%" PRIu64 "%s", uuid, id, copy ? "/copy" : "");
}

static int connect_trouble(const struct attach *a, int err)
{
	switch (-err) {
	case EPERM: return complain("the kernel's NBD client is root's alone");
	case EBUSY: return complain("/dev/nbd%d is in use: choose another, or none", a->index);
	case ENOENT:
	case ENODEV:
	case EINVAL:
		if (a->index >= 0)
			return complain("/dev/nbd%d: the kernel has no such device, or does not "
					"take it: %s",
					a->index, strerror(-err));
		__attribute__((fallthrough));
	default: return complain("%s: the kernel does not attach it: %s", a->name, strerror(-err));
	}
}

static int connect_kernel(struct nbdlink *l, const struct attach *a, const struct nbd_sockets *x,
			  struct attachment *ret)
{
	struct attachment n = {.via = VIA_NBD, .id = a->id, .copy = a->copy};
	char backend[BACKEND_TEXT];
	struct nbdlink_request q = {
		.index = a->index,
		.size_bytes = (uint64_t)nbd_get_size(x->handle[0]),
		.block_bytes = a->sector_bytes,
		.timeouts = true,
		.dead_seconds = DEAD_SECONDS,
		.server_flags = flags_of(x->handle[0], a->read_only),
		.sockets = x->fd,
		.sockets_n = x->n,
		.backend = backend,
	};
	int err;

	nbd_backend(a->s->uuid, a->id, a->copy, backend);
	err = nbdlink_connect(l, &q, &n.index);
	if (err == -EBUSY && a->or_any) {
		q.index = -1;
		err = nbdlink_connect(l, &q, &n.index);
	}
	if (err)
		return connect_trouble(a, err);
	n.read_only = (q.server_flags & NBD_FLAG_READ_ONLY) != 0;
	snprintf(n.uuid, sizeof n.uuid, "%s", a->s->uuid);
	snprintf(n.device, sizeof n.device, "/dev/nbd%u", n.index);
	*ret = n;
	return DONE;
}

/* An older kernel without the file keeps 30 s. */
static FILE *open_timeout(const struct attachment *a, const char *mode)
{
	char path[64];

	snprintf(path, sizeof path, "/sys/block/nbd%u/queue/io_timeout", a->index);
	return fopen(path, mode);
}

static void set_timeout(const struct attachment *a, unsigned ms)
{
	FILE *f = open_timeout(a, "we");

	if (!f)
		return;
	fprintf(f, "%u\n", ms);
	fclose(f);
}

void nbd_hurry(const struct attachment *a, bool hurry)
{
	FILE *f = open_timeout(a, "re");
	unsigned now = 0;

	if (!f)
		return;
	if (fscanf(f, "%u", &now) != 1)
		now = 0;
	fclose(f);
	if (now == (hurry ? REQUEST_MS : HASTY_MS))
		set_timeout(a, hurry ? HASTY_MS : REQUEST_MS);
}

int nbd_attach(const struct attach *a, struct attachment *ret)
{
	struct nbd_sockets x = {.n = 0};
	struct nbdlink l;
	int status = open_link_or_complain(&l);

	if (status)
		return status;
	status = connect_all(a, &x);
	if (!status)
		status = connect_kernel(&l, a, &x, ret);
	if (!status && x.n == 1)
		set_timeout(ret, REQUEST_MS);
	nbd_sockets_close(&x);
	nbdlink_close(&l);
	return status;
}

/* Only once somebody has it open: else udev's look at the new device would be its last use. */
int nbd_go_with_last_use(const struct attachment *a)
{
	char backend[BACKEND_TEXT];
	struct nbdlink_request q = {.index = (int)a->index,
				    .client_flags = NBD_CFLAG_DISCONNECT_ON_CLOSE,
				    .backend = backend};
	struct nbdlink l;
	int err, status = open_link_or_complain(&l);

	if (status)
		return status;
	nbd_backend(a->uuid, a->id, a->copy, backend);
	err = nbdlink_reconfigure(&l, &q);
	nbdlink_close(&l);
	return err ? complain("%s: the kernel does not let it end with its last use: %s", a->device,
			      strerror(-err))
		   : DONE;
}

int nbd_detach(const struct attachment *a)
{
	struct nbdlink l;
	int err, status = open_link_or_complain(&l);

	if (status)
		return status;
	err = nbdlink_disconnect(&l, a->index);
	nbdlink_close(&l);
	return err ? complain("%s: the kernel does not detach it: %s", a->device, strerror(-err))
		   : DONE;
}
