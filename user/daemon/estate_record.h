/* SPDX-License-Identifier: MIT */
/* The record of struct mr_estate_record, that a daemon writes for the next one. */
#ifndef MR_DAEMON_ESTATE_RECORD_H
#define MR_DAEMON_ESTATE_RECORD_H

#include "user/daemon/daemon.h"

enum {
	MR_ESTATE_MAGIC = 0x4d524553,
	/* Raise it with any change of what stands here, or of what daemon and worker say. */
	MR_ESTATE_VERSION = MR_WORKER_VERSION << 16 | MR_ARENA_LAYOUT << 8 | 5,
	MR_ESTATE_HEAD_BYTES = 20,
	MR_ESTATE_HANDED_OVER = 0x6f766572,
};

struct mr_estate_lane {
	char name[IFNAMSIZ]; /* of the interface */
	uint32_t ifindex;
	uint32_t index;
	uint32_t frame_bytes;
	uint32_t epoch;
	uint32_t restarts;
	int32_t last_status;
	int32_t pid; /* 0: none */
	uint8_t has_exited;
	uint8_t huge;
	uint8_t zero_copy;
	uint8_t absent; /* nothing is kept of it but the doorbell */
	uint8_t drain;
	uint8_t drained; /* it has no socket */
	uint16_t port_lo, port_hi;
	uint32_t queues; /* that its interface had */
	uint64_t drain_until_ns;
	struct mr_xsk_sizes rings;
	struct mr_arena_header layout;
	char bind_why[MR_WORDS];
};

struct mr_estate_body {
	uint32_t n_lanes;
	uint32_t beats;	  /* id of the map mr1_beat that the lanes write */
	uint64_t made_of; /* mr_estate_made_of() when they were made */
	uint64_t isn_secret[2];
	uint64_t hash_secret[2];
	uint64_t fast_open_secret[2];
	uint8_t former_native[MR_MAX_INTERFACES];
	struct mr_dynamic dynamic[MR_MAX_DYNAMIC];
	struct mr_estate_lane lane[MR_MAX_SLOTS]; /* by slot */
};

/* One body counts, the other one is being written. */
struct mr_estate_record {
	uint32_t magic;
	uint32_t version;
	uint32_t bytes; /* of all of it */
	uint32_t current;
	uint32_t handed_over; /* MR_ESTATE_HANDED_OVER: on purpose, for what can be taken up */
	struct mr_estate_body body[2];
};

#endif
