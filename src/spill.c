/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spill.c - a store as it was at one moment, while others go on writing to it
 *
 * See spill.h.  Two tables of numbers: the pages written since, and the offsets saved, with their
 * place in the file.  A place that could not be read when it was to be saved is saved as its error.
 */
#include "spill.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define WRITTEN_MAX (1u << 20)
#define AT_ONCE 64u

struct table {
	uint64_t *key; /* number + 1; 0: empty */
	uint32_t *value;
	size_t mask, n, most;
};

struct spill {
	struct store view; /* first: spill_store's is it */
	struct store *base;
	int fd;
	pthread_mutex_t lock;
	struct table written;    /* pages; of the one who saves */
	struct table saved;      /* offset -> its place in fd; under lock */
	int *error;              /* [saved.most] of each place; under lock */
	uint8_t *buffer;         /* AT_ONCE pages; of the one who saves */
	_Atomic uint64_t nsaved; /* for spill_saved */
	_Atomic bool overrun;
};

/* ---- tables -------------------------------------------------------------------- */

static int table_init(struct table *t, size_t most)
{
	size_t room = 64;

	while (room < most * 2)
		room *= 2;
	t->key = calloc(room, sizeof *t->key);
	t->value = calloc(room, sizeof *t->value);
	t->mask = room - 1;
	t->most = most;
	return t->key && t->value ? 0 : fail(-ENOMEM, "no memory to check a pool in use");
}

static void table_fini(struct table *t)
{
	free(t->key);
	free(t->value);
}

/* Where number is or would be. */
static size_t table_at(const struct table *t, uint64_t number)
{
	size_t i = (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & t->mask;

	while (t->key[i] && t->key[i] != number + 1)
		i = (i + 1) & t->mask;
	return i;
}

static bool table_has(const struct table *t, uint64_t number, uint32_t *ret_value)
{
	size_t i = table_at(t, number);

	if (t->key[i])
		*ret_value = t->value[i];
	return t->key[i] != 0;
}

/* Not there yet, and there is room. */
static void table_add(struct table *t, uint64_t number, uint32_t value)
{
	size_t i = table_at(t, number);

	t->key[i] = number + 1;
	t->value[i] = value;
	t->n++;
}

/* ---- reading --------------------------------------------------------------------- */

/* The saved content of the page at offset: false if it isn't saved. */
static bool take_saved(struct spill *sp, uint64_t offset, void *buf, int *ret_error)
{
	uint32_t at;
	bool saved;

	pthread_mutex_lock(&sp->lock);
	saved = table_has(&sp->saved, offset, &at);
	if (saved)
		*ret_error = sp->error[at];
	pthread_mutex_unlock(&sp->lock);
	if (saved && *ret_error == 0 &&
	    pread(sp->fd, buf, SPILL_PAGE, (off_t)at * SPILL_PAGE) != (ssize_t)SPILL_PAGE) {
		spill_give_up(sp);
		*ret_error = -EIO;
	}
	return saved;
}

/* Puts what was saved over what was read, or could not be. */
static void put_saved_over(struct spill *sp, struct store_io *io)
{
	uint64_t offset = io->offset;
	int result = io->result;
	bool all = true;

	for (int i = 0; i < io->niov; i++)
		for (size_t at = 0; at < io->iov[i].iov_len; at += SPILL_PAGE) {
			int err = 0;
			bool saved =
				take_saved(sp, offset, (uint8_t *)io->iov[i].iov_base + at, &err);

			all = all && saved && !err;
			if (saved && err)
				result = err;
			offset += SPILL_PAGE;
		}
	io->result = all ? 0 : result;
}

/* [SPILL-1]: saved pages are looked for after the reading. */
static int view_submit(struct store *s, struct store_io *ios, unsigned n)
{
	struct spill *sp = (struct spill *)s;

	for (unsigned i = 0; i < n; i++)
		assert(ios[i].flags == STORE_DIRECT);
	(void)!store_submit(sp->base, ios, n); /* each has its own result */
	for (unsigned i = 0; i < n; i++)
		put_saved_over(sp, &ios[i]);
	return 0;
}

static const struct store_ops view_ops = {
	.name = "spill",
	.submit = view_submit,
};

struct store *spill_store(struct spill *sp)
{
	return &sp->view;
}

/* ---- saving ------------------------------------------------------------------------ */

void spill_give_up(struct spill *sp)
{
	atomic_store(&sp->overrun, true);
}

bool spill_overrun(const struct spill *sp)
{
	return atomic_load(&((struct spill *)sp)->overrun);
}

uint64_t spill_saved(const struct spill *sp)
{
	return atomic_load(&((struct spill *)sp)->nsaved);
}

/* Saves one page that was read, or its error. */
static void save(struct spill *sp, uint64_t offset, const void *data, int error)
{
	size_t at = sp->saved.n;

	if (spill_overrun(sp))
		return;
	if (at == sp->saved.most ||
	    (!error &&
	     pwrite(sp->fd, data, SPILL_PAGE, (off_t)at * SPILL_PAGE) != (ssize_t)SPILL_PAGE)) {
		spill_give_up(sp); /* [SPILL-2] */
		return;
	}
	pthread_mutex_lock(&sp->lock);
	sp->error[at] = error;
	table_add(&sp->saved, offset, (uint32_t)at);
	pthread_mutex_unlock(&sp->lock);
	atomic_fetch_add(&sp->nsaved, 1);
}

/* Is the place at offset, where page is about to be written, one that the moment uses? */
static bool must_save(struct spill *sp, uint64_t page, uint64_t offset)
{
	uint32_t value;

	if (table_has(&sp->saved, offset, &value))
		return false;
	if (!table_has(&sp->written, page, &value)) {
		if (sp->written.n == sp->written.most)
			spill_give_up(sp);
		else
			/* the low half of the offset tells its two slots apart */
			table_add(&sp->written, page, (uint32_t)(offset / SPILL_PAGE));
		return false;
	}
	return value != (uint32_t)(offset / SPILL_PAGE);
}

static void save_all(struct spill *sp, const uint64_t *offsets, unsigned n)
{
	struct store_io io[AT_ONCE];
	struct iovec iov[AT_ONCE];

	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){sp->buffer + i * SPILL_PAGE, SPILL_PAGE};
		io[i] = (struct store_io){STORE_DIRECT, offsets[i], &iov[i], 1, 0};
	}
	if (n)
		(void)!store_submit(sp->base, io, n); /* each has its own result */
	for (unsigned i = 0; i < n; i++)
		save(sp, offsets[i], iov[i].iov_base, io[i].result);
}

