/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ledger.h - what the writer asked for and what was acknowledged; and what a daemon that was killed may show
 *
 * A file in memory that outlives the daemon and the writer's own threads.  A *cycle* is: serve, write, kill,
 * serve, look.  Every sector that is written says which op wrote it; the op's number is its *value*, never
 * used twice; 0 is a sector of zeros.
 *
 *	base    what a disk held when the cycle (or the disk) began; known, and durable
 *	ops     all that was asked for in the cycle, with the moments of asking and of the answer (0: none came)
 *	found   what the disk holds now
 *
 * Judged: each sector holds what the last *covered* op left there, or a later op's value.  Covered is
 *	after a kill       every op that was answered, flushed or not
 *	without the tail   what was answered before a flush was asked for that was answered; FUA; management
 *	in a snapshot      every write answered before the command was asked for
 * No two ops of one sector are ever under way at once, so the order of asking is that of the disk.
 *
 * Concurrency: who appends an op owns it; the rest is under the writer's lock, or one thread runs.
 */
#ifndef KILL_LEDGER_H
#define KILL_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR 512u
#define SECTORS 8192u /* of each disk */
#define DISK_BYTES ((size_t)SECTORS * SECTOR)
#define OBJECTS 48u
#define OPS_MAX (1u << 20) /* of a cycle */
#define GARBAGE UINT64_MAX
#define NONE UINT32_MAX

enum op_kind { OP_NOTHING, OP_WRITE, OP_CLEAR, OP_FLUSH, OP_ROLLBACK, OP_MANAGE };

struct op {
	_Atomic uint32_t kind; /* set last */
	uint32_t object;
	uint32_t first, n; /* sectors; of OP_ROLLBACK first is the snapshot's number */
	bool fua;
	_Atomic uint64_t asked, answered; /* moments; 0: not yet */
};

enum object_state {
	OBJECT_FREE, /* the slot has no object */
	OBJECT_THERE,
	OBJECT_MAY_BE_THERE, /* the command that makes it was not answered */
	OBJECT_MAY_BE_GONE,  /* the one that removes it was not */
	OBJECT_GONE,
};

struct object {
	char name[64];
	enum object_state state;
	bool snapshot;
	bool unread; /* a snapshot whose content is to be judged by its volume's ops; else base is exact */
	uint32_t volume; /* of a snapshot */
	uint32_t made;   /* op that made it, NONE: in an earlier cycle */
	uint32_t ended;  /* op that removes it, NONE */
	uint64_t base[SECTORS];
	uint64_t now[SECTORS]; /* what was answered last */
};

/* Added up over all cycles. */
struct totals {
	uint64_t cycles, kills, kills_in_recovery, kills_in_init, tails_lost;
	uint64_t writes_answered, clears_answered, flushes_answered, unanswered;
	uint64_t commands_answered, commands_unanswered;
	uint64_t sectors_judged, snapshots_judged;
};

struct ledger {
	uint64_t magic;
	uint64_t first_value; /* value of op 0 */
	_Atomic uint64_t clock;
	_Atomic uint32_t nops;
	uint32_t names; /* given so far */
	struct totals totals;
	struct object object[OBJECTS];
	struct op op[OPS_MAX];
};

/* Maps the ledger in the file, made if it isn't there. */
struct ledger *ledger_open(const char *path);

/* ---- values of sectors ------------------------------------------------------------------------- */

void sector_fill(uint8_t *buf, uint32_t sector, uint64_t value);

/* 0 zeros, GARBAGE nothing that was ever written to this sector number. */
uint64_t sector_value(const uint8_t *buf, uint32_t sector);

/* ---- while it runs -------------------------------------------------------------------------------- */

/* An op is asked for, and answered.  NONE: the ledger is full. */
uint32_t ledger_ask(struct ledger *l, enum op_kind kind, uint32_t object, uint32_t first,
		    uint32_t n, bool fua);
void ledger_answer(struct ledger *l, uint32_t op);
uint64_t ledger_value(const struct ledger *l, uint32_t op);

struct object *ledger_named(struct ledger *l, const char *name);

/* ---- judging ---------------------------------------------------------------------------------------- */

enum cover { COVER_ANSWERED, COVER_FLUSHED };

/* 0 or -1, with the reason on standard output. */
int ledger_judge_volume(struct ledger *l, uint32_t object, enum cover cover, const uint64_t *found);
int ledger_judge_exact(struct ledger *l, uint32_t object, const uint64_t *found);

/* Snapshots that one command took, at one instant. */
int ledger_judge_snapshots(struct ledger *l, const uint32_t *objects, uint32_t n,
			   uint64_t *const *found);

/* The cycle is over: what is there is known, and durable. */
void ledger_next_cycle(struct ledger *l);

#endif
