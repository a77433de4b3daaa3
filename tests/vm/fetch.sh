#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Kernels and an emulator for scripts/vm.sh, as Debian packages by a private apt root: apt checks
# signatures and hashes as ever, and nothing of this machine's own packages is touched.
#
#   tests/vm/fetch.sh tools		QEMU and what makes an initramfs; prints the folder
#   tests/vm/fetch.sh kernel SERIES	the newest kernel of a series (6.12); prints its folder
#   tests/vm/fetch.sh refresh		look for newer kernels at the next "kernel"
#
# What is there is not fetched again. MR_VM_CACHE (~/.cache/millrace-vm): the folder; 1.1 GB for four
# kernels. MR_VM_MIRROR (http://deb.debian.org): where from.
#
#   CACHE/apt/		the private root: lists, packages until they are unpacked
#   CACHE/tools/	usr/bin/qemu-system-x86_64 and the libraries that this machine has not
#   CACHE/kernels/	SERIES -> VERSION/ with boot/vmlinuz, lib/modules/VERSION, config
set -euo pipefail

cache=${MR_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millrace-vm}
mirror=${MR_VM_MIRROR:-http://deb.debian.org}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
apt=$cache/apt
tools=$cache/tools
kernels=$cache/kernels

fail() {
	echo "vm: $*" >&2
	exit 1
}

# One list for kernels and emulator. Only the newest of a name counts, so the order is free.
write_sources() {
	local suite

	mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc}
	for suite in bookworm bookworm-updates bookworm-backports trixie-backports sid; do
		echo "deb [arch=amd64 signed-by=$keyring] $mirror/debian $suite main"
	done >"$apt/etc/sources.list"
	echo "deb [arch=amd64 signed-by=$keyring] $mirror/debian-security bookworm-security main" \
		>>"$apt/etc/sources.list"
	# Only by name does anything come from elsewhere than Debian 12.
	cat >"$apt/etc/preferences" <<-END
	Package: *
	Pin: release n=sid
	Pin-Priority: 50

	Package: *
	Pin: release n=trixie-backports
	Pin-Priority: 60
	END
}

