/* SPDX-License-Identifier: MIT */
/* The listeners that applications add to the rules. */
#include <errno.h>
#include <string.h>

#include "user/daemon/bpf.h"
#include "user/daemon/log.h"
#include "user/daemon/ports.h"

static struct mr_dynamic *find(struct mr_daemon *d, const uint8_t addr[16], uint16_t port)
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &d->dynamic[i];

		if (y->used && y->port == port && !memcmp(y->addr, addr, sizeof(y->addr)))
			return y;
	}
	return NULL;
}

static bool is_taken(struct mr_daemon *d, const uint8_t addr[16], uint16_t port)
{
	const struct mr_settings_lanes *l = &d->settings.lanes;

	if (port >= l->port_lo && port <= l->port_hi)
		return true;
	for (unsigned int i = 0; i < d->settings.n_rules; i++)
		if (d->settings.rules[i].lane.state != MR_RULE_FREE &&
		    port >= d->settings.rules[i].match.port_lo &&
		    port <= d->settings.rules[i].match.port_hi)
			return true;
	return find(d, addr, port) != NULL;
}

int mr_dynamic_open(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16], uint16_t port,
		    uint16_t *rule_id)
{
	struct mr_dynamic *y = NULL;
	unsigned int i;
	int err;

	if (is_taken(d, addr, port))
		return -EADDRINUSE;
	for (i = 0; i < MR_MAX_DYNAMIC && !y; i++)
		if (!d->dynamic[i].used)
			y = &d->dynamic[i];
	if (!y)
		return -ENOBUFS;
	*y = (struct mr_dynamic){ .lane = lane, .port = port };
	memcpy(y->addr, addr, sizeof(y->addr));
	y->rule_id = (uint16_t)(MR_DYNAMIC_FIRST + (y - d->dynamic));
	y->reserved = mr_port_reserve(addr, port);
	if (y->reserved < 0)
		return y->reserved;
	y->used = true;
	err = mr_rules_publish(d);
	if (err) {
		y->used = false;
		mr_close_fd(&y->reserved);
		return err;
	}
	*rule_id = y->rule_id;
	return 0;
}

static void close_one(struct mr_daemon *d, struct mr_dynamic *y)
{
	int err;

	y->used = false;
	err = mr_rules_publish(d);
	if (err)
		mr_warn("rules: port %u stays steered until the next change: %s", y->port,
			strerror(-err));
	mr_close_fd(&y->reserved);
}

int mr_dynamic_close(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16], uint16_t port)
{
	struct mr_dynamic *y = find(d, addr, port);

	if (!y || y->lane != lane)
		return -ENOENT;
	close_one(d, y);
	return 0;
}

void mr_dynamic_close_lane(struct mr_daemon *d, uint32_t lane,
			   void (*told)(struct mr_daemon *d, const struct mr_dynamic *y))
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &d->dynamic[i];

		if (!y->used || y->lane != lane)
			continue;
		close_one(d, y);
		told(d, y);
	}
}
