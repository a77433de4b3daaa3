/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a frame: a function of (seed, direction, frame number) and of the rules, and of
 * nothing else. No clock, no I/O, no allocation beyond the lists that were parsed.
 *
 * Numbers begin with 1 and count the frames of a direction that the rules' filter names.
 */
#ifndef MR_BADNET_FATE_H
#define MR_BADNET_FATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MR_FATE_LIST_MAX = 256, /* entries of a scripted list */
	MR_FATE_COPIES_MAX = 16,
};

enum mr_corrupt_where {
	MR_CORRUPT_ANY,	 /* any byte behind the Ethernet header */
	MR_CORRUPT_HDR,	 /* network and transport header */
	MR_CORRUPT_L4,	 /* transport header and what follows */
	MR_CORRUPT_DATA, /* what follows the transport header */
};

/* A scripted entry: frames @first to @last. */
struct mr_fate_entry {
	uint64_t first, last;
	char what;	/* d drop, x copies, r reorder, h hold, c corrupt, t truncate, e CE */
	uint32_t value; /* x: copies in all, r: frames, h: milliseconds */
};

/* Probabilities are 0 to 1. All zero: every frame passes as it came. */
struct mr_fate_rules {
	double drop;
	double burst_enter, burst_leave; /* Gilbert-Elliott: good to bad and back, per frame */
	double burst_drop;		 /* loss in the bad state */
	double duplicate;
	double reorder;
	uint32_t reorder_by; /* frames that overtake */
	double corrupt;
	enum mr_corrupt_where where;
	bool repair; /* the checksums are made good again: TCP cannot see it */
	double truncate;
	double ce;
	uint32_t n_list;
	struct mr_fate_entry list[MR_FATE_LIST_MAX];
};

struct mr_fate_state {
	uint64_t seed;	 /* of this direction */
	uint64_t number; /* of the last frame */
	bool bad;	 /* Gilbert-Elliott */
};

struct mr_fate {
	uint64_t number;
	bool drop;
	bool corrupt;
	bool truncate;
	bool ce;
	uint32_t copies;     /* 1: the frame alone */
	uint32_t reorder_by; /* 0: in its place */
	uint32_t hold_ms;
	uint64_t salt; /* for the choice of byte, bit, length and jitter */
};

/**
 * mr_fate_init() - begin a direction at frame 1
 * @direction:	0 or 1; each draws numbers of its own
 */
void mr_fate_init(struct mr_fate_state *s, uint64_t seed, unsigned direction);

/** mr_fate_next() - the fate of the next frame of this direction */
struct mr_fate mr_fate_next(struct mr_fate_state *s, const struct mr_fate_rules *r);

/**
 * mr_fate_list_parse() - add a scripted list such as "d2,d7-9,2x4,r6:2,h8:150,c3,t5,e6"
 *
 * dN drop, KxN K copies of frame N in all, rN:K frame N after the K that follow it, hN:MS hold for
 * so many milliseconds, cN corrupt, tN truncate, eN mark CE. N-M is a range.
 *
 * Return: 0; -EINVAL, and the rules are as they were: an entry that cannot be read; -E2BIG: too
 * many
 */
int mr_fate_list_parse(struct mr_fate_rules *r, const char *text);

/** mr_fate_mix() - a well mixed 64-bit number from three (splitmix64's finaliser) */
uint64_t mr_fate_mix(uint64_t seed, uint64_t number, uint64_t purpose);

/** mr_fate_unit() - 64 random bits as a number from 0 to below 1 */
double mr_fate_unit(uint64_t bits);

#endif
