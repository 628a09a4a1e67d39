#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# dump.sh - dump: every thing on its own line, also beside damage; never of a pool that is served
. "$top_srcdir/tests/cli/functions.sh"

new_pool
random_image img 4
cowbd import img a
cowbd snapshot a@s >/dev/null
before=$(sha256sum <"$pool")
cowbd dump >dump
same "$(sha256sum <"$pool")" "$before"
perl -MJSON::PP -ne '
	my $o = JSON::PP->new->utf8->decode($_);
	$n{$o->{what}}++;
	die "error: $_" if $o->{error};
	if ($o->{what} eq "object") { $names .= " $o->{kind}:$o->{name}" }
	if ($o->{what} eq "map" && $o->{level} == 0) { $mapped += $_->{n} for @{$o->{entries}} }
	if ($o->{what} eq "zone" && $o->{type} eq "data") { $counted += $_->[1] for @{$o->{counts}} }
	END {
		die "superblock" unless $n{superblock} == 2;
		die "objects:$names" unless $names eq " volume:a snapshot:s";
		die "$mapped blocks mapped, $counted counted" unless $mapped && $mapped == $counted;
	}' dump || fail "the dump is not as expected: $(cat dump)"

# a page that is damaged is said to be, and hides nothing else
offset=$(sed -n 's/.*"what":"map".*"offset":\([0-9]*\).*"level":0.*/\1/p' dump | head -n 1)
printf x | dd of="$pool" bs=1 seek=$((offset + 100)) conv=notrunc status=none
cowbd dump >damaged
grep "\"offset\":$offset" damaged | grep -q '"error":".*checksum' || fail "no error at $offset"
same "$(grep -c . damaged)" "$(grep -c . dump)"

new_pool
serve
expect 1 "$COWBD" dump
says 'is being served'
