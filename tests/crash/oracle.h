/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * oracle.h - what a pool may hold after a crash, judged by the contract alone
 *
 * Knows nothing of the engine but its public interface.  A workload tells it what it asked
 * for and when that was acknowledged; later it is asked whether what a recovered pool holds is
 * allowed.  Every sector that is written holds one number, a *token*, that was never used before;
 * zero is a sector of zeros.
 *
 *	op t:    begun at event start ... acknowledged at event ack
 *	change:  an op that changes names, sizes or whole volumes; numbered m = 1, 2, 3 ...
 *
 * A pool is judged at a state j: the first j changes took place, no other one did.  j is at least
 * the last change that was durable, at most the last one that was begun, and all changes take place in order.
 * A sector holds what the last flush covered or what the last of the j changes made it, or a later write.
 */
#ifndef CRASH_ORACLE_H
#define CRASH_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cowbd.h"

#define SECTOR 512u
#define SECTORS_MAX 1024u /* of a volume */
#define TOUCH_MAX 6u

/* What an op makes durable when it is acknowledged. */
enum covers {
	COVERS_NOTHING,
	COVERS_RANGE, /* some sectors of its object, and what made that object if it was written to */
	COVERS_OBJECT,  /* all of its object, in the same way */
	COVERS_CHANGES, /* all changes up to its own */
	COVERS_ALL,
};

struct token_entry {
	uint64_t token;
	unsigned t; /* op */
	unsigned m; /* change, 0: a write */
	bool whole; /* the change set the whole volume: nothing of later may be there without it */
};

struct history {
	struct token_entry *entry;
	unsigned n, room;
};

/* A name and a size that an object had from change m on. */
struct guise {
	unsigned m;
	char name[80];
	unsigned sectors;
};

struct subject { /* a volume or snapshot that ever was */
	uint64_t id;
	bool snapshot;
	struct subject *volume; /* of a snapshot */
	unsigned born, died;    /* changes; died 0: alive */
	struct guise *guise;
	unsigned nguises;
	struct history sector[SECTORS_MAX]; /* zero before the first entry */
};

struct op {
	size_t start, ack; /* SIZE_MAX: never */
	unsigned m;        /* 0: no change */
	enum covers covers;
	struct subject *touched[TOUCH_MAX];
	unsigned ntouched;
	const struct subject *wrote; /* changed what it holds, by a write */
	unsigned first, n;           /* COVERS_RANGE, of touched[0] */
	char text[192];
};

struct oracle {
	struct subject **subject;
	unsigned nsubjects;
	struct op *op; /* op 0: what there was at first */
	unsigned nops;
	unsigned
		current; /* the op that is told about: the last one, but when one ran inside another */
	unsigned changes;
	uint64_t last_token;
};

/* Writes a message, as much of it as there is room for; -1. */
__attribute__((format(printf, 3, 4))) int say(char *buf, size_t len, const char *fmt, ...);

void oracle_fini(struct oracle *o);

/* Starts with all that the pool holds, as durable. */
int oracle_adopt(struct oracle *o, struct cowbd_pool *p, char *why, size_t len);

/* An op begins; its number.  Then what it is going to do is said, then it is acknowledged.  An op may run inside
 * another: oracle_resume says that the outer one goes on.  They must not change the same sectors. */
unsigned oracle_begin(struct oracle *o, size_t start);
void oracle_resume(struct oracle *o, unsigned t);
void oracle_touch(struct oracle *o, struct subject *s);
void oracle_ack(struct oracle *o, size_t ack, enum covers covers);

/* The op is a change. */
unsigned oracle_change(struct oracle *o);

/* Of the current op. */
void oracle_write(struct oracle *o, struct subject *s, unsigned sector, uint64_t token);
struct subject *oracle_born(struct oracle *o, uint64_t id, const char *name, unsigned sectors,
			    struct subject *volume, const struct subject *like);
void oracle_roll_back(struct oracle *o, struct subject *volume, const struct subject *snapshot);
void oracle_died(struct oracle *o, struct subject *s);
void oracle_renamed(struct oracle *o, struct subject *s, const char *name);
void oracle_resized(struct oracle *o, struct subject *s, unsigned sectors);

/* Now. */
uint64_t oracle_token(const struct subject *s, unsigned sector);
const char *oracle_name(const struct subject *s);
unsigned oracle_sectors(const struct subject *s);

/* What a disk of that name holds: one token a sector; UINT64_MAX: neither one nor zeros. */
int read_tokens(struct cowbd_pool *p, const char *name, uint64_t *tokens, unsigned sectors);

/* Is what p holds allowed after a crash when `events` events had happened?  killed: the daemon died,
 * else the power went.  0 or -1 and why.  *ret_hash: of all that it holds. */
int oracle_judge(const struct oracle *o, struct cowbd_pool *p, size_t events, bool killed,
		 uint64_t *ret_hash, char *why, size_t len);

#endif
