/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "user/cli/check.h"
#include "user/cli/client.h"
#include "user/cli/value.h"

/* Name and index may be the same in another network namespace, the MAC is not. */
static bool is_this_one(const struct mr_check *c, const json_t *interface)
{
	const char *mac = json_string_value(json_object_get(interface, "mac"));

	return mr_value_count(json_object_get(interface, "ifindex")) == c->link.ifindex &&
	       mr_value_is(json_object_get(interface, "name"), c->link.name) &&
	       (!mac || !strcasecmp(mac, c->link.mac));
}

void mr_check_daemon_ask(struct mr_check *c)
{
	char why[MR_CLIENT_WORDS];
	const json_t *interface;
	size_t i;

	c->daemon_error = mr_client_try(c->cli, "/v1/status", &c->daemon_status, why);
	json_array_foreach(json_object_get(c->daemon_status, "interfaces"), i, interface)
	{
		if (is_this_one(c, interface))
			c->served = interface;
	}
}

static void check_attach(struct mr_check *c)
{
	const json_t *attach = json_object_get(c->served, "attach");
	const char *why = json_string_value(json_object_get(c->served, "attach_why"));
	char mode[MR_VALUE_BYTES], section[MR_VALUE_BYTES], by[MR_VALUE_BYTES];
	bool is_best = mr_value_is(attach, "native");

	mr_check_fact(c, is_best ? MR_CHECK_OK : MR_CHECK_WARN, "attached", why,
		      "%s, section %s, by %s", mr_value_text(attach, mode),
		      mr_value_text_at(c->served, "section", section),
		      mr_value_text_at(c->served, "attach_by", by));
}

static void check_lane(struct mr_check *c, const json_t *lane)
{
	const json_t *state = json_object_get(lane, "state");
	const char *why = json_string_value(json_object_get(lane, "why"));
	char queue[MR_VALUE_BYTES], words[MR_VALUE_BYTES], attach[MR_VALUE_BYTES];
	char bind[MR_VALUE_BYTES], fact[MR_VALUE_BYTES];
	bool serves = mr_value_is(state, "serving");

	snprintf(fact, sizeof(fact), "lane %.64s", mr_value_text_at(lane, "queue", queue));
	mr_check_fact(c, serves ? MR_CHECK_OK : MR_CHECK_FAIL, fact, why, "%s, %s, %s",
		      mr_value_text(state, words), mr_value_text_at(lane, "attach", attach),
		      mr_value_text_at(lane, "bind", bind));
}

static void check_lanes(struct mr_check *c)
{
	char why[MR_CLIENT_WORDS];
	const json_t *lane;
	json_t *answer;
	size_t i;

	if (mr_client_try(c->cli, "/v1/lanes", &answer, why) < 0) {
		mr_check_fact(c, MR_CHECK_WARN, "lanes", NULL, "%s", why);
		return;
	}
	json_array_foreach(json_object_get(answer, "lanes"), i, lane)
	{
		if (mr_value_is(json_object_get(lane, "interface"), c->link.name))
			check_lane(c, lane);
	}
	json_decref(answer);
}

/* "mrs0 queue 1: lane restarts": those about this interface. */
static void check_problems(struct mr_check *c)
{
	size_t len = strlen(c->link.name), i;
	const json_t *problem;

	json_array_foreach(json_object_get(c->daemon_status, "problems"), i, problem)
	{
		const char *s = json_string_value(problem);

		if (s && !strncmp(s, c->link.name, len) && (s[len] == ' ' || s[len] == ':'))
			mr_check_fact(c, MR_CHECK_WARN, "problem", NULL, "%s", s);
	}
}

/* Nobody there is no fault: check is for before the start, too, unless a socket was named. */
static void no_daemon(struct mr_check *c)
{
	bool is_absent = c->daemon_error == -ENOENT || c->daemon_error == -ECONNREFUSED;
	enum mr_check_level level = is_absent && !c->cli->socket_given ? MR_CHECK_OK
								       : MR_CHECK_WARN;
	char why[MR_CLIENT_WORDS];
	json_t *answer;

	if (mr_client_try(c->cli, "/v1/status", &answer, why) < 0)
		mr_check_fact(c, level, "millraced", NULL, "%s", is_absent ? "not running" : why);
	json_decref(answer);
}

void mr_check_daemon(struct mr_check *c)
{
	char state[MR_VALUE_BYTES], version[MR_VALUE_BYTES], pid[MR_VALUE_BYTES];

	if (c->daemon_error) {
		no_daemon(c);
		return;
	}
	mr_check_fact(c, MR_CHECK_OK, "millraced", NULL, "%s, version %s, pid %s%s",
		      mr_value_text_at(c->daemon_status, "state", state),
		      mr_value_text_at(c->daemon_status, "version", version),
		      mr_value_text_at(c->daemon_status, "pid", pid),
		      c->served ? "" : ": does not serve this interface");
	if (!c->served)
		return;
	check_attach(c);
	check_lanes(c);
	check_problems(c);
}
