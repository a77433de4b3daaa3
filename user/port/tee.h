/* SPDX-License-Identifier: MIT */
/* A port in front of a port: writes every frame that passes to a pcapng file. */
#ifndef MR_TEE_H
#define MR_TEE_H

#include <stdint.h>

#include "user/port/port.h"

/**
 * mr_tee_new() - record what passes @below
 * @umem:	where the frames lie
 * @fd:		file to append pcapng blocks to (section header, one interface, enhanced packet
 *		blocks with nanosecond stamps and the direction flag); stays the caller's
 * @clock_ns:	the clock of the stamps; @clock_arg is passed to it
 *
 * Buffered; a write error ends the recording (once reported by mr_tee_error()), never the traffic.
 * Closing the tee flushes it and closes @below.
 *
 * Return: the port, or NULL with errno
 */
struct mr_port *mr_tee_new(struct mr_port *below, const uint8_t *umem, int fd, const char *ifname,
			   uint64_t (*clock_ns)(void *arg), void *clock_arg);

/** mr_tee_flush() - write out what is buffered; 0 or -errno */
int mr_tee_flush(struct mr_port *p);

/** mr_tee_error() - 0, or -errno of the write that ended the recording */
int mr_tee_error(const struct mr_port *p);

#endif
