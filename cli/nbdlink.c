/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nbdlink.c - the kernel's NBD client, by generic netlink
 *
 *	CONNECT      sockets, size, flags, timeouts, backend   -> index of the device
 *	RECONFIGURE  index, backend, new sockets, size         a device that is connected
 *	DISCONNECT   index
 *	LINK_DEAD    index                                     <- a connection of it died
 *
 * The kernel takes a reference to each socket, so that ours are closed afterwards.
 */
#include "nbdlink.h"

#include <errno.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

/* ---- messages -------------------------------------------------------------------- */

/* The attributes that the kernel reads as u64, and what of a request is in them. */
static int put_numbers(struct nl_msg *m, const struct nbdlink_request *q)
{
	const struct {
		int attribute;
		bool given;
		uint64_t value;
	} numbers[] = {
		{NBD_ATTR_SIZE_BYTES, q->size_bytes != 0, q->size_bytes},
		{NBD_ATTR_BLOCK_SIZE_BYTES, q->block_bytes != 0, q->block_bytes},
		{NBD_ATTR_TIMEOUT, q->timeouts, 0},
		{NBD_ATTR_DEAD_CONN_TIMEOUT, q->timeouts, q->dead_seconds},
		{NBD_ATTR_SERVER_FLAGS, q->server_flags != 0, q->server_flags},
		{NBD_ATTR_CLIENT_FLAGS, q->client_flags != 0, q->client_flags},
	};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (numbers[i].given && nla_put_u64(m, numbers[i].attribute, numbers[i].value) < 0)
			return -ENOMEM;
	return 0;
}

static int put_sockets(struct nl_msg *m, const struct nbdlink_request *q)
{
	struct nlattr *list, *item;

	if (!q->sockets_n)
		return 0;
	list = nla_nest_start(m, NBD_ATTR_SOCKETS);
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < q->sockets_n; i++) {
		item = nla_nest_start(m, NBD_SOCK_ITEM);
		if (!item || nla_put_u32(m, NBD_SOCK_FD, (uint32_t)q->sockets[i]) < 0)
			return -ENOMEM;
		nla_nest_end(m, item);
	}
	nla_nest_end(m, list);
	return 0;
}

struct nl_msg *nbdlink_message(int family, uint8_t cmd, const struct nbdlink_request *q)
{
	struct nl_msg *m = nlmsg_alloc();

	if (!m)
		return NULL;
	if (!genlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, 0, cmd, NBD_GENL_VERSION) ||
	    (q->index >= 0 && nla_put_u32(m, NBD_ATTR_INDEX, (uint32_t)q->index) < 0) ||
	    put_numbers(m, q) < 0 || put_sockets(m, q) < 0 ||
	    (q->backend && nla_put_string(m, NBD_ATTR_BACKEND_IDENTIFIER, q->backend) < 0)) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

/* ---- talking ---------------------------------------------------------------------- */

/* libnl's own codes of errors are fewer than the kernel's. */
static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *opaque)
{
	struct nbdlink *l = opaque;

	(void)from;
	l->error = e->error;
	return NL_STOP;
}

static int on_ack(struct nl_msg *m, void *opaque)
{
	struct nbdlink *l = opaque;

	(void)m;
	l->acknowledged = true;
	return NL_STOP;
}

/* Answers and events have the index in the same place. */
static int on_message(struct nl_msg *m, void *opaque)
{
	struct nlattr *attributes[NBD_ATTR_MAX + 1];
	struct genlmsghdr *header = nlmsg_data(nlmsg_hdr(m));
	struct nbdlink *l = opaque;

	if (nlmsg_hdr(m)->nlmsg_type != l->family)
		return NL_SKIP;
	if (nla_parse(attributes, NBD_ATTR_MAX, genlmsg_attrdata(header, 0),
		      genlmsg_attrlen(header, 0), NULL) < 0)
		return NL_SKIP;
	if ((header->cmd == NBD_CMD_CONNECT || header->cmd == NBD_CMD_LINK_DEAD) &&
	    attributes[NBD_ATTR_INDEX]) {
		l->index = nla_get_u32(attributes[NBD_ATTR_INDEX]);
		l->has_index = true;
	}
	return NL_OK;
}

int nbdlink_open(struct nbdlink *l)
{
	*l = (struct nbdlink){.sock = nl_socket_alloc()};
	if (!l->sock)
		return -ENOMEM;
	if (genl_connect(l->sock) < 0)
		return -EPROTONOSUPPORT;
	l->family = genl_ctrl_resolve(l->sock, NBD_GENL_FAMILY_NAME);
	if (l->family < 0)
		return -ENOENT;
	nl_socket_modify_err_cb(l->sock, NL_CB_CUSTOM, on_error, l);
	nl_socket_modify_cb(l->sock, NL_CB_ACK, NL_CB_CUSTOM, on_ack, l);
	nl_socket_modify_cb(l->sock, NL_CB_VALID, NL_CB_CUSTOM, on_message, l);
	return 0;
}

void nbdlink_close(struct nbdlink *l)
{
	nl_socket_free(l->sock);
	l->sock = NULL;
}

/* Sends a request; the kernel's answer, if there is one, comes before its acknowledgement. */
static int transact(struct nbdlink *l, uint8_t cmd, const struct nbdlink_request *q)
{
	struct nl_msg *m = nbdlink_message(l->family, cmd, q);
	int err;

	if (!m)
		return -ENOMEM;
	l->error = 0;
	l->has_index = l->acknowledged = false;
	err = nl_send_auto(l->sock, m);
	nlmsg_free(m);
	if (err < 0)
		return -EIO;
	while (!l->acknowledged && !l->error) /* answer and acknowledgement are two datagrams */
		if (nl_recvmsgs_default(l->sock) < 0 && !l->error)
			return -EIO;
	return l->error;
}

int nbdlink_connect(struct nbdlink *l, const struct nbdlink_request *q, unsigned *ret_index)
{
	int err = transact(l, NBD_CMD_CONNECT, q);

	if (err)
		return err;
	if (!l->has_index)
		return -EPROTO;
	*ret_index = l->index;
	return 0;
}

int nbdlink_reconfigure(struct nbdlink *l, const struct nbdlink_request *q)
{
	return transact(l, NBD_CMD_RECONFIGURE, q);
}

int nbdlink_disconnect(struct nbdlink *l, unsigned index)
{
	return transact(l, NBD_CMD_DISCONNECT, &(struct nbdlink_request){.index = (int)index});
}

/* ---- listening --------------------------------------------------------------------- */

int nbdlink_listen(struct nbdlink *l)
{
	int group = genl_ctrl_resolve_grp(l->sock, NBD_GENL_FAMILY_NAME, NBD_GENL_MCAST_GROUP_NAME);

	if (group < 0)
		return -ENOENT;
	nl_socket_disable_seq_check(l->sock);
	if (nl_socket_add_membership(l->sock, group) < 0)
		return -EPERM;
	return nl_socket_set_nonblocking(l->sock) < 0 ? -EIO : 0;
}

int nbdlink_fd(const struct nbdlink *l)
{
	return nl_socket_get_fd(l->sock);
}

int nbdlink_next_dead(struct nbdlink *l, unsigned *ret_index)
{
	int err;

	l->has_index = false;
	err = nl_recvmsgs_default(l->sock);
	if (err == -NLE_AGAIN)
		return 0;
	if (err < 0)
		return -EIO;
	if (l->has_index)
		*ret_index = l->index;
	return l->has_index;
}
