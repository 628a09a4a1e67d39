/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * size.c - sizes, numbers and times, as people write and read them
 *
 * K M G T P E, also as KiB, are powers of 1024; KB MB GB ... powers of 1000.
 * A fraction is fine with a unit: 1.5T.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli.h"

#define SECTOR 512u
#define FRACTION_DIGITS 9 /* more change no size that fits */

static const char unit_letters[] = "KMGTPE";

/* "", "G", "GiB", "GB", "B" -> how many bytes; 0 if it is no unit. */
static uint64_t unit_bytes(const char *text)
{
	uint64_t base = 1024, bytes = 1;
	const char *at;

	if (text[0] == '\0' || strcasecmp(text, "B") == 0)
		return 1;
	at = strchr(unit_letters, toupper((unsigned char)text[0]));
	if (!at)
		return 0;
	if (strcasecmp(text + 1, "B") == 0)
		base = 1000;
	else if (text[1] != '\0' && strcasecmp(text + 1, "iB") != 0)
		return 0;
	for (long i = at - unit_letters; i >= 0; i--)
		bytes *= base;
	return bytes;
}

static int not_a_size(const char *text, const char *what)
{
	complain("%s %s is no size: say it like 10G, 512M, 1.5T or 4096", what, text);
	return USAGE;
}

int parse_size(const char *text, const char *what, uint64_t *ret_bytes)
{
	unsigned __int128 number = 0, scale = 1;
	const char *p = text;
	uint64_t unit;

	if (!isdigit((unsigned char)*p))
		return not_a_size(text, what);
	for (; isdigit((unsigned char)*p); p++)
		if (number <= INT64_MAX)
			number = number * 10 + (unsigned)(*p - '0');
	if (*p == '.' && isdigit((unsigned char)p[1])) {
		unsigned digits = 0;

		for (p++; isdigit((unsigned char)*p); p++)
			if (digits++ < FRACTION_DIGITS && number <= INT64_MAX) {
				number = number * 10 + (unsigned)(*p - '0');
				scale *= 10;
			}
	}
	unit = unit_bytes(p);
	if (!unit || (unit == 1 && strchr(text, '.')))
		return not_a_size(text, what);
	/* number < 2^67 even after one digit too many, unit <= 2^60: the product fits */
	if (number > INT64_MAX || number * unit / scale > INT64_MAX) {
		complain("%s %s is beyond what 64 bits hold: the most is 4E for a volume", what,
			 text);
		return USAGE;
	}
	*ret_bytes = (uint64_t)(number * unit / scale);
	return DONE;
}

int parse_disk_size(const char *text, const char *what, uint64_t *ret_bytes)
{
	uint64_t bytes;
	int status = parse_size(text, what, &bytes);

	if (status)
		return status;
	if (bytes == 0) {
		complain("%s %s is zero: give at least 512 bytes", what, text);
		return USAGE;
	}
	if (bytes % SECTOR) {
		complain("%s %s is no multiple of 512 bytes: the next one up is %" PRIu64, what,
			 text, bytes / SECTOR * SECTOR + SECTOR);
		return USAGE;
	}
	*ret_bytes = bytes;
	return DONE;
}

int parse_number(const char *text, const char *what, unsigned long min, unsigned long max,
		 unsigned long *ret)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || v < min || v > max) {
		complain("%s %s: give a number from %lu to %lu", what, text, min, max);
		return USAGE;
	}
	*ret = v;
	return DONE;
}

const char *size_text(uint64_t bytes, bool raw, char buf[SIZE_TEXT])
{
	double v = (double)bytes;
	int unit = -1;

	while (v >= 1023.95 && unit < (int)strlen(unit_letters) - 1) {
		v /= 1024;
		unit++;
	}
	if (raw || unit < 0)
		snprintf(buf, SIZE_TEXT, "%" PRIu64, bytes);
	else
		snprintf(buf, SIZE_TEXT, "%.*f%c", fabs(v - round(v)) < 0.05 ? 0 : 1, v,
			 unit_letters[unit]);
	return buf;
}

const char *time_text(uint64_t ns, char buf[TIME_TEXT])
{
	time_t seconds = (time_t)(ns / 1000000000u);
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(buf, TIME_TEXT, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}
