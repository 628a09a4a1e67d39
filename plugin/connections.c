/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connections.c - which sockets of this process are NBD connections, and whose they are
 *
 * A connection is a connected stream socket whose local address is one that this process
 * listens on.  /proc/self/fd lists them.
 *
 * Whose is it?  nbdkit calls .preconnect in the thread of the new connection before it reads or
 * writes a byte.  One thread at a time looks there for a socket that nobody has claimed and whose
 * peer is the one that nbdkit names.  Nearly always there is exactly one.  Several are left only
 * when one process opened several connections at the same instant; then each is replaced for a
 * moment by a marker, and the one through which nbdkit sees the marker's name is ours.
 * [CONN-2] makes that harmless.
 *
 * Invariants
 *   [CONN-1] A claimed socket is known by descriptor *and* inode: nothing is done to a number that
 *            was closed and used again.
 *   [CONN-2] An unclaimed socket carries no traffic: its thread has not come out of .preconnect,
 *            which waits for the lock, and refuses a connection that it can't claim.
 *   [CONN-3] A marker is in place only under the lock; every shutdown takes it too, and whoever asks
 *            nbdkit for the peer of a connection that isn't claimed yet.
 *
 * Limits: with nbdkit -s, or without /proc, no listener is found: then connections stay unknown
 * (fd -1), and whoever wants to cut one is told.  So does one that a filter opens from a thread
 * of its own.
 */
#include "connections.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <linux/vm_sockets.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define MAX_LISTENERS 32

struct address {
	socklen_t len;
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_vm vm;
		struct sockaddr_storage room;
	} u;
};

/* Set while no client is there, then constant. */
static struct address listeners[MAX_LISTENERS];
static size_t n_listeners;
static char unix_path[sizeof((struct sockaddr_un *)0)->sun_path + 1];
static int marker[2] = {-1, -1};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t *claimed; /* under lock: by descriptor, the inode that was claimed; 0: none */
static size_t n_claimed;  /* under lock */

static _Thread_local struct conn_id mine = {.fd = -1};

/* ---- addresses ----------------------------------------------------------------------- */

static bool local_address(int fd, struct address *ret)
{
	ret->len = sizeof ret->u;
	return getsockname(fd, &ret->u.any, &ret->len) == 0 && ret->len <= sizeof ret->u;
}

static bool peer_address(int fd, struct address *ret)
{
	ret->len = sizeof ret->u;
	return getpeername(fd, &ret->u.any, &ret->len) == 0 && ret->len <= sizeof ret->u;
}

static bool peer_address_by_nbdkit(struct address *ret)
{
	ret->len = sizeof ret->u;
	return nbdkit_peer_name(&ret->u.any, &ret->len) == 0 && ret->len <= sizeof ret->u;
}

static bool same_address(const struct address *a, const struct address *b)
{
	return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

/* Could a socket with this local address have been accepted by that listener?  One that
 * listens on all addresses shows none, so ports alone are compared. */
static bool accepted_by(const struct address *local, const struct address *listener)
{
	if (local->u.any.sa_family != listener->u.any.sa_family)
		return false;
	switch (local->u.any.sa_family) {
	case AF_UNIX: return same_address(local, listener);
	case AF_INET: return local->u.in.sin_port == listener->u.in.sin_port;
	case AF_INET6: return local->u.in6.sin6_port == listener->u.in6.sin6_port;
	case AF_VSOCK: return local->u.vm.svm_port == listener->u.vm.svm_port;
	default: return false;
	}
}

/* ---- looking at our own descriptors -------------------------------------------------- */

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* Calls visit for each descriptor that is a stream socket, its inode, and whether it listens.
 * False: could not look. */
static bool each_socket(void (*visit)(void *opaque, struct conn_id id, bool listens), void *opaque)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		char *end;
		long fd = strtol(entry->d_name, &end, 10);

		if (*end || end == entry->d_name || fstat((int)fd, &st) || !S_ISSOCK(st.st_mode) ||
		    socket_option((int)fd, SO_TYPE) != SOCK_STREAM)
			continue;
		visit(opaque, (struct conn_id){.fd = (int)fd, .inode = st.st_ino},
		      socket_option((int)fd, SO_ACCEPTCONN) == 1);
	}
	closedir(dir);
	return true;
}

static bool is_connection(int fd)
{
	struct address local;

	if (!local_address(fd, &local))
		return false;
	for (size_t i = 0; i < n_listeners; i++)
		if (accepted_by(&local, &listeners[i]))
			return true;
	return false;
}

