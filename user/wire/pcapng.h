/* SPDX-License-Identifier: MIT */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), written into memory: who has a file writes
 * them out. A file is a section header, the interfaces, and a packet block a frame; stamps are in
 * nanoseconds since 1970. Blocks are in the byte order of this machine, as the format wants it; all
 * are multiples of four bytes. A file that several writers have appended to is one of several
 * sections.
 */
#ifndef MR_PCAPNG_H
#define MR_PCAPNG_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MR_PCAPNG_TEXT_MOST = 512, /* of a text given here; what is longer is cut */
	/* most that a block takes beside the frame and the texts */
	MR_PCAPNG_OVERHEAD = 160,
};

enum mr_pcapng_direction {
	MR_PCAPNG_UNKNOWN = 0, /* lowest two bits of epb_flags */
	MR_PCAPNG_INBOUND = 1,
	MR_PCAPNG_OUTBOUND = 2,
};

/* Room for blocks: @used of @room bytes are filled. The caller's memory. */
struct mr_pcapng {
	uint8_t *bytes;
	uint32_t room;
	uint32_t used;
};

/* A frame. Zero in what is optional leaves the option out. */
struct mr_pcapng_packet {
	uint32_t interface; /* of the section, counted from 0 */
	uint64_t time_ns;   /* since 1970 */
	const uint8_t *bytes;
	uint32_t captured; /* bytes of it that are here */
	uint32_t original; /* bytes that it had */
	enum mr_pcapng_direction direction;
	const char *comment; /* or NULL */
	bool has_queue;
	uint32_t queue;
	bool has_xdp_action;
	uint64_t xdp_action; /* enum xdp_action, as the Linux eBPF XDP verdict */
};

/**
 * mr_pcapng_section() - begin a section
 * @program:	who writes it, for its readers
 *
 * Return: as all of these, false when there is no room for the block; then nothing changed
 */
bool mr_pcapng_section(struct mr_pcapng *p, const char *program);

/**
 * mr_pcapng_interface() - an Ethernet interface; they count from 0 in each section
 * @snaplen:	most bytes of a frame that are kept, 0: all
 * @filter:	in the words of libpcap, or NULL
 */
bool mr_pcapng_interface(struct mr_pcapng *p, const char *name, uint32_t snaplen,
			 const char *filter);

/** mr_pcapng_packet() - a frame with what is known of it */
bool mr_pcapng_packet(struct mr_pcapng *p, const struct mr_pcapng_packet *k);

/**
 * mr_pcapng_statistics() - what became of an interface's frames
 * @received:	frames that were seen
 * @lost:	those of them that the file does not have for want of room
 */
bool mr_pcapng_statistics(struct mr_pcapng *p, uint32_t interface, uint64_t time_ns,
			  uint64_t received, uint64_t lost);

#endif
