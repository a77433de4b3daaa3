/* SPDX-License-Identifier: MIT */
/*
 * The control API over its real socket: a request line of the input's making, or bytes that are no
 * HTTP at all, in two pieces. Whatever answer comes is whole, and what calls itself JSON is JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/control.h"
#include "tests/fuzz/fuzz.h"
#include "user/daemon/api.h"

enum {
	ANSWER_MAX = 1 << 20,
	TURNS_MAX = 100,
	URL_MAX = 400,
};

static struct control *k;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_len;

static void start(void)
{
	k = malloc(sizeof(*k));
	FUZZ_CHECK(k);
	control_init(k);
	k->d.control = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* bound to a name of the kernel's choice: several may run at a time */
	FUZZ_CHECK(!bind(k->d.control, (struct sockaddr *)&address, sizeof(sa_family_t)));
	address_len = sizeof(address);
	FUZZ_CHECK(!getsockname(k->d.control, (struct sockaddr *)&address, &address_len));
	FUZZ_CHECK(!listen(k->d.control, 8));
	k->c.epoll = epoll_create1(EPOLL_CLOEXEC);
	FUZZ_CHECK(k->c.epoll >= 0);
	FUZZ_CHECK(!mr_api_open(&k->c));
	/* a few connections to be listed */
	for (uint32_t i = 0; i < 5; i++) {
		struct mr_conn *c = mr_arena_area(&k->arena[i % 2], MR_AREA_CONNS, NULL);

		c[i].state = (uint8_t)(MR_ESTABLISHED + i);
		c[i].local_port = mr_to_be16(7000);
		c[i].rule = 1;
	}
}

static void turns(unsigned int n)
{
	while (n--) {
		k->c.api.ready(&k->c, &k->c.api);
		mr_api_turn(&k->c);
	}
}

static size_t read_all(int fd, char *out)
{
	size_t n = 0;

	for (int i = 0; i < TURNS_MAX; i++) {
		ssize_t got = recv(fd, out + n, ANSWER_MAX - n, MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		n += got > 0 ? (size_t)got : 0;
		turns(1);
	}
	out[n] = '\0';
	return n;
}

static void check_answer(const char *text, size_t n, bool is_get)
{
	const char *body = strstr(text, "\r\n\r\n");
	json_error_t error;
	json_t *o;

	if (!n) {
		FUZZ_CHECK(!is_get);
		return;
	}
	FUZZ_CHECK(!strncmp(text, "HTTP/1.", 7) && body);
	if (!strstr(text, "Content-Type: application/json") ||
	    strstr(text, "Transfer-Encoding: chunked"))
		return; /* of a listing in pieces, arena_fuzz reads the JSON */
	body += 4;
	if (strlen(body) == 0 || strstr(body, "HTTP/1."))
		return; /* to HEAD; several answers one behind the other */
	o = json_loads(body, JSON_REJECT_DUPLICATES, &error);
	FUZZ_CHECK(o);
	json_decref(o);
}

static void ask(const uint8_t *bytes, size_t len, size_t cut, bool is_get)
{
	static char answer[ANSWER_MAX + 1];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	FUZZ_CHECK(fd >= 0 && !connect(fd, (struct sockaddr *)&address, address_len));
	cut = cut < len ? cut : len;
	turns(2);
	if (send(fd, bytes, cut, MSG_NOSIGNAL) == (ssize_t)cut && cut < len) {
		turns(2);
		if (send(fd, bytes + cut, len - cut, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			turns(1);
	}
	shutdown(fd, SHUT_WR);
	turns(2);
	check_answer(answer, read_all(fd, answer), is_get);
	close(fd);
	turns(2);
}

/* A byte of the input as it may stand in a URL; what may not ends it. */
static bool is_url_byte(uint8_t b)
{
	return b > ' ' && b < 127;
}

static void ask_page(struct fuzz_in *in, size_t cut)
{
	static const char *const pages[] = { "/v1/conns?",
					     "/v1/conns?lane=",
					     "/v1/conns?limit=",
					     "/v1/conns?after=",
					     "/v1/conns?state=",
					     "/v1/conns?port=",
					     "/v1/conns?address=",
					     "/v1/conns?fields=",
					     "/v1/conns?format=lines&rule=rule-1&id=",
					     "/v1/traces?id=",
					     "/v1/traces?live=yes&events=yes&min_events=0&",
					     "/v1/traces?live=",
					     "/v1/",
					     "/" };
	char request[URL_MAX + 64];
	int n = snprintf(request, sizeof(request), "GET %s",
			 pages[fuzz_u8(in) % (sizeof(pages) / sizeof(pages[0]))]);

	for (int i = 0; i < URL_MAX && in->len && is_url_byte(in->p[0]); i++)
		request[n++] = (char)fuzz_u8(in);
	n += snprintf(request + n, sizeof(request) - (size_t)n, " HTTP/1.0\r\n\r\n");
	ask((const uint8_t *)request, (size_t)n, cut, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint8_t how = fuzz_u8(&in);
	size_t cut = fuzz_u8(&in);

	if (!k)
		start();
	for (uint32_t i = 0; i < CONTROL_LANES; i++)
		k->wards[i].state = how >> 4 & 3;
	if (how & 1)
		ask_page(&in, cut);
	else
		ask(in.p, in.len, cut, false);
	return 0;
}
