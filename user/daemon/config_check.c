/* SPDX-License-Identifier: MIT */
/* What the values mean, and the defaults of those that are not there. */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "user/daemon/config_raw.h"
#include "user/daemon/web.h"

#define ANY_NUMBER UINT64_MAX

static const char *const attach_modes[] = { "auto", "native", "generic", NULL };
static const char *const attach_bys[] = { "netlink", "link", "libxdp", "adopt", NULL };
static const char *const binds[] = { "auto", "zerocopy", "copy", NULL };

static const char *const mtu_probings[] = { "off", "blackhole", "on", NULL };

const char *mr_mtu_probing_name(enum mr_mtu_probing probing)
{
	return mtu_probings[probing];
}

const char *mr_attach_mode_name(enum mr_attach_mode mode)
{
	return attach_modes[mode];
}

const char *mr_attach_by_name(enum mr_attach_by by)
{
	return attach_bys[by];
}

const char *mr_xsk_bind_name(enum mr_xsk_bind bind)
{
	return binds[bind];
}

int mr_config_number(struct mr_config_file *f, const char *path, const uint64_t *value,
		     uint64_t dflt, uint64_t lo, uint64_t hi, uint64_t *out)
{
	*out = value ? *value : dflt;
	if (!value || (*value >= lo && *value <= hi))
		return 0;
	return mr_config_fail(f, mr_config_line(f, path),
			      "%s: %" PRIu64 " is out of range; give %" PRIu64 " to %" PRIu64, path,
			      *value, lo, hi);
}

int mr_config_number32(struct mr_config_file *f, const char *path, const uint64_t *value,
		       uint32_t dflt, uint32_t lo, uint32_t hi, uint32_t *out)
{
	uint64_t v;
	int err = mr_config_number(f, path, value, dflt, lo, hi, &v);

	*out = (uint32_t)v;
	return err;
}

int mr_config_choice(struct mr_config_file *f, const char *path, const char *value,
		     const char *const *names, int dflt, int *out)
{
	char all[128] = "";

	*out = dflt;
	if (!value)
		return 0;
	for (int i = 0; names[i]; i++) {
		if (!strcmp(names[i], value)) {
			*out = i;
			return 0;
		}
		strncat(all, i ? ", " : "", sizeof(all) - strlen(all) - 1);
		strncat(all, names[i], sizeof(all) - strlen(all) - 1);
	}
	return mr_config_fail(f, mr_config_line(f, path), "%s: \"%s\" is none of %s", path, value,
			      all);
}

/* The default user is millrace where the package made one. */
static int check_user(struct mr_config_file *f, const char *name, struct mr_settings *s)
{
	const struct passwd *pw = getpwnam(name ? name : "millrace");

	if (!pw && !name)
		pw = getpwnam("nobody");
	if (!pw)
		return mr_config_fail(f, mr_config_line(f, "user"),
				      "user: \"%s\" does not exist; create it or name another",
				      name ? name : "nobody");
	if (pw->pw_uid == 0)
		return mr_config_fail(f, mr_config_line(f, "user"),
				      "user: \"%s\" is root; name an unprivileged user",
				      pw->pw_name);
	s->uid = pw->pw_uid;
	s->gid = pw->pw_gid;
	s->user = strdup(pw->pw_name);
	return s->user ? 0 : -ENOMEM;
}

int mr_config_path(struct mr_config_file *f, const char *path, const char *value, const char *dflt,
		   char **out)
{
	if (!value)
		value = dflt;
	if (!value)
		return 0;
	if (value[0] != '/')
		return mr_config_fail(f, mr_config_line(f, path),
				      "%s: \"%s\" does not start with /; give the whole path", path,
				      value);
	if (strlen(value) > 90) /* with /control.sock it must fit struct sockaddr_un */
		return mr_config_fail(f, mr_config_line(f, path), "%s: longer than 90 characters",
				      path);
	*out = strdup(value);
	return *out ? 0 : -ENOMEM;
}

static int check_interface_name(struct mr_config_file *f, const char *path, const char *name)
{
	if (strlen(name) >= IFNAMSIZ)
		return mr_config_fail(f, mr_config_line(f, path),
				      "%s: \"%s\" is longer than %d characters", path, name,
				      IFNAMSIZ - 1);
	if (strchr(name, '/') || strchr(name, ' ') || strchr(name, ':'))
		return mr_config_fail(f, mr_config_line(f, path),
				      "%s: \"%s\" cannot be an interface's name", path, name);
	return 0;
}

