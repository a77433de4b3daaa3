/* SPDX-License-Identifier: MIT */
#include "user/daemon/api_wait.h"

#include <microhttpd.h>
#include <stdio.h>
#include <sys/socket.h>

#include "user/daemon/child.h"

void mr_api_wait_begin(struct mr_api_wait *w, struct MHD_Connection *http)
{
	*w = (struct mr_api_wait){ .http = http };
	MHD_suspend_connection(http);
}

bool mr_api_wait_pending(const struct mr_api_wait *w)
{
	return w->http && !w->done;
}

void mr_api_wait_end(struct mr_child *c, struct mr_api_wait *w, unsigned int status,
		     const char *words)
{
	if (!mr_api_wait_pending(w))
		return;
	w->done = true;
	w->status = status;
	snprintf(w->words, sizeof(w->words), "%s", words);
	MHD_resume_connection(w->http);
	MHD_run(c->http); /* its descriptor does not say that somebody goes on */
}

void mr_api_wait_take(struct mr_api_wait *w, const struct MHD_Connection *http,
		      unsigned int *status, const char **words)
{
	*status = MHD_HTTP_SERVICE_UNAVAILABLE;
	*words = "the answer was lost; look what is in force";
	if (w->http != http || !w->done)
		return;
	*status = w->status;
	*words = w->status == MHD_HTTP_OK ? NULL : w->words;
	w->http = NULL;
}

void mr_api_wait_completed(struct mr_api_wait *w, const struct MHD_Connection *http)
{
	if (w->http == http)
		w->http = NULL;
}
