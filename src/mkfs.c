/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mkfs.c - makes an empty pool
 *
 * Written: the journal's zones (zeros, so that its blocks are allocated and *written*: a flush into
 * merely allocated ones costs twice as much), zone 0 zeroed, and last the superblock.
 * Everything else is "never written", which means empty.
 *
 * A file is made under a temporary name and renamed when it is complete: an init that was killed leaves
 * nothing under the pool's name, and the next one starts over.
 */
#include "pool.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <uuid/uuid.h>

#define JOURNAL_MIN (UINT64_C(16) << 20)
#define JOURNAL_MAX (UINT64_C(1) << 30)
#define PIECE (1u << 20)

/* ---- arguments ------------------------------------------------------------------------------ */

static int check_block_size(uint32_t bytes)
{
	if (!is_power_of_2(bytes) || bytes < (1u << BLOCK_SHIFT_MIN) ||
	    bytes > (1u << BLOCK_SHIFT_MAX))
		return fail(-EINVAL,
			    "a block size of %u bytes can't be: use a power of two from 4 KiB to "
			    "%u KiB",
			    bytes, (1u << BLOCK_SHIFT_MAX) / 1024);
	return 0;
}

static uint64_t journal_zones(uint64_t size, uint64_t wanted)
{
	uint64_t bytes = wanted ? wanted : MIN(MAX(size / 1024, JOURNAL_MIN), JOURNAL_MAX);

	return MAX(round_up(bytes, ZONE_BYTES) / ZONE_BYTES, UINT64_C(2));
}

static uint64_t least_zones(uint64_t journal)
{
	return 1 + journal + 1 + ZONE_ENDS_MIN + 4;
}

static int plan(uint64_t size, const struct cowbd_init_options *opt, struct geometry *g)
{
	uint32_t block = opt->block_bytes ? opt->block_bytes : 4096;
	uint64_t zones = size / ZONE_BYTES, journal = journal_zones(size, opt->journal_bytes);
	int r = check_block_size(block);

	if (r < 0)
		return r;
	if (zones < least_zones(journal))
		return fail(-EINVAL,
			    "%" PRIu64 " bytes are too few for a pool with a journal of %" PRIu64
			    " MiB: at least %" PRIu64 " MiB are needed",
			    size, journal * ZONE_BYTES >> 20,
			    round_up(least_zones(journal) * ZONE_BYTES, 1u << 20) >> 20);
	if ((zones - 1 - journal) / GROUP_ZONES + 1 > GROUPS_MAX)
		return fail(-EINVAL,
			    "%" PRIu64 " bytes are more than a pool can have: at most %" PRIu64
			    " TiB",
			    size, (uint64_t)GROUPS_MAX * GROUP_ZONES * ZONE_BYTES >> 40);
	/* a last group that is a header alone holds nothing */
	if ((zones - 1 - journal) % GROUP_ZONES == 1)
		zones--;
	geometry_init(g, zones, journal, (unsigned)__builtin_ctz(block));
	return 0;
}

/* ---- the name of the pool ---------------------------------------------------------------------- */

