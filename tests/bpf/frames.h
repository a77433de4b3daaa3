/* SPDX-License-Identifier: MIT */
/*
 * Frames for the tests of the XDP program, built from a description. What a test leaves out is an
 * honest TCP segment of 192.0.2.1:40000 to 192.0.2.2:7000, or of 2001:db8::1 to 2001:db8::2.
 * Checksums are zero: the program does not look at them.
 */
#ifndef MR_TEST_FRAMES_H
#define MR_TEST_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

enum {
	FRAME_MAX = 2560,
	MAX_TEST_TAGS = 3,
	MAX_TEST_EXTENSIONS = 8,

	TEST_PORT = 7000,
	TEST_PEER_PORT = 40000,

	FIN = 0x01,
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
	ECE = 0x40,
	CWR = 0x80,

	HOP_BY_HOP = 0,
	ROUTING = 43,
	FRAGMENT = 44,
	AUTHENTICATION = 51,
	DESTINATION = 60,
};

/* One IPv6 extension header. */
struct extension {
	uint8_t kind;
	uint8_t units; /* 8 bytes each, beyond the first 8; of FRAGMENT: the reserved byte */
	uint8_t segments_left; /* of ROUTING */
	uint16_t fragment;     /* of FRAGMENT: offset and M, host order */
};

struct packet {
	uint8_t family;		 /* 0: 4 */
	uint8_t protocol;	 /* 0: TCP, or ICMP of the family with @icmp_type */
	uint8_t ihl;		 /* IPv4 header in words, 0: 5 */
	uint16_t fragment;	 /* IPv4: flags and offset, host order */
	const char *source;	 /* NULL: the peer */
	const char *destination; /* NULL: the local address */
	uint16_t sport;		 /* 0: TEST_PEER_PORT */
	uint16_t dport;		 /* 0: TEST_PORT */
	uint8_t flags;		 /* 0: ACK */
	uint8_t doff;		 /* TCP header in words, 0: 5 */
	uint16_t payload;	 /* bytes behind the transport header */

	unsigned int n_extensions;
	struct extension extension[MAX_TEST_EXTENSIONS];

	uint8_t icmp_type; /* not 0: ICMP that quotes @quoted */
	const struct packet *quoted;
	uint16_t quoted_bytes; /* how much of its transport header and payload; 0: 8 */

	/* of the outermost packet only */
	unsigned int n_tags;
	uint16_t tpid[MAX_TEST_TAGS]; /* 0: 0x8100 */
	uint16_t tci[MAX_TEST_TAGS];
	uint16_t ethertype; /* 0: that of the family */
	uint16_t padding;   /* bytes behind the IP packet */
};

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t len;
	size_t ip;	  /* offset of the outermost IP header */
	size_t transport; /* offset of what follows IP */
	uint8_t family;
};

/** frame_build() - make the frame of a description */
struct frame frame_build(const struct packet *p);

#define FRAME(...) frame_build(&(struct packet){ __VA_ARGS__ })

/** frame_set16() - overwrite a field, host order in, network order on the wire */
void frame_set16(struct frame *f, size_t offset, uint16_t value);

/** frame_set_ip_length() - let IP claim @bytes of payload behind its fixed header and options */
void frame_set_ip_length(struct frame *f, uint16_t bytes);

/** frame_cut() - leave @len bytes of the frame; the lengths it claims stay */
struct frame frame_cut(const struct frame *f, size_t len);

/** frame_cut_honest() - the same, but IP claims no more than is there */
struct frame frame_cut_honest(const struct frame *f, size_t len);

/** address_bytes() - an address in the maps' form: IPv4 as ::ffff:a.b.c.d, NULL as zeros */
void address_bytes(uint8_t out[16], const char *text);

/** packet_source(), packet_destination() - with the defaults filled in */
const char *packet_source(const struct packet *p);
const char *packet_destination(const struct packet *p);

/* Frames of every kind that the program knows: raw material for cutting and flipping. */
struct template
{
	const char *name;
	struct packet packet;
};

extern const struct template templates[];
extern const size_t n_templates;

#endif
