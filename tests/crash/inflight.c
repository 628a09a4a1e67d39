/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.c - workloads with a write that is under way while other threads do something
 *
 * The main thread's write has got as far as the store; from inside that call other threads are started, and
 * looked at until they have ended, or have had time to: the rules make them wait for the write, so that what they do
 * comes after it.  No result depends on the time, but that of a mutant.
 */
#include "directed.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOKS 25u
#define LOOK_US 2000u

struct other { /* a thread */
	pthread_t thread;
	struct cowbd_pool *p;
	struct cowbd_client *client;
	int result;
	bool done; /* atomic */
};

static struct other snapshotter, writer;
static uint64_t early[SECTORS_MAX], final[SECTORS_MAX];
static bool seen_early;

static void *take_snapshot(void *opaque)
{
	struct other *t = opaque;
	const char *name = "v1000@x";

	t->result = cowbd_snapshot(t->p, &name, 1, COWBD_LABEL_CRASH, 0);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void *write_second_sector(void *opaque)
{
	static uint64_t buf[SECTOR / 8];
	struct other *t = opaque;

	t->result = cowbd_write(t->client, buf, sizeof buf, SECTOR, 0);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void start(struct other *t, struct run *r, void *(*does)(void *))
{
	*t = (struct other){.p = r->p, .client = t->client};
	if (pthread_create(&t->thread, NULL, does, t) != 0)
		abort();
}

static bool ended(const struct other *t)
{
	return __atomic_load_n(&t->done, __ATOMIC_ACQUIRE);
}

/* All that the threads did is known from here on, and durable. */
static int take_stock(struct run *r)
{
	int err = cowbd_sync(r->p);

	close_clients(r, NULL);
	oracle_fini(&r->ph->oracle);
	if (err == 0)
		err = oracle_adopt(&r->ph->oracle, r->p, r->why, sizeof r->why);
	r->ph->oracle.op[0].start = 0;
	look_from_here(r);
	return err;
}

static int snapshot_meanwhile(struct run *r)
{
	seen_early = false;
	start(&snapshotter, r, take_snapshot);
	for (unsigned i = 0; i < LOOKS && !seen_early; i++) {
		bool over = ended(&snapshotter);

		/* by name: not before the write has ended */
		seen_early = read_tokens(r->p, "v1000@x", early, 4 * r->per) == 0;
		if (over)
			break;
		usleep(LOOK_US);
	}
	return 0;
}

static int snapshot_of_a_write_in_flight(struct run *r)
{
	struct subject *a;
	int err;

	if ((err = do_create(r, 4 * r->per, 0)) < 0)
		return err;
	a = r->ph->oracle.subject[0];
	if ((err = do_write(r, a, 0, 4 * r->per, COWBD_FUA)) < 0 || (err = do_checkpoint(r)) < 0)
		return err;
	r->inside = (struct inside){.kinds = IN_WRITE, .body = snapshot_meanwhile};
	err = do_write(r, a, 2, 3, 0);
	if (!r->inside.ran)
		return found(r, "nothing happened inside the write");
	pthread_join(snapshotter.thread, NULL);
	if (err < 0 || snapshotter.result < 0)
		return err < 0 ? err : found(r, "the snapshot failed: %d", snapshotter.result);
	if (read_tokens(r->p, "v1000@x", final, 4 * r->per) < 0)
		return found(r, "the snapshot can't be read");
	for (unsigned i = 0; i < 4 * r->per && seen_early; i++)
		if (early[i] != final[i])
			return found(r,
				     "a snapshot that could be read changed: sector %u, %" PRIu64
				     " then %" PRIu64,
				     i, early[i], final[i]);
	return take_stock(r);
}

static int snapshot_and_fault_meanwhile(struct run *r)
{
	size_t before = r->p->cat->n;

	start(&snapshotter, r, take_snapshot);
	for (unsigned i = 0; i < LOOKS && r->p->cat->n == before; i++)
		usleep(LOOK_US);
	start(&writer, r, write_second_sector);
	for (unsigned i = 0; i < LOOKS && !ended(&writer); i++)
		usleep(LOOK_US);
	return 0;
}

/* A sector is written in place; meanwhile its block becomes shared, and another sector of it faults. */
static int fault_behind_a_write_in_place(struct run *r)
{
	struct subject *a;
	uint64_t want;
	int err;

	if ((err = do_create(r, 4 * r->per, 0)) < 0)
		return err;
	a = r->ph->oracle.subject[0];
	if ((err = do_write(r, a, 0, 4 * r->per, COWBD_FUA)) < 0 || (err = do_checkpoint(r)) < 0)
		return err;
	if ((err = cowbd_client_open(r->p, "v1000", false, "writer", &writer.client)) < 0)
		return err;
	r->inside = (struct inside){.kinds = IN_WRITE, .body = snapshot_and_fault_meanwhile};
	err = do_write(r, a, 0, 1, 0);
	if (!r->inside.ran)
		return found(r, "nothing happened inside the write");
	pthread_join(snapshotter.thread, NULL);
	pthread_join(writer.thread, NULL);
	cowbd_client_close(writer.client);
	writer.client = NULL;
	if (err < 0 || writer.result < 0 || snapshotter.result < 0)
		return found(r, "an operation failed");
	want = oracle_token(a, 0);
	if (read_tokens(r->p, "v1000", final, 4 * r->per) < 0 || final[0] != want)
		return found(
			r,
			"a write in place was acknowledged and is gone: sector 0 holds %" PRIu64
			", not %" PRIu64,
			final[0], want);
	return take_stock(r);
}

const struct directed directed_threads[] = {
	{"snapshot-of-a-write-in-flight", 8192, 14, 1, 0, snapshot_of_a_write_in_flight, NULL},
	{"fault-behind-a-write-in-place", 8192, 14, 1, 0, fault_behind_a_write_in_place, NULL},
	{NULL, 0, 0, 0, 0, NULL, NULL},
};
