#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Print a minimal vmlinux.h: only those kernel types that bpf/ needs, cut out of
# what bpftool makes of a kernel's BTF. The result stands in the repository, so
# that a build needs no kernel with BTF; run this again when bpf/ needs a type
# that is missing (add it below), and look at the difference before keeping it:
#
#	scripts/vmlinux-min.sh >vmlinux/x86_64/vmlinux.h
#
# usage: vmlinux-min.sh [BTF-FILE]	default: BTF of the running kernel
set -euo pipefail

btf=${1:-/sys/kernel/btf/vmlinux}

# An enum without a name is asked for by one of its enumerators.
types=(
	"typedef __s8" "typedef __u8" "typedef __s16" "typedef __u16"
	"typedef __s32" "typedef __u32" "typedef __s64" "typedef __u64"
	"typedef __be16" "typedef __be32" "typedef __sum16" "typedef __wsum"
	"typedef bool" "enumerator false"
	"struct ethhdr" "struct vlan_hdr"
	"struct iphdr"
	"struct in6_addr" "struct ipv6hdr" "struct ipv6_opt_hdr" "struct ipv6_rt_hdr"
	"struct frag_hdr"
	"struct tcphdr" "struct udphdr" "struct icmphdr" "enumerator IPPROTO_IP"
	"struct xdp_md" "enum xdp_action"
	"enum bpf_map_type" "enumerator BPF_ANY" "enumerator BPF_F_NO_PREALLOC" "enumerator BPF_RB_NO_WAKEUP"
	"enumerator BPF_RB_AVAIL_DATA"
)

header() {
	cat <<-'EOT'
		/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
		/*
		 * The kernel's types that bpf/ needs, and no others. Made by scripts/vmlinux-min.sh from
		 * BTF; do not edit. Packet headers and the contract of XDP programs never change, so no
		 * relocation against the running kernel (preserve_access_index) is asked for.
		 */
		#ifndef __VMLINUX_H__
		#define __VMLINUX_H__

	EOT
}

# Cuts the C text into its top-level declarations and prints the wanted ones in
# their order, which is that of dependence; complains about the missing ones.
cut_types() {
	local IFS=,
	awk -v wanted="$*" '
	function keep(names,    i, n, name) {
		n = split(names, name, ",")
		for (i = 1; i <= n; i++)
			if (name[i] in want) {
				printf "%s\n", block
				delete want[name[i]]
				return
			}
	}
	BEGIN {
		n = split(wanted, list, ",")
		for (i = 1; i <= n; i++)
			want[list[i]] = 1
	}
	/^typedef .*;$/ {
		name = $NF
		sub(";", "", name)
		block = $0 "\n"
		keep("typedef " name)
		next
	}
	/^(struct|union|enum)( [a-z0-9_]+)? \{$/ {
		block = ""
		names = $2 == "{" ? "" : $1 " " $2
		anonymous = $1 == "enum" && $2 == "{"
		inside = 1
	}
	inside {
		block = block $0 "\n"
		if (anonymous && $2 == "=")
			names = names ",enumerator " $1
	}
	inside && /^\}/ {
		inside = 0
		keep(names)
	}
	END {
		for (name in want) {
			print "vmlinux-min.sh: not in this BTF: " name >"/dev/stderr"
			bad = 1
		}
		exit bad
	}'
}

header
bpftool btf dump file "$btf" format c | cut_types "${types[@]}"
echo "#endif"
