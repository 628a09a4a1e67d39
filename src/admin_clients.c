/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_clients.c - who is attached, and waiting until nobody is
 *
 * A client that has just said goodbye may still be on the daemon's list for a
 * moment; so whoever needs an object to himself waits before he refuses.
 */
#include <stdio.h>

#include "admin_internal.h"

#define CLOSING_WAIT_NS UINT64_C(2000000000)
#define POLL_US 10000

static bool concerns(const struct cowbd_client_info *c, const uint64_t *objects, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (objects[i] == c->object)
			return true;
	return n == 0;
}

/* Names who is attached in who (at most len bytes), returns how many. */
static int count_attached(struct cowbd_pool *p, const uint64_t *objects, size_t n, char *who,
			  size_t len, size_t *ret_count)
{
	CLEANUP_FREE struct cowbd_client_info *list = NULL;
	size_t clients, count = 0, used = 0;
	int err = cowbd_clients(p, &list, &clients);

	if (err)
		return err;
	who[0] = '\0';
	for (size_t i = 0; i < clients; i++) {
		if (!list[i].attached || !concerns(&list[i], objects, n))
			continue;
		count++;
		if (used < len)
			used += (size_t)snprintf(who + used, len - used, "%s%s (%s)",
						 used ? ", " : "", list[i].name, list[i].peer);
	}
	*ret_count = count;
	return 0;
}

/* Cuts whoever has one of the objects open, attached or not: the next write of a
 * connection that is merely idle must not land on the new state either. */
static int cut_clients(struct admin_request *r, const uint64_t *objects, size_t n)
{
	CLEANUP_FREE struct cowbd_client_info *list = NULL;
	size_t clients;
	int err;

	if (!r->host || !r->host->cut)
		return 0;
	err = cowbd_clients(r->pool, &list, &clients);
	for (size_t i = 0; !err && i < clients; i++)
		if (concerns(&list[i], objects, n))
			err = r->host->cut(r->host->opaque, list[i].object);
	return err;
}

int clear_clients(struct admin_request *r, const uint64_t *objects, size_t n, bool force,
		  const char *verb)
{
	uint64_t deadline = now_ns() + CLOSING_WAIT_NS;
	char who[512];
	size_t count;

	if (force)
		return cut_clients(r, objects, n);
	for (;;) {
		int err = count_attached(r->pool, objects, n, who, sizeof who, &count);

		if (err || count == 0)
			return err;
		if (now_ns() > deadline)
			break;
		usleep(POLL_US);
	}
	return with_hint(fail(-EBUSY, "can't %s: attached: %s", verb, who),
			 "detach first, or use --force to cut %s off", count == 1 ? "it" : "them");
}

int clients_json(struct cowbd_pool *p, uint64_t object, json_t **ret_list)
{
	CLEANUP_FREE struct cowbd_client_info *list = NULL;
	json_t *out;
	size_t n;
	int err = cowbd_clients(p, &list, &n);

	if (err)
		return err;
	out = json_array();
	for (size_t i = 0; i < n; i++) {
		if (object && list[i].object != object)
			continue;
		json_array_append_new(
			out, json_pack("{s:s, s:s, s:b, s:I, s:I, s:i, s:f}", "name", list[i].name,
				       "peer", list[i].peer, "attached", list[i].attached,
				       "requests", (json_int_t)list[i].requests, "id",
				       (json_int_t)list[i].object, "held", (int)list[i].held,
				       "held_seconds", (double)list[i].held_ns / 1e9));
	}
	return answer_with(out, ret_list);
}
