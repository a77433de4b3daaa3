#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The stage "systemd" on this machine's own kernel, without an emulator: a systemd that is PID 1 of
# its own process, network, mount and cgroup namespaces, on a copy of this root (an overlay).
#
#   tests/vm/here.sh FOLDER	results go to FOLDER; exit status is the tests', 77: not possible here
#
# Needs root, systemd and a cgroup2 mount. Everything that it starts ends with it.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd -P)
out=${1:?usage: tests/vm/here.sh FOLDER}
seconds=${MR_HERE_SECONDS:-400}

fail() {
	echo "here: $*" >&2
	exit 1
}

# This machine lacks what it takes.
skip() {
	echo "here: $*" >&2
	exit 77
}

# The systemd inside sees the rest of this machine's cgroups no more than its processes.
make_cgroup() {
	local all

	all=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
	[ -n "$all" ] || skip "no cgroup2 is mounted"
	cgroup=$all/mr-here-$$
	mkdir "$cgroup" 2>/dev/null || skip "no cgroup can be made in $all"
}

remove_cgroup() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && return
		sleep 0.2
	done
}

# In the namespaces, before systemd: its root.
inside() {
	local at=$1 unit=etc/systemd/system unneeded

	mount --make-rprivate /
	mount -t tmpfs tmpfs "$at"
	mkdir "$at"/{upper,work,root}
	mount -t overlay -o "lowerdir=/,upperdir=$at/upper,workdir=$at/work" overlay "$at/root"
	cd "$at/root"
	mount -t proc proc proc
	mount -t sysfs sysfs sys
	mount --rbind /dev dev
	mount -t tmpfs run run
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t bpf bpf sys/fs/bpf
	mkdir -p vm run/lock
	mount --bind "$out" vm
	rm -rf "${unit:?}"/* .dockerenv etc/fstab usr/local/sbin/millraced
	for unneeded in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service \
		systemd-sysctl.service systemd-modules-load.service kmod-static-nodes.service \
		proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount \
		sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
		dev-hugepages.mount dev-mqueue.mount; do
		ln -s /dev/null "$unit/$unneeded"
	done
	cat >"$unit/vm-test.service" <<-END
	[Unit]
	Requires=systemd-journald.service
	After=systemd-journald.service
	SuccessAction=exit-force
	FailureAction=exit-force
	[Service]
	Type=oneshot
	TimeoutStartSec=infinity
	WorkingDirectory=$root
	Environment=MR_HERE=1 MR_SLOW=3 TMPDIR=/run LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
	ExecStart=/bin/sh -c 'ip link set lo up; /usr/bin/python3 -m pytest -v -p no:cacheprovider \
		-o python_files="vm_*.py" --tb=short --junitxml /vm/systemd.xml tests/vm/systemd \
		>/vm/systemd.log 2>&1'
	END
	printf '[Unit]\nRequires=sysinit.target vm-test.service\n' >"$unit/default.target"
	exec env -i container=mr-here PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		chroot . /lib/systemd/systemd --show-status=no
}

if [ "${2-}" = inside ]; then
	inside "$3"
fi
[ "$(id -u)" -eq 0 ] || skip "not root: needs namespaces"
[ -x /lib/systemd/systemd ] || skip "no systemd is installed"
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
rm -f "$out"/systemd.*
make_cgroup
at=$(mktemp -d /tmp/mr-here.XXXXXX)
trap 'remove_cgroup; rmdir "$at"' EXIT
(
	echo "$BASHPID" >"$cgroup/cgroup.procs"
	exec timeout -k 5 "$seconds" unshare --mount --pid --net --ipc --uts --cgroup --fork \
		--kill-child "$0" "$out" inside "$at"
) >"$out/systemd.console" 2>&1 </dev/null || true
[ -s "$out/systemd.xml" ] || fail "no test ran; see $out/systemd.console"
tail -n 1 "$out/systemd.log"
! grep -qE '<(failure|error)' "$out/systemd.xml"