static void remember_listener(void *except_fd, struct conn_id id, bool listens)
{
	struct address *a = &listeners[n_listeners];

	if (!listens || id.fd == *(int *)except_fd || n_listeners == MAX_LISTENERS ||
	    !local_address(id.fd, a))
		return;
	n_listeners++;
	if (a->u.any.sa_family == AF_UNIX && !unix_path[0] && a->u.un.sun_path[0])
		memcpy(unix_path, a->u.un.sun_path, sizeof a->u.un.sun_path);
}

int conns_init(int except_fd, const char *path)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};

	n_listeners = 0;
	unix_path[0] = 0;
	if (!each_socket(remember_listener, &except_fd))
		nbdkit_debug("/proc/self/fd: %s; connections can't be cut", strerror(errno));
	if (unix_path[0] && path)
		snprintf(unix_path, sizeof unix_path, "%s", path);
	/* Binding to a family alone gives the socket a unique abstract name. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, marker) ||
	    bind(marker[1], (struct sockaddr *)&any, sizeof any.sun_family))
		return -errno;
	return 0;
}

const char *conns_unix_path(void)
{
	return unix_path[0] ? unix_path : NULL;
}

/* Percent-encodes what a URI's query may not hold. */
static void append_escaped(char *buf, size_t len, const char *text)
{
	size_t at = strlen(buf);

	for (; *text && at + 4 <= len; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("/-._~", c))
			buf[at++] = (char)c;
		else
			at += (size_t)snprintf(buf + at, 4, "%%%02X", c);
	}
	buf[at] = 0;
}

bool conns_uri(char *buf, size_t len)
{
	char host[64], port[16];
	const struct address *a = &listeners[0];

	if (unix_path[0]) {
		snprintf(buf, len, "nbd+unix:///?socket=");
		append_escaped(buf, len, unix_path);
		return true;
	}
	if (!n_listeners)
		return false;
	if (a->u.any.sa_family == AF_VSOCK) {
		snprintf(buf, len, "nbd+vsock://1:%u", a->u.vm.svm_port);
		return true;
	}
	if (getnameinfo(&a->u.any, a->len, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV))
		return false;
	/* Who listens everywhere is reached here by the loopback address. */
	if (!strcmp(host, "0.0.0.0") || !strcmp(host, "::"))
		snprintf(host, sizeof host, "localhost");
	snprintf(buf, len, strchr(host, ':') ? "nbd://[%s]:%s" : "nbd://%s:%s", host, port);
	return true;
}

/* ---- claims -------------------------------------------------------------------------- */

static bool is_claimed_locked(struct conn_id id)
{
	return (size_t)id.fd < n_claimed && claimed[id.fd] == id.inode;
}

static bool claim_locked(struct conn_id id)
{
	if ((size_t)id.fd >= n_claimed) {
		size_t n = 2 * (size_t)id.fd + 16;
		uint64_t *larger = realloc(claimed, n * sizeof *larger);

		if (!larger)
			return false;
		memset(larger + n_claimed, 0, (n - n_claimed) * sizeof *larger);
		claimed = larger;
		n_claimed = n;
	}
	claimed[id.fd] = id.inode;
	return true;
}

/* Whom nbdkit says that this thread's connection is with. */
struct peer {
	struct address address;
	int64_t pid, uid;
};

/* Asked without the lock, nbdkit might describe another thread's marker. [CONN-3] */
static bool peer_locked(struct peer *ret)
{
	ret->pid = ret->uid = -1;
	if (!peer_address_by_nbdkit(&ret->address))
		return false;
	if (ret->address.u.any.sa_family == AF_UNIX) {
		ret->pid = nbdkit_peer_pid();
		ret->uid = nbdkit_peer_uid();
	}
	return true;
}

/* Unix peers rarely have a name, so these are told apart by credentials. */
static bool may_be_peer(int fd, const struct peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	struct address a;

	if (peer->address.u.any.sa_family != AF_UNIX)
		return peer_address(fd, &a) && same_address(&a, &peer->address);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       (peer->pid < 1 || cred.pid == peer->pid) && (peer->uid < 0 || cred.uid == peer->uid);
}

struct candidates {
	const struct peer *peer;
	struct conn_id *list;
	size_t n, room;
	bool failed;
};

