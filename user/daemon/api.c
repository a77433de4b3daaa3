/* SPDX-License-Identifier: MIT */
#include "user/daemon/api.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/changes.h"
#include "user/daemon/clients.h"
#include "user/daemon/log.h"

enum {
	CONNECTION_BYTES = 65536, /* of a connection, for MHD: a request's headers, a piece */
	PIECE_BYTES = 32768,
	IDLE_S = 10,
	LISTING_S = 600,
};

static const char JSON_TYPE[] = "application/json";
static const char LINES_TYPE[] = "application/x-ndjson";
static const char TSV_TYPE[] = "text/tab-separated-values; charset=utf-8";
static const char METRICS_TYPE[] = "text/plain; version=0.0.4; charset=utf-8";

/* Takes the reference of @r. */
static enum MHD_Result send_reply(struct MHD_Connection *http, unsigned int status,
				  const char *type, struct MHD_Response *r)
{
	enum MHD_Result ok;

	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET");
	ok = MHD_queue_response(http, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result reply(struct MHD_Connection *http, unsigned int status, const char *type,
			     char *body, size_t bytes)
{
	struct MHD_Response *r;

	if (!body)
		return MHD_NO; /* memory is short: the connection ends */
	r = MHD_create_response_from_buffer(bytes, body, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(body);
		return MHD_NO;
	}
	return send_reply(http, status, type, r);
}

enum MHD_Result mr_api_reply(struct MHD_Connection *http, unsigned int status, json_t *o)
{
	char *body = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return reply(http, status, JSON_TYPE, body, body ? strlen(body) : 0);
}

static enum MHD_Result reply_error(struct MHD_Connection *http, unsigned int status,
				   const char *words)
{
	return mr_api_reply(http, status, json_pack("{s:i, s:s}", "v", 1, "error", words));
}

/* A request's parameters on their way into a query. */
struct asked {
	const struct mr_child *c;
	struct mr_conns_query q;
	const char *wrong;
};

static enum MHD_Result take_parameter(void *arg, enum MHD_ValueKind kind, const char *name,
				      const char *value)
{
	struct asked *a = arg;

	(void)kind;
	a->wrong = mr_conns_query_set(a->c, &a->q, name, value ? value : "");
	return a->wrong ? MHD_NO : MHD_YES;
}

/* NULL, or what is wrong with the parameters of /v1/conns, or of live traces. */
static const char *parse_query(struct asked *a, struct MHD_Connection *http, bool traces)
{
	if (traces)
		mr_conns_query_traces(&a->q);
	else
		mr_conns_query_init(&a->q);
	MHD_get_connection_values(http, MHD_GET_ARGUMENT_KIND, take_parameter, a);
	if (a->wrong)
		return a->wrong;
	if (!a->q.limit_given && a->q.format != MR_CONNS_JSON)
		a->q.limit = UINT32_MAX;
	return a->q.has_id && a->q.lane == UINT32_MAX ? "id: give its lane, too" : NULL;
}

static ssize_t read_conns(void *arg, uint64_t at, char *out, size_t most)
{
	ssize_t n = mr_conns_walk_read(arg, out, most);

	(void)at;
	return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static void free_conns(void *arg)
{
	mr_conns_walk_free(arg);
}

/* In pieces: a million connections are no reason to hold a million rows. */
static enum MHD_Result stream_conns(struct mr_child *c, struct MHD_Connection *http, bool traces)
{
	struct asked a = { .c = c };
	const char *wrong = parse_query(&a, http, traces);
	struct mr_conns_walk *w;
	struct MHD_Response *r;

	if (wrong)
		return reply_error(http, MHD_HTTP_BAD_REQUEST, wrong);
	w = mr_conns_walk_new(c, &a.q);
	r = w ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES, read_conns, w,
						  free_conns)
	      : NULL;
	if (!r) {
		mr_conns_walk_free(w);
		return MHD_NO;
	}
	/* Whoever reads it page by page on a screen takes longer than a request may. */
	MHD_set_connection_option(http, MHD_CONNECTION_OPTION_TIMEOUT, LISTING_S);
	return send_reply(http, MHD_HTTP_OK,
			  a.q.format == MR_CONNS_TSV	? TSV_TYPE
			  : a.q.format == MR_CONNS_JSON ? JSON_TYPE
							: LINES_TYPE,
			  r);
}

static enum MHD_Result serve_conns(struct mr_child *c, struct MHD_Connection *http)
{
	return stream_conns(c, http, false);
}

static enum MHD_Result serve_metrics(struct mr_child *c, struct MHD_Connection *http)
{
	size_t bytes = 0;
	char *body = mr_metrics_text(c, &bytes);

	return reply(http, MHD_HTTP_OK, METRICS_TYPE, body, bytes);
}

/* What archived traces are asked for: the one of an id, or all; whether events are wanted. */
struct asked_traces {
	const char *id;
	bool events;
	const char *wrong;
};

static enum MHD_Result take_trace_parameter(void *arg, enum MHD_ValueKind kind, const char *name,
					    const char *value)
{
	struct asked_traces *a = arg;

	(void)kind;
	if (!strcmp(name, "id") && value)
		a->id = value;
	else if (!strcmp(name, "events") && value && !strcmp(value, "yes"))
		a->events = true;
	else
		a->wrong = "only live traces can be chosen by more than id; say live=yes, and see "
			   "docs/control-api.md";
	return a->wrong ? MHD_NO : MHD_YES;
}

static enum MHD_Result serve_traces(struct mr_child *c, struct MHD_Connection *http)
{
	struct asked_traces a = { 0 };
	size_t bytes = 0, n = 0;
	char *text;

	if (MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "live"))
		return stream_conns(c, http, true);
	MHD_get_connection_values(http, MHD_GET_ARGUMENT_KIND, take_trace_parameter, &a);
	if (a.wrong)
		return reply_error(http, MHD_HTTP_BAD_REQUEST, a.wrong);
	text = mr_json_traces(c, a.id, a.events, &bytes, &n);
	if (!a.id || !text || n)
		return reply(http, MHD_HTTP_OK, JSON_TYPE, text, bytes);
	free(text);
	return reply_error(http, MHD_HTTP_BAD_REQUEST,
			   "id: there is no such trace (any more); /v1/traces lists them");
}

static const struct {
	const char *path;
	json_t *(*body)(struct mr_child *c);
	enum MHD_Result (*serve)(struct mr_child *c, struct MHD_Connection *http);
} pages[] = {
	{ "/v1/status", mr_json_status, NULL },	    { "/v1/lanes", mr_json_lanes, NULL },
	{ "/v1/rules", mr_json_rules, NULL },	    { "/v1/stats", mr_json_stats, NULL },
	{ "/v1/config", mr_json_config, NULL },	    { "/v1/conns", NULL, serve_conns },
	{ "/v1/programs", mr_json_programs, NULL }, { "/v1/traces", NULL, serve_traces },
	{ "/v1/guard", mr_json_guard, NULL },	    { "/v1/guard/blocks", mr_json_blocks, NULL },
	{ "/metrics", NULL, serve_metrics },
};

/*
 * What changes something, and what is shown when it did; or who reads the body and answers. The
 * latter is called until the request is answered, as MHD calls it, and has a limit of its own.
 */
static const struct {
	const char *path;
	enum mr_post (*post)(struct mr_child *c, struct MHD_Connection *http, const char *url,
			     void **state, unsigned int *status, const char **words);
	json_t *(*body)(struct mr_child *c);
	enum MHD_Result (*serve)(struct mr_child *c, struct MHD_Connection *http, const char *data,
				 size_t *data_bytes, void **state);
} changes[] = {
	{ "/v1/programs/upgrade", mr_api_program_post, mr_json_programs, NULL },
	{ "/v1/programs/rollback", mr_api_program_post, mr_json_programs, NULL },
	{ "/v1/lanes/restart", mr_api_lane_post, mr_json_lanes, NULL },
	{ "/v1/lanes/drain", mr_api_drain_post, mr_json_lanes, NULL },
	{ "/v1/lanes/resume", mr_api_drain_post, mr_json_lanes, NULL },
	{ "/v1/rules", NULL, NULL, mr_change_serve },
	{ "/v1/guard", NULL, NULL, mr_change_serve_guard },
	{ "/v1/lanes/sent", NULL, NULL, mr_api_sent_post },
};

/*
 * Without a reader bodies are read past; parameters stand in the URL then. False: no page of this
 * kind has that name.
 */
static bool post(struct mr_child *c, struct MHD_Connection *http, const char *url, const char *data,
		 size_t *data_bytes, void **state, enum MHD_Result *answered)
{
	static char begun;
	const char *words = NULL;
	unsigned int status = MHD_HTTP_OK;
	size_t i = 0;

	while (i < sizeof(changes) / sizeof(changes[0]) && strcmp(changes[i].path, url))
		i++;
	if (i == sizeof(changes) / sizeof(changes[0]))
		return false;
	if (changes[i].serve) {
		if (*state && !*data_bytes)
			mr_client_asked(mr_client_of(http)); /* it is whole */
		*answered = changes[i].serve(c, http, data, data_bytes, state);
		return true;
	}
	*answered = MHD_YES;
	if (!*state || *data_bytes) {
		*state = &begun;
		*data_bytes = 0;
		return true;
	}
	mr_client_asked(mr_client_of(http));
	if (changes[i].post(c, http, url, state, &status, &words) == MR_POST_WAITS)
		return true;
	*answered = words ? reply_error(http, status, words)
			  : mr_api_reply(http, status, changes[i].body(c));
	return true;
}

enum MHD_Result mr_api_request(void *arg, struct MHD_Connection *http, const char *url,
			       const char *method, const char *version, const char *data,
			       size_t *data_bytes, void **state)
{
	struct mr_client *client = mr_client_of(http);
	struct mr_child *c = arg;
	enum MHD_Result answered;

	(void)version;
	if (!client)
		return MHD_NO; /* it is being turned away */
	/* Before anything that changes anything, and before a body is read. */
	if (strcmp(method, MHD_HTTP_METHOD_GET) && !client->writes)
		return reply_error(http, MHD_HTTP_FORBIDDEN,
				   "only root and the daemon's group may do more than GET, on the "
				   "control socket; see the user of millraced.yaml(5)");
	if (!strcmp(method, MHD_HTTP_METHOD_POST) &&
	    post(c, http, url, data, data_bytes, state, &answered))
		return answered;
	mr_client_asked(client);
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
		return mr_api_reply(http, MHD_HTTP_OK, pages[i].body(c));
	}
	return reply_error(
		http, MHD_HTTP_NOT_FOUND,
		"no such page; there are /v1/status, lanes, rules, conns, traces, stats, config, "
		"programs, guard and /metrics");
}

