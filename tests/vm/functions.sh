# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# functions.sh - a virtual machine with Debian's kernel, in which scenarios run
#
# Begins every test here:  . "$top_srcdir/tests/vm/functions.sh"
# Then  vm_run NAME...  boots a guest that runs tests/vm/guest/NAME.sh, one after the other, and
# fails unless each passed.  There is no KVM in it: qemu emulates the processor, and the kernel is up within
# a few seconds all the same, since it has nothing to do but what is tested.
#
#	kernel     Debian's package linux-image-cloud-amd64, downloaded and unpacked, never installed
#	initramfs  busybox, the file systems' tools, nbdkit, cowbd as it was built, the writer
#	/dev/vda   in the guest: a disk of 8 GiB (sparse), for the pool
#
# Both are kept in $COWBD_VM_CACHE, by default tests/vm/cache in the build directory.
# The console is kept, as tests/vm/TEST.console, when a test fails.

. "$top_srcdir/tests/lib/test.sh"
need_plugin

vm_cache=${COWBD_VM_CACHE:-$top_builddir/tests/vm/cache}
vm_writer=$top_builddir/tests/vm/writer
vm_console=$TEST_DIR/console
vm_memory=${vm_memory:-768M}
# With one, threads of the guest need no other thread of a busy host to go on: it is faster there.
vm_cpus=${vm_cpus:-1}
vm_pid=

PATH=$PATH:/usr/sbin:/sbin
[ "$(uname -m)" = x86_64 ] || skip "the guest is an x86-64, and this is none"
need qemu-system-x86_64 cpio busybox modprobe depmod dpkg-deb mke2fs flock
[ -x "$vm_writer" ] || skip "tests/vm/writer is not built"
mkdir -p "$vm_cache"

# vm_kernel_packages: names of what the metapackage stands for, newest first.
vm_kernel_packages() {
	apt-cache show linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^Depends: \(linux-image-[^ ]*-cloud-amd64\) .*/\1/p'
}

# vm_fetch_kernel DIR: downloads the package there and unpacks it.
vm_fetch_kernel() {
	for vm_package in $(vm_kernel_packages); do
		(cd "$1" && timeout 120 apt-get -qq download "$vm_package" >/dev/null 2>&1) || continue
		dpkg-deb -x "$1"/linux-image-*.deb "$1" || return 1
		rm -f "$1"/linux-image-*.deb
		rm -rf "${1:?}/usr"
		return 0
	done
	return 1
}

# vm_kernel: sets vm_kernel_dir, with boot/ and lib/modules/; once a cache, whoever comes first.
vm_kernel() {
	vm_kernel_dir=$vm_cache/kernel
	[ ! -e "$vm_kernel_dir/done" ] || return 0
	exec 8>"$vm_cache/lock"
	flock 8
	if [ ! -e "$vm_kernel_dir/done" ]; then
		rm -rf "$vm_kernel_dir"
		mkdir "$vm_kernel_dir"
		vm_fetch_kernel "$vm_kernel_dir" ||
			skip "Debian's linux-image-cloud-amd64 can't be had (apt-get download)"
		depmod -b "$vm_kernel_dir" "$(ls "$vm_kernel_dir/lib/modules")"
		touch "$vm_kernel_dir/done"
	fi
	exec 8>&-
}

# vm_udev: prints the directory with Debian's udev in it, unpacked; nothing if that can't be had.
vm_udev() {
	exec 8>"$vm_cache/lock"
	flock 8
	if [ ! -e "$vm_cache/udev/done" ]; then
		rm -rf "$vm_cache/udev"
		mkdir "$vm_cache/udev"
		(cd "$vm_cache/udev" && timeout 120 apt-get -qq download udev >/dev/null 2>&1 &&
			dpkg-deb -x udev_*.deb . && rm -f udev_*.deb && touch 'done') || :
	fi
	[ ! -e "$vm_cache/udev/done" ] || echo "$vm_cache/udev"
	exec 8>&-
}

