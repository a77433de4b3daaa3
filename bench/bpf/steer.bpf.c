// SPDX-License-Identifier: GPL-2.0
/*
 * The load generator's and the reflector's own steering: IPv4 TCP to a port of one range goes to
 * the AF_XDP socket of its queue, everything else to the kernel.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum {
	PROTOCOL_IP = 0x0800,
};

struct range {
	__u16 lo, hi; /* host order, inclusive */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct range);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	const struct range *r;
	__u32 zero = 0;
	__u16 port;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(PROTOCOL_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	r = bpf_map_lookup_elem(&ports, &zero);
	port = bpf_ntohs(tcp->dest);
	if (!r || port < r->lo || port > r->hi)
		return XDP_PASS;
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "GPL";
