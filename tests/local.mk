# SPDX-License-Identifier: BSD-3-Clause
# tests/local.mk - one line a test
#
# A test program's source is its name and .c; it is linked with the engine and the simulated
# store.  One of the tiny engine is named ..._tiny and sets _SOURCES, _CPPFLAGS and _LDADD, as below.

unit_tests = \
	tests/unit/test_catalog \
	tests/unit/test_check \
	tests/unit/test_check_memory \
	tests/unit/test_changes \
	tests/unit/test_delta \
	tests/unit/test_epoch \
	tests/unit/test_format \
	tests/unit/test_format_doc \
	tests/unit/test_format_record \
	tests/unit/test_hold \
	tests/unit/test_interruption \
	tests/unit/test_journal \
	tests/unit/test_journal_end \
	tests/unit/test_journal_random \
	tests/unit/test_manage \
	tests/unit/test_map \
	tests/unit/test_metalock \
	tests/unit/test_nbdlink \
	tests/unit/test_online \
	tests/unit/test_pages \
	tests/unit/test_rangelock \
	tests/unit/test_recover \
	tests/unit/test_repair \
	tests/unit/test_scrub \
	tests/unit/test_space \
	tests/unit/test_store \
	tests/unit/test_store_file \
	tests/unit/test_store_sim \
	tests/unit/test_tail \
	tests/unit/test_volume \
	tests/unit/test_young

model_tests = \
	tests/model/test_model \
	tests/model/test_model_threads \
	tests/model/test_model_tiny

# Some of them again, with the tiny engine.
tiny_tests = \
	tests/unit/test_check_tiny \
	tests/unit/test_repair_tiny \
	tests/unit/test_format_tiny \
	tests/unit/test_format_record_tiny \
	tests/unit/test_journal_tiny \
	tests/unit/test_journal_random_tiny

# Cuts of the power and deaths of the daemon, on the tiny engine.
crash_tests = \
	tests/crash/explore \
	tests/crash/test_logwrites

# Each call of the store fails in turn, on both engines.
fault_tests = \
	tests/fault/test_fault \
	tests/fault/test_fault_tiny \
	tests/fault/test_short

# Damaged and hostile metadata, on both engines.
fuzz_tests = \
	tests/fuzz/test_flips \
	tests/fuzz/test_flips_tiny \
	tests/fuzz/test_mend \
	tests/fuzz/test_mend_tiny \
	tests/fuzz/replay_admin \
	tests/fuzz/replay_journal \
	tests/fuzz/replay_pages \
	tests/fuzz/replay_pool

# The engine's allocations fail there too, not the test's own.
fault_own_memory = -Dmalloc=__real_malloc -Dcalloc=__real_calloc -Drealloc=__real_realloc
fault_wrap = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc

# What the scripts call.
test_tools = \
	tests/attach/fswriter \
	tests/fault/no_uring \
	tests/kill/writer \
	tests/crash/logwrites \
	tests/nbd/hostile \
	tests/nbd/talk \
	tests/vm/writer

