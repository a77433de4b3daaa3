/* SPDX-License-Identifier: MIT */
#include "user/daemon/neighbour.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "user/daemon/daemon.h"
#include "user/daemon/links.h"

static bool is_v4(const uint8_t addr[16])
{
	return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)addr);
}

static bool is_unicast(const uint8_t addr[16])
{
	if (is_v4(addr))
		return addr[12] != 0 && addr[12] != 127 && addr[12] < 224;
	return addr[0] != 0xff && !IN6_IS_ADDR_UNSPECIFIED((const struct in6_addr *)addr) &&
	       !IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)addr);
}

bool mr_neighbour_allowed(const struct mr_daemon *d, uint32_t ifindex, const uint8_t addr[16])
{
	if (!is_unicast(addr))
		return false;
	for (uint32_t i = 0; i < d->n_links; i++)
		if (mr_links_carries(&d->links[i], ifindex))
			return true;
	return false;
}

int mr_neighbour_resolve(uint32_t ifindex, const uint8_t addr[16])
{
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct mnl_socket *s;
	struct ndmsg *n;
	int err = 0;

	h->nlmsg_type = RTM_NEWNEIGH;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	n = mnl_nlmsg_put_extra_header(h, sizeof(*n));
	n->ndm_family = is_v4(addr) ? AF_INET : AF_INET6;
	n->ndm_ifindex = (int)ifindex;
	n->ndm_flags = NTF_USE;
	n->ndm_state = NUD_NONE;
	if (is_v4(addr))
		mnl_attr_put(h, NDA_DST, 4, addr + 12);
	else
		mnl_attr_put(h, NDA_DST, 16, addr);
	s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!s)
		return -errno;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		err = -errno;
	mnl_socket_close(s);
	return err;
}
