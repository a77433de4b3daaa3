/* SPDX-License-Identifier: MIT */
/* GET /v1/status. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/daemon/api.h"

static const char *start_text(int64_t wall, char out[32])
{
	time_t t = (time_t)wall;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}

static json_t *addresses(const struct mr_link *k)
{
	json_t *a = json_array();
	struct ifaddrs *all, *i;

	if (getifaddrs(&all) < 0)
		return a;
	for (i = all; i; i = i->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *addr;

		if (!i->ifa_addr || (strcmp(i->ifa_name, k->name) != 0 &&
				     strcmp(i->ifa_name, k->settings->name) != 0))
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			addr = &((struct sockaddr_in *)i->ifa_addr)->sin_addr;
		else if (i->ifa_addr->sa_family == AF_INET6)
			addr = &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
		else
			continue;
		if (inet_ntop(i->ifa_addr->sa_family, addr, text, sizeof(text)))
			json_array_append_new(a, json_string(text));
	}
	freeifaddrs(all);
	return a;
}

static uint32_t lanes_of(const struct mr_child *c, const struct mr_link *k)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->n_queues; i++)
		n += !c->d->lanes[k->first_lane + i].absent;
	return n;
}

static json_t *interface(const struct mr_child *c, const struct mr_link *k)
{
	const struct mr_settings_lanes *s = &c->d->settings.lanes;
	char mac[18], ports[16];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", k->mac[0], k->mac[1], k->mac[2],
		 k->mac[3], k->mac[4], k->mac[5]);
	return json_pack("{s:s, s:i, s:s, s:i, s:s, s:i, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:i, "
			 "s:s, s:o}",
			 "name", k->name, "ifindex", (int)k->ifindex, "mac", mac, "mtu",
			 (int)k->mtu, "link", mr_link_text(k), "queues", (int)lanes_of(c, k),
			 "receive_queues", (int)k->queues, "slot_base", (int)k->slot_base, "attach",
			 mr_link_attach_text(k), "attach_by", mr_attach_by_name(k->settings->by),
			 "attach_why", k->attach_why, "section",
			 k->section == MR_SECTION_FRAGS ? "xdp.frags" : "xdp", "program",
			 k->section == MR_SECTION_FRAGS ? "mr_xdp_frags" : "mr_xdp", "program_id",
			 (int)k->program_id, "ports", mr_ports_text(s->port_lo, s->port_hi, ports),
			 "addresses", addresses(k));
}

static uint32_t count_serving(const struct mr_child *c)
{
	uint32_t n = 0;

	for (uint32_t i = mr_lane_next(c->d, 0); i < c->d->n_lanes; i = mr_lane_next(c->d, i + 1))
		n += c->wards[i].state == MR_WORKER_SERVING;
	return n;
}

static void add_problem(json_t *a, const char *interface, int queue, const char *what)
{
	if (queue < 0)
		json_array_append_new(a, json_sprintf("%s: %s", interface, what));
	else
		json_array_append_new(a, json_sprintf("%s queue %d: %s", interface, queue, what));
}

static json_t *problems(const struct mr_child *c)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < c->d->n_links; i++) {
		const struct mr_link *k = &c->d->links[i];

		if (k->gone)
			add_problem(
				a, k->name, -1,
				"interface was deleted; its lanes start again when it is back, the "
				"log says what keeps them");
		else if (!k->up)
			add_problem(a, k->name, -1, "link is down");
		if (!k->gone && k->taken_off)
			add_problem(a, k->name, -1,
				    k->foreign ? "another XDP program stands where ours was; take "
						 "it off and restart millraced"
					       : "somebody took our XDP program off; restart "
						 "millraced");
		if (!k->gone && k->now_named[0])
			add_problem(a, k->name, -1,
				    "interface was renamed; its lanes go on until the next start");
	}
	for (uint32_t i = mr_lane_next(c->d, 0); i < c->d->n_lanes; i = mr_lane_next(c->d, i + 1)) {
		const struct mr_lane *l = &c->d->lanes[i];
		const char *name = mr_lane_link(c->d, l)->name;
		uint64_t age_ns;
		const char *beat = mr_lane_beat(c, i, &age_ns);

		if (l->absent)
			add_problem(a, name, (int)l->index,
				    "the interface has no such queue now; the lane starts again "
				    "when it has");
		else if (c->wards[i].state == MR_WORKER_DRAINED)
			add_problem(a, name, (int)l->index,
				    "drained; millrace lane resume starts it again");
		else if (c->wards[i].state != MR_WORKER_SERVING)
			add_problem(a, name, (int)l->index, "no worker serves; it is restarted");
		else if (strcmp(beat, "fresh"))
			add_problem(a, name, (int)l->index, "heartbeat is late");
	}
	return a;
}

json_t *mr_json_status(struct mr_child *c)
{
	const struct mr_daemon *d = c->d;
	uint32_t serving = count_serving(c);
	json_t *wrong = problems(c), *links = json_array();
	const char *state = json_array_size(wrong) ? "degraded" : "serving";
	char text[32];

	for (uint32_t i = 0; i < d->n_links; i++)
		json_array_append_new(links, interface(c, &d->links[i]));
	return json_pack("{s:i, s:s, s:i, s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:i, "
			 "s:i, s:s, s:o, s:o}",
			 "v", 1, "version", MR_VERSION, "pid", (int)d->parent, "child_pid",
			 (int)getpid(), "state", c->stopping ? "stopping" : state, "started",
			 start_text(d->started_wall, text), "uptime_ms",
			 (json_int_t)((mr_now_ns() - d->started_ns) / 1000000), "config",
			 d->settings.file, "user", d->settings.user, "run_directory",
			 d->settings.run_directory, "pin_directory", d->settings.pin_directory,
			 "lanes", (int)mr_lanes_there(d), "lanes_serving", (int)serving, "rules",
			 (int)mr_rules_live(&d->settings), "generation",
			 (int)d->bpf.generation.number, "mode", mr_mode_names()[d->settings.mode],
			 "interfaces", links, "problems", wrong);
}
