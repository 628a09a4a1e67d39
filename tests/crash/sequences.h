/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sequences.h - all short sequences of operations on two related volumes
 *
 * Letters: each operation with two fixed sets of arguments.  A sequence of n letters has a number below
 * sequence_count(n); its digits, least first, are its letters.  It starts from one prepared pool: volume a, its
 * snapshot a@s, its clone b, which share blocks, and have some of their own, flushed and not.
 */
#ifndef CRASH_SEQUENCES_H
#define CRASH_SEQUENCES_H

#include "workload.h"

#define SEQUENCE_MAX 3u

uint64_t sequence_count(unsigned n);

/* The pool they all begin with; made once. */
int sequence_prepare(const char *dir, struct store **ret_store, char *why, size_t len);

/* Runs one on s (taken over).  *ret_last: the event at which its last letter began; what a cut before leaves is that
 * of a shorter sequence. */
int sequence_run(uint64_t number, unsigned n, const struct settings *set, struct store *s,
		 struct phase *ph, size_t *ret_last, char *why, size_t len);

/* "write a 0..0, flush b". */
void sequence_name(uint64_t number, unsigned n, char *buf, size_t len);

#endif
