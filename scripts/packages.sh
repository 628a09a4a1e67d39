# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh disable=SC2034
# packages.sh - the Debian packages that cowbd is built, tried and tested with, in one place
#
# Sourced by scripts/quickstart and scripts/test.  Ubuntu has the same names; nobody tried there.

packages_build="
	autoconf automake libtool pkg-config gcc make perl libc6-dev
	nbdkit nbdkit-plugin-dev libnbd-dev liburing-dev check libjansson-dev libxxhash-dev
	libzstd-dev libnl-genl-3-dev libmount-dev libblkid-dev libsmartcols-dev uuid-dev
	systemtap-sdt-dev"
packages_quickstart="nbdkit libnbd-bin nbd-client fuse3 e2fsprogs mount util-linux"
packages_test="clang libclang-rt-dev clang-format gcovr valgrind shellcheck binutils fio qemu-utils procps xz-utils git jq
	qemu-system-x86 busybox-static cpio kmod xfsprogs btrfs-progs fdisk dmsetup lvm2 cryptsetup-bin socat bash debhelper lintian gnutls-bin"
packages_bench="python3 fio qemu-utils nbd-server xfsprogs btrfs-progs"

# packages_install NAME...: installs those that are missing, as root or by sudo.  Where that can't be
# done, or this is not Debian, names them and goes on: configure says what it really lacks.
packages_install() {
	packages_missing=
	command -v dpkg-query >/dev/null 2>&1 || {
		echo "not a Debian system: packages are up to you: $*"
		return 0
	}
	for packages_name in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$packages_name" 2>/dev/null) in
		"install ok installed") ;;
		*) packages_missing="$packages_missing $packages_name" ;;
		esac
	done
	[ -n "$packages_missing" ] || return 0

	packages_sudo=
	if [ "$(id -u)" -ne 0 ]; then
		packages_sudo="sudo -n"
		if ! sudo -n true 2>/dev/null; then
			echo "missing packages, to be installed as root: apt install$packages_missing"
			return 0
		fi
	fi
	echo "installing$packages_missing"
	# shellcheck disable=SC2086 # lists of words
	if ! { $packages_sudo apt-get -qq update &&
		$packages_sudo env DEBIAN_FRONTEND=noninteractive \
			apt-get -qq -y --no-install-recommends install $packages_missing; } \
		</dev/null >/dev/null; then
		echo "could not install all of$packages_missing"
	fi
}
