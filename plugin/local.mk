# SPDX-License-Identifier: BSD-3-Clause
# plugin/local.mk - nbdkit-cowbd-plugin.so; nbdkit_... are found in the server that loads it

EXTRA_DIST += plugin/plugin.syms

plugin_LTLIBRARIES += plugin/nbdkit-cowbd-plugin.la
plugin_nbdkit_cowbd_plugin_la_SOURCES = \
	plugin/access.c \
	plugin/access.h \
	plugin/connections.c \
	plugin/connections.h \
	plugin/control.c \
	plugin/control.h \
	plugin/drain.c \
	plugin/drain.h \
	plugin/events.c \
	plugin/events.h \
	plugin/handles.c \
	plugin/handles.h \
	plugin/notify.c \
	plugin/notify.h \
	plugin/plugin.c \
	plugin/requests.c \
	plugin/requests.h \
	plugin/rundir.c \
	plugin/rundir.h \
	plugin/stillness.c \
	plugin/stillness.h \
	plugin/watch.c \
	plugin/watch.h
plugin_nbdkit_cowbd_plugin_la_LIBADD = src/libcowbd.la $(JANSSON_LIBS)
plugin_nbdkit_cowbd_plugin_la_LDFLAGS = \
	$(AM_LDFLAGS) \
	-module -avoid-version -shared -rpath $(plugindir) \
	-Wl,--version-script=$(srcdir)/plugin/plugin.syms
plugin_nbdkit_cowbd_plugin_la_DEPENDENCIES = src/libcowbd.la plugin/plugin.syms