# vm_boot NAME...: starts the guest in the background; $vm_pid.  Names go to its kernel's command line.
# $vm_disks: more arguments of qemu.  $vm_udev: not empty, Debian's udev is in the guest.  $vm_timeout: seconds that
# each scenario may take.
vm_boot() {
	vm_kernel
	"$top_srcdir/tests/vm/initramfs" "$vm_kernel_dir" "$TEST_DIR/initramfs" "${vm_udev:+$(vm_udev)}" ||
		fail "there is no initramfs"
	truncate -s 8G "$TEST_DIR/vda"
	mke2fs -q -t ext4 -E lazy_itable_init=1,nodiscard -O ^has_journal "$TEST_DIR/vda"
	# shellcheck disable=SC2086 # a list of words
	qemu-system-x86_64 -machine pc -accel tcg,thread=multi -cpu max -smp "$vm_cpus" -m "$vm_memory" \
		-nodefaults -no-user-config -display none -no-reboot -serial "file:$vm_console" \
		-kernel "$vm_kernel_dir"/boot/vmlinuz-* -initrd "$TEST_DIR/initramfs" \
		-append "${COWBD_VM_TRACE:+TRACE=yes} ${vm_timeout:+GUEST_TIMEOUT=$vm_timeout} console=ttyS0 loglevel=4 rdinit=/init panic=-1 mitigations=off -- $*" \
		-drive "file=$TEST_DIR/vda,format=raw,if=none,id=vda,cache=unsafe,discard=unmap" \
		-device virtio-blk-pci,drive=vda \
		-netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
		${vm_disks:-} </dev/null &
	vm_pid=$!
}

# vm_result NAME: what the console says of it: "pass 3.2", "fail 1.0", "skip WHY", or nothing.
vm_result() {
	tr -d '\r' <"$vm_console" | sed -n "s/^@@ \(pass\|fail\|skip\) $1 /\1 /p" | tail -n 1
}

vm_is_over() {
	! kill -0 "$vm_pid"
}

# vm_end NAME...: waits for the guest's end; fails unless all passed, skips if all were skipped.
vm_end() {
	wait "$vm_pid" || echo "qemu ended with status $?"
	vm_pid=
	tr -d "\r" <"$vm_console" | sed -n "/^@@ begin/,\$p"
	tr -d "\r" <"$vm_console" | sed -n 's/^+ //p' | while read -r vm_n vm_what; do
		kills_noted "$vm_n" "$vm_what"
	done
	vm_bad=
	vm_passed=0
	for vm_name in "$@"; do
		vm_said=$(vm_result "$vm_name")
		echo "$vm_name: ${vm_said:-no result}"
		case $vm_said in
		pass*) vm_passed=$((vm_passed + 1)) ;;
		skip*) vm_why=${vm_said#skip } ;;
		*) vm_bad="$vm_bad $vm_name" ;;
		esac
	done
	if [ -n "$vm_bad" ]; then
		vm_keep_console
		fail "in the guest:$vm_bad"
	fi
	[ $vm_passed -gt 0 ] || skip "$vm_why"
}

# vm_run NAME...: see above.
vm_run() {
	vm_boot "$@"
	vm_end "$@"
}

vm_keep_console() {
	vm_kept=$top_builddir/tests/vm/$(basename "$0" .sh).console
	cp "$vm_console" "$vm_kept"
	echo "the guest's console: $vm_kept"
}

vm_clean_up() {
	[ -z "$vm_pid" ] || {
		kill -9 "$vm_pid" 2>/dev/null || :
		vm_keep_console
		# Cut short: nobody has told what the guest was at.
		echo "its end:"
		tail -n 60 "$vm_console" 2>/dev/null | tr -d '\r'
	}
}
trap vm_clean_up EXIT
trap 'exit 143' TERM INT
