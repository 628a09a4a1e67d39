/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_dump.c - cowbd dump: a pool's metadata as JSON, one object a line
 */
#include <stdio.h>

#include "cli.h"

static int print_item(void *opaque, json_t *item)
{
	(void)opaque;
	if (json_dumpf(item, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF)
		return -1;
	return 0;
}

int cmd_dump(const struct call *c)
{
	struct session s;
	int status = session_find(c, &s), err = 0;

	if (!status && s.daemon)
		status = complain("%s is being served, and a dump would show a mixture of moments: "
				  "stop the daemon first, or dump a copy",
				  s.path);
	if (!status)
		err = admin_dump_file(s.path, print_item, NULL);
	if (!status && !err && fflush(stdout) != 0)
		err = -1;
	if (!status && (err || ferror(stdout)))
		status = ferror(stdout) ? complain("can't write to standard output")
					: complain_library();
	return session_close(&s, status);
}