# The machine's list of installed packages is read, so that only what it lacks is fetched.
private() {
	local command=$1
	shift
	"$command" -q -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" \
		-o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences="$apt/etc/preferences" -o Dir::Etc::PreferencesParts=/dev/null \
		-o Acquire::Languages=none -o APT::Architecture=amd64 -o Debug::NoLocking=1 \
		-o APT::Sandbox::User=root -o Acquire::Retries=3 -o APT::Get::List-Cleanup=0 \
		-o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

update() {
	[ ! -e "$apt/updated" ] || return 0
	[ -r "$keyring" ] || fail "$keyring is not there; install debian-archive-keyring"
	write_sources
	private apt-get update >"$apt/log" 2>&1 || {
		tail -n 5 "$apt/log" >&2
		fail "no package lists from $mirror; MR_VM_MIRROR names another mirror"
	}
	touch "$apt/updated"
}

# download FOLDER PACKAGE...: fetch just these and unpack them there
download() {
	local folder=$1 deb
	shift
	rm -rf "$apt/debs"
	mkdir -p "$apt/debs" "$folder"
	(cd "$apt/debs" && private apt-get download "$@") >"$apt/log" 2>&1 || {
		tail -n 5 "$apt/log" >&2
		fail "cannot fetch $*"
	}
	for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
	rm -rf "$apt/debs"
}

# What QEMU needs and this machine has not: names, by apt's own resolver, which installs nothing.
qemu_packages() {
	private apt-get install --print-uris --yes --no-install-recommends -t bookworm-backports \
		qemu-system-x86 | sed -n "s|^'[^']*/\([^_/]*\)_.*|\1|p"
}

qemu_runs() {
	"$tools/bin/qemu" --version >/dev/null 2>&1
}

write_wrappers() {
	local lib=$tools/usr/lib/x86_64-linux-gnu

	mkdir -p "$tools/bin"
	cat >"$tools/bin/qemu" <<-END
	#!/bin/sh
	LD_LIBRARY_PATH=$lib:$tools/lib/x86_64-linux-gnu QEMU_MODULE_DIR=$lib/qemu \\
		exec $tools/usr/bin/qemu-system-x86_64 -L $tools/usr/share/qemu -L $tools/usr/share/seabios \\
		-L $tools/usr/lib/ipxe/qemu "\$@"
	END
	cat >"$tools/bin/depmod" <<-END
	#!/bin/bash
	LD_LIBRARY_PATH=$lib:$tools/lib/x86_64-linux-gnu exec -a depmod $tools/bin/kmod "\$@"
	END
	chmod +x "$tools/bin/qemu" "$tools/bin/depmod"
}

fetch_tools() {
	local packages

	qemu_runs && return
	update
	rm -rf "$tools"
	packages=$(qemu_packages)
	[ -n "$packages" ] || packages=qemu-system-x86
	# shellcheck disable=SC2086 # names of packages
	download "$tools" -t bookworm-backports $packages
	download "$tools" busybox-static cpio kmod libkmod2 xdp-tools libxdp1
	write_wrappers
	qemu_runs || fail "$tools/bin/qemu does not run; try it by hand"
}

# The newest package of a series, by version: 6.12 -> linux-image-6.12.117+deb12-amd64. Since 6.19
# linux-image is an empty package, and kernel and modules stand in two others.
kernel_package() {
	private apt-cache pkgnames linux- |
		grep -E "^linux-(image|binary)-${1//./\\.}\.[^-]*(-[0-9]+)?-amd64\$" |
		sort -t - -k 3V | tail -n 1
}

kernel_version() {
	sed -E 's/^linux-(image|binary)-//' <<<"$1"
}

unpack_kernel() {
	local package=$1 version=$2 to=$3 file

	if [ -n "$(private apt-cache pkgnames "linux-modules-$version")" ]; then
		download "$to" "linux-binary-$version" "linux-modules-$version"
	else
		download "$to" "$package"
	fi
	[ ! -d "$to/usr/lib/modules" ] || { mkdir -p "$to/lib" && mv "$to/usr/lib/modules" "$to/lib/"; }
	mkdir -p "$to/boot"
	for file in "$to/boot/vmlinuz-$version" "$to/lib/modules/$version/vmlinuz"; do
		[ ! -e "$file" ] || cp "$file" "$to/boot/vmlinuz"
	done
	for file in "$to/boot/config-$version" "$to/lib/modules/$version/config"; do
		[ ! -e "$file" ] || cp "$file" "$to/config"
	done
	[ -s "$to/boot/vmlinuz" ] || fail "no kernel in the packages of $version"
	"$tools/bin/depmod" -b "$to" "$version" 2>"$apt/log"
}

fetch_kernel() {
	local series=$1 package version

	[ ! -e "$kernels/$series/ready" ] || [ -e "$apt/refresh" ] || return 0
	update
	package=$(kernel_package "$series")
	[ -n "$package" ] || fail "no kernel $series in the suites that $apt/etc/sources.list names"
	version=$(kernel_version "$package")
	if [ ! -e "$kernels/$version/ready" ]; then
		rm -rf "${kernels:?}/$version"
		unpack_kernel "$package" "$version" "$kernels/$version"
		touch "$kernels/$version/ready"
	fi
	ln -sfn "$version" "$kernels/$series"
}

[ "$(uname -m)" = x86_64 ] || fail "kernels for x86_64 alone are known here"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock -w 900 9 || fail "another fetch has been running for 15 min"
case ${1-} in
tools)
	fetch_tools
	echo "$tools"
	;;
kernel)
	[[ ${2-} =~ ^[0-9]+\.[0-9]+$ ]] || fail "KERNEL=${2-}: a series, as 6.12"
	fetch_tools
	fetch_kernel "$2"
	readlink -f "$kernels/$2"
	;;
refresh)
	rm -f "$apt/updated"
	rm -f "$kernels"/[0-9]*.[0-9] "$kernels"/[0-9]*.[0-9][0-9]
	;;
*)
	echo "usage: tests/vm/fetch.sh tools | kernel SERIES | refresh" >&2
	exit 2
	;;
esac