static void add_candidate_locked(void *opaque, struct conn_id id, bool listens)
{
	struct candidates *c = opaque;

	if (listens || is_claimed_locked(id) || !is_connection(id.fd) ||
	    !may_be_peer(id.fd, c->peer))
		return;
	if (c->n == c->room) {
		size_t room = 2 * c->room + 8;
		struct conn_id *larger = realloc(c->list, room * sizeof *larger);

		if (!larger) {
			c->failed = true;
			return;
		}
		c->list = larger;
		c->room = room;
	}
	c->list[c->n++] = id;
}

/* dup3 onto an open descriptor can fail only for a moment. */
static void replace(int fd, int by)
{
	while (dup3(by, fd, O_CLOEXEC) < 0 && (errno == EINTR || errno == EBUSY))
		;
}

/* Does nbdkit, in this thread, talk through this descriptor?  Lays the marker over it and looks
 * whether nbdkit sees the marker's name.  [CONN-2], [CONN-3] */
static bool is_mine_locked(int fd)
{
	struct address name, seen;
	int saved;
	bool same;

	if (!peer_address(marker[0], &name))
		return false;
	saved = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (saved < 0)
		return false;
	replace(fd, marker[0]);
	same = peer_address_by_nbdkit(&seen) && same_address(&seen, &name);
	replace(fd, saved);
	close(saved);
	return same;
}

bool conns_claim(void)
{
	struct peer peer;
	struct candidates c = {.peer = &peer};

	mine = (struct conn_id){.fd = -1};
	if (!n_listeners)
		return true;
	pthread_mutex_lock(&lock);
	if (peer_locked(&peer) && each_socket(add_candidate_locked, &c) && !c.failed)
		for (size_t i = 0; i < c.n && mine.fd < 0; i++)
			if ((c.n == 1 || is_mine_locked(c.list[i].fd)) && claim_locked(c.list[i]))
				mine = c.list[i];
	pthread_mutex_unlock(&lock);
	free(c.list);
	if (c.n > 1)
		nbdkit_debug("%zu sockets could be this connection's, it is %d", c.n, mine.fd);
	return mine.fd >= 0;
}

struct conn_id conns_mine(void)
{
	return mine;
}

/* ---- shutting down ------------------------------------------------------------------- */

/* A duplicate, which can't be closed and used again under our hands, or -1. [CONN-1] */
static int duplicate_locked(struct conn_id id)
{
	struct stat st;
	int fd = id.fd < 0 ? -1 : fcntl(id.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && st.st_ino == id.inode)
		return fd;
	close(fd);
	return -1;
}

static bool shutdown_locked(struct conn_id id, int how)
{
	int fd = duplicate_locked(id);

	if (fd < 0)
		return false;
	shutdown(fd, how);
	close(fd);
	return true;
}

bool conns_shutdown(struct conn_id id, int how)
{
	bool there;

	pthread_mutex_lock(&lock);
	there = shutdown_locked(id, how);
	pthread_mutex_unlock(&lock);
	return there;
}

bool conns_unsent(struct conn_id id)
{
	int fd, bytes = 0;

	pthread_mutex_lock(&lock);
	fd = duplicate_locked(id);
	if (fd >= 0) {
		if (ioctl(fd, SIOCOUTQ, &bytes))
			bytes = 0;
		close(fd);
	}
	pthread_mutex_unlock(&lock);
	return bytes > 0;
}

bool conns_gone(struct conn_id id)
{
	struct pollfd p = {.events = POLLRDHUP};
	bool gone;

	if (id.fd < 0)
		return false;
	pthread_mutex_lock(&lock);
	p.fd = duplicate_locked(id);
	gone = p.fd < 0 || (poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR));
	if (p.fd >= 0)
		close(p.fd);
	pthread_mutex_unlock(&lock);
	return gone;
}

struct shutdown_all {
	int how; /* -1: count only */
	size_t n;
};

static void shutdown_if_connection_locked(void *opaque, struct conn_id id, bool listens)
{
	struct shutdown_all *all = opaque;

	if (listens || !is_connection(id.fd))
		return;
	if (all->how < 0 || shutdown_locked(id, all->how))
		all->n++;
}

size_t conns_shutdown_all(int how)
{
	struct shutdown_all all = {.how = how};

	pthread_mutex_lock(&lock);
	each_socket(shutdown_if_connection_locked, &all);
	pthread_mutex_unlock(&lock);
	return all.n;
}

size_t conns_count(void)
{
	return conns_shutdown_all(-1);
}

void conns_forget(void)
{
	for (int i = 0; i < 2; i++) {
		if (marker[i] >= 0)
			close(marker[i]);
		marker[i] = -1;
	}
	free(claimed);
	claimed = NULL;
	n_claimed = n_listeners = 0;
}
