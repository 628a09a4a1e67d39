/* SPDX-License-Identifier: BSD-3-Clause */
/* explore.h - between explore.c, which runs workloads, and mutants.c, which wants them to fail */
#ifndef CRASH_EXPLORE_H
#define CRASH_EXPLORE_H

#include "directed.h"
#include "images.h"

/* 0, or -1 and `failure`. */
int explore_directed(const struct directed *d, unsigned variant, uint64_t seed);
int explore_random(uint64_t seed);
int explore_sequence(uint64_t number, unsigned n);

/* Each rule of the engine that can be switched off: the workloads above must then fail.  only: one, or NULL. -1: one
 * was not caught. */
int mutants_catch(const char *only, double seconds);

#endif
