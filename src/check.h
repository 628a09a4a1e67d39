/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check.h - verifies a committed checkpoint through format and store alone
 *
 * Shares no walking code with map, space or catalog, so that a bug can't hide itself.
 */
#ifndef COWBD_CHECK_H
#define COWBD_CHECK_H

#include "cowbd.h"
#include "store.h"

/* Checks what the newest superblock of s names.  Reading only. 0 whatever is found, or -errno
 * when it could not look at all (I/O error on both superblocks, no memory).  Memory: about two bytes a
 * page and block of zones that are in use.  The store must not commit a checkpoint meanwhile. */
int check_store(struct store *s, const struct cowbd_check_options *opt,
		struct cowbd_check_result *ret_result) MUST_CHECK;

/* Mends what the newest superblock of s names, and says through opt->report what it did and what is lost. dry_run: only says.
 * *ret_pages: written.  -EUCLEAN: it can't be mended, nothing was written.  For a pool in which check_store found
 * something.  Memory: as check_store and six bytes a page and block more. (repair.c) */
int repair_store(struct store *s, const struct cowbd_check_options *opt, bool dry_run,
		 uint64_t *ret_pages) MUST_CHECK;

#endif