static int set_name(struct disk_super *s, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot;
	size_t len;
	char buf[sizeof s->name];

	if (!name) {
		dot = strrchr(base, '.');
		len = MIN(dot && dot != base ? (size_t)(dot - base) : strlen(base), sizeof buf - 1);
		memcpy(buf, base, len);
		buf[len] = '\0';
		/* whatever the file is called, the name is for links and messages */
		name = name_check(buf) == 0 ? buf : "pool";
	}
	int r = name_check(name);

	if (r < 0)
		return r;
	if (strlen(name) >= sizeof s->name)
		return fail(-EINVAL, "the name of a pool has at most %zu bytes",
			    sizeof s->name - 1);
	memcpy(s->name, name, strlen(name));
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------------- */

static int write_zeros(struct store *s, uint64_t offset, uint64_t len,
		       const struct cowbd_init_options *opt, uint64_t *done, uint64_t total)
{
	CLEANUP_FREE void *zeros = aligned_alloc(PAGE_BYTES, PIECE);
	int r = 0;

	if (!zeros)
		return fail(-ENOMEM, "no memory to write zeros");
	memset(zeros, 0, PIECE);
	while (len && r == 0) {
		size_t n = (size_t)MIN(len, (uint64_t)PIECE);

		r = store_write(s, STORE_DIRECT, offset, zeros, n);
		offset += n;
		len -= n;
		*done += n;
		if (opt->progress)
			opt->progress(opt->opaque, *done, total);
	}
	return r;
}

static int preallocate(struct store *s, const struct geometry *g,
		       const struct cowbd_init_options *opt, uint64_t *done, uint64_t total)
{
	int r = 0;

	for (uint64_t zone = g->first_group; zone < g->zones && r == 0; zone++) {
		r = store_prealloc(s, zone * ZONE_BYTES, ZONE_BYTES);
		*done += ZONE_BYTES;
		if (opt->progress)
			opt->progress(opt->opaque, *done, total);
	}
	return r;
}

static int write_super(struct store *s, struct disk_super *super)
{
	_Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	int r = 0;

	for (uint64_t seq = 1; seq <= 2 && r == 0; seq++) {
		uint64_t offset = page_offset(0, (unsigned)(seq % 2));

		super->sequence = put64(seq);
		memcpy(buf, super, PAGE_BYTES);
		page_seal(buf, PAGE_SUPER, super->uuid, offset, get64(super->h.generation));
		r = store_write(s, STORE_DIRECT | STORE_DURABLE, offset, buf, PAGE_BYTES);
	}
	return r;
}

int mkfs_store(struct store *s, const char *path, const struct cowbd_init_options *opt)
{
	struct disk_super super = {.magic = {'c', 'o', 'w', 'b', 'd', '\r', '\n', '\032'}};
	struct geometry g;
	uint64_t done = 0, total;
	int r;

	if ((r = plan(s->size, opt, &g)) < 0 || (r = set_name(&super, path, opt->name)) < 0)
		return r;
	uuid_generate(super.uuid);
	super.h.generation = put64(1);
	super.major = put32(FORMAT_MAJOR);
	super.flags = put32(SUPER_CLEAN);
	super.block_shift = put32(g.block_shift);
	super.zone_twins = put32(ZONE_TWINS);
	super.zones = put64(g.zones);
	super.journal_zones = put64(g.journal_zones);
	super.journal_batch = put64(1);
	super.next_id = put64(1);
	super.created = put64(wall_ns());

	total = (1 + g.journal_zones) * ZONE_BYTES +
		(opt->preallocate ? (g.zones - g.first_group) * ZONE_BYTES : 0);
	if ((r = store_prealloc(s, 0, (1 + g.journal_zones) * ZONE_BYTES)) < 0 ||
	    (r = write_zeros(s, 0, (1 + g.journal_zones) * ZONE_BYTES, opt, &done, total)) < 0 ||
	    (opt->preallocate && (r = preallocate(s, &g, opt, &done, total)) < 0) ||
	    (r = store_sync(s, NULL, 0)) < 0)
		return r;
	return write_super(s, &super);
}

/* ---- files and devices ----------------------------------------------------------------------------- */

static int holds_something(struct store *s)
{
	CLEANUP_FREE uint8_t *buf = aligned_alloc(PAGE_BYTES, PIECE);
	uint64_t at[2] = {0, s->size > PIECE ? round_down(s->size - PIECE, PAGE_BYTES) : 0};

	if (!buf)
		return fail(-ENOMEM, "no memory to read %s", s->path);
	for (unsigned i = 0; i < 2; i++) {
		int r = store_read(s, STORE_DIRECT, at[i], buf, PIECE);

		if (r < 0)
			return r;
		for (size_t k = 0; k < PIECE; k++)
			if (buf[k])
				return fail(-EEXIST,
					    "%s holds something: wipe it, or use --force to "
					    "overwrite it",
					    s->path);
	}
	return 0;
}

static int init_device(const char *path, const struct cowbd_init_options *opt)
{
	struct store *s;
	int r = store_file_open(path, 0, 0, &s);

	if (r < 0)
		return r;
	if (opt->size && opt->size > s->size)
		r = fail(-EINVAL, "%s has %" PRIu64 " bytes, not %" PRIu64, path, s->size,
			 opt->size);
	if (r == 0 && !opt->force)
		r = holds_something(s);
	if (r == 0)
		r = mkfs_store(s, path, opt);
	store_close(s);
	return r;
}

/* The size of a new file. */
static int file_size(const char *path, const struct cowbd_init_options *opt, uint64_t *ret_size)
{
	const char *fs;
	uint64_t limit;
	int r = store_file_limit(path, &limit, &fs);

	if (r < 0)
		return r;
	if (opt->size > limit)
		return fail(-EINVAL,
			    "%" PRIu64
			    " bytes are more than a file can have on this %s: at most %" PRIu64,
			    opt->size, fs, limit);
	*ret_size = opt->size ? round_down(opt->size, PAGE_BYTES)
			      : MIN(limit, (uint64_t)GROUPS_MAX * GROUP_ZONES * ZONE_BYTES);
	*ret_size = MIN(*ret_size, UINT64_C(1) << 52);
	return 0;
}

static int replace_file(const char *temp, const char *path, bool force)
{
	if (force ? rename(temp, path) == 0
		  : renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (!force && (errno == EINVAL || errno == ENOSYS) && access(path, F_OK) < 0 &&
	    rename(temp, path) == 0)
		return 0;
	return fail(-errno, "%s: %s", path, strerror(errno));
}

static int sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];

	snprintf(dir, sizeof dir, "%.*s", slash ? (int)MAX(slash - path, 1) : 1,
		 slash ? path : ".");
	CLEANUP_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return fail(-errno, "%s: %s", dir, strerror(errno));
	return 0;
}

