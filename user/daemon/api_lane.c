/* SPDX-License-Identifier: MIT */
/*
 * POST /v1/lanes/restart: lanes get another worker, one after the other, without losing anything.
 *
 *	the parent asks the program whether it fits -> LEAVE to the old worker -> it ends behind its
 *	turn -> another is started on the same memory and rings -> READY -> the next lane
 *
 * The client's connection is suspended meanwhile. One restart at a time.
 */
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

#include "user/daemon/api.h"
#include "user/daemon/log.h"

enum {
	EACH_MS = 5000, /* from LEAVE to READY */
};

static void finish(struct mr_child *c, unsigned int status, const char *words)
{
	mr_api_wait_end(c, &c->restart.wait, status, words);
}

/* The parent looks at the program; mr_api_restart_probed() follows. */
static void begin_lane(struct mr_child *c)
{
	struct mr_request q = { .type = MR_REQUEST_PROBE, .lane = c->restart.lane };

	c->restart.left = false;
	c->restart.since_ns = mr_now_ns();
	mr_child_ask(c, &q);
}

/* What is wrong with the request, with its status; NULL: the lanes are known. */
static const char *choose(struct mr_child *c, struct MHD_Connection *http, unsigned int *status)
{
	const char *name = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "lane");
	struct mr_restart *r = &c->restart;
	const char *wrong;
	uint32_t lane = 0;

	*status = MHD_HTTP_SERVICE_UNAVAILABLE;
	if (r->wait.http)
		return "lanes are being restarted already; try again";
	*status = MHD_HTTP_BAD_REQUEST;
	wrong = name ? mr_api_lane_named(c, name, &lane) : NULL;
	if (wrong)
		return wrong;
	if (c->d->lanes[lane].absent)
		return "lane: the interface has no such queue now";
	*r = (struct mr_restart){ .lane = lane, .last = lane };
	for (uint32_t i = lane; !name && i < c->d->n_lanes; i++)
		if (!c->d->lanes[i].absent)
			r->last = i;
	return NULL;
}

enum mr_post mr_api_lane_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
			      void **state, unsigned int *status, const char **words)
{
	static char waiting;

	(void)url;
	if (*state == &waiting) {
		mr_api_wait_take(&c->restart.wait, http, status, words);
		return MR_POST_ANSWER;
	}
	*words = choose(c, http, status);
	if (*words)
		return MR_POST_ANSWER;
	*state = &waiting;
	mr_api_wait_begin(&c->restart.wait, http);
	begin_lane(c);
	return MR_POST_WAITS;
}

void mr_api_restart_probed(struct mr_child *c, const struct mr_note *n)
{
	struct mr_message leave = { MR_WORKER_MAGIC, MR_MSG_LEAVE, sizeof(leave) };
	struct mr_restart *r = &c->restart;

	if (!mr_api_wait_pending(&r->wait) || n->lane != r->lane || r->left)
		return;
	if (n->error) {
		mr_warn("lane restart: %s", n->words);
		finish(c, MHD_HTTP_CONFLICT, n->words);
		return;
	}
	if (c->wards[r->lane].state != MR_WORKER_SERVING) {
		finish(c, MHD_HTTP_CONFLICT, "the lane's worker does not serve now; try again");
		return;
	}
	r->left = true;
	c->wards[r->lane].leaving = true;
	mr_ward_send(c, r->lane, &leave, sizeof(leave));
}

void mr_api_restart_ready(struct mr_child *c, uint32_t lane)
{
	struct mr_restart *r = &c->restart;

	if (!mr_api_wait_pending(&r->wait) || lane != r->lane || !r->left)
		return;
	if (r->lane == r->last) {
		finish(c, MHD_HTTP_OK, "");
		return;
	}
	do {
		r->lane++;
	} while (c->d->lanes[r->lane].absent && r->lane < r->last);
	begin_lane(c);
}

void mr_api_restart_abandon(struct mr_child *c)
{
	finish(c, MHD_HTTP_SERVICE_UNAVAILABLE, "the control process ends; see millrace lane list");
}

void mr_api_restart_tick(struct mr_child *c, uint64_t now)
{
	if (mr_api_wait_pending(&c->restart.wait) &&
	    now - c->restart.since_ns >= EACH_MS * 1000000ull)
		finish(c, MHD_HTTP_GATEWAY_TIMEOUT,
		       "no other worker serves after 5 s; see millrace lane list");
}
