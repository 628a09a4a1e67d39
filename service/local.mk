# SPDX-License-Identifier: BSD-3-Clause
# service/local.mk - systemd units and bash completion, in the places of the prefix

systemdunitdir = $(prefix)/lib/systemd/system
systemdunit_DATA = service/cowbd@.service service/cowbd-attach@.service
completionsdir = $(datadir)/bash-completion/completions
dist_completions_DATA = service/cowbd
EXTRA_DIST += service/cowbd@.service.in service/cowbd-attach@.service.in
CLEANFILES += $(systemdunit_DATA)

service/cowbd@.service: service/cowbd@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed 's,@bindir@,$(bindir),g' $(srcdir)/service/cowbd@.service.in >$@
service/cowbd-attach@.service: service/cowbd-attach@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed 's,@bindir@,$(bindir),g' $(srcdir)/service/cowbd-attach@.service.in >$@

# dpkg-buildpackage builds the packages of Debian with these
EXTRA_DIST += \
	debian/changelog \
	debian/control \
	debian/copyright \
	debian/cowbd-doc.docs \
	debian/cowbd-doc.manpages \
	debian/cowbd.install \
	debian/cowbd.manpages \
	debian/nbdkit-plugin-cowbd.install \
	debian/nbdkit-plugin-cowbd.manpages \
	debian/rules \
	debian/source/format
