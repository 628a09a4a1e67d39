/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.h - what the files of this test share: places to fail, a run of the script, and what it leaves
 *
 *	site.c    counts calls of each kind, and lets one of them fail, or all from then on
 *	tail.c    the tails' files as they were
 *	image.c   what is left after a death or a power cut, opened and judged
 *	step.c    the steps of the script, and what each must have done
 *	test_fault.c  the script, and a run of it for each place to fail
 *
 * One thread.
 */
#ifndef FAULT_H
#define FAULT_H

#include "../crash/oracle.h"
#include "../lib/random.h"
#include "pool.h"

#define BLOCK 8192u
#define PER (BLOCK / SECTOR) /* sectors a block */
#define JOURNAL_ZONES 2u
#define TAILS_MAX 8u
#define TAIL_KEPT (256u * 1024) /* bytes of a tail's file that a script gets to */
#define UNSYNCED_MAX 4096u
#define CLIENTS_MAX 8u
#define IMAGES_MAX 3u

/* Kinds of calls that fail; first those of the simulated store (enum sim_fault_kind). */
enum kind {
	MEMORY = SIM_FAULT_KINDS,
	JOURNAL_WRITE,
	SUPER_WRITE,
	PAGE_WRITE, /* of a checkpoint, or zeros into a new zone */
	PAGE_READ,  /* a page that was not cached */
	LOG_READ,   /* journal and superblock, when a pool is opened */
	COW_READ,   /* what a write leaves over */
	COW_WRITE,  /* into new blocks */
	PLACE_WRITE,
	DATA_READ,
	GROW,
	KINDS
};

struct site {
	unsigned kind; /* enum kind, or SIM_FAULT_... */
	bool forever;
	uint64_t n;
};

/* The tails' files as they were; a second name keeps each, with its inode, when the pool removes it. */
struct tails {
	unsigned n;
	char path[TAILS_MAX][400], kept[TAILS_MAX][128];
	uint8_t *bytes[TAILS_MAX];
};

/* What there was at one moment. */
struct moment {
	struct store *killed; /* what the death of the daemon leaves */
	struct tails tails;
	size_t events;
	bool failed;           /* the pool had turned read-only, or its opening had failed */
	struct oracle *oracle; /* that judges it */
};

struct run {
	struct store *store;
	struct cowbd_pool *p;
	struct cowbd_client *client[CLIENTS_MAX];
	char client_name[CLIENTS_MAX][64];
	struct oracle *oracle[4]; /* one a session that was opened; the last judges */
	unsigned noracles;
	struct moment moment[IMAGES_MAX];
	unsigned nmoments;
	bool armed, fired, sync_failed, open_failed, dead, grown;
	uint64_t calls;                /* of the kind, when armed */
	uint64_t looked[KINDS];        /* calls of the test itself */
	const struct subject *writing; /* a request on data is under way */
	unsigned first_block, blocks;  /* of it */
	char step[160];
	uint64_t random;
};

extern struct site site;
extern struct run *running;
extern bool verbose;
extern char dir[64];
extern unsigned violations;
extern uint64_t images;

/* ---- site.c ---- */

const char *kind_name(unsigned kind);
const char *site_name(void);

/* The store's calls go through here; unhooked_close ends that. */
void hook(struct store *s);
void unhook(struct store *s);
void unhooked_close(struct store *s);

/* Calls of the kind so far, those of the test itself left out when a run is over. */
uint64_t calls_of(struct store *s, unsigned kind);
void calls_begin(void);

/* The site's call fails from here on; between suspend and resume the test itself looks. */
void arm(struct run *r);
bool has_fired(struct run *r);
void suspend_faults(struct run *r);
void resume_faults(struct run *r);

/* ---- tail.c ---- */

typedef void (*tail_visit)(const char *path, void *opaque);

void each_tail(tail_visit visit, void *opaque);
void keep_tail(const char *path, void *opaque); /* opaque: struct tails */
void remove_tail(const char *path, void *opaque);
void tails_restore(const struct tails *t);
void tails_fini(struct tails *t);

/* ---- image.c ---- */

__attribute__((format(printf, 2, 3))) int violated(const struct run *r, const char *fmt, ...);
struct oracle *oracle_of(struct run *r);
size_t events_now(const struct run *r);
int open_store(struct store *s, unsigned flags, struct cowbd_pool **ret_pool);

/* The moment is kept, to be looked at when the pool is gone. */
void remember(struct run *r);
void look_at_moments(struct run *r);

/* ---- step.c ---- */

enum what {
	OPEN,
	READ,
	WRITE,
	FUA,
	TRIM,
	ZERO,
	FLUSH,
	CREATE,
	SNAPSHOT,
	GROUP,
	CLONE,
	ROLLBACK,
	REMOVE,
	RENAME,
	RESIZE,
	GROW_POOL,
	CHECKPOINT,
	RECLAIM,
	GIVE_BACK,
	SYNC,
	SCRUB,
	CLOSE
};

struct step {
	enum what what;
	const char *name, *other;
	unsigned first, n; /* sectors; blocks of a size */
};

const char *step_name(enum what what);
int do_step(struct run *r, const struct step *s);

/* A failed sync turns the pool read-only at once, and what comes after is refused. */
int check_failed(struct run *r);
void close_pool(struct run *r);

#endif
