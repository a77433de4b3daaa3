/* SPDX-License-Identifier: MIT */
/* An AF_XDP socket that receives a few frames, in copy mode. */
#ifndef MR_TEST_XSK_SOCKET_H
#define MR_TEST_XSK_SOCKET_H

#include <stddef.h>
#include <stdint.h>

struct xsk_socket {
	int fd;
	uint8_t *frames;
	void *fill, *rx;
	size_t fill_bytes, rx_bytes;
	uint32_t *producer; /* of the receive ring */
	uint32_t received;
	const void *descs;
};

/**
 * xsk_socket_open() - bind to a queue, all frames posted
 * @x:		out
 *
 * Return: 0, or -errno with nothing open
 */
int xsk_socket_open(struct xsk_socket *x, uint32_t ifindex, uint32_t queue);

/**
 * xsk_socket_receive() - wait for the next frame
 * @out:	room for a frame of 2048 bytes
 *
 * Return: its length, or -ETIMEDOUT after @timeout_ms
 */
int xsk_socket_receive(struct xsk_socket *x, uint8_t *out, int timeout_ms);

void xsk_socket_close(struct xsk_socket *x);

#endif
