/* SPDX-License-Identifier: MIT */
/*
 * What waits at a socket of the kernel. A listener tells its accept queue by TCP_INFO; handshakes
 * that are not done are sockets of their own to the kernel, so they are counted by sock_diag(7), a
 * walk over its table of connections: for people and tests, not for every packet.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include "user/api/kernel.h"

enum {
	STATE_SYN_RECV = 3,
	STATE_LISTEN = 10,
	ANSWER_BYTES = 16384,
};

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

static int ask(int nl, sa_family_t family, uint16_t port)
{
	struct question q = {
		.header = { .nlmsg_len = sizeof(q),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = 1u << STATE_SYN_RECV,
			  .id.idiag_sport = htons(port) },
	};

	return send(nl, &q, sizeof(q), 0) == (ssize_t)sizeof(q) ? 0 : -errno;
}

/* Records of one datagram; false: it was the last one. */
static bool count_answers(const struct nlmsghdr *h, size_t len, uint16_t port, uint32_t *count)
{
	for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);

		if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
			return false;
		/* The kernel's filter by port is of newer versions, and it does no harm twice. */
		if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(*m)) && m->id.idiag_sport == htons(port))
			(*count)++;
	}
	return true;
}

uint32_t kernel_half_open(uint16_t port)
{
	static const sa_family_t families[] = { AF_INET, AF_INET6 };
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	uint32_t count = 0;
	size_t i;
	int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	for (i = 0; nl >= 0 && i < sizeof(families) / sizeof(families[0]); i++) {
		bool more = !ask(nl, families[i], port);

		while (more) {
			ssize_t len = recv(nl, answer, sizeof(answer), 0);

			more = len > 0 && count_answers((const struct nlmsghdr *)answer,
							(size_t)len, port, &count);
		}
	}
	if (nl >= 0)
		close(nl);
	return count;
}

static void look(int fd, struct mr_sock_queues *out)
{
	struct sockaddr_in6 name = { 0 };
	socklen_t name_len = sizeof(name);
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int bytes = 0;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return;
	if (info.tcpi_state == STATE_LISTEN) {
		out->waiting = info.tcpi_unacked;
		out->backlog = info.tcpi_sacked;
		if (!getsockname(fd, (struct sockaddr *)&name, &name_len))
			out->half_open = kernel_half_open(ntohs(name.sin6_port));
		return;
	}
	if (!ioctl(fd, SIOCINQ, &bytes))
		out->unread = (uint64_t)bytes;
	if (!ioctl(fd, SIOCOUTQ, &bytes))
		out->unsent = (uint64_t)bytes;
}

int kernel_sock_queues(struct mr_context *context, int fd, struct mr_sock_queues *out)
{
	struct kernel_context *x = kernel_of(context);
	int err = kernel_hold(x, fd, KERNEL_WRITER);

	if (err)
		return err;
	look(fd, out);
	kernel_release(x, fd, KERNEL_WRITER);
	return 0;
}
