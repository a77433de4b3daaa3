#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The build on other kernels, in emulated machines (QEMU without KVM): each sees this machine's
# root, read only, and runs the tests of tests/vm on it.
#
#   scripts/vm.sh run [SERIES...]	all stages on each kernel, 6.1 6.12 6.18 7.2 if none is named
#   scripts/vm.sh shell SERIES		a shell in a guest; `exit` ends it
#   scripts/vm.sh support [SERIES...]	README.md's table of kernels, made anew of build/vm's reports
#
# MR_VM_STAGES ("plain systemd"): which tests. MR_VM_PYTEST: more words for pytest, commas between
# them and + for a blank: -k,nic+or+dispatcher. MR_VM_SECONDS (900): what a guest may take.
# Kernels and QEMU are Debian packages in a folder of their own (tests/vm/fetch.sh). What came out
# stands in build/vm/SERIES/: report.json, and per stage console, log of the tests, dmesg.
#
# Last line: vm: ok kernels=N tests=N zerocopy=yes|no skipped=N
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd -P)
vm=$root/build/vm
all_series=(6.1 6.12 6.18 7.2)
read -ra stages <<<"${MR_VM_STAGES:-plain systemd}"
guest_seconds=${MR_VM_SECONDS:-900}
guest=

fail() {
	echo "vm: $*" >&2
	exit 1
}

usage() {
	echo "usage: scripts/vm.sh run [SERIES...] | shell SERIES | support [SERIES...]" >&2
	exit 2
}

end_guest() {
	[ -n "$guest" ] || return 0
	kill -KILL "$guest" 2>/dev/null || true
	wait "$guest" 2>/dev/null || true
	guest=
}

need_build() {
	local file

	[[ $root != *[[:space:]]* ]] || fail "$root has a blank, which a kernel's command line cannot"
	for file in millraced millrace-worker millrace millrace.bpf.o vm/verifier tests/bpf/xdp_verdict_test; do
		[ -e "$root/build/$file" ] || fail "build/$file is not there; run: make test-programs"
	done
}

# qemu_arguments SERIES-FOLDER KERNEL-FOLDER STAGE: into the array "arguments". One GiB and no random
# addresses: virtio_net of 7.2 loses frames it sent zero-copy where something lies beyond
# (docs/kernels.md). Two NICs on one wire need no rights on this machine.
qemu_arguments() {
	local out=$1 kernel=$2 stage=$3 nic=virtio-net-pci,iommu_platform=on,disable-legacy=on

	# shellcheck disable=SC2054 # commas are QEMU's
	arguments=(-accel "tcg,thread=multi" -cpu max -smp 2 -m 1G -nodefaults -no-reboot
		-display none -monitor none
		-object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng
		-virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
		-virtfs "local,path=$out,mount_tag=out,security_model=none"
		-netdev hubport,id=wire0,hubid=0 -device "$nic,netdev=wire0,mac=52:54:00:00:00:01"
		-netdev hubport,id=wire1,hubid=0 -device "$nic,netdev=wire1,mac=52:54:00:00:00:02"
		-kernel "$kernel/boot/vmlinuz" -initrd "$out/initrd"
		-append "console=ttyS0 quiet panic=-1 nokaslr mitigations=off net.ifnames=0 \
vm_run=$root/tests/vm/guest.sh vm_stage=$stage vm_tools=$tools vm_pytest=${MR_VM_PYTEST:-} \
vm_modules=$kernel/lib/modules/$(basename "$kernel")")
}

# One boot. Whether the guest told how it ended; its console is in STAGE.console.
boot() {
	local out=$1 kernel=$2 stage=$3 deadline arguments

	qemu_arguments "$out" "$kernel" "$stage"
	deadline=$((SECONDS + guest_seconds))
	nice -n 15 "$tools/bin/qemu" "${arguments[@]}" -serial "file:$out/$stage.console" \
		</dev/null >"$out/$stage.qemu" 2>&1 &
	guest=$!
	while kill -0 "$guest" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do
		sleep 0.5
	done
	end_guest
	grep -aq '^VM_DONE rc=' "$out/$stage.console" 2>/dev/null
}

# A guest that died before its word is started once more; the first one's console is kept.
run_stage() {
	local out=$1 kernel=$2 stage=$3

	boot "$@" && return
	mv "$out/$stage.console" "$out/$stage.console.died" 2>/dev/null || true
	echo "vm: ${out##*/} $stage: the guest died; see ${out#"$root"/}/$stage.console.died; once more"
	boot "$@" || echo "vm: ${out##*/} $stage: the guest died again"
}

run_series() {
	local series=$1 out=$vm/$1 kernel stage begin=$SECONDS

	kernel=$("$root/tests/vm/fetch.sh" kernel "$series")
	rm -rf "$out"
	mkdir -p "$out"
	"$root/tests/vm/initrd.sh" "$tools" "$kernel" "$out/initrd"
	for stage in "${stages[@]}"; do
		run_stage "$out" "$kernel" "$stage"
	done
	rm -f "$out/initrd"
	"$root/tests/vm/report.py" one "$out" "$(basename "$kernel")" $((SECONDS - begin)) "${stages[@]}"
}

run() {
	local series

	need_build
	[ $# -gt 0 ] || set -- "${all_series[@]}"
	tools=$("$root/tests/vm/fetch.sh" tools)
	for series in "$@"; do run_series "$series" || true; done
	"$root/tests/vm/report.py" all "${@/#/$vm/}"
}

shell() {
	local out=$vm/$1-shell kernel arguments

	need_build
	tools=$("$root/tests/vm/fetch.sh" tools)
	kernel=$("$root/tests/vm/fetch.sh" kernel "$1")
	mkdir -p "$out"
	"$root/tests/vm/initrd.sh" "$tools" "$kernel" "$out/initrd"
	qemu_arguments "$out" "$kernel" shell
	exec "$tools/bin/qemu" "${arguments[@]}" -serial stdio
}

# Kernels without a report have no row.
support() {
	[ $# -gt 0 ] || set -- "${all_series[@]}"
	"$root/tests/vm/report.py" support "$root/README.md" "${@/#/$vm/}"
}

trap end_guest EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
case ${1-} in
run)
	shift
	run "$@"
	;;
support)
	shift
	support "$@"
	;;
shell)
	[ $# -eq 2 ] || usage
	shell "$2"
	;;
*)
	usage
	;;
esac
