/* SPDX-License-Identifier: MIT */
/* POST /v1/config/reload: the parent reads the file again; the client waits for what comes of it.
 */
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

#include "user/daemon/api.h"
#include "user/daemon/reload.h"

enum mr_post mr_api_reload_post(struct mr_child *c, struct MHD_Connection *http, const char *url,
				void **state, unsigned int *status, const char **words)
{
	static char waiting;
	struct mr_request q = { .type = MR_REQUEST_RELOAD };

	(void)url;
	if (*state == &waiting) {
		mr_api_wait_take(&c->reload_wait, http, status, words);
		return MR_POST_ANSWER;
	}
	if (c->reload_wait.http) {
		*status = MHD_HTTP_SERVICE_UNAVAILABLE;
		*words = "the configuration is being read already; try again";
		return MR_POST_ANSWER;
	}
	*state = &waiting;
	mr_api_wait_begin(&c->reload_wait, http);
	mr_child_ask(c, &q);
	return MR_POST_WAITS;
}

void mr_api_reload_note(struct mr_child *c, const struct mr_note *n)
{
	mr_api_wait_end(c, &c->reload_wait, n->error ? MHD_HTTP_CONFLICT : MHD_HTTP_OK,
			n->error ? c->d->reload_shown->error : "");
}

void mr_api_reload_abandon(struct mr_child *c)
{
	mr_api_wait_end(c, &c->reload_wait, MHD_HTTP_SERVICE_UNAVAILABLE,
			"the control process ends before the outcome is known; see the log");
}

/* "a, b" as a list. */
static json_t *list_of(const char *words)
{
	json_t *a = json_array();

	while (words[0]) {
		size_t n = strcspn(words, ",");

		json_array_append_new(a, json_stringn(words, n));
		words += n;
		words += strspn(words, ", ");
	}
	return a;
}

json_t *mr_json_reload(struct mr_child *c)
{
	const struct mr_reload_shown *s = c->d->reload_shown;

	return json_pack("{s:i, s:s, s:i, s:o, s:o}", "v", 1, "file", c->d->settings.file, "rules",
			 (int)s->rules, "left", list_of(s->left), "dropped", list_of(s->dropped));
}
