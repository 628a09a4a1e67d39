# SPDX-License-Identifier: BSD-3-Clause
# cli/local.mk - cowbd, the command

bin_PROGRAMS += cli/cowbd
cli_cowbd_SOURCES = \
	cli/address.c \
	cli/attach.c \
	cli/attach.h \
	cli/attach_fuse.c \
	cli/attach_nbd.c \
	cli/attach_nbd.h \
	cli/cli.h \
	cli/client.c \
	cli/cmd_attach.c \
	cli/cmd_check.c \
	cli/cmd_df.c \
	cli/cmd_diff.c \
	cli/cmd_dump.c \
	cli/cmd_enable.c \
	cli/cmd_events.c \
	cli/cmd_export.c \
	cli/cmd_fork.c \
	cli/cmd_import.c \
	cli/cmd_info.c \
	cli/cmd_init.c \
	cli/cmd_ls.c \
	cli/cmd_mount.c \
	cli/cmd_resize.c \
	cli/cmd_serve.c \
	cli/cmd_status.c \
	cli/cmd_stop.c \
	cli/cmd_volume.c \
	cli/commands.c \
	cli/disk.c \
	cli/freeze.c \
	cli/freeze.h \
	cli/late_libnbd.c \
	cli/late_libs.c \
	cli/listener.c \
	cli/listener.h \
	cli/main.c \
	cli/mount.h \
	cli/mounts.c \
	cli/mounts.h \
	cli/nbdlink.c \
	cli/nbdlink.h \
	cli/parts.c \
	cli/parts.h \
	cli/progress.c \
	cli/reattach.c \
	cli/reattach.h \
	cli/remount.c \
	cli/remount.h \
	cli/report.c \
	cli/session.c \
	cli/size.c \
	cli/source.c \
	cli/table.c \
	cli/words.c
cli_cowbd_LDADD = \
	src/libcowbd.la \
	$(BLKID_LIBS) \
	$(JANSSON_LIBS) \
	$(LIBM)

# where udev looks, of the prefix: another one is for trying out
udevrulesdir = $(prefix)/lib/udev/rules.d
dist_udevrules_DATA = cli/60-cowbd.rules