static void api_ready(struct mr_child *c, struct mr_watch *w)
{
	(void)w;
	MHD_run(c->http);
}

/* What a request had, whichever handler it belonged to. */
static void completed(void *arg, struct MHD_Connection *http, void **state,
		      enum MHD_RequestTerminationCode how)
{
	struct mr_child *c = arg;

	mr_change_completed(c, *state);
	mr_api_wait_completed(&c->restart.wait, http);
	mr_api_wait_completed(&c->program_wait, http);
	mr_clients_completed(&c->clients, http, state, how);
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

	mr_clients_init(&c->clients, c->d->settings.gid);
	c->http = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		mr_api_request, c, MHD_OPTION_EXTERNAL_LOGGER, log_nothing, NULL,
		MHD_OPTION_LISTEN_SOCKET, c->d->control, MHD_OPTION_CONNECTION_LIMIT,
		MR_CLIENTS_MOST, MHD_OPTION_NOTIFY_CONNECTION, mr_clients_connection, &c->clients,
		MHD_OPTION_NOTIFY_COMPLETED, completed, c, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
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
	/* MHD ends the process if it still has connections that wait. */
	mr_change_abandon(c);
	mr_api_restart_abandon(c);
	mr_api_program_abandon(c);
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

	mr_clients_tick(&c->clients, mr_now_ns());
	if (MHD_get_timeout(c->http, &ms) == MHD_YES && ms == 0)
		MHD_run(c->http);
}
