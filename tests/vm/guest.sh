#!/bin/bash
# SPDX-License-Identifier: MIT
#
# PID 1 of a guest whose tests need no service manager, and the tests' own program in one that has.
#
#   guest.sh		set up what an ordinary boot would have, then as the kernel's command line says:
#			vm_stage=plain	run tests/vm/plain and end the machine
#			vm_stage=shell	a shell on the console; its end is the machine's
#			vm_stage=systemd	hand over to systemd, which comes back here by a unit
#   guest.sh stage NAME	run tests/vm/NAME, leave the report in /vm, end the machine
#
# The last word on the console is "VM_DONE rc=N"; without it the guest died.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TERM=${TERM:-linux} LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/run/tmp
root=$(cd "$(dirname "$0")/../.." && pwd -P)

of_command_line() {
	tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"
}

power_off() {
	sync
	echo o >/proc/sysrq-trigger
	sleep 60
}

# The kernel's modules stand on their place; the host may have no program to load them.
bring_modprobe() {
	local tools

	command -v modprobe >/dev/null && return
	tools=$(of_command_line vm_tools)
	cat >/sbin/modprobe <<-END
	#!/bin/bash
	LD_LIBRARY_PATH=$tools/lib/x86_64-linux-gnu:$tools/usr/lib/x86_64-linux-gnu \\
		exec -a modprobe $tools/bin/kmod "\$@"
	END
	chmod +x /sbin/modprobe
	echo /sbin/modprobe >/proc/sys/kernel/modprobe
}

# What the emulated machine has no udev for, and what sanitizers of Debian 12 cannot stand: more
# random bits in addresses than they know.
set_up_machine() {
	mkdir -p "$TMPDIR"
	bring_modprobe
	modprobe -a virtio_net veth
	echo 28 >/proc/sys/vm/mmap_rnd_bits
	ulimit -l unlimited
}

mount_all() {
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t bpf bpf /sys/fs/bpf
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mount -t tracefs tracefs /sys/kernel/tracing
	mkdir -p /dev/pts /dev/shm
	mount -t devpts devpts /dev/pts
	mount -t tmpfs shm /dev/shm
	mount -t tmpfs netns /run/netns && mount --make-shared /run/netns
	ip link set lo up
	hostname guest
}

# A system that starts journald and our own unit, nothing of the host's.
prepare_systemd() {
	local unit=/etc/systemd/system unneeded

	# The host's /tmp may hold the tree: nothing is to be tidied up there.
	rm -rf "${unit:?}"/* /etc/fstab /etc/systemd/network /.dockerenv
	for unneeded in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service kmod-static-nodes.service systemd-modules-load.service cryptsetup.target \
		proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount \
		sys-kernel-config.mount dev-hugepages.mount dev-mqueue.mount; do
		ln -s /dev/null "$unit/$unneeded"
	done
	cat >"$unit/vm-test.service" <<-END
	[Unit]
	Requires=systemd-journald.service
	After=systemd-journald.service
	[Service]
	Type=oneshot
	TimeoutStartSec=infinity
	ExecStart=$root/tests/vm/guest.sh stage systemd
	StandardOutput=tty
	StandardError=tty
	TTYPath=/dev/ttyS0
	END
	cat >"$unit/default.target" <<-END
	[Unit]
	Requires=sysinit.target vm-test.service
	END
	echo guest >/etc/hostname
	rm -f /etc/machine-id && systemd-id128 new >/etc/machine-id
}

# run_stage NAME: its tests are in tests/vm/NAME, as vm_*.py; `make test` runs what is test_*.py.
run_stage() {
	local rc=0 words

	cd "$root" || return 1
	IFS=, read -ra words <<<"$(of_command_line vm_pytest)"
	MR_SLOW=40 /usr/bin/python3 -m pytest -v -p no:cacheprovider -o python_files='vm_*.py' -rs \
		--tb=short --durations=15 --junitxml "/vm/$1.xml" "${words[@]//+/ }" "tests/vm/$1" \
		>"/vm/$1.log" 2>&1 </dev/null || rc=$?
	dmesg >"/vm/$1.dmesg"
	tail -n 3 "/vm/$1.log"
	echo "VM_DONE rc=$rc"
	power_off
}

if [ "${1-}" = stage ]; then
	set_up_machine
	run_stage "$2"
fi
mount_all
stage=$(of_command_line vm_stage)
case $stage in
systemd)
	umount /run/netns /dev/shm /dev/pts /sys/kernel/tracing /sys/fs/cgroup /sys/fs/bpf
	prepare_systemd
	exec /lib/systemd/systemd
	;;
shell)
	set_up_machine
	cd "$root" || exit
	echo "kernel $(uname -r); the tree is here, results go to /vm; exit ends the machine"
	setsid -c bash -i </dev/ttyS0 >/dev/ttyS0 2>&1
	power_off
	;;
*)
	set_up_machine
	run_stage "$stage"
	;;
esac
