#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The initramfs that takes a guest to the host's file system: busybox, the few modules on that way,
# and tests/vm/init.
#
#   tests/vm/initrd.sh TOOLS KERNEL FILE	folders of tests/vm/fetch.sh; writes FILE
set -euo pipefail

tools=$1
kernel=$2
file=$3
here=$(cd "$(dirname "$0")" && pwd -P)
modules=$kernel/lib/modules/$(basename "$kernel")
wanted="virtio_pci 9p 9pnet_virtio overlay"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# A module's file and, before it, those that it needs: modules.dep has them the other way round.
with_needs() {
	grep -E "/$1\.ko(\.xz)?:" "$modules/modules.dep" | tr -d : | tr ' ' '\n' | tac
}

# What is built into this kernel has no file, and needs none.
in_order() {
	local name

	for name in $wanted; do with_needs "$name" || true; done | awk 'NF && !seen[$0]++'
}

put_modules() {
	local path n=100

	for path in $(in_order); do
		case $path in
		*.xz) "$tools/bin/busybox" xz -dc <"$modules/$path" ;;
		*) cat "$modules/$path" ;;
		esac >"$made/modules/$n-$(basename "${path%%.ko*}").ko"
		n=$((n + 1))
	done
}

mkdir -p "$made"/{bin,dev,modules,proc,root,rw,ro,sys}
cp "$tools/bin/busybox" "$made/bin/busybox"
install -m 0755 "$here/init" "$made/init"
put_modules
(cd "$made" && find . | "$tools/bin/cpio" -o -H newc -R 0:0 --quiet) | gzip -1 >"$file.tmp"
mv "$file.tmp" "$file"
