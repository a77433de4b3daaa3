/* SPDX-License-Identifier: MIT */
/*
 * An AF_XDP socket of the benchmarks' own, with its steering program (bench/bpf/steer.bpf.c) on the
 * interface. The program is held by a BPF link: it goes when the process does, however it ends.
 */
#ifndef MR_BENCH_XSK_H
#define MR_BENCH_XSK_H

#include <stdbool.h>
#include <stdint.h>

#include "user/port/port.h"

/**
 * struct bench_xsk_options - what is wanted
 * @umem, @umem_bytes, @frame_bytes: page aligned memory of frames, the caller's
 * @port_lo, @port_hi: IPv4 TCP to these ports comes to the socket, all else goes to the kernel
 */
struct bench_xsk_options {
	const char *interface;
	uint32_t queue;
	uint16_t port_lo, port_hi;
	void *umem;
	uint64_t umem_bytes;
	uint32_t frame_bytes;
	uint32_t ring; /* entries of receive, transmit and completion ring; fill: twice as many */
};

struct steer_bpf;

struct bench_xsk {
	int fd;
	struct mr_port *port;
	struct steer_bpf *steer;
	bool zero_copy;
};

/** bench_xsk_open() - socket, rings, program; 0, or -1 after saying why with @who in front */
int bench_xsk_open(struct bench_xsk *x, const struct bench_xsk_options *o, const char *who);

/** bench_xsk_close() - also what was opened in part; a zeroed one is fine */
void bench_xsk_close(struct bench_xsk *x);

/**
 * bench_xsk_transmit() - give frames to the transmit ring and kick
 * @out:	*@n frames; what the ring did not take moves to the front
 */
void bench_xsk_transmit(struct bench_xsk *x, struct mr_span *out, uint32_t *n);

/** bench_xsk_frames() - fresh page aligned memory for @n frames, NULL with errno */
void *bench_xsk_frames(uint32_t n, uint32_t frame_bytes);

#endif
