/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * probes.h - USDT probes, for bpftrace, perf and SystemTap
 *
 * cowbd:fault(volume id, first logical block, reason, bytes copied, blocks).  A nop when nobody
 * looks.  `readelf -n` shows them.
 */
#ifndef COWBD_PROBES_H
#define COWBD_PROBES_H

#include "config.h"

enum fault_reason {
	FAULT_UNMAPPED = 0, /* demand-zero: nothing was there */
	FAULT_SHARED = 1,   /* a snapshot or clone has it too */
};

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define PROBE_FAULT(volume, block, reason, copied, n)                                              \
	DTRACE_PROBE5(cowbd, fault, volume, block, reason, copied, n)
#else
#define PROBE_FAULT(volume, block, reason, copied, n)                                              \
	do {                                                                                       \
		(void)(volume), (void)(block), (void)(reason), (void)(copied), (void)(n);          \
	} while (0)
#endif

#endif
