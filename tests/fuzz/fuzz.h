/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz.h - what a fuzz target gives, and what it gets
 *
 * A target is linked either with libFuzzer (make fuzz) or with fuzz_main.c, which replays files and, for
 * a short while, mutates them itself: so every compiler runs the corpus in make check.
 */
#ifndef COWBD_TESTS_FUZZ_FUZZ_H
#define COWBD_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- given by each target ---- */

/* One input: what it must do is a sentence in the target's file; it aborts where that fails. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Mutates data in place and repairs what would stop a reader at once: the new length, at most max. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed);

/* Input number i to begin with, at most max bytes: its length, 0 when there are no more. */
size_t fuzz_seed(unsigned i, uint8_t *out, size_t max);

extern const char fuzz_name[]; /* its directory in tests/fuzz/corpus */

/* ---- given by libFuzzer or fuzz_main.c ---- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max);

/* ---- for mutators ---- */

#define FUZZ_BYTES_MAX (64u << 10)

/* A random number below n, from *state. */
static inline uint64_t fuzz_chance(uint64_t *state, uint64_t n)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % n;
}

/* A number that may hurt: an edge, or near what was there. */
static inline uint64_t fuzz_number(uint64_t *state, uint64_t was)
{
	switch (fuzz_chance(state, 8)) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return was + 1;
	case 3: return was - 1;
	case 4: return was ^ UINT64_C(1) << fuzz_chance(state, 64);
	case 5: return UINT64_C(1) << fuzz_chance(state, 64);
	case 6: return fuzz_chance(state, UINT64_MAX);
	default: return fuzz_chance(state, 40);
	}
}

/* Overwrites bytes (1 to 8) at at, little-endian. */
static inline void fuzz_put(uint8_t *at, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static inline uint64_t fuzz_get(const uint8_t *at, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)at[i] << 8 * i;
	return v;
}

/* A field of 2, 4, 6 or 8 bytes in [from, to) of the page becomes a number that may hurt. */
static inline void fuzz_field(uint64_t *state, uint8_t *page, size_t from, size_t to)
{
	static const unsigned widths[] = {2, 4, 6, 8};
	unsigned bytes = widths[fuzz_chance(state, 4)];
	size_t at = from + fuzz_chance(state, (to - from - bytes) / 2 + 1) * 2;

	fuzz_put(page + at, bytes, fuzz_number(state, fuzz_get(page + at, bytes)));
}

/* Says what does not hold, and ends. */
#define FUZZ_HOLDS(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,           \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
