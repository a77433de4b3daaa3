/* SPDX-License-Identifier: MIT */
/*
 * One direction of the link, after a frame's fate is known: frames that others overtake, a
 * bottleneck with a queue, the way's delay, and a heap of frames by the time when they come out.
 * Pure but for memory: the time is given.
 */
#ifndef MR_BADNET_LINK_H
#define MR_BADNET_LINK_H

#include "fate.h"

/* One malloc() each; who takes one from the link frees it. */
struct mr_packet {
	struct mr_packet *next; /* among those that wait to be overtaken */
	uint64_t release_ns;	/* when it comes out */
	uint64_t order;		/* among those of the same time */
	uint64_t salt;		/* for its jitter */
	uint64_t hold_ns;	/* of its own, besides the link's */
	uint64_t give_up_ns;	/* waits to be overtaken no longer than this */
	uint32_t overtake;	/* frames still to pass it */
	bool ce;		/* marked by the queue's threshold: the sender's to do */
	uint32_t len;
	uint8_t bytes[];
};

struct mr_link_rules {
	uint64_t delay_ns;
	uint64_t jitter_ns; /* 0 to this is added, by the frame's salt */
	bool in_order;	    /* jitter never lets a frame overtake another */
	uint64_t rate_bps;  /* 0: no bottleneck */
	uint64_t queue_bytes;
	uint64_t mark_bytes; /* CE beyond this backlog; 0: never */
	uint64_t wait_ns;    /* longest wait of a frame to be overtaken */
};

struct mr_link {
	struct mr_link_rules rules;
	uint64_t free_ns; /* when the bottleneck has sent everything */
	uint64_t last_ns; /* release of the last frame, for in_order */
	uint64_t order;
	struct mr_packet *held; /* waiting to be overtaken, oldest first */
	struct mr_packet **heap;
	size_t n, room;
	uint64_t queue_drops, marks, reordered;
	uint64_t backlog_max; /* bytes */
};

/** mr_packet_new() - a packet with a copy of the bytes; NULL: no memory */
struct mr_packet *mr_packet_new(const uint8_t *bytes, size_t len);

/**
 * mr_link_put() - a frame enters
 * @p:		owned by the link from now on, also on error
 * @overtake:	frames that shall pass it, 0: none
 *
 * Frames that it lets go by being the last to pass them enter the bottleneck behind it.
 *
 * Return: 0 (a full queue is not an error, but counted); -ENOMEM: the frame is gone
 */
int mr_link_put(struct mr_link *l, struct mr_packet *p, uint32_t overtake, uint64_t now_ns);

/** mr_link_expire() - frames that waited long enough to be overtaken go on */
int mr_link_expire(struct mr_link *l, uint64_t now_ns);

/** mr_link_next_ns() - when something is due; UINT64_MAX: the link is empty */
uint64_t mr_link_next_ns(const struct mr_link *l);

/** mr_link_take() - the next frame whose time has come, the caller's to free; NULL: none */
struct mr_packet *mr_link_take(struct mr_link *l, uint64_t now_ns);

/** mr_link_clear() - free what is in it */
void mr_link_clear(struct mr_link *l);

#endif
