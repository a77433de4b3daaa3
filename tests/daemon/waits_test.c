/* SPDX-License-Identifier: MIT */
/* Clients that wait for the same kind of change at once: each gets its own outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/api.h"
#include "user/daemon/changes.h"

static struct mr_daemon d;
static struct mr_child c;
static struct mr_client root;
static char places[2]; /* of connections */
static unsigned int asked, suspended, resumed, status;
static char said[MR_CONFIG_ERROR_BYTES];

/* ----- instead of connections and of the parent ----- */

void __wrap_MHD_suspend_connection(struct MHD_Connection *http);
void __wrap_MHD_resume_connection(struct MHD_Connection *http);
enum MHD_Result __wrap_MHD_run(struct MHD_Daemon *http);
const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *http, enum MHD_ValueKind kind,
					       const char *key);
struct mr_client *__wrap_mr_client_of(struct MHD_Connection *http);
void __wrap_mr_child_ask(struct mr_child *child, const struct mr_request *q);
enum MHD_Result __wrap_mr_api_reply(struct MHD_Connection *http, unsigned int how, json_t *o);

void __wrap_MHD_suspend_connection(struct MHD_Connection *http)
{
	(void)http;
	suspended++;
}

void __wrap_MHD_resume_connection(struct MHD_Connection *http)
{
	(void)http;
	resumed++;
}

/* What MHD does later: another client's request may come first. */
enum MHD_Result __wrap_MHD_run(struct MHD_Daemon *http)
{
	(void)http;
	return MHD_YES;
}

const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *http, enum MHD_ValueKind kind,
					       const char *key)
{
	(void)http, (void)kind, (void)key;
	return NULL;
}

struct mr_client *__wrap_mr_client_of(struct MHD_Connection *http)
{
	(void)http;
	return &root;
}

void __wrap_mr_child_ask(struct mr_child *child, const struct mr_request *q)
{
	(void)child, (void)q;
	asked++;
}

enum MHD_Result __wrap_mr_api_reply(struct MHD_Connection *http, unsigned int how, json_t *o)
{
	const char *error = json_string_value(json_object_get(o, "error"));

	(void)http;
	status = how;
	strncpy(said, error ? error : "", sizeof(said) - 1);
	json_decref(o);
	return MHD_YES;
}

/* ----- what is tested ----- */

static struct MHD_Connection *client(int i)
{
	return (struct MHD_Connection *)(void *)&places[i];
}

static int set_up(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	c.d = &d;
	asked = suspended = resumed = 0;
	return 0;
}

/* One call of the handler: 0 when the client waits, else the status. */
static unsigned int call(int i, void **state, const char **words)
{
	unsigned int how = 200;

	*words = NULL;
	return mr_api_program_post(&c, client(i), "/v1/programs/upgrade", state, &how, words) ==
			       MR_POST_WAITS
		       ? 0
		       : how;
}

static void an_outcome_is_of_who_asked(void **state)
{
	struct mr_note refused = { .error = -22, .words = "no such file" }, done = { 0 };
	void *first = NULL, *second = NULL;
	const char *words;

	(void)state;
	assert_int_equal(call(0, &first, &words), 0);
	mr_api_program_note(&c, &refused);
	/* its handler has not been called again yet */
	assert_int_equal(call(1, &second, &words), 503);
	assert_string_equal(words, "the XDP program is being exchanged already; try again");
	assert_int_equal(call(0, &first, &words), 409);
	assert_string_equal(words, "no such file");
	assert_int_equal(call(1, &second, &words), 0);
	mr_api_program_note(&c, &done);
	assert_int_equal(call(1, &second, &words), 200);
	assert_null(words);
	assert_int_equal(asked, 2);
	assert_int_equal(suspended, 2);
	assert_int_equal(resumed, 2);
}

static void who_went_away_keeps_nobody_waiting(void **state)
{
	struct mr_note done = { 0 };
	void *first = NULL, *second = NULL;
	const char *words;

	(void)state;
	assert_int_equal(call(0, &first, &words), 0);
	mr_api_program_note(&c, &done);
	mr_api_wait_completed(&c.program_wait, client(1)); /* another's request ends */
	assert_int_equal(call(1, &second, &words), 503);
	mr_api_wait_completed(&c.program_wait, client(0));
	assert_int_equal(call(1, &second, &words), 0);
	mr_api_program_note(&c, &done);
	mr_api_program_note(&c, &done); /* that nobody waits for */
	assert_int_equal(call(1, &second, &words), 200);
	assert_int_equal(resumed, 2);
}

/* The parent may have been asked, and do it behind our end: nothing else is said. */
static void the_end_of_the_control_process_is_no_outcome(void **state)
{
	static const struct mr_change_kind kind = { .what = "rules" };
	struct mr_change g = { .kind = &kind, .http = client(0), .stage = MR_CHANGE_ASKED };
	void *its = &g;
	size_t none = 0;

	(void)state;
	c.change = &g;
	mr_change_abandon(&c);
	assert_null(c.change);
	assert_int_equal(resumed, 1);
	assert_int_equal(mr_change_serve(&c, client(0), NULL, &none, &its), MHD_YES);
	assert_int_equal(status, 503);
	assert_non_null(strstr(said, "before the outcome is known"));
	assert_null(strstr(said, "nothing has changed"));
	mr_change_abandon(&c);
	assert_int_equal(resumed, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_outcome_is_of_who_asked, set_up),
		cmocka_unit_test_setup(who_went_away_keeps_nobody_waiting, set_up),
		cmocka_unit_test_setup(the_end_of_the_control_process_is_no_outcome, set_up),
	};

	return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
