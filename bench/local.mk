# SPDX-License-Identifier: BSD-3-Clause
# bench/local.mk - what is measured

check_PROGRAMS += bench/figures
bench_figures_SOURCES = \
	bench/figures.c \
	bench/figures.h \
	bench/figures_instant.c \
	bench/figures_kill.c \
	bench/figures_memory.c \
	bench/figures_nbd.c \
	bench/figures_tools.c
bench_figures_LDADD = src/libcowbd.la $(JANSSON_LIBS) $(LIBNBD_LIBS)

# What cowbd promises, measured here and now, beside the targets: make figures FIGURES='--json FILE'
figures: bench/figures plugin/nbdkit-cowbd-plugin.la
	bench/figures --plugin plugin/.libs/nbdkit-cowbd-plugin.so $(FIGURES)
.PHONY: figures