# The real nbdkit, the real command, real clients.
script_tests = \
	tests/bench_smoke.sh \
	tests/figures_quick.sh \
	tests/probe.sh \
	tests/attach/attach.sh \
	tests/attach/bad_use.sh \
	tests/attach/freeze.sh \
	tests/attach/full.sh \
	tests/attach/grow.sh \
	tests/attach/interrupted.sh \
	tests/attach/kill.sh \
	tests/attach/mount.sh \
	tests/attach/partitions.sh \
	tests/attach/resize_restart.sh \
	tests/attach/restart.sh \
	tests/attach/rollback.sh \
	tests/attach/service.sh \
	tests/attach/umount_unserved.sh \
	tests/cli/access.sh \
	tests/cli/attached.sh \
	tests/cli/bad_pool.sh \
	tests/cli/check.sh \
	tests/cli/clone.sh \
	tests/cli/closing.sh \
	tests/cli/columns.sh \
	tests/cli/completion.sh \
	tests/cli/copied_pool.sh \
	tests/cli/create_rm.sh \
	tests/cli/df.sh \
	tests/cli/diff.sh \
	tests/cli/dry_run.sh \
	tests/cli/dying.sh \
	tests/cli/enable.sh \
	tests/cli/dump.sh \
	tests/cli/events.sh \
	tests/cli/events_dropped.sh \
	tests/cli/export.sh \
	tests/cli/grow.sh \
	tests/cli/help.sh \
	tests/cli/import.sh \
	tests/cli/import_bad.sh \
	tests/cli/import_formats.sh \
	tests/cli/import_interrupted.sh \
	tests/cli/import_no_tool.sh \
	tests/cli/import_stream.sh \
	tests/cli/import_uri.sh \
	tests/cli/init.sh \
	tests/cli/json.sh \
	tests/cli/low_water.sh \
	tests/cli/man.sh \
	tests/cli/names.sh \
	tests/cli/no_wait.sh \
	tests/cli/overcommit.sh \
	tests/cli/permission.sh \
	tests/cli/rename_resize.sh \
	tests/cli/repair.sh \
	tests/cli/resize_restart.sh \
	tests/cli/rollback.sh \
	tests/cli/scrub.sh \
	tests/cli/serve.sh \
	tests/cli/serve_daemon.sh \
	tests/cli/serve_restart.sh \
	tests/cli/serve_options.sh \
	tests/cli/service.sh \
	tests/cli/sizes.sh \
	tests/cli/snapshot.sh \
	tests/cli/socket_path.sh \
	tests/cli/superblock.sh \
	tests/cli/takeover.sh \
	tests/cli/takeover_connect.sh \
	tests/cli/takeover_retry.sh \
	tests/cli/tcp.sh \
	tests/cli/tls.sh \
	tests/cli/two_commands.sh \
	tests/cli/unclean.sh \
	tests/cli/uri.sh \
	tests/cli/which_pool.sh \
	tests/cli/words.sh \
	tests/crash/logwrites.sh \
	tests/crash/mutants.sh \
	tests/crash/product.sh \
	tests/crash/reliability.sh \
	tests/fault/failed_sync.sh \
	tests/fault/fuse_errors.sh \
	tests/fault/file_size_limit.sh \
	tests/fault/host_full.sh \
	tests/fault/no_uring.sh \
	tests/fault/slow_disk.sh \
	tests/kill/cycles.sh \
	tests/kill/host_power.sh \
	tests/kill/fio.sh \
	tests/kill/import.sh \
	tests/kill/in_flight.sh \
	tests/kill/repair.sh \
	tests/kill/sees.sh \
	tests/kill/tails.sh \
	tests/nbd/burst.sh \
	tests/nbd/check_online.sh \
	tests/nbd/control_end.sh \
	tests/nbd/control_limit.sh \
	tests/nbd/control_lines.sh \
	tests/nbd/control_mode.sh \
	tests/nbd/control_slow.sh \
	tests/nbd/control_user.sh \
	tests/nbd/control_wild.sh \
	tests/nbd/copy.sh \
	tests/nbd/cut.sh \
	tests/nbd/cut_busy.sh \
	tests/nbd/cut_late_answers.sh \
	tests/nbd/daemon.sh \
	tests/nbd/default_export.sh \
	tests/nbd/delete_busy.sh \
	tests/nbd/ephemeral.sh \
	tests/nbd/drain_held.sh \
	tests/nbd/exports.sh \
	tests/nbd/extents.sh \
	tests/nbd/fio.sh \
	tests/nbd/full_again.sh \
	tests/nbd/full_pool.sh \
	tests/nbd/fuse.sh \
	tests/nbd/hostile_drops.sh \
	tests/nbd/hostile_mute.sh \
	tests/nbd/hostile_options.sh \
	tests/nbd/hostile_requests.sh \
	tests/nbd/hold.sh \
	tests/nbd/hold_gone.sh \
	tests/nbd/hold_host.sh \
	tests/nbd/hold_threads.sh \
	tests/nbd/huge_status.sh \
	tests/nbd/info_no_usage.sh \
	tests/nbd/kill.sh \
	tests/nbd/no_bind.sh \
	tests/nbd/notify.sh \
	tests/nbd/odd_requests.sh \
	tests/nbd/parameters.sh \
	tests/nbd/qemu.sh \
	tests/nbd/qemu_reconnect.sh \
	tests/nbd/read_only.sh \
	tests/nbd/sigterm.sh \
	tests/nbd/sigterm_busy.sh \
	tests/nbd/snapshot_read_only.sh \
	tests/nbd/stop.sh \
	tests/nbd/stuck_client.sh \
	tests/nbd/takeover_abort.sh \
	tests/nbd/two_connections.sh \
	tests/nbd/unknown_export.sh \
	tests/nbd/zero_and_trim.sh

