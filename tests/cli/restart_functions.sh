# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# restart_functions.sh - a client that writes while its daemon is taken over or killed
#
# After cli/functions.sh:  places=N; . "$top_srcdir/tests/cli/restart_functions.sh"

# start_writer CLIENT-ARG...: qemu-io writes places of 64 KiB, each with its pattern, one in three read again, until
# end_writer; places: how many.
start_writer() {
	mkfifo script
	qemu-io "$@" <script >qemu.out 2>&1 &
	client=$!
	{
		writer_n=0
		while [ ! -e enough ]; do
			writer_at=$((writer_n % places * 65536))
			echo "write -P $(pattern $writer_n) $writer_at 64k"
			[ $((writer_n % 3)) -ne 0 ] || echo "read -P $(pattern $writer_n) $writer_at 64k"
			[ $((writer_n % 10)) -ne 0 ] || echo flush
			writer_n=$((writer_n + 1))
		done
		echo $writer_n >count
	} >script &
	writer=$!
	wait_for 30 has_written 10
}

# pattern N: of its N-th write.
pattern() {
	echo $((($1 / places + $1) % 250 + 1))
}

has_written() {
	[ "$(grep -c wrote qemu.out)" -gt "$1" ]
}

# goes_on COMMAND...: runs it, and waits until the writer has got on.
goes_on() {
	goes_before=$(grep -c wrote qemu.out)
	"$@"
	wait_for 30 has_written "$((goes_before + 50))"
	kill -0 $client || fail "the client ended: $(tail -n 3 qemu.out)"
}

# killed: the daemon dies, and is served again.
killed() {
	kill -9 "$(server_pid)"
	cowbd serve --daemon >uri
}

# longest_request WHEN: so far.
longest_request() {
	sed -n 's/.* ops; \(.*\) (.*/\1/p' qemu.out | sed 's/ sec$//; s/^0:00://' | sort -n |
		sed -n "\$s/.*/$1, the longest request took & s/p"
}

# end_writer: no error may have been seen, and all must be there, through `cowbd uri NAME`.
end_writer() {
	touch enough
	wait $writer
	wait $client || fail "the client failed: $(grep -v -e wrote -e read -e ops qemu.out | head -n 5)"
	client=
	! grep -i -e failed -e error qemu.out || fail "the client saw an error"
	writer_n=$(cat count)
	[ "$(grep -c wrote qemu.out)" -eq "$writer_n" ] || fail "writes are missing"
	longest_request "in all"
	verify_n=$((writer_n > places ? writer_n - places : 0))
	while [ $verify_n -lt "$writer_n" ]; do
		echo "read -P $(pattern $verify_n) $((verify_n % places * 65536)) 64k"
		verify_n=$((verify_n + 1))
	done >script.verify
	qemu-io -f raw "$(cowbd uri "$1")" <script.verify >verify.out
	! grep -i -e failed -e error verify.out || fail "lost"
}

end_all() {
	end_server
	kill $client $proxy 2>/dev/null || :
}
client=
proxy=
trap end_all EXIT