static int check_queues(struct mr_config_file *f, const char *path, const char *value,
			uint32_t *out)
{
	char *end;
	unsigned long n;

	*out = 0;
	if (!value || !strcmp(value, "all"))
		return 0;
	n = strtoul(value, &end, 10);
	if (*end || value[0] < '0' || value[0] > '9' || n < 1 || n > MR_MAX_LANES)
		return mr_config_fail(f, mr_config_line(f, path),
				      "%s: \"%s\" is neither all nor 1 to %d", path, value,
				      MR_MAX_LANES);
	*out = (uint32_t)n;
	return 0;
}

static int check_interface(struct mr_config_file *f, const struct mr_raw_config *raw,
			   unsigned int i, struct mr_settings *s)
{
	const struct mr_raw_interface *r = &raw->interfaces[i];
	struct mr_settings_interface *out = &s->interfaces[i];
	char path[64];
	int mode, bind, by, err;

#define PATH(key) (snprintf(path, sizeof(path), "interfaces[%u]." key, i), path)
	err = check_interface_name(f, PATH("name"), r->name);
	if (!err)
		err = check_queues(f, PATH("queues"), r->queues, &out->queues);
	if (!err)
		err = mr_config_choice(f, PATH("mode"), r->mode, attach_modes, MR_ATTACH_AUTO,
				       &mode);
	if (!err)
		err = mr_config_choice(f, PATH("attach"), r->attach, attach_bys,
				       MR_ATTACH_BY_NETLINK, &by);
	if (!err)
		err = mr_config_choice(f, PATH("bind"), r->bind, binds, MR_XSK_AUTO, &bind);
	if (err)
		return err;
	snprintf(out->name, sizeof(out->name), "%s", r->name);
	out->mode = (enum mr_attach_mode)mode;
	out->by = (enum mr_attach_by)by;
	out->bind = (enum mr_xsk_bind)bind;
	out->force = r->force && *r->force;
	if (out->mode == MR_ATTACH_GENERIC && out->bind == MR_XSK_ZERO_COPY)
		return mr_config_fail(f, mr_config_line(f, PATH("bind")),
				      "%s: zero-copy needs a native program; set mode: native",
				      path);
	for (unsigned int k = 0; k < i; k++)
		if (!strcmp(s->interfaces[k].name, out->name))
			return mr_config_fail(f, mr_config_line(f, PATH("name")),
					      "interface %s stands twice; remove one", out->name);
#undef PATH
	return 0;
}

static int check_interfaces(struct mr_config_file *f, const struct mr_raw_config *raw,
			    struct mr_settings *s)
{
	int err = 0;

	if (raw->n_interfaces == 0)
		return mr_config_fail(f, mr_config_line(f, "interfaces"),
				      "interfaces: is empty; name at least one");
	if (raw->n_interfaces > MR_MAX_INTERFACES)
		return mr_config_fail(f, mr_config_line(f, "interfaces"),
				      "interfaces: %u are too many; %d can be served",
				      raw->n_interfaces, MR_MAX_INTERFACES);
	s->interfaces = calloc(raw->n_interfaces, sizeof(*s->interfaces));
	if (!s->interfaces)
		return -ENOMEM;
	s->n_interfaces = raw->n_interfaces;
	for (unsigned int i = 0; !err && i < raw->n_interfaces; i++)
		err = check_interface(f, raw, i, s);
	return err;
}

static int check_heartbeat(struct mr_config_file *f, const struct mr_raw_heartbeat *raw,
			   struct mr_settings *s)
{
	int err = mr_config_number32(f, "heartbeat.stale_ms", raw->stale_ms, 50, 5, 60000,
				     &s->stale_ms);

	if (!err)
		err = mr_config_number32(f, "heartbeat.grace_ms", raw->grace_ms, 3000, 10, 600000,
					 &s->grace_ms);
	if (!err && s->grace_ms <= s->stale_ms)
		err = mr_config_fail(f, mr_config_line(f, "heartbeat.grace_ms"),
				     "heartbeat.grace_ms: must be longer than stale_ms, %u ms",
				     s->stale_ms);
	return err;
}

/* A value of the host's own stack, where the file has none. */
static uint32_t host_number(const char *name, uint32_t dflt)
{
	char path[96];
	unsigned int v = dflt;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	in = fopen(path, "re");
	if (!in)
		return dflt;
	if (fscanf(in, "%u", &v) != 1 || v == 0)
		v = dflt;
	fclose(in);
	return v;
}

int mr_config_cc(struct mr_config_file *f, const char *path, const char *cc_word,
		 const char *ecn_word, uint8_t *cc, uint8_t *ecn)
{
	char key[96];
	int value, err;

	snprintf(key, sizeof(key), "%s.congestion_control", path);
	err = mr_config_choice(f, key, cc_word, mr_cc_names(), *cc, &value);
	if (err)
		return err;
	*cc = (uint8_t)value;
	snprintf(key, sizeof(key), "%s.ecn", path);
	err = mr_config_choice(f, key, ecn_word, mr_ecn_names(), *ecn, &value);
	if (err)
		return err;
	*ecn = (uint8_t)value;
	if (*cc == MR_CC_DCTCP && *ecn == MR_ECN_OFF)
		return mr_config_fail(f, mr_config_line(f, ecn_word ? key : path),
				      "%s: dctcp lives on ECN marks; set ecn: passive or on", path);
	return 0;
}

