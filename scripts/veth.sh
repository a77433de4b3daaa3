#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Two network namespaces joined by a veth pair, for the demo, the tests and the benchmarks:
#
#   mr-client                                        mr-server
#   mrc0 192.0.2.1/24, 2001:db8::1/64  <-- veth -->  mrs0 192.0.2.2/24, 2001:db8::2/64
#
#   scripts/veth.sh up [QUEUES]	QUEUES receive and transmit queues on both ends, 2 by default
#   scripts/veth.sh down		remove both namespaces and what is in them
#
# Both may be repeated. "up" keeps a pair that is there with the same number of queues and only
# puts its settings right; anything else of these names is replaced. Processes are left alone.
#
# Run a command inside by: nsenter --net=/run/netns/mr-server COMMAND
# (not by "ip netns exec": it mounts a new /sys, where the BPF file system is not seen).
#
# Other names: MR_CLIENT_NS, MR_SERVER_NS, MR_CLIENT_IF, MR_SERVER_IF.
set -euo pipefail

client_ns=${MR_CLIENT_NS:-mr-client}
server_ns=${MR_SERVER_NS:-mr-server}
client_if=${MR_CLIENT_IF:-mrc0}
server_if=${MR_SERVER_IF:-mrs0}
max_queues=64
created=no

usage() {
	echo "usage: scripts/veth.sh up [QUEUES] | down" >&2
	exit 2
}

fail() {
	echo "veth.sh: $*" >&2
	exit 1
}

# step WHAT CURE COMMAND...: run it; when it fails, one line says what was tried, why, the cure
step() {
	local what=$1 cure=$2 reason
	shift 2
	reason=$("$@" 2>&1 >/dev/null) && return
	fail "$what: $(tr '\n' ' ' <<<"${reason:-failed}"); $cure"
}

inside() {
	local ns=$1
	shift
	nsenter --net="/run/netns/$ns" "$@"
}

need_root_and_tools() {
	local tool

	[ "$(id -u)" -eq 0 ] || fail "must be root to make network namespaces; try: sudo $0 ..."
	for tool in ip ethtool nsenter sysctl flock; do
		command -v "$tool" >/dev/null || fail "$tool is not installed; run: make deps"
	done
}

# The link goes first: a namespace that a process still holds outlives its name, its link must not.
remove() {
	local ns

	inside "$client_ns" ip link del "$client_if" 2>/dev/null || true
	inside "$server_ns" ip link del "$server_if" 2>/dev/null || true
	for ns in "$client_ns" "$server_ns"; do
		[ ! -e "/run/netns/$ns" ] || step "remove namespace $ns" \
			"look who has it mounted: findmnt /run/netns/$ns" ip netns del "$ns"
	done
}

undo() {
	[ "$created" = no ] || (remove) || true
}

# Is the pair there, one the peer of the other, with $1 queues?
is_there() {
	local queues=$1 server client

	server=$(inside "$server_ns" ip -d -o link show "$server_if" 2>/dev/null) || return 1
	client=$(inside "$client_ns" ip -d -o link show "$client_if" 2>/dev/null) || return 1
	[[ $server == *" veth "* && $client == *" veth "* ]] || return 1
	[[ $server =~ @if([0-9]+): && $client == "${BASH_REMATCH[1]}: "* ]] || return 1
	[[ $client =~ @if([0-9]+): && $server == "${BASH_REMATCH[1]}: "* ]] || return 1
	[[ $server =~ numtxqueues\ $queues\ .*numrxqueues\ $queues\  ]] || return 1
	[[ $client =~ numtxqueues\ $queues\ .*numrxqueues\ $queues\  ]] || return 1
}

create() {
	local queues=$1 ns

	created=yes
	for ns in "$client_ns" "$server_ns"; do
		step "add namespace $ns" "the kernel needs CONFIG_NET_NS and root CAP_SYS_ADMIN" \
			ip netns add "$ns"
	done
	step "add veth pair $client_if, $server_if" \
		"the kernel needs the veth driver: modprobe veth" \
		ip link add "$client_if" netns "$client_ns" \
		numtxqueues "$queues" numrxqueues "$queues" type veth \
		peer name "$server_if" netns "$server_ns" \
		numtxqueues "$queues" numrxqueues "$queues"
}

# Every step may be repeated. Duplicate address detection is off before the link is up, so that
# IPv6 addresses serve at once. Frames reach user space as they are sent: checksums finished, VLAN
# tags in the frame.
configure() {
	local ns=$1 dev=$2 addr4=$3 addr6=$4
	local ipv6="the kernel needs IPv6: is ipv6.disable=1 on its command line?"

	step "$ns: IPv6 settings of $dev" "$ipv6" inside "$ns" sysctl -qw \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		"net.ipv6.conf.$dev.accept_dad=0" "net.ipv6.conf.$dev.disable_ipv6=0"
	step "$ns: offloads of $dev" "try: ethtool -k $dev inside $ns" \
		inside "$ns" ethtool -K "$dev" tx off \
		rxvlan off txvlan off rx-vlan-stag-hw-parse off tx-vlan-stag-hw-insert off
	step "$ns: lo up" "try: scripts/veth.sh down" inside "$ns" ip link set lo up
	step "$ns: $dev up" "try: scripts/veth.sh down" inside "$ns" ip link set "$dev" mtu 1500 up
	step "$ns: address $addr4" "try: scripts/veth.sh down" \
		inside "$ns" ip addr replace "$addr4" dev "$dev"
	step "$ns: address $addr6" "$ipv6" \
		inside "$ns" ip -6 addr replace "$addr6" dev "$dev" nodad
}

up() {
	local queues=$1

	trap undo EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if ! is_there "$queues"; then
		remove
		create "$queues"
	fi
	configure "$client_ns" "$client_if" 192.0.2.1/24 2001:db8::1/64
	configure "$server_ns" "$server_if" 192.0.2.2/24 2001:db8::2/64
	created=no
}

case ${1-} in
up)
	[ $# -le 2 ] || usage
	[[ ${2-2} =~ ^[1-9][0-9]?$ && ${2-2} -le $max_queues ]] ||
		fail "up ${2-}: QUEUES is a number from 1 to $max_queues"
	;;
down)
	[ $# -eq 1 ] || usage
	;;
*)
	usage
	;;
esac

need_root_and_tools
exec 9<"$0"
flock -w 30 9 || fail "$1: another veth.sh has been running for 30 s"
if [ "$1" = up ]; then
	up "${2-2}"
else
	remove
fi