# A virtual machine with Debian's kernel; a part of these is in make check.
vm_tests = \
	tests/vm/client.sh \
	tests/vm/commands.sh \
	tests/vm/daemon.sh \
	tests/vm/guest_disk.sh \
	tests/vm/hold.sh \
	tests/vm/logwrites.sh \
	tests/vm/mount.sh
vm_long_tests = \
	tests/vm/commands_long.sh \
	tests/vm/kill_long.sh
vm_guest = \
	tests/vm/guest/bad_use.sh \
	tests/vm/guest/disk.sh \
	tests/vm/guest/freeze.sh \
	tests/vm/guest/grow.sh \
	tests/vm/guest/init \
	tests/vm/guest/hold.sh \
	tests/vm/guest/hold_rm.sh \
	tests/vm/guest/kill.sh \
	tests/vm/guest/lib.sh \
	tests/vm/guest/logwrites.sh \
	tests/vm/guest/mount.sh \
	tests/vm/guest/rollback.sh \
	tests/vm/guest/snapshots.sh \
	tests/vm/guest/takeover.sh \
	tests/vm/guest/trim.sh \
	tests/vm/guest/udev.sh

EXTRA_DIST += $(script_tests) \
	tests/unit/check_image.h \
	tests/unit/journal_bench.h \
	tests/unit/journal_testing.h \
	tests/unit/pool_testing.h \
	tests/unit/store_testing.h \
	tests/lib/random.h \
	tests/lib/run \
	tests/lib/test.sh \
	tests/crash/soak \
	tests/reliability.json \
	tests/attach/functions.sh \
	tests/cli/restart_functions.sh \
	tests/cli/functions.sh \
	tests/fault/functions.sh \
	tests/nbd/functions.sh \
	tests/vm/functions.sh \
	tests/vm/initramfs \
	$(vm_guest) \
	$(vm_tests) \
	$(vm_long_tests) \
	tests/fuzz/admin.dict \
	tests/fuzz/run.sh \
	tests/fuzz/corpus

check_PROGRAMS += $(unit_tests) $(tiny_tests) $(model_tests) $(crash_tests) $(fault_tests) $(fuzz_tests) $(test_tools)
TESTS = $(unit_tests) $(tiny_tests) $(model_tests) $(crash_tests) $(fault_tests) $(fuzz_tests) $(script_tests)
LDADD = src/libcowbd-test.la $(CHECK_LIBS)
tests_fault_no_uring_LDADD =
tests_kill_writer_SOURCES = tests/kill/writer.c tests/kill/ledger.c tests/kill/ledger.h
tests_kill_writer_LDADD = $(LIBNBD_LIBS)
tests_unit_test_interruption_SOURCES = tests/unit/test_interruption.c cli/cli.h cli/progress.c cli/report.c cli/size.c
tests_unit_test_interruption_LDADD = $(LDADD) $(JANSSON_LIBS)
tests_unit_test_nbdlink_SOURCES = tests/unit/test_nbdlink.c cli/nbdlink.c cli/nbdlink.h
tests_unit_test_nbdlink_LDADD = $(NLGENL_LIBS) $(CHECK_LIBS)
tests_attach_fswriter_LDADD =
check_LTLIBRARIES += tests/nbd/late_send.la
tests_nbd_late_send_la_SOURCES = tests/nbd/late_send.c
tests_nbd_late_send_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
tests_nbd_talk_LDADD = $(LIBNBD_LIBS) $(JANSSON_LIBS)

# It runs where nothing is installed, and is built as it is in every build.
tests_vm_writer_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -pthread
tests_vm_writer_LDFLAGS = -all-static
tests_vm_writer_LDADD =