static int check_tcp(struct mr_config_file *f, const struct mr_raw_tcp *raw,
		     struct mr_settings_tcp *out)
{
	const struct mr_raw_keepalive *k = &raw->keepalive;
	uint32_t idle = host_number("tcp_keepalive_time", 7200);
	uint32_t interval = host_number("tcp_keepalive_intvl", 75);
	uint32_t count = host_number("tcp_keepalive_probes", 9);
	/* clang-format off */
	const struct {
		const char *path;
		const uint64_t *value;
		uint32_t dflt, lo, hi;
		uint32_t *out;
	} row[] = {
		{ "tcp.user_timeout_ms", raw->user_timeout_ms, 0, 0, 86400000, &out->user_timeout_ms },
		{ "tcp.time_wait_ms", raw->time_wait_ms, 60000, 0, 240000, &out->time_wait_ms },
		{ "tcp.fin_wait_ms", raw->fin_wait_ms, 60000, 1000, 3600000, &out->fin_wait_ms },
		{ "tcp.delayed_ack_ms", raw->delayed_ack_ms, 40, 0, 499, &out->delayed_ack_ms },
		{ "tcp.keepalive.idle_s", k->idle_s, idle, 1, 32767, &out->keepalive.idle_s },
		{ "tcp.keepalive.interval_s", k->interval_s, interval, 1, 32767, &out->keepalive.interval_s },
		{ "tcp.keepalive.count", k->count, count, 1, 127, &out->keepalive.count },
	};
	/* clang-format on */
	int probing = MR_MTU_PROBING_BLACK_HOLE;
	int err = mr_config_choice(f, "tcp.mtu_probing", raw->mtu_probing, mtu_probings, probing,
				   &probing);

	for (size_t i = 0; !err && i < sizeof(row) / sizeof(row[0]); i++)
		err = mr_config_number32(f, row[i].path, row[i].value, row[i].dflt, row[i].lo,
					 row[i].hi, row[i].out);
	if (!err)
		err = mr_config_open(f, raw, &out->open);
	out->mtu_probing = (enum mr_mtu_probing)probing;
	out->nagle = !raw->nagle || *raw->nagle;
	out->keepalive.enabled = k->enabled && *k->enabled;
	return err ? err
		   : mr_config_cc(f, "tcp", raw->congestion_control, raw->ecn, &out->cc, &out->ecn);
}

static int check_http(struct mr_config_file *f, const char *value, char **out)
{
	struct sockaddr_storage address;
	socklen_t len;
	int err = value && strcmp(value, "off") ? mr_web_address(value, &address, &len) : 0;

	if (err == -EADDRNOTAVAIL)
		return mr_config_fail(
			f, mr_config_line(f, "http"),
			"http: %s is not of loopback; name an address of this machine "
			"only, as 127.0.0.1:9270",
			value);
	if (err)
		return mr_config_fail(f, mr_config_line(f, "http"),
				      "http: \"%s\" is no ADDRESS:PORT such as 127.0.0.1:9270 or "
				      "[::1]:9270",
				      value);
	if (!value || !strcmp(value, "off"))
		return 0;
	*out = strdup(value);
	return *out ? 0 : -ENOMEM;
}

int mr_config_check(struct mr_config_file *f, const struct mr_raw_config *raw,
		    struct mr_settings *s)
{
	int mode = MR_MODE_ENFORCE;
	int err = check_user(f, raw->user, s);

	if (!err)
		err = mr_config_path(f, "run_directory", raw->run_directory, "/run/millrace",
				     &s->run_directory);
	if (!err)
		err = mr_config_path(f, "pin_directory", raw->pin_directory, "/sys/fs/bpf/millrace",
				     &s->pin_directory);
	if (!err)
		err = check_http(f, raw->http, &s->http);
	if (!err)
		err = check_interfaces(f, raw, s);
	if (!err)
		err = check_heartbeat(f, &raw->heartbeat, s);
	if (!err)
		err = mr_config_lanes(f, &raw->lanes, &s->lanes);
	if (!err)
		err = check_tcp(f, &raw->tcp, &s->tcp);
	if (!err)
		err = mr_config_choice(f, "mode", raw->mode, mr_mode_names(), MR_MODE_ENFORCE,
				       &mode);
	s->mode = (enum mr_mode)mode;
	if (!err)
		err = mr_config_rules(f, raw, s);
	if (!err)
		err = mr_config_guard(f, &raw->guard, s);
	return err;
}