void spill_keep(struct spill *sp, uint64_t offset)
{
	save_all(sp, &offset, 1);
}

void spill_saving(struct spill *sp, const uint64_t *pages, const uint64_t *offsets, unsigned n)
{
	uint64_t list[AT_ONCE];
	unsigned m = 0;

	for (unsigned i = 0; i < n && !spill_overrun(sp); i++) {
		if (must_save(sp, pages[i], offsets[i]))
			list[m++] = offsets[i];
		if (m == AT_ONCE) {
			save_all(sp, list, m);
			m = 0;
		}
	}
	save_all(sp, list, m);
}

/* ---- life --------------------------------------------------------------------------- */

static int open_file(void)
{
	const char *dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		int fd = dirs[i] && *dirs[i] ? open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
					     : -1;

		if (fd >= 0)
			return fd;
	}
	return memfd_create("cowbd-check", MFD_CLOEXEC);
}

int spill_new(struct store *s, uint64_t bound_bytes, struct spill **ret_spill)
{
	struct spill *sp = calloc(1, sizeof *sp);
	size_t most = MAX((size_t)(bound_bytes / SPILL_PAGE), (size_t)4);

	if (!sp)
		return fail(-ENOMEM, "no memory to check a pool in use");
	pthread_mutex_init(&sp->lock, NULL);
	sp->base = s;
	sp->view = *s;
	sp->view.ops = &view_ops;
	sp->view.read_only = true;
	sp->fd = open_file();
	sp->error = calloc(most, sizeof *sp->error);
	sp->buffer = aligned_alloc(SPILL_PAGE, (size_t)AT_ONCE * SPILL_PAGE);
	if (sp->fd < 0 || !sp->error || !sp->buffer || table_init(&sp->written, WRITTEN_MAX) < 0 ||
	    table_init(&sp->saved, most) < 0) {
		spill_free(sp);
		return fail(-ENOMEM, "no memory to check a pool in use");
	}
	*ret_spill = sp;
	return 0;
}

void spill_free(struct spill *sp)
{
	if (!sp)
		return;
	if (sp->fd >= 0)
		close(sp->fd);
	table_fini(&sp->written);
	table_fini(&sp->saved);
	pthread_mutex_destroy(&sp->lock);
	free(sp->error);
	free(sp->buffer);
	free(sp);
}
