/* SPDX-License-Identifier: MIT */
#include "user/daemon/drain.h"

#include <microhttpd.h>
#include <string.h>

#include "user/daemon/api.h"
#include "user/daemon/log.h"

enum {
	DEADLINE_MOST_S = 86400,
};

static const struct mr_lane *lane_of(const struct mr_child *c, const struct mr_ward *w)
{
	return &c->d->lanes[w->lane];
}

static const char *link_of(const struct mr_child *c, const struct mr_ward *w)
{
	return mr_lane_link(c->d, lane_of(c, w))->name;
}

static uint32_t connections(const struct mr_child *c, const struct mr_ward *w)
{
	struct mr_lane_stats s;

	mr_lane_stats_read(c, w->lane, &s);
	return (uint32_t)(s.connections + s.half_open);
}

void mr_drain_tell(struct mr_child *c, uint32_t lane, enum mr_message_type type)
{
	struct mr_message m = { MR_WORKER_MAGIC, (uint16_t)type, sizeof(m) };

	mr_ward_send(c, lane, &m, sizeof(m));
}

void mr_drain_go_on(struct mr_child *c, struct mr_ward *w)
{
	const struct mr_lane *l = lane_of(c, w);

	w->drain = l->drain;
	w->drain_until_ns = l->drain_until_ns;
	if (w->drain)
		mr_drain_tell(c, w->lane, MR_MSG_DRAIN);
}

void mr_drain_tick(struct mr_child *c, struct mr_ward *w, uint64_t now)
{
	if (!w->drain || !w->drain_until_ns || now < w->drain_until_ns)
		return;
	w->drain_until_ns = 0;
	w->drain_reset = connections(c, w);
	mr_warn("%s queue %u: the drain's deadline has come, %u connections are reset",
		link_of(c, w), lane_of(c, w)->index, w->drain_reset);
	mr_drain_tell(c, w->lane, MR_MSG_STOP);
}

void mr_drain_done(struct mr_child *c, const struct mr_ward *w)
{
	mr_info("%s queue %u: drained, %u connections were reset", link_of(c, w),
		lane_of(c, w)->index, w->drain_reset);
}

json_t *mr_json_drain(const struct mr_ward *w)
{
	uint64_t now = mr_now_ns();
	json_t *left = json_null();

	if (!w->drain)
		return json_null();
	if (w->drain_until_ns)
		left = json_integer(w->drain_until_ns > now
					    ? (json_int_t)((w->drain_until_ns - now) / 1000000)
					    : 0);
	return json_pack("{s:o, s:i}", "left_ms", left, "reset", (int)w->drain_reset);
}

/* ----- what clients ask for ----- */

static void tell_parent(struct mr_child *c, const struct mr_ward *w)
{
	struct mr_request q = {
		.type = MR_REQUEST_DRAIN,
		.lane = w->lane,
		.drain = w->drain,
		.cookie = w->drain_until_ns,
	};

	mr_child_ask(c, &q);
}

static void drain(struct mr_child *c, struct mr_ward *w, uint32_t deadline_s)
{
	if (w->state == MR_WORKER_DRAINED)
		return;
	if (!w->drain)
		mr_info("%s queue %u: drains, %u connections stand", link_of(c, w),
			lane_of(c, w)->index, connections(c, w));
	w->drain = true;
	w->drain_reset = 0;
	w->drain_until_ns = deadline_s ? mr_now_ns() + deadline_s * 1000000000ull : 0;
	tell_parent(c, w);
	mr_drain_tell(c, w->lane, MR_MSG_DRAIN);
}

/* One that is ending already is started again when it has ended. */
static void resume(struct mr_child *c, struct mr_ward *w)
{
	w->drain = false;
	w->drain_until_ns = 0;
	w->drain_reset = 0;
	tell_parent(c, w);
	if (w->state == MR_WORKER_DRAINED) {
		w->state = MR_WORKER_DEAD;
		w->next_try_ns = w->backoff_ms = 0;
	} else {
		mr_drain_tell(c, w->lane, MR_MSG_RESUME);
	}
}

/* What is wrong with the parameters, or NULL. @lane: UINT32_MAX, all. */
static const char *read_parameters(const struct mr_child *c, struct MHD_Connection *http,
				   uint32_t *lane, uint32_t *deadline_s)
{
	const char *v = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "lane");

	*lane = UINT32_MAX;
	*deadline_s = 0;
	if (!v || (strcmp(v, "all") != 0 && mr_api_lane_named(c, v, lane)))
		return "lane: there is no such lane; write it as INTERFACE:QUEUE, or all";
	v = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "deadline_s");
	if (v && !mr_api_number(v, 1, DEADLINE_MOST_S, deadline_s))
		return "deadline_s: give 1 to 86400";
	return NULL;
}

enum mr_post mr_api_drain_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
			       void **state, unsigned int *status, const char **words)
{
	bool drains = !strcmp(url, "/v1/lanes/drain");
	uint32_t lane, deadline_s;

	(void)state;
	*words = read_parameters(c, http, &lane, &deadline_s);
	if (*words)
		*status = MHD_HTTP_BAD_REQUEST;
	for (uint32_t i = 0; !*words && i < c->d->n_lanes; i++) {
		if ((lane != UINT32_MAX && lane != i) || c->d->lanes[i].absent)
			continue;
		if (drains)
			drain(c, &c->wards[i], deadline_s);
		else
			resume(c, &c->wards[i]);
	}
	return MR_POST_ANSWER;
}
