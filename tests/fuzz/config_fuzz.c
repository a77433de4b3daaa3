/* SPDX-License-Identifier: MIT */
/* The configuration file: any bytes give settings within bounds, or one line that says why. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "user/daemon/config.h"

static bool is_terminated(const char *text, size_t bytes)
{
	return memchr(text, '\0', bytes);
}

static void check_filter(const struct mr_settings_rule *r)
{
	const struct mr_match *m = &r->match;

	FUZZ_CHECK(r->action == MR_ACTION_PASS || r->action == MR_ACTION_DROP);
	FUZZ_CHECK(m->port_lo <= m->port_hi && m->priority <= MR_PRIORITY_MOST);
	FUZZ_CHECK(is_terminated(r->lane.name, sizeof(r->lane.name)));
	FUZZ_CHECK(r->lane.rule_id < MR_MAX_RULES);
	for (uint32_t i = 0; i < m->source.n; i++)
		FUZZ_CHECK(m->source.list[i].bits <= 128);
}

static void check_settings(const struct mr_settings *s)
{
	FUZZ_CHECK(s->n_interfaces >= 1 && s->n_rules <= MR_MAX_RULES);
	FUZZ_CHECK(s->n_directories <= MR_MAX_DIRECTORIES);
	FUZZ_CHECK(s->stale_ms && s->grace_ms >= s->stale_ms);
	FUZZ_CHECK(s->lanes.port_lo <= s->lanes.port_hi);
	FUZZ_CHECK(s->lanes.frames && !(s->lanes.frames & (s->lanes.frames - 1)));
	for (unsigned int i = 0; i < s->n_interfaces; i++)
		FUZZ_CHECK(is_terminated(s->interfaces[i].name, IFNAMSIZ));
	for (unsigned int i = 0; i < s->n_filters; i++)
		check_filter(&s->filters[i]);
	for (unsigned int i = 0; i < s->n_rules; i++) {
		const struct mr_lane_rule *r = &s->rules[i].lane;

		FUZZ_CHECK(r->port && r->rule_id == i && r->backlog);
		FUZZ_CHECK(is_terminated(r->name, sizeof(r->name)) && r->name[0]);
		FUZZ_CHECK(is_terminated(r->app, sizeof(r->app)) && r->app[0]);
		FUZZ_CHECK(r->directory >= -1 && r->directory < (int32_t)s->n_directories);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char path[32], error[MR_CONFIG_ERROR_BYTES];
	struct mr_settings s;
	int fd = memfd_create("config", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (mr_settings_load(path, &s, error) == 0) {
		check_settings(&s);
		mr_settings_free(&s);
	} else {
		FUZZ_CHECK(is_terminated(error, sizeof(error)) && error[0]);
		FUZZ_CHECK(!s.rules && !s.interfaces && !s.user);
	}
	close(fd);
	return 0;
}
