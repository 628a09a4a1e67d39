/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base.h - errors with a message, little-endian types, cleanup attributes
 *
 * Every fallible function returns 0 or a negative errno.  The place that
 * learns what went wrong calls fail(), which leaves a message in thread-local
 * storage for cowbd_error(); callers hand the number on and add nothing.
 */
#ifndef COWBD_BASE_H
#define COWBD_BASE_H

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- who holds which lock: checked by clang -Wthread-safety, nothing to gcc -------------- */

#ifdef __clang__
#define THREAD_SAFETY(x) __attribute__((x))
#else
#define THREAD_SAFETY(x)
#endif
#define CAPABILITY(name) THREAD_SAFETY(capability(name))
#define REQUIRES(...) THREAD_SAFETY(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) THREAD_SAFETY(requires_shared_capability(__VA_ARGS__))
#define ACQUIRES(...) THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define ACQUIRES_SHARED(...) THREAD_SAFETY(acquire_shared_capability(__VA_ARGS__))
#define RELEASES(...) THREAD_SAFETY(release_generic_capability(__VA_ARGS__))
#define EXCLUDES(...) THREAD_SAFETY(locks_excluded(__VA_ARGS__)) /* the caller must not hold it */
/* It takes or drops a lock on some of its ways only, which the analysis can't follow. */
#define UNCHECKED_LOCKING THREAD_SAFETY(no_thread_safety_analysis)

/* ---- errors ------------------------------------------------------------ */

/* Sets this thread's message and returns err (negative errno), for
 * `return fail(-EIO, "...")`.  Lower case, no final full stop, says what to do. */
int fail(int err, const char *fmt, ...) PRINTF(2, 3);

/* Tells the compiler what fail() promises, or it warns of ret_* outputs that "may be used
 * uninitialized" after a failure.  The parentheses in base.c keep the macro off the definition. */
#define fail(...) surely_negative(fail(__VA_ARGS__))

static inline int surely_negative(int err)
{
	assert(err < 0);
	return err;
}

/* This thread's last message; "" if none.  Valid until the next fail(). */
const char *error_message(void);

/* Name of an errno, "ENOSPC" for -ENOSPC or ENOSPC; "EUNKNOWN" if it has none. */
const char *error_name(int err);

/* ---- little-endian on disk ---------------------------------------------- */

/* One-field structs, so that a raw disk value never assigns to an integer. */
struct le16 {
	uint8_t b[2];
};
struct le32 {
	uint8_t b[4];
};
struct le48 {
	uint8_t b[6];
};
struct le64 {
	uint8_t b[8];
};

static inline uint16_t get16(struct le16 v)
{
	return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t get32(struct le32 v)
{
	return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 |
	       (uint32_t)v.b[3] << 24;
}

static inline uint64_t get48(struct le48 v)
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, v.b, sizeof low);
	memcpy(&high, v.b + sizeof low, sizeof high);
	return le32toh(low) | (uint64_t)le16toh(high) << 32;
}

static inline uint64_t get64(struct le64 v)
{
	uint64_t low = (uint64_t)v.b[0] | (uint64_t)v.b[1] << 8 | (uint64_t)v.b[2] << 16 |
		       (uint64_t)v.b[3] << 24;
	return low | (uint64_t)v.b[4] << 32 | (uint64_t)v.b[5] << 40 | (uint64_t)v.b[6] << 48 |
	       (uint64_t)v.b[7] << 56;
}

static inline struct le16 put16(uint16_t v)
{
	return (struct le16){{(uint8_t)v, (uint8_t)(v >> 8)}};
}

static inline struct le32 put32(uint32_t v)
{
	return (struct le32){
		{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)}};
}

static inline struct le48 put48(uint64_t v)
{
	return (struct le48){{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24),
			      (uint8_t)(v >> 32), (uint8_t)(v >> 40)}};
}

static inline struct le64 put64(uint64_t v)
{
	return (struct le64){{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24),
			      (uint8_t)(v >> 32), (uint8_t)(v >> 40), (uint8_t)(v >> 48),
			      (uint8_t)(v >> 56)}};
}

/* ---- arithmetic ---------------------------------------------------------- */

static inline uint64_t round_up(uint64_t v, uint64_t unit)
{
	return (v + unit - 1) / unit * unit;
}

static inline uint64_t round_down(uint64_t v, uint64_t unit)
{
	return v / unit * unit;
}

static inline bool is_power_of_2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* Monotonic time in nanoseconds; wall clock time in nanoseconds since 1970. */
uint64_t now_ns(void);
uint64_t wall_ns(void);

/* For qsort of uint64_t, ascending. */
int compare_u64(const void *a, const void *b);

/* XXH3 of len bytes under seed. */
uint64_t checksum(const void *data, size_t len, uint64_t seed);

/* ---- mutants ---------------------------------------------------------------- */

/* Is this rule switched off?  By COWBD_MUTANT=name in the tiny engine of the crash tests, which
 * must notice each; never in the product. */
#ifdef COWBD_TINY
bool mutant(const char *name);
#define MUTANT(name) mutant(name)
#else
#define MUTANT(name) false
#endif

/* ---- scoped things -------------------------------------------------------- */

void cleanup_free(void *ptr_to_ptr);
void cleanup_close(int *fd);
void cleanup_unlock(pthread_mutex_t **lock);
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close)))

/* Locks m until the end of the enclosing block. */
#define WITH_LOCK_UNTIL_END(m) WITH_LOCK_NAMED(m, __COUNTER__)
#define WITH_LOCK_NAMED(m, n) WITH_LOCK_PASTE(m, n)
#define WITH_LOCK_PASTE(m, n)                                                                      \
	__attribute__((cleanup(cleanup_unlock))) pthread_mutex_t *scoped_lock_##n = (m);           \
	pthread_mutex_lock(scoped_lock_##n)

#endif
