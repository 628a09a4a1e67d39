#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# probe.sh - the fault can be seen: readelf shows cowbd:fault with its five arguments in the plugin
. "$top_srcdir/tests/lib/test.sh"

need readelf
grep -q '^#define HAVE_SYS_SDT_H 1' "$top_builddir/config.h" || skip "built without sys/sdt.h"

readelf -n "$COWBD_PLUGIN" >notes 2>/dev/null
# Provider, name, and a line of arguments such as "8@%rax -4@%edx ...", for each place.
awk '
	/Provider:/ { provider = $2 }
	/Name:/ { name = $2 }
	/Arguments:/ && provider == "cowbd" && name == "fault" {
		places++
		if (gsub(/@/, "@") != 5)
			wrong++
	}
	END { exit !(places > 0 && !wrong) }
' notes || fail "no cowbd:fault with five arguments: $(cat notes)"
