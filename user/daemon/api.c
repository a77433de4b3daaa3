/* SPDX-License-Identifier: MIT */
#include "user/daemon/api.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/log.h"

enum {
	CONNECTIONS_MOST = 32,
	REQUEST_BYTES = 16384, /* of one request's headers, for MHD */
	IDLE_S = 10,
};

static const char JSON_TYPE[] = "application/json";
static const char METRICS_TYPE[] = "text/plain; version=0.0.4; charset=utf-8";

static enum MHD_Result reply(struct MHD_Connection *http, unsigned int status, const char *type,
			     char *body, size_t bytes)
{
	struct MHD_Response *r;
	enum MHD_Result ok;

	if (!body)
		return MHD_NO; /* memory is short: the connection ends */
	r = MHD_create_response_from_buffer(bytes, body, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET");
	ok = MHD_queue_response(http, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result reply_json(struct MHD_Connection *http, unsigned int status, json_t *o)
{
	char *body = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return reply(http, status, JSON_TYPE, body, body ? strlen(body) : 0);
}

static enum MHD_Result reply_error(struct MHD_Connection *http, unsigned int status,
				   const char *words)
{
	return reply_json(http, status, json_pack("{s:i, s:s}", "v", 1, "error", words));
}

static bool parse_number(const char *text, uint32_t lo, uint32_t hi, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	v = strtoul(text, &end, 10);
	*out = (uint32_t)v;
	return !errno && !*end && v >= lo && v <= hi;
}

static bool parse_lane(const struct mr_child *c, const char *text, uint32_t *out)
{
	const char *colon = strrchr(text, ':');
	uint32_t queue;

	if (!colon || !parse_number(colon + 1, 0, MR_MAX_LANES, &queue))
		return false;
	for (uint32_t i = 0; i < c->d->n_lanes; i++) {
		const char *name = mr_lane_link(c->d, &c->d->lanes[i])->name;

		if (c->d->lanes[i].index == queue && strlen(name) == (size_t)(colon - text) &&
		    !memcmp(name, text, strlen(name))) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool parse_state(const char *text, int *out)
{
	static const char *const names[] = MR_TCP_STATE_NAMES;

	for (int i = 0; i < MR_TCP_STATE_COUNT; i++)
		if (!strcmp(names[i], text)) {
			*out = i;
			return true;
		}
	return false;
}

/* The parameters of /v1/conns; NULL, or what is wrong with them. */
static const char *parse_query(const struct mr_child *c, struct MHD_Connection *http,
			       struct mr_conns_query *q)
{
	const char *v;
	uint32_t port;
	char rest;

	*q = (struct mr_conns_query){
		.lane = UINT32_MAX, .limit = MR_CONNS_DEFAULT, .state = -1, .port = -1
	};
	v = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "lane");
	if (v && !parse_lane(c, v, &q->lane))
		return "lane: there is no such lane; write it as INTERFACE:QUEUE";
	v = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "limit");
	if (v && !parse_number(v, 1, MR_CONNS_MOST, &q->limit))
		return "limit: give 1 to 10000";
	v = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "state");
	if (v && !parse_state(v, &q->state))
		return "state: no such TCP state; write it as ESTABLISHED";
	v = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "port");
	if (v && !parse_number(v, 1, 65535, &port))
		return "port: give 1 to 65535";
	q->port = v ? (int)port : -1;
	v = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "after");
	if (v && sscanf(v, "%" SCNu32 ".%" SCNu32 ".%" SCNu32 "%c", &q->after_lane, &q->after_kind,
			&q->after_index, &rest) != 3)
		return "after: give the \"next\" of the answer before";
	return NULL;
}

static enum MHD_Result serve_conns(struct mr_child *c, struct MHD_Connection *http)
{
	struct mr_conns_query q;
	const char *wrong = parse_query(c, http, &q);
	size_t bytes = 0;
	char *body;

	if (wrong)
		return reply_error(http, MHD_HTTP_BAD_REQUEST, wrong);
	body = mr_json_conns(c, &q, &bytes);
	return reply(http, MHD_HTTP_OK, JSON_TYPE, body, bytes);
}

static enum MHD_Result serve_metrics(struct mr_child *c, struct MHD_Connection *http)
{
	size_t bytes = 0;
	char *body = mr_metrics_text(c, &bytes);

