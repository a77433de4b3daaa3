// SPDX-License-Identifier: MIT
#include "bench/load/addresses.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	ARP_TRIES = 100,
	ARP_STEP_MS = 10,
	DISCARD_PORT = 9,
};

int load_addresses_of(struct load_addresses *a, const char *interface, unsigned long most)
{
	struct ifaddrs *all;

	a->n = 0;
	if (getifaddrs(&all)) {
		fprintf(stderr, "mr-load: addresses of %s: %s\n", interface, strerror(errno));
		return -1;
	}
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    strcmp(i->ifa_name, interface) != 0 || a->n == LOAD_ADDRESSES || a->n == most)
			continue;
		a->addr[a->n++] = ((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
	}
	freeifaddrs(all);
	if (!a->n)
		fprintf(stderr, "mr-load: %s has no IPv4 address\n", interface);
	return a->n ? 0 : -1;
}

int load_mac_of(const char *interface, uint8_t mac[6])
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? errno : 0;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	if (!err && ioctl(fd, SIOCGIFHWADDR, &r))
		err = errno;
	if (fd >= 0)
		close(fd);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	if (err)
		fprintf(stderr, "mr-load: %s: MAC address: %s\n", interface, strerror(err));
	return err ? -1 : 0;
}

int load_mac_of_neighbour(const char *interface, struct in_addr addr, uint8_t mac[6])
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(DISCARD_PORT),
				  .sin_addr = addr };
	const struct timespec step = { .tv_nsec = ARP_STEP_MS * 1000000L };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (int i = 0; fd >= 0 && i < ARP_TRIES; i++) {
		struct arpreq r = { 0 };

		memcpy(&r.arp_pa, &sa, sizeof(sa));
		snprintf(r.arp_dev, sizeof(r.arp_dev), "%s", interface);
		if (ioctl(fd, SIOCGARP, &r) == 0 && r.arp_flags & ATF_COM) {
			memcpy(mac, r.arp_ha.sa_data, 6);
			close(fd);
			return 0;
		}
		/* whatever comes of it, the kernel has to ask for the address */
		(void)sendto(fd, "", 0, MSG_DONTWAIT, (struct sockaddr *)&sa, sizeof(sa));
		nanosleep(&step, NULL);
	}
	if (fd >= 0)
		close(fd);
	fprintf(stderr, "mr-load: %s: no neighbour of that address on %s\n", inet_ntoa(addr),
		interface);
	return -1;
}
