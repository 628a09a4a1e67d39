# SPDX-License-Identifier: BSD-3-Clause
# src/local.mk - libcowbd, the engine, three times: as it is, for tests, and tiny

engine_sources = \
	src/admin.c \
	src/admin.h \
	src/admin_change.c \
	src/admin_clients.c \
	src/admin_compare.c \
	src/admin_dump.c \
	src/admin_fork.c \
	src/admin_internal.h \
	src/admin_rm.c \
	src/admin_show.c \
	src/apply.c \
	src/apply.h \
	src/base.c \
	src/base.h \
	src/catalog.c \
	src/catalog.h \
	src/check.c \
	src/check.h \
	src/check_cache.c \
	src/check_internal.h \
	src/check_journal.c \
	src/check_maps.c \
	src/check_read.c \
	src/changes.c \
	src/changes.h \
	src/checkpoint.c \
	src/client.c \
	src/compare.c \
	src/cowbd.h \
	src/delta.c \
	src/delta.h \
	src/dying.c \
	src/dying.h \
	src/engine.c \
	src/engine.h \
	src/epoch.c \
	src/epoch.h \
	src/fault.c \
	src/fileio.c \
	src/fileio.h \
	src/filelock.c \
	src/filelock.h \
	src/format.c \
	src/format.h \
	src/format_ondisk.c \
	src/hold.c \
	src/hold.h \
	src/hostfs.c \
	src/hostfs.h \
	src/journal.c \
	src/journal.h \
	src/journal_internal.h \
	src/journal_scan.c \
	src/manage.c \
	src/map.c \
	src/map.h \
	src/metalock.c \
	src/metalock.h \
	src/merge.c \
	src/mkfs.c \
	src/online.c \
	src/pages.c \
	src/pages.h \
	src/pool.c \
	src/pool.h \
	src/probe.c \
	src/probes.h \
	src/rangelock.c \
	src/rangelock.h \
	src/reclaim.c \
	src/repair.c \
	src/recover.c \
	src/ahead.c \
	src/scrub.c \
	src/space.c \
	src/space.h \
	src/space_internal.h \
	src/spill.c \
	src/spill.h \
	src/store.c \
	src/store.h \
	src/store_file.c \
	src/sums.c \
	src/super.c \
	src/tail.c \
	src/tail.h \
	src/uring.c \
	src/uring.h \
	src/usage.c \
	src/volume.c \
	src/volume.h \
	src/walk.c \
	src/walk.h \
	src/worker.c \
	src/young.c \
	src/young.h \
	src/zones.c \
	src/zones_claim.c \
	src/zones_ends.c

engine_libs = \
	$(URING_LIBS) \
	$(JANSSON_LIBS) \
	$(XXHASH_LIBS) \
	$(ZSTD_LIBS) \
	$(BLKID_LIBS) \
	$(UUID_LIBS)

# What the plugin and the command are linked with.
noinst_LTLIBRARIES += src/libcowbd.la
src_libcowbd_la_SOURCES = $(engine_sources)
src_libcowbd_la_LIBADD = $(engine_libs)

# The same and the simulated store, for tests.
check_LTLIBRARIES += src/libcowbd-test.la
src_libcowbd_test_la_SOURCES = src/store_sim.c
src_libcowbd_test_la_LIBADD = src/libcowbd.la

# All of it again with tiny pages, zones and counts, so that everything wraps and fills in every
# run: for the tests that cut the power at each write.
check_LTLIBRARIES += src/libcowbd-tiny.la
src_libcowbd_tiny_la_SOURCES = $(engine_sources) src/store_sim.c
src_libcowbd_tiny_la_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
src_libcowbd_tiny_la_LIBADD = $(engine_libs)