static int make_file(const char *path, const char *temp, uint64_t size, bool replace,
		     const struct cowbd_init_options *opt)
{
	struct store *s;
	int r = store_file_open(temp, STORE_OPEN_CREATE | STORE_OPEN_FORCE, 0, &s);

	if (r < 0)
		return r;
	if ((r = store_grow(s, size)) == 0 && (r = mkfs_store(s, path, opt)) == 0 &&
	    (r = store_sync(s, NULL, 0)) == 0 && (r = replace_file(temp, path, replace)) == 0) {
		r = sync_directory(path);
		store_close(s);
		return r;
	}
	unlink(temp); /* while the lock is held: nobody else uses the name */
	store_close(s);
	return r;
}

/* A pool that somebody serves must not lose its name. */
static int refuse_served(const char *path)
{
	struct store *s;
	int r = store_file_open(path, 0, 0, &s);

	if (r == 0)
		store_close(s);
	return r == -EBUSY ? r : 0;
}

static int init_file(const char *path, bool exists, const struct cowbd_init_options *opt)
{
	char temp[4096 + 16];
	uint64_t size;
	int r;

	if (exists && (r = refuse_served(path)) < 0)
		return r;
	if ((r = file_size(path, opt, &size)) < 0)
		return r;
	snprintf(temp, sizeof temp, "%s.cowbd-init", path);
	return make_file(path, temp, size, exists, opt);
}

int cowbd_init(const char *path, const struct cowbd_init_options *opt)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;

	if (opt->block_bytes) {
		int r = check_block_size(opt->block_bytes);

		if (r < 0)
			return r;
	}
	if (!exists && errno != ENOENT)
		return fail(-errno, "%s: %s", path, strerror(errno));
	if (strlen(path) > 4000)
		return fail(-ENAMETOOLONG, "the path of the pool is too long");
	if (exists && S_ISBLK(st.st_mode))
		return init_device(path, opt);
	if (exists && !S_ISREG(st.st_mode))
		return fail(-EINVAL, "%s is neither a file nor a block device", path);
	if (exists && st.st_size > 0 && !opt->force)
		return fail(-EEXIST,
			    "%s exists and isn't empty: choose another name, or use --force to "
			    "overwrite it",
			    path);
	return init_file(path, exists, opt);
}
