/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * words.c - what a misspelt word was meant to be
 */
#include <string.h>

#include "cli.h"

#define WORD_MAX 32
#define DISTANCE_MAX 2

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein: fewest letters to insert, delete or replace. */
static unsigned distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return DISTANCE_MAX + 1;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[lb];
}

const char *did_you_mean(const char *word, const char *const *list, size_t n)
{
	const char *best = NULL;
	unsigned least = DISTANCE_MAX + 1;

	for (size_t i = 0; i < n; i++) {
		unsigned d = distance(word, list[i]);

		/* "xy" is within 2 of every word of two letters: more must stay than goes */
		if (d < least && d * 2 <= strlen(list[i])) {
			least = d;
			best = list[i];
		}
	}
	return best;
}
