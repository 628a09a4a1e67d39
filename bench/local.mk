# SPDX-License-Identifier: BSD-3-Clause
# bench/local.mk - what is measured

check_PROGRAMS += bench/figures bench/load
bench_figures_SOURCES = \
	bench/figures.c \
	bench/figures.h \
	bench/figures_check.c \
	bench/figures_instant.c \
	bench/figures_kill.c \
	bench/figures_memory.c \
	bench/figures_nbd.c \
	bench/figures_tools.c
bench_figures_LDADD = src/libcowbd.la $(JANSSON_LIBS) $(LIBNBD_LIBS)

# The client of bench/compare.
bench_load_SOURCES = bench/load.c
bench_load_LDADD = src/libcowbd.la $(JANSSON_LIBS) $(LIBNBD_LIBS)

EXTRA_DIST += \
	bench/compare \
	bench/comparison/__init__.py \
	bench/comparison/clients.py \
	bench/comparison/instant.py \
	bench/comparison/loads.py \
	bench/comparison/machine.py \
	bench/comparison/peers.py \
	bench/comparison/peers_copy.py \
	bench/comparison/picture.py \
	bench/comparison/report.py \
	bench/comparison/special.py \
	bench/comparison/targets.py \
	bench/results/full.json \
	bench/results/full.md \
	bench/results/full.svg

# cowbd and its peers, side by side: make bench BENCH='--full'
bench: all bench/load
	$(top_srcdir)/bench/compare --build $(builddir) $(BENCH)
.PHONY: bench

# What cowbd promises, measured here and now, beside the targets: make figures FIGURES='--json FILE'
figures: bench/figures plugin/nbdkit-cowbd-plugin.la
	bench/figures --plugin plugin/.libs/nbdkit-cowbd-plugin.so $(FIGURES)
.PHONY: figures
