/* SPDX-License-Identifier: MIT */
/* What each lane gets: memory, ports, CPUs. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/config_raw.h"

static int check_cpus(struct mr_config_file *f, const struct mr_raw_lanes *raw,
		      struct mr_settings_lanes *out)
{
	if (raw->n_cpus == 0)
		return 0;
	out->cpus = calloc(raw->n_cpus, sizeof(*out->cpus));
	if (!out->cpus)
		return -ENOMEM;
	out->n_cpus = raw->n_cpus;
	for (unsigned int i = 0; i < raw->n_cpus; i++) {
		char path[64];
		int err;

		snprintf(path, sizeof(path), "lanes.cpus[%u]", i);
		err = mr_config_number32(f, path, &raw->cpus[i], 0, 0, CPU_SETSIZE - 1,
					 &out->cpus[i]);
		if (err)
			return err;
	}
	return 0;
}

/* Default: behind the default net.ipv4.ip_local_port_range, so that both find room. */
static int check_ports(struct mr_config_file *f, const char *value, struct mr_settings_lanes *out)
{
	unsigned int lo, hi;
	char rest;

	if (value && !strcmp(value, "none"))
		return 0;
	if (sscanf(value ? value : "61000-64999", "%u-%u%c", &lo, &hi, &rest) != 2 || lo < 1024 ||
	    hi > 65535 || lo > hi)
		return mr_config_fail(f, mr_config_line(f, "lanes.ports"),
				      "lanes.ports: \"%s\" is no range; write it as 61000-64999, "
				      "from 1024 to 65535, or none",
				      value);
	out->port_lo = (uint16_t)lo;
	out->port_hi = (uint16_t)hi;
	return 0;
}

static uint64_t power_of_two(uint64_t v)
{
	uint64_t p = 1;

	while (p < v)
		p *= 2;
	return p;
}

static int check_lane_sizes(struct mr_config_file *f, const struct mr_raw_lanes *raw,
			    struct mr_settings_lanes *out)
{
	/* clang-format off */
	const struct {
		const char *path;
		const uint64_t *value;
		uint32_t dflt, lo, hi;
		uint32_t *out;
	} row[] = {
		{ "lanes.frames", raw->frames, 8192, 256, 1 << 20, &out->frames },
		{ "lanes.connections", raw->connections, 65536, 16, 1 << 26, &out->connections },
		{ "lanes.half_open", raw->half_open, 4096, 16, 1 << 22, &out->half_open },
		{ "lanes.time_wait", raw->time_wait, 16384, 16, 1 << 24, &out->time_wait },
		{ "lanes.receive_buffer", raw->receive_buffer, 262144, 2048, 1 << 30, &out->receive_buffer },
		{ "lanes.send_buffer", raw->send_buffer, 262144, 2048, 1 << 30, &out->send_buffer },
		{ "lanes.busy_poll_us", raw->busy_poll_us, 50, 0, 1000000, &out->busy_poll_us },
		{ "lanes.coalesce_us", raw->coalesce_us, 30, 0, 1000, &out->coalesce_us },
		{ "lanes.frame_bytes", raw->frame_bytes, 0, 2048, 4096, &out->frame_bytes },
	};
	/* clang-format on */
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(row) / sizeof(row[0]); i++)
		err = mr_config_number32(f, row[i].path, row[i].value, row[i].dflt, row[i].lo,
					 row[i].hi, row[i].out);
	if (!err && out->frame_bytes && out->frame_bytes != 2048 && out->frame_bytes != 4096)
		err = mr_config_fail(f, mr_config_line(f, "lanes.frame_bytes"),
				     "lanes.frame_bytes: %u is neither 2048 nor 4096",
				     out->frame_bytes);
	out->frames = (uint32_t)power_of_two(out->frames);
	return err;
}

int mr_config_lanes(struct mr_config_file *f, const struct mr_raw_lanes *raw,
		    struct mr_settings_lanes *out)
{
	static const char *const huge[] = { "never", "auto", NULL };
	static const char *const sockets[] = { "auto", "renew", NULL };
	int choice, renew, err;

	err = check_lane_sizes(f, raw, out);
	if (!err)
		err = mr_config_number(f, "lanes.message_bytes", raw->message_bytes, 64 << 20,
				       1 << 16, (uint64_t)1 << 36, &out->message_bytes);
	if (!err)
		err = mr_config_choice(f, "lanes.huge_pages", raw->huge_pages, huge, 1, &choice);
	if (!err)
		err = mr_config_choice(f, "lanes.sockets", raw->sockets, sockets, 0, &renew);
	if (!err)
		err = check_cpus(f, raw, out);
	if (!err)
		err = mr_config_path(f, "lanes.capture_directory", raw->capture_directory, NULL,
				     &out->capture_directory);
	if (!err)
		err = check_ports(f, raw->ports, out);
	if (err)
		return err;
	out->huge_pages = choice == 1;
	out->renew_sockets = renew == 1;
	out->message_bytes = power_of_two(out->message_bytes);
	return 0;
}
