# SPDX-License-Identifier: BSD-3-Clause
# man/local.mk - man pages, written in POD

man_pods = \
	man/cowbd.pod \
	man/cowbd-format.pod \
	man/cowbd-protocol.pod \
	man/nbdkit-cowbd-plugin.pod
man_MANS = \
	man/cowbd.1 \
	man/cowbd-format.5 \
	man/cowbd-protocol.7 \
	man/nbdkit-cowbd-plugin.1
EXTRA_DIST += $(man_pods)
CLEANFILES += $(man_MANS)

SUFFIXES = .pod .1 .5 .7
pod2man = $(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(POD2MAN) --utf8 --errors=die --name=$(basename $(@F)) --section=$(subst .,,$(suffix $@)) \
	--center="cowbd" --release="cowbd $(PACKAGE_VERSION)" $< $@.tmp && mv $@.tmp $@
.pod.1:
	$(pod2man)
.pod.5:
	$(pod2man)
.pod.7:
	$(pod2man)