	return reply(http, MHD_HTTP_OK, METRICS_TYPE, body, bytes);
}

static const struct {
	const char *path;
	json_t *(*body)(struct mr_child *c);
	enum MHD_Result (*serve)(struct mr_child *c, struct MHD_Connection *http);
} pages[] = {
	{ "/v1/status", mr_json_status, NULL },	    { "/v1/lanes", mr_json_lanes, NULL },
	{ "/v1/rules", mr_json_rules, NULL },	    { "/v1/stats", mr_json_stats, NULL },
	{ "/v1/config", mr_json_config, NULL },	    { "/v1/conns", NULL, serve_conns },
	{ "/v1/programs", mr_json_programs, NULL }, { "/metrics", NULL, serve_metrics },
};

/* Bodies are read past; parameters stand in the URL. False: no page of this kind has that name. */
static bool post(struct mr_child *c, struct MHD_Connection *http, const char *url,
		 size_t *data_bytes, void **state, enum MHD_Result *answered)
{
	static char begun;
	const char *words = NULL;
	unsigned int status = MHD_HTTP_OK;

	*answered = MHD_YES;
	if (!*state || *data_bytes) {
		*state = &begun;
		*data_bytes = 0;
		return true;
	}
	switch (mr_api_program_post(c, http, url, state, &status, &words)) {
	case MR_POST_UNKNOWN:
		return false;
	case MR_POST_WAITS:
		return true;
	case MR_POST_ANSWER:
		break;
	}
	*answered = words ? reply_error(http, status, words)
			  : reply_json(http, status, mr_json_programs(c));
	return true;
}

static enum MHD_Result request(void *arg, struct MHD_Connection *http, const char *url,
			       const char *method, const char *version, const char *data,
			       size_t *data_bytes, void **state)
{
	struct mr_child *c = arg;
	enum MHD_Result answered;

	(void)version;
	(void)data;
	if (!strcmp(method, MHD_HTTP_METHOD_POST) &&
	    post(c, http, url, data_bytes, state, &answered))
		return answered;
	if (strcmp(method, MHD_HTTP_METHOD_GET)) {
		if (*data_bytes) {
			*data_bytes = 0; /* read past what nobody asked for */
			return MHD_YES;
		}
		return reply_error(http, MHD_HTTP_METHOD_NOT_ALLOWED,
				   "this page is only read; send a GET");
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(pages[i].path, url))
			continue;
		if (pages[i].serve)
			return pages[i].serve(c, http);
		return reply_json(http, MHD_HTTP_OK, pages[i].body(c));
	}
	return reply_error(
		http, MHD_HTTP_NOT_FOUND,
		"no such page; there are /v1/status, lanes, rules, conns, stats, config, "
		"programs and /metrics");
}

static void api_ready(struct mr_child *c, struct mr_watch *w)
{
	(void)w;
	MHD_run(c->http);
}

static void log_nothing(void *arg, const char *fmt, va_list args)
{
	(void)arg;
	(void)fmt;
	(void)args; /* a client's mistakes are its own affair */
}

int mr_api_open(struct mr_child *c)
{
	const union MHD_DaemonInfo *info;

	c->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, 0,
				   NULL, NULL, request, c, MHD_OPTION_EXTERNAL_LOGGER, log_nothing,
				   NULL, MHD_OPTION_LISTEN_SOCKET, c->d->control,
				   MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MOST,
				   MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
				   MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES,
				   MHD_OPTION_END);
	if (!c->http)
		return -ENOMEM;
	info = MHD_get_daemon_info(c->http, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EINVAL;
	c->api = (struct mr_watch){ info->epoll_fd, api_ready };
	return mr_child_watch(c, &c->api);
}

void mr_api_close(struct mr_child *c)
{
	mr_child_unwatch(c, &c->api);
	MHD_quiesce_daemon(c->http);
	MHD_stop_daemon(c->http);
}

int mr_api_timeout(struct mr_child *c, int most)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(c->http, &ms) == MHD_YES && ms < (MHD_UNSIGNED_LONG_LONG)most)
		return (int)ms;
	return most;
}

void mr_api_turn(struct mr_child *c)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(c->http, &ms) == MHD_YES && ms == 0)
		MHD_run(c->http);
}
