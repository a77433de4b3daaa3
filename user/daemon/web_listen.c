/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/daemon/web.h"

enum {
	BACKLOG = 16,
};

/* The port behind the last colon; 0: there is none. */
static uint16_t port_of(const char *colon)
{
	char *end;
	unsigned long port;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return 0;
	port = strtoul(colon + 1, &end, 10);
	return *end || port > 65535 ? 0 : (uint16_t)port;
}

static bool is_loopback4(const struct in_addr *a)
{
	return ntohl(a->s_addr) >> 24 == 127;
}

int mr_web_address(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	const char *colon = strrchr(text, ':');
	uint16_t port = port_of(colon);
	char address[INET6_ADDRSTRLEN + 2];
	size_t n = colon ? (size_t)(colon - text) : 0;

	memset(out, 0, sizeof(*out));
	if (!port || n < 3 || n >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, n);
	address[n] = '\0';
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof(*v4);
		return is_loopback4(&v4->sin_addr) ? 0 : -EADDRNOTAVAIL;
	}
	if (address[0] != '[' || address[n - 1] != ']')
		return -EINVAL;
	address[n - 1] = '\0';
	if (inet_pton(AF_INET6, address + 1, &v6->sin6_addr) != 1)
		return -EINVAL;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	*len = sizeof(*v6);
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ? 0 : -EADDRNOTAVAIL;
}

int mr_web_listen(struct mr_daemon *d)
{
	struct sockaddr_storage a;
	socklen_t len = 0;
	int one = 1, err = 0;

	if (!d->settings.http)
		return 0;
	if (mr_web_address(d->settings.http, &a, &len) < 0)
		return mr_fail(d, -EINVAL, "http: %s is no address of loopback", d->settings.http);
	d->http = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->http < 0 || setsockopt(d->http, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(d->http, (struct sockaddr *)&a, len) < 0 || listen(d->http, BACKLOG) < 0)
		err = -errno;
	if (err)
		return mr_fail(d, err, "http %s: %s; name another port, or leave http out",
			       d->settings.http, strerror(-err));
	return 0;
}
