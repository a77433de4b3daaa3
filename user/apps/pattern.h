/* SPDX-License-Identifier: MIT */
/*
 * The pattern that tests send: byte i is ((i * 2654435761) >> 13) & 255 in
 * 64-bit arithmetic, so that a byte out of its place shows.
 */
#ifndef MR_APPS_PATTERN_H
#define MR_APPS_PATTERN_H

#include "millrace/app.h"

/** mr_pattern_fill() - write pattern bytes @from to @from + @len - 1 at @out */
void mr_pattern_fill(uint8_t *out, size_t len, uint64_t from);

/**
 * mr_pattern_send() - queue pattern bytes in place until there is no more room
 * @from:	number of the first one
 * @len:	most to queue
 *
 * Return: how many were queued; fewer than @len: @writable is called when there is room,
 *	   or the connection takes no more
 */
uint64_t mr_pattern_send(struct mr_host *h, mr_conn_id c, uint64_t from, uint64_t len);

#endif
