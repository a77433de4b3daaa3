/* SPDX-License-Identifier: MIT */
/*
 * The message store: flat memory for TLV values that span frames. A buddy system over the
 * arena's message area, so that a value that was acknowledged to the peer outlives the worker.
 */
#ifndef MR_MESSAGES_H
#define MR_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/mr_arena.h"

enum {
	MR_MESSAGE_ORDERS = 20,	  /* blocks of MR_MESSAGE_BLOCK << 0 .. << 19 */
	MR_MESSAGE_INSIDE = 0x7f, /* map byte: inside a larger block */
	MR_MESSAGE_USED = 0x80,	  /* map byte: order | used */
};

/**
 * struct mr_messages - the store
 * @map:	one byte a block: its order, MR_MESSAGE_USED when taken, MR_MESSAGE_INSIDE else
 */
struct mr_messages {
	uint8_t *base;
	uint8_t *map;
	uint32_t n_blocks;
	uint32_t used_blocks;
	uint32_t free_head[MR_MESSAGE_ORDERS];
	uint32_t max_order;
};

/** mr_messages_init() - all of @bytes free; a power of two, at least one block */
void mr_messages_init(struct mr_messages *m, uint8_t *base, uint8_t *map, uint64_t bytes);

/**
 * mr_messages_adopt_begin() - take over a store with what stands in it: nothing is in use yet
 *
 * mr_messages_adopt() for each block that is, then mr_messages_adopt_end(). Until then no byte of
 * the store is written, for free blocks are linked through their own.
 */
void mr_messages_adopt_begin(struct mr_messages *m, uint8_t *base, uint8_t *map, uint64_t bytes);

/** mr_messages_adopt() - @bytes at @block are in use; false: that is no block, or one of it is */
bool mr_messages_adopt(struct mr_messages *m, uint32_t block, uint32_t bytes);

/** mr_messages_adopt_end() - all else is free */
void mr_messages_adopt_end(struct mr_messages *m);

/**
 * mr_messages_take() - a block of at least @bytes
 * @got:	out: bytes of it
 *
 * Return: its first block's index, or MR_NONE
 */
uint32_t mr_messages_take(struct mr_messages *m, uint32_t bytes, uint32_t *got);

/** mr_messages_give() - give a block back */
void mr_messages_give(struct mr_messages *m, uint32_t block);

/** mr_messages_at() - first byte of a block */
static inline uint8_t *mr_messages_at(const struct mr_messages *m, uint32_t block)
{
	return m->base + (uint64_t)block * MR_MESSAGE_BLOCK;
}

#endif