tests_unit_test_check_tiny_SOURCES = tests/unit/test_check.c
tests_unit_test_check_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_unit_test_check_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_unit_test_repair_tiny_SOURCES = tests/unit/test_repair.c
tests_unit_test_repair_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_unit_test_repair_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_unit_test_format_tiny_SOURCES = tests/unit/test_format.c
tests_unit_test_format_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_unit_test_format_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_unit_test_format_record_tiny_SOURCES = tests/unit/test_format_record.c
tests_unit_test_format_record_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_unit_test_format_record_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_unit_test_journal_tiny_SOURCES = tests/unit/test_journal.c
tests_unit_test_journal_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_unit_test_journal_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_unit_test_journal_random_tiny_SOURCES = tests/unit/test_journal_random.c
tests_unit_test_journal_random_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_unit_test_journal_random_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_model_test_model_SOURCES = tests/model/test_model.c tests/model/model.c tests/model/model.h
tests_model_test_model_threads_SOURCES = tests/model/test_model_threads.c tests/model/model.c tests/model/model.h
tests_model_test_model_tiny_SOURCES = $(tests_model_test_model_SOURCES)
tests_model_test_model_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_model_test_model_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

crash_workloads = \
	tests/crash/oracle.c \
	tests/crash/oracle.h \
	tests/crash/run.c \
	tests/crash/run.h \
	tests/crash/workload.c \
	tests/crash/workload.h
tests_crash_explore_SOURCES = \
	$(crash_workloads) \
	tests/crash/cuts.c \
	tests/crash/directed.c \
	tests/crash/directed.h \
	tests/crash/explore.c \
	tests/crash/explore.h \
	tests/crash/images.c \
	tests/crash/images.h \
	tests/crash/images_internal.h \
	tests/crash/inflight.c \
	tests/crash/mutants.c \
	tests/crash/sequences.c \
	tests/crash/sequences.h \
	tests/crash/young.c
tests_crash_explore_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_crash_explore_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_crash_logwrites_SOURCES = \
	tests/crash/logwrites.c \
	tests/crash/logwrites.h \
	tests/crash/logwrites_main.c
tests_crash_logwrites_LDADD = src/libcowbd-test.la
tests_crash_test_logwrites_SOURCES = \
	$(crash_workloads) \
	tests/crash/logwrites.c \
	tests/crash/logwrites.h \
	tests/crash/test_logwrites.c
tests_crash_test_logwrites_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY
tests_crash_test_logwrites_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

tests_fault_test_short_LDFLAGS = -Wl,--wrap=preadv2,--wrap=pwritev2,--wrap=uring_start,--wrap=uring_finish
tests_fault_test_fault_SOURCES = \
	tests/fault/fault.h \
	tests/fault/image.c \
	tests/fault/site.c \
	tests/fault/step.c \
	tests/fault/tail.c \
	tests/fault/test_fault.c \
	tests/crash/oracle.c \
	tests/crash/oracle.h
tests_fault_test_fault_CPPFLAGS = $(AM_CPPFLAGS) $(fault_own_memory)
tests_fault_test_fault_LDFLAGS = $(fault_wrap)
tests_fault_test_fault_tiny_SOURCES = $(tests_fault_test_fault_SOURCES)
tests_fault_test_fault_tiny_CPPFLAGS = $(AM_CPPFLAGS) -DCOWBD_TINY $(fault_own_memory)
tests_fault_test_fault_tiny_LDFLAGS = $(fault_wrap)
tests_fault_test_fault_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

fuzz_use = tests/fuzz/use.c tests/fuzz/use.h
fuzz_pieces = tests/fuzz/pieces.c tests/fuzz/pieces.h $(fuzz_use)
tests_fuzz_test_flips_SOURCES = tests/fuzz/test_flips.c $(fuzz_pieces)
tests_fuzz_test_flips_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(top_srcdir)/tests/unit
tests_fuzz_test_flips_tiny_SOURCES = $(tests_fuzz_test_flips_SOURCES)
tests_fuzz_test_flips_tiny_CPPFLAGS = $(tests_fuzz_test_flips_CPPFLAGS) -DCOWBD_TINY
tests_fuzz_test_flips_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)
tests_fuzz_test_mend_SOURCES = tests/fuzz/test_mend.c $(fuzz_pieces)
tests_fuzz_test_mend_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(top_srcdir)/tests/unit
tests_fuzz_test_mend_tiny_SOURCES = $(tests_fuzz_test_mend_SOURCES)
tests_fuzz_test_mend_tiny_CPPFLAGS = $(tests_fuzz_test_mend_CPPFLAGS) -DCOWBD_TINY
tests_fuzz_test_mend_tiny_LDADD = src/libcowbd-tiny.la $(CHECK_LIBS)

