/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_init.c - cowbd init: makes a pool
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

static void show_progress(void *opaque, uint64_t done, uint64_t total)
{
	(void)opaque;
	progress_show("init", done, total);
}

static int read_options(const struct call *c, struct cowbd_init_options *opt)
{
	uint64_t block = 0;
	int status = DONE;

	opt->name = c->opt[OPT_NAME];
	opt->preallocate = c->opt[OPT_PREALLOCATE] != NULL;
	opt->force = c->opt[OPT_FORCE] != NULL;
	if (c->opt[OPT_SIZE])
		status = parse_disk_size(c->opt[OPT_SIZE], "size", &opt->size);
	if (!status && c->opt[OPT_JOURNAL_SIZE])
		status = parse_disk_size(c->opt[OPT_JOURNAL_SIZE], "journal size",
					 &opt->journal_bytes);
	if (!status && c->opt[OPT_BLOCK_SIZE])
		status = parse_disk_size(c->opt[OPT_BLOCK_SIZE], "block size", &block);
	if (!status && block && (block < 4096 || block > 1u << 20 || (block & (block - 1)))) {
		complain("block size %s: choose a power of two from 4K to 1M",
			 c->opt[OPT_BLOCK_SIZE]);
		status = USAGE;
	}
	opt->block_bytes = (uint32_t)block;
	return status;
}

static int tell(const struct call *c, const char *path)
{
	struct cowbd_open_options how = {.flags = COWBD_OPEN_READ_ONLY};
	char size[SIZE_TEXT], block[SIZE_TEXT];
	struct cowbd_pool_info i;
	struct cowbd_pool *p;
	SCOPED_JSON json_t *answer = NULL;

	if (cowbd_open(path, &how, &p) < 0)
		return complain_library();
	cowbd_pool_info(p, &i);
	if (cowbd_close(p) < 0)
		return complain_library();
	if (!c->opt[OPT_JSON]) {
		printf("pool %s: %s in blocks of %s, %s\n", i.name,
		       size_text(i.size, c->opt[OPT_BYTES] != NULL, size),
		       size_text(i.block_bytes, c->opt[OPT_BYTES] != NULL, block), i.path);
		return DONE;
	}
	answer = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "name", i.name, "uuid", i.uuid,
			   "path", i.path, "size", (json_int_t)i.size, "capacity",
			   (json_int_t)i.block_zones_bytes, "block_size", (json_int_t)i.block_bytes,
			   "journal_size", (json_int_t)i.journal_bytes);
	return print_json(answer);
}

int cmd_init(const struct call *c)
{
	struct cowbd_init_options opt = {.progress = show_progress};
	const char *path = c->n ? c->words[0] : c->opt[OPT_POOL];
	int status = read_options(c, &opt);

	if (!path)
		path = getenv("COWBD_POOL");
	if (status)
		return status;
	if (!path || !*path)
		return usage_error(c, "which file or device shall hold the pool?");
	if (cowbd_init(path, &opt) < 0)
		return complain_library();
	progress_end();
	return tell(c, path);
}
