/* SPDX-License-Identifier: MIT */
/* The control API (docs/control-api.md): HTTP on a Unix socket, in the child's own loop. */
#ifndef MR_DAEMON_API_H
#define MR_DAEMON_API_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdint.h>

#include "user/daemon/child.h"
#include "user/daemon/conns.h"

/** mr_api_open() - serve the socket that the parent made; 0 or -errno */
int mr_api_open(struct mr_child *c);

/** mr_api_close() - the socket stays the parent's */
void mr_api_close(struct mr_child *c);

/** mr_api_timeout() - milliseconds until HTTP wants its turn, at most @most */
int mr_api_timeout(struct mr_child *c, int most);

/** mr_api_request() - one request, as libmicrohttpd gives it to its handler; @arg: struct mr_child
 */
enum MHD_Result mr_api_request(void *arg, struct MHD_Connection *http, const char *url,
			       const char *method, const char *version, const char *data,
			       size_t *data_bytes, void **state);

/** mr_api_turn() - connections that timed out */
void mr_api_turn(struct mr_child *c);

/* Bodies. Each returns a new object, or NULL when memory is short. */
json_t *mr_json_status(struct mr_child *c);
json_t *mr_json_lanes(struct mr_child *c);
json_t *mr_json_rules(struct mr_child *c);
json_t *mr_json_stats(struct mr_child *c);
json_t *mr_json_config(struct mr_child *c);
json_t *mr_json_programs(struct mr_child *c);
json_t *mr_json_guard(struct mr_child *c);
json_t *mr_json_blocks(struct mr_child *c);

/** mr_api_sent_post() - POST /v1/lanes/sent (sent.c): asked once, answers itself */
enum MHD_Result mr_api_sent_post(struct mr_child *c, struct MHD_Connection *http, const char *data,
				 size_t *data_bytes, void **state);

/** mr_guard_stat_name(), mr_guard_stat_words(): of the guard's counters */
const char *mr_guard_stat_name(enum mr_guard_stat s);
const char *mr_guard_stat_words(enum mr_guard_stat s);

/**
 * mr_json_traces() - archived traces
 * @id:		the one that is wanted, with its events; NULL: all, with @events with theirs
 * @bytes:	out: of the text; @n: out: how many traces
 *
 * Return: JSON text, to be freed, or NULL when memory is short
 */
char *mr_json_traces(struct mr_child *c, const char *id, bool events, size_t *bytes, size_t *n);

/** mr_metrics_text() - Prometheus text format, to be freed, or NULL */
char *mr_metrics_text(struct mr_child *c, size_t *bytes);

/* ----- changes: api_program.c ----- */

enum mr_post {
	MR_POST_WAITS, /* it is called again when there is an answer */
	MR_POST_ANSWER,
};

/**
 * mr_api_program_post() - POST /v1/programs/upgrade, /v1/programs/rollback
 * @state:	of this request, MHD's
 * @status:	out: HTTP status of the answer
 * @words:	out: NULL, or what is wrong
 */
enum mr_post mr_api_program_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
				 void **state, unsigned int *status, const char **words);

/** mr_api_program_note() - the parent's answer to it; mr_api_program_abandon() - none will come */
void mr_api_program_note(struct mr_child *c, const struct mr_note *n);
void mr_api_program_abandon(struct mr_child *c);

/* ----- lane restart: api_lane.c ----- */

/** mr_api_lane_post() - POST /v1/lanes/restart; as mr_api_program_post() */
enum mr_post mr_api_lane_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
			      void **state, unsigned int *status, const char **words);

/** mr_api_restart_probed() - the parent has asked the program; mr_api_restart_ready() - a worker
 * serves; mr_api_restart_tick() - time goes on; mr_api_restart_abandon() - the child ends */
void mr_api_restart_probed(struct mr_child *c, const struct mr_note *n);
void mr_api_restart_ready(struct mr_child *c, uint32_t lane);
void mr_api_restart_tick(struct mr_child *c, uint64_t now);
void mr_api_restart_abandon(struct mr_child *c);

/** mr_api_lane_named() - by INTERFACE:QUEUE; NULL, or what is wrong, @lane unchanged */
const char *mr_api_lane_named(const struct mr_child *c, const char *text, uint32_t *lane);

/** mr_api_drain_post() - POST /v1/lanes/drain, /v1/lanes/resume (drain.c); as mr_api_program_post()
 */
enum mr_post mr_api_drain_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
			       void **state, unsigned int *status, const char **words);

/** mr_api_number() - a decimal number from @lo to @hi, and nothing else */
bool mr_api_number(const char *text, uint32_t lo, uint32_t hi, uint32_t *out);

/* ----- the configuration, read again: api_reload.c ----- */

/** mr_api_reload_post() - POST /v1/config/reload; as mr_api_program_post() */
enum mr_post mr_api_reload_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
				void **state, unsigned int *status, const char **words);

/** mr_api_reload_note() - the parent's answer to it; mr_api_reload_abandon() - none will come */
void mr_api_reload_note(struct mr_child *c, const struct mr_note *n);
void mr_api_reload_abandon(struct mr_child *c);

/** mr_json_reload() - what came of it, when it is in force */
json_t *mr_json_reload(struct mr_child *c);

/* ----- what several bodies need: facts.c ----- */

/** mr_address_text() is in daemon.h */

/** mr_lane_stats_read() - a copy of a lane's counters */
void mr_lane_stats_read(const struct mr_child *c, uint32_t lane, struct mr_lane_stats *out);

/** mr_lane_state_text() - "starting", "serving", "stale", "draining", "drained", ... */
const char *mr_lane_state_text(const struct mr_child *c, uint32_t lane);

/** mr_link_text() - "up", "down", "gone", "renamed" (and up) */
const char *mr_link_text(const struct mr_link *k);

/** mr_lane_beat() - "fresh", "stale", "gone" or "none"; @age_ns out, with the first three */
const char *mr_lane_beat(const struct mr_child *c, uint32_t lane, uint64_t *age_ns);

/** mr_lane_attach_text(), mr_lane_bind_text(): the modes obtained */
const char *mr_link_attach_text(const struct mr_link *k);
const char *mr_lane_bind_text(const struct mr_lane *l);

/** mr_lane_why() - why not a better mode, of attaching or binding, or "" */
const char *mr_lane_why(const struct mr_child *c, uint32_t lane);

/** mr_ports_text() - "61000-64999" or "" */
const char *mr_ports_text(uint16_t lo, uint16_t hi, char out[16]);

/** mr_lower() - a copy in lower case, in a buffer that the next call uses again */
const char *mr_lower(const char *name);

#endif
