/* SPDX-License-Identifier: MIT */
/* Which settings that cannot change while lanes run are others in the file now. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "user/daemon/reload.h"

/* A setting that is a value in struct mr_settings. */
struct value {
	const char *key;
	size_t at, bytes;
};

#define IS(key, member)                                                                            \
	{                                                                                          \
		key, offsetof(struct mr_settings, member),                                         \
			sizeof(((struct mr_settings *)NULL)->member)                               \
	}
static const struct value values[] = {
	IS("heartbeat.stale_ms", stale_ms),
	IS("heartbeat.grace_ms", grace_ms),
	IS("lanes.frames", lanes.frames),
	IS("lanes.frame_bytes", lanes.frame_bytes),
	IS("lanes.huge_pages", lanes.huge_pages),
	IS("lanes.connections", lanes.connections),
	IS("lanes.half_open", lanes.half_open),
	IS("lanes.time_wait", lanes.time_wait),
	IS("lanes.message_bytes", lanes.message_bytes),
	IS("lanes.receive_buffer", lanes.receive_buffer),
	IS("lanes.send_buffer", lanes.send_buffer),
	IS("lanes.busy_poll_us", lanes.busy_poll_us),
	IS("lanes.coalesce_us", lanes.coalesce_us),
	IS("tcp.nagle", tcp.nagle),
	IS("tcp.user_timeout_ms", tcp.user_timeout_ms),
	IS("tcp.time_wait_ms", tcp.time_wait_ms),
	IS("tcp.fin_wait_ms", tcp.fin_wait_ms),
	IS("tcp.delayed_ack_ms", tcp.delayed_ack_ms),
	IS("tcp.mtu_probing", tcp.mtu_probing),
	IS("tcp.keepalive", tcp.keepalive),
	IS("tcp.syn_cookies", tcp.open.syn_cookies),
	IS("tcp.overflow", tcp.open.overflow),
	IS("tcp.syn_ack_retries", tcp.open.syn_ack_retries),
	IS("tcp.fast_open", tcp.open.fast_open),
	IS("tcp.fast_open_pending", tcp.open.fast_open_pending),
	IS("tcp.per_source.connections", tcp.open.source_connections),
	IS("tcp.per_source.half_open", tcp.open.source_half_open),
};
#undef IS

static void add(char *out, const char *key)
{
	size_t n = strlen(out);

	snprintf(out + n, MR_RELOAD_WORDS - n, "%s%s", n ? ", " : "", key);
}

static bool is_other(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

static bool are_other_interfaces(const struct mr_settings *a, const struct mr_settings *b)
{
	if (a->n_interfaces != b->n_interfaces)
		return true;
	for (unsigned int i = 0; i < a->n_interfaces; i++) {
		const struct mr_settings_interface *x = &a->interfaces[i], *y = &b->interfaces[i];

		if (strcmp(x->name, y->name) != 0 || x->queues != y->queues || x->mode != y->mode ||
		    x->by != y->by || x->bind != y->bind || x->force != y->force)
			return true;
	}
	return false;
}

static bool are_other_cpus(const struct mr_settings_lanes *a, const struct mr_settings_lanes *b)
{
	return a->n_cpus != b->n_cpus ||
	       (a->n_cpus && memcmp(a->cpus, b->cpus, a->n_cpus * sizeof(*a->cpus)) != 0);
}

void mr_reload_differences(const struct mr_settings *now, const struct mr_settings *file,
			   char out[MR_RELOAD_WORDS])
{
	const struct mr_settings_lanes *a = &now->lanes, *b = &file->lanes;

	out[0] = '\0';
	if (are_other_interfaces(now, file))
		add(out, "interfaces");
	if (is_other(now->user, file->user))
		add(out, "user");
	if (is_other(now->run_directory, file->run_directory))
		add(out, "run_directory");
	if (is_other(now->pin_directory, file->pin_directory))
		add(out, "pin_directory");
	if (is_other(now->http, file->http))
		add(out, "http");
	if (are_other_cpus(a, b))
		add(out, "lanes.cpus");
	if (is_other(a->capture_directory, b->capture_directory))
		add(out, "lanes.capture_directory");
	if (a->port_lo != b->port_lo || a->port_hi != b->port_hi)
		add(out, "lanes.ports");
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct value *v = &values[i];

		if (memcmp((const char *)now + v->at, (const char *)file + v->at, v->bytes) != 0)
			add(out, v->key);
	}
}
