#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# autogen.sh - makes ./configure in a fresh checkout (a release has it already)
set -e
cd "$(dirname "$0")"
for tool in autoreconf automake libtoolize pkg-config; do
	if ! command -v $tool >/dev/null; then
		echo "autogen.sh: $tool not found: apt install autoconf automake libtool pkg-config" >&2
		exit 1
	fi
done
exec autoreconf -fi
