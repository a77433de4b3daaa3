/* SPDX-License-Identifier: MIT */
/*
 * POST /v1/lanes/sent: what a lane copied of the frames that it sent (shared/mr_sent.h), piece by
 * piece out of its arena, for root alone. Each request also has the lane go on copying for a few
 * seconds, so whoever captures and is killed leaves nothing switched on. The bytes are passed on as
 * they stand: the daemon looks at positions only, and who asked must check the rest.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/daemon/api.h"
#include "user/daemon/arenas.h"
#include "user/daemon/changes.h"
#include "user/daemon/clients.h"
#include "user/daemon/sent.h"

#define LEASE_NS 3000000000ull

enum {
	TRIES = 4, /* until what is read is not written over meanwhile */
};

struct asked {
	uint32_t lane;
	uint32_t copy_bytes;
	uint64_t after; /* UINT64_MAX: what comes from now on */
};

/* The worker that was told may have been replaced; the next one is told anew. */
static void keep_on(struct mr_child *c, const struct asked *a)
{
	struct mr_ward *w = &c->wards[a->lane];
	uint64_t now = mr_now_ns();
	struct mr_capture_message m = {
		.head = { MR_WORKER_MAGIC, MR_MSG_CAPTURE, sizeof(m) },
		.copy_bytes = a->copy_bytes,
		.until_ns = now + LEASE_NS,
	};

	if (w->sent_until_ns > now + LEASE_NS * 2 / 3 && w->sent_since_ns == w->since_ns &&
	    w->sent_copy == a->copy_bytes)
		return;
	w->sent_until_ns = m.until_ns;
	w->sent_since_ns = w->since_ns;
	w->sent_copy = a->copy_bytes;
	mr_ward_send(c, a->lane, &m, sizeof(m));
}

static uint64_t word(const struct mr_lane *l, size_t offset)
{
	uint64_t v = 0;

	mr_arena_part(l, MR_AREA_SENT, 0, offset, &v, sizeof(v));
	/* Acquire: what is read next is behind it; pairs with the lane's release. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return v;
}

/* From @from, which is inside the ring, to its end and over it. */
static bool copy_ring(const struct mr_lane *l, uint64_t from, uint8_t *out, size_t bytes)
{
	size_t at = from % MR_SENT_BYTES;
	size_t first = bytes < MR_SENT_BYTES - at ? bytes : MR_SENT_BYTES - at;
	size_t ring = offsetof(struct mr_sent, ring);

	return mr_arena_part(l, MR_AREA_SENT, 0, ring + at, out, first) &&
	       (first == bytes ||
		mr_arena_part(l, MR_AREA_SENT, 0, ring, out + first, bytes - first));
}

/* The first block that is not about to be written over, or @head when there is none. */
static uint64_t oldest(uint64_t writing, uint64_t head)
{
	uint64_t blocks = writing / MR_SENT_BLOCK, ring = MR_SENT_BYTES / MR_SENT_BLOCK;
	uint64_t first = blocks < ring ? 0 : (blocks - ring + 2) * MR_SENT_BLOCK;

	return first < head ? first : head;
}

size_t mr_sent_piece(const struct mr_lane *l, uint64_t after, struct mr_sent_answer *answer,
		     uint8_t *out)
{
	uint64_t from = after, head, end, writing, frames;

	for (int i = 0; i < TRIES; i++) {
		head = word(l, offsetof(struct mr_sent, head));
		frames = word(l, offsetof(struct mr_sent, frames));
		if (from > head)
			from = head;
		writing = word(l, offsetof(struct mr_sent, writing));
		if (writing - from > MR_SENT_BYTES)
			from = oldest(writing, head);
		end = (from + MR_SENT_PIECE) / MR_SENT_BLOCK * MR_SENT_BLOCK;
		if (end > head || end < from)
			end = head;
		if (end - from > MR_SENT_PIECE)
			break; /* no lane writes such positions */
		*answer = (struct mr_sent_answer){ from, end, frames, head };
		if (!copy_ring(l, from, out, (size_t)(end - from)))
			break;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		writing = word(l, offsetof(struct mr_sent, writing));
		if (writing - from <= MR_SENT_BYTES)
			return (size_t)(end - from);
	}
	/* It writes faster than it can be read: what stands there is given up. */
	*answer = (struct mr_sent_answer){ head, head, frames, head };
	return 0;
}

static const char *read_parameters(const struct mr_child *c, struct MHD_Connection *http,
				   struct asked *a)
{
	const char *lane = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "lane");
	const char *after = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "after");
	const char *copy = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "copy_bytes");
	char *end = NULL;

	*a = (struct asked){ .copy_bytes = MR_SENT_COPY_MOST, .after = UINT64_MAX };
	if (!lane || mr_api_lane_named(c, lane, &a->lane))
		return "lane: there is no such lane; write it as INTERFACE:QUEUE";
	if (after)
		a->after = strtoull(after, &end, 10);
	if (after && (*after < '0' || *after > '9' || *end))
		return "after: give the next of the answer before";
	if (copy && !mr_api_number(copy, 1, UINT32_MAX, &a->copy_bytes))
		return "copy_bytes: give 1 or more";
	return NULL;
}

static enum MHD_Result refuse(struct MHD_Connection *http, unsigned int status, const char *words)
{
	return mr_api_reply(http, status, json_pack("{s:i, s:s}", "v", 1, "error", words));
}

static enum MHD_Result answer(struct mr_child *c, struct MHD_Connection *http,
			      const struct asked *a)
{
	struct mr_sent_answer head = { 0 };
	uint8_t *bytes = malloc(sizeof(head) + MR_SENT_PIECE);
	struct MHD_Response *r;
	enum MHD_Result ok;
	size_t n;

	if (!bytes)
		return MHD_NO;
	keep_on(c, a);
	n = mr_sent_piece(&c->d->lanes[a->lane], a->after, &head, bytes + sizeof(head));
	memcpy(bytes, &head, sizeof(head));
	r = MHD_create_response_from_buffer(sizeof(head) + n, bytes, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(bytes);
		return MHD_NO;
	}
	MHD_add_response_header(r, "Content-Type", "application/octet-stream");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	ok = MHD_queue_response(http, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return ok;
}

enum MHD_Result mr_api_sent_post(struct mr_child *c, struct MHD_Connection *http, const char *data,
				 size_t *data_bytes, void **state)
{
	static char begun;
	struct asked a;
	const char *wrong;

	(void)data;
	if (!*state || *data_bytes) { /* a body is read past: parameters stand in the URL */
		*state = &begun;
		*data_bytes = 0;
		return MHD_YES;
	}
	if (mr_client_of(http)->uid != 0)
		return refuse(http, MHD_HTTP_FORBIDDEN, "only root may see frames");
	wrong = read_parameters(c, http, &a);
	return wrong ? refuse(http, MHD_HTTP_BAD_REQUEST, wrong) : answer(c, http, &a);
}
