/* SPDX-License-Identifier: MIT */
#include "user/daemon/web.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "user/daemon/api.h"

enum {
	CONNECTION_BYTES = 65536,
	IDLE_S = 30,
	NONCE_BYTES = 16,
	NONCE_CHARS = 2 * NONCE_BYTES,
};

/* What the page has where each answer has a number used once: its own script and style carry it. */
static const char nonce_mark[] = "00000000000000000000000000000000";

/* The page, as it stands in the source: one file, nothing from elsewhere. */
__asm__(".pushsection .rodata\n"
	"mr_web_page:\n"
	".incbin \"user/daemon/web.html\"\n"
	".byte 0\n"
	".popsection\n");
extern const char mr_web_page[];

static enum MHD_Result reply_words(struct MHD_Connection *http, unsigned int status,
				   const char *words)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(words), (void *)words,
								 MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET");
	ok = MHD_queue_response(http, status, r);
	MHD_destroy_response(r);
	return ok;
}

/* A page whose nonce is new: what somebody managed to write into it would not run. */
static char *page_with_nonce(char nonce[NONCE_CHARS + 1])
{
	size_t bytes = strlen(mr_web_page);
	uint8_t secret[NONCE_BYTES];
	char *page = malloc(bytes + 1), *at;

	if (!page || getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret)) {
		free(page);
		return NULL;
	}
	for (int i = 0; i < NONCE_BYTES; i++)
		snprintf(nonce + 2 * i, 3, "%02x", secret[i]);
	memcpy(page, mr_web_page, bytes);
	page[bytes] = '\0';
	for (at = page; (at = strstr(at, nonce_mark)); at += NONCE_CHARS)
		memcpy(at, nonce, NONCE_CHARS);
	return page;
}

static enum MHD_Result serve_page(struct MHD_Connection *http)
{
	char nonce[NONCE_CHARS + 1], policy[256];
	char *page = page_with_nonce(nonce);
	struct MHD_Response *r;
	enum MHD_Result ok;

	r = page ? MHD_create_response_from_buffer(strlen(page), page, MHD_RESPMEM_MUST_FREE)
		 : NULL;
	if (!r) {
		free(page);
		return MHD_NO;
	}
	snprintf(policy, sizeof(policy),
		 "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
		 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		 nonce, nonce);
	MHD_add_response_header(r, "Content-Type", "text/html; charset=utf-8");
	MHD_add_response_header(r, "Content-Security-Policy", policy);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	ok = MHD_queue_response(http, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return ok;
}

/*
 * The name under which the browser thinks to speak to us. Any other one is a page of another site
 * whose name leads to 127.0.0.1 (DNS rebinding): to the browser, it would be of our own origin.
 */
static bool is_our_name(const char *host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; host && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i]);

		if (!strncasecmp(host, names[i], n) && (!host[n] || host[n] == ':'))
			return true;
	}
	return false;
}

static bool is_configured_name(const struct mr_child *c, const char *host)
{
	return host && !strcmp(host, c->d->settings.http); /* 127.0.0.5:9270 */
}

static enum MHD_Result request(void *arg, struct MHD_Connection *http, const char *url,
			       const char *method, const char *version, const char *data,
			       size_t *data_bytes, void **state)
{
	struct mr_child *c = arg;
	const char *host = MHD_lookup_connection_value(http, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

	if (!mr_client_of(http))
		return MHD_NO; /* it is being turned away */
	mr_client_asked(mr_client_of(http));
	if (strcmp(method, MHD_HTTP_METHOD_GET)) {
		if (*data_bytes) {
			*data_bytes = 0;
			return MHD_YES;
		}
		return reply_words(http, MHD_HTTP_METHOD_NOT_ALLOWED,
				   "here everybody reads and nobody changes; use the control "
				   "socket\n");
	}
	if (!is_our_name(host) && !is_configured_name(c, host))
		return reply_words(http, MHD_HTTP_FORBIDDEN,
				   "ask for 127.0.0.1, [::1] or localhost\n");
	if (!strcmp(url, "/"))
		return serve_page(http);
	return mr_api_request(c, http, url, method, version, data, data_bytes, state);
}

static void web_ready(struct mr_child *c, struct mr_watch *w)
{
	(void)w;
	MHD_run(c->web_http);
}

static void log_nothing(void *arg, const char *fmt, va_list args)
{
	(void)arg;
	(void)fmt;
	(void)args; /* a browser's mistakes are its own affair */
}

int mr_web_open(struct mr_child *c)
{
	const union MHD_DaemonInfo *info;

	if (c->d->http < 0)
		return 0;
	mr_clients_init(&c->web_clients, c->d->settings.gid);
	c->web_http = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, request, c,
		MHD_OPTION_EXTERNAL_LOGGER, log_nothing, NULL, MHD_OPTION_LISTEN_SOCKET, c->d->http,
		MHD_OPTION_CONNECTION_LIMIT, MR_CLIENTS_MOST, MHD_OPTION_NOTIFY_CONNECTION,
		mr_clients_connection, &c->web_clients, MHD_OPTION_NOTIFY_COMPLETED,
		mr_clients_completed, NULL, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
	if (!c->web_http)
		return -ENOMEM;
	info = MHD_get_daemon_info(c->web_http, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EINVAL;
	c->web = (struct mr_watch){ info->epoll_fd, web_ready };
	return mr_child_watch(c, &c->web);
}

void mr_web_close(struct mr_child *c)
{
	if (!c->web_http)
		return;
	mr_child_unwatch(c, &c->web);
	MHD_quiesce_daemon(c->web_http);
	MHD_stop_daemon(c->web_http);
}

int mr_web_timeout(struct mr_child *c, int most)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (c->web_http && MHD_get_timeout(c->web_http, &ms) == MHD_YES &&
	    ms < (MHD_UNSIGNED_LONG_LONG)most)
		return (int)ms;
	return most;
}

void mr_web_turn(struct mr_child *c)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (!c->web_http)
		return;
	mr_clients_tick(&c->web_clients, mr_now_ns());
	if (MHD_get_timeout(c->web_http, &ms) == MHD_YES && ms == 0)
		MHD_run(c->web_http);
}
