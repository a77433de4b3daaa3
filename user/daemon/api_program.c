/* SPDX-License-Identifier: MIT */
/*
 * GET /v1/programs, and the two changes: upgrade and rollback. The parent does them; the client's
 * connection is suspended until it has answered, so that everybody else is served meanwhile.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "user/daemon/api.h"

static const char *const sections[MR_PROGRAM_SECTIONS] = { "xdp", "xdp.frags" };
static const char *const names[MR_PROGRAM_SECTIONS] = { "mr_xdp", "mr_xdp_frags" };

/* ----- GET ----- */

static json_t *interfaces(const struct mr_child *c, uint32_t id)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < c->d->n_links; i++)
		if (c->d->links[i].program_id == id)
			json_array_append_new(a, json_string(c->d->links[i].name));
	return a;
}

static void add(json_t *list, const struct mr_child *c, const struct mr_program_facts *f,
		const char *role)
{
	time_t loaded = (time_t)f->loaded;
	char when[32] = "";
	struct tm tm;

	if (loaded && gmtime_r(&loaded, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	for (int i = 0; f->there && i < MR_PROGRAM_SECTIONS; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:o, s:o}",
						"role", role, "name", names[i], "section",
						sections[i], "id", (json_int_t)f->id[i], "tag",
						f->tag[i], "object", f->path, "loaded", when, "abi",
						f->major ? json_sprintf("%u.%u", f->major, f->minor)
							 : json_null(),
						"interfaces", interfaces(c, f->id[i])));
}

static bool is_known(const struct mr_programs_shown *p, uint32_t id)
{
	for (int i = 0; i < MR_PROGRAM_SECTIONS; i++)
		if (p->current.id[i] == id || p->previous.id[i] == id)
			return true;
	return false;
}

/* Those that the operator attached, and that were adopted. */
static void add_adopted(json_t *list, const struct mr_child *c, const struct mr_programs_shown *p)
{
	for (uint32_t i = 0; i < c->d->n_links; i++) {
		const struct mr_link *l = &c->d->links[i];

		if (l->program_id && !is_known(p, l->program_id))
			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:s, s:I, s:n, s:n, s:n, s:n, s:[s]}", "role",
					  "adopted", "name", names[l->section], "section",
					  sections[l->section], "id", (json_int_t)l->program_id,
					  "tag", "object", "loaded", "abi", "interfaces", l->name));
	}
}

json_t *mr_json_programs(struct mr_child *c)
{
	const struct mr_programs_shown *p = c->d->programs;
	json_t *list = json_array();

	if (p) {
		add(list, c, &p->current, "current");
		add(list, c, &p->previous, "previous");
		add_adopted(list, c, p);
	}
	return json_pack("{s:i, s:I, s:o}", "v", 1, "exchanges", (json_int_t)(p ? p->exchanges : 0),
			 "programs", list);
}

/* ----- POST ----- */

/* What is wrong with the request, with its status; NULL: it was sent to the parent. */
static const char *ask(struct mr_child *c, struct MHD_Connection *http, bool upgrade,
		       unsigned int *status)
{
	struct mr_request q = { .type = upgrade ? MR_REQUEST_UPGRADE : MR_REQUEST_ROLLBACK };
	const char *path = MHD_lookup_connection_value(http, MHD_GET_ARGUMENT_KIND, "object");

	*status = MHD_HTTP_FORBIDDEN;
	if (mr_client_of(http)->uid != 0)
		return "only root may exchange the XDP program";
	*status = MHD_HTTP_SERVICE_UNAVAILABLE;
	if (c->program_wait.http)
		return "the XDP program is being exchanged already; try again";
	*status = MHD_HTTP_BAD_REQUEST;
	if (path && (path[0] != '/' || strlen(path) >= sizeof(q.words)))
		return "object: give the whole path of a file, of at most 255 bytes";
	snprintf(q.words, sizeof(q.words), "%s", path ? path : "");
	mr_child_ask(c, &q);
	return NULL;
}

static bool is_upgrade(const char *url)
{
	return !strcmp(url, "/v1/programs/upgrade");
}

enum mr_post mr_api_program_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
				 void **state, unsigned int *status, const char **words)
{
	static char waiting;

	if (*state == &waiting) {
		mr_api_wait_take(&c->program_wait, http, status, words);
		return MR_POST_ANSWER;
	}
	*words = ask(c, http, is_upgrade(url), status);
	if (*words)
		return MR_POST_ANSWER;
	*state = &waiting;
	mr_api_wait_begin(&c->program_wait, http);
	return MR_POST_WAITS;
}

void mr_api_program_note(struct mr_child *c, const struct mr_note *n)
{
	const struct mr_programs_shown *p = c->d->programs;

	for (uint32_t i = 0; !n->error && i < c->d->n_links; i++)
		if (c->d->links[i].program_id)
			c->d->links[i].program_id = p->current.id[c->d->links[i].section];
	mr_api_wait_end(c, &c->program_wait, n->error ? MHD_HTTP_CONFLICT : MHD_HTTP_OK, n->words);
}

void mr_api_program_abandon(struct mr_child *c)
{
	mr_api_wait_end(c, &c->program_wait, MHD_HTTP_CONFLICT,
			"the control process ends; see millrace prog list");
}
