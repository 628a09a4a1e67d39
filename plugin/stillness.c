/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stillness.c - were some threads of this process all asleep at one moment?
 *
 * Each is looked at twice.  Who was asleep both times, and has not been switched to in between, slept
 * all the while; and between the first and the second round is a moment that all these whiles have in common.
 */
#include "stillness.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* How often a thread has let go of the processor, or was made to; ENDED: for ever.  -1: it is not asleep. */
#define ENDED LLONG_MAX

static long long switches(pid_t tid)
{
	char path[64], line[256], state = 0;
	long long n, sum = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? ENDED : -1;
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "voluntary_ctxt_switches: %lld", &n) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %lld", &n) == 1)
			sum += n;
		else
			(void)!sscanf(line, "State: %c", &state);
	}
	n = ferror(f) && errno == ESRCH ? ENDED : state == 'S' ? sum : -1;
	fclose(f);
	return n;
}

bool threads_were_still(const pid_t *tid, size_t n)
{
	long long *before = malloc((n + 1) * sizeof *before);
	bool still = before != NULL;

	for (size_t i = 0; i < n && still; i++)
		still = (before[i] = switches(tid[i])) >= 0;
	for (size_t i = 0; i < n && still; i++) {
		long long now = switches(tid[i]);

		still = now == before[i] || now == ENDED;
	}
	free(before);
	return still;
}