# The fuzz targets, replayed: without libFuzzer, by any compiler.
fuzz_replay = tests/fuzz/fuzz.h tests/fuzz/fuzz_main.c tests/fuzz/image.c tests/fuzz/image.h $(fuzz_use)
fuzz_cppflags = $(AM_CPPFLAGS) -DCOWBD_TINY -iquote $(top_srcdir)/plugin
fuzz_ldadd = src/libcowbd-tiny.la $(JANSSON_LIBS)
tests_fuzz_replay_admin_SOURCES = tests/fuzz/fuzz_admin.c $(fuzz_replay)
tests_fuzz_replay_admin_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_replay_admin_LDADD = $(fuzz_ldadd)
tests_fuzz_replay_journal_SOURCES = tests/fuzz/fuzz_journal.c $(fuzz_replay)
tests_fuzz_replay_journal_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_replay_journal_LDADD = $(fuzz_ldadd)
tests_fuzz_replay_pages_SOURCES = tests/fuzz/fuzz_pages.c $(fuzz_replay)
tests_fuzz_replay_pages_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_replay_pages_LDADD = $(fuzz_ldadd)
tests_fuzz_replay_pool_SOURCES = tests/fuzz/fuzz_pool.c $(fuzz_replay)
tests_fuzz_replay_pool_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_replay_pool_LDADD = $(fuzz_ldadd)

TEST_EXTENSIONS = .sh
LOG_COMPILER = $(top_srcdir)/tests/lib/run
SH_LOG_COMPILER = $(top_srcdir)/tests/lib/run
AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	COWBD='$(abs_top_builddir)/cli/cowbd'; export COWBD; \
	COWBD_PLUGIN='$(abs_top_builddir)/plugin/.libs/nbdkit-cowbd-plugin.so'; export COWBD_PLUGIN; \
	enable_sanitize='$(enable_sanitize)'; export enable_sanitize;

# A part of the suite, with no more built than it needs.
check-unit: $(unit_tests) $(tiny_tests)
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(unit_tests) $(tiny_tests)'
check-model: $(model_tests) tests/unit/test_metalock
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(model_tests) tests/unit/test_metalock'
# Twenty deaths of the daemon below each file system, on each path; some five minutes, ten for the kernel's.
# Figures go to tests/reliability.json.
check-attach-long: tests/attach/fswriter
	rm -f kills.figures
	COWBD_KILLS=20 KILL_REPORT='$(abs_builddir)/kills.figures' TEST_TIMEOUT=1200 \
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS=tests/attach/kill.sh
	$(srcdir)/scripts/reliability note mounted <kills.figures
check-qemu-long: $(test_tools)
	rm -f kills.figures
	COWBD_KILLS=20 KILL_REPORT='$(abs_builddir)/kills.figures' TEST_TIMEOUT=600 \
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS=tests/nbd/qemu_reconnect.sh
	$(srcdir)/scripts/reliability note mounted <kills.figures
.PHONY: check-attach-long check-qemu-long
# A minute of fio beside checks, and one without.
check-online-long: all $(test_tools)
	CHECK_SECONDS=60 TEST_TIMEOUT=600 $(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS=tests/nbd/check_online.sh
	cat tests/nbd/check_online.log
.PHONY: check-online-long
check-valgrind: $(unit_tests)
	TEST_WRAPPER='$(LIBTOOL) --mode=execute valgrind -q --error-exitcode=1 --leak-check=full' \
	CK_FORK=no TEST_TIMEOUT=600 $(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(unit_tests)'
# Every place to fail.
soak-fault: $(fault_tests)
	set -e; for test in $(fault_tests); do \
		./$$test -t 0 >fault.figures; \
		$(srcdir)/scripts/reliability note fault <fault.figures; \
	done
.PHONY: soak-fault

# The long form of the crash explorer; figures go to tests/reliability.json.
soak-crash: tests/crash/explore
	$(srcdir)/tests/crash/soak '$(abs_top_builddir)/tests/crash/explore' $${MINUTES:-30} $${IMAGES:-1000000}
soak: soak-crash soak-kill soak-flips soak-mend soak-hostile
# Damaged pools repaired, MENDS times 40 on each engine; figures go to tests/reliability.json.
soak-mend: $(fuzz_tests)
	set -e; for test in tests/fuzz/test_mend_tiny tests/fuzz/test_mend; do \
		COWBD_SEED=$$(date +%s) COWBD_MENDS=$${MENDS:-500} nice -n 19 $$test >mend.figures; \
		{ echo '# Damage repaired (make soak-mend)'; cat mend.figures; } | $(srcdir)/scripts/reliability note mend; \
	done
.PHONY: soak-mend
# Every bit of the metadata of two small pools, twenty minutes each; figures go to tests/reliability.json.
soak-flips: $(fuzz_tests)
	set -e; for test in tests/fuzz/test_flips_tiny tests/fuzz/test_flips; do \
		COWBD_FLIPS=0 nice -n 19 $$test >flips.figures; \
		{ echo '# Damaged metadata (make soak-flips)'; cat flips.figures; } | $(srcdir)/scripts/reliability note flips; \
	done
.PHONY: soak-flips
# N kills of a daemon under load, and of a repair.
soak-kill: all $(test_tools)
	rm -f kill.figures kill.figures.repair
	KILL_CYCLES=$${N:-300} KILL_REPORT='$(abs_builddir)/kill.figures' TEST_TIMEOUT=36000 \
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='tests/kill/cycles.sh tests/kill/repair.sh'
	cat kill.figures kill.figures.repair | $(srcdir)/scripts/reliability note kill
# Clients of NBD and of the control socket that mean harm; they count what they tried.
hostile_tests = \
	tests/nbd/hostile_drops.sh \
	tests/nbd/hostile_mute.sh \
	tests/nbd/hostile_options.sh \
	tests/nbd/hostile_requests.sh \
	tests/nbd/control_wild.sh
soak-hostile: all $(test_tools)
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(hostile_tests)'
	{ echo '# Hostile clients of NBD and of the control socket (make soak-hostile)'; \
	cat $(hostile_tests:.sh=.log); } | $(srcdir)/scripts/reliability note hostile
.PHONY: soak-hostile
# Real kernels; Debian's package of one is downloaded once a build directory, or into COWBD_VM_CACHE.
check-vm: all-am tests/vm/writer tests/crash/logwrites
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(vm_tests)'
check-vm-long: all-am tests/vm/writer
	rm -f kills.figures
	VM_ROUNDS=20 KILL_REPORT='$(abs_builddir)/kills.figures' TEST_TIMEOUT=1800 \
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='tests/vm/guest_disk.sh $(vm_long_tests)'
	$(srcdir)/scripts/reliability note mounted <kills.figures
.PHONY: soak soak-crash check-unit check-model check-valgrind check-vm check-vm-long soak-kill

clean-local:
	rm -rf tests/vm/cache tests/vm/*.console

# The real nbdkit; with --enable-sanitize=address its plugin runs under AddressSanitizer and UBSan.
check-nbd: all $(test_tools)
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(filter tests/nbd/%,$(script_tests))'

# Lines and branches of src/ that make check runs, in a build with --enable-coverage.  Figures for
# scripts/reliability are the last lines; what is not covered is in coverage/index.html.
coverage:
	@test -n '$(COVERAGE_CFLAGS)' || { echo 'configure with --enable-coverage' >&2; exit 1; }
	find . -name '*.gcda' -exec rm {} +
	-$(MAKE) $(AM_MAKEFLAGS) -k check
	mkdir -p coverage
	gcovr -r '$(abs_top_srcdir)' --filter '$(abs_top_srcdir)/src/' --exclude-unreachable-branches \
		--html-details coverage/index.html --json-summary coverage/summary.json .
	@echo '# Coverage of src/ (make coverage | scripts/reliability note coverage)'
	@echo '< 90 % of lines'
	@jq -r '"= \(.line_percent) % of lines", "= \(.branch_percent) % of branches"' coverage/summary.json
.PHONY: check-nbd coverage

# Fuzzes each target for FUZZ_SECONDS with clang's libFuzzer: see tests/fuzz/run.sh.
fuzz:
	@top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
	sources='$(engine_sources) src/store_sim.c' CPPFLAGS='-I. $(fuzz_cppflags)' \
	LIBS='$(engine_libs)' $(top_srcdir)/tests/fuzz/run.sh $(FUZZ_TARGETS)
.PHONY: fuzz
