/* SPDX-License-Identifier: MIT */
#include "user/daemon/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/daemon/daemon.h"
#include "user/daemon/log.h"
#include "user/daemon/ruleset.h"

#define SYSCTL "/proc/sys/net/ipv4/ip_local_reserved_ports"

enum {
	SYSCTL_BYTES = 65536,
	PATH_BYTES = 128,
	BOUND_PORTS = 64, /* of a range */
};

/*
 * The first kernel socket of @table with a local port in the range that does not just wait for its
 * time to be over (TIME-WAIT); 0: there is none.
 */
static unsigned int port_in_use(const char *table, unsigned int lo, unsigned int hi)
{
	unsigned int port, state, found = 0;
	FILE *in = fopen(table, "re");
	char line[256];

	while (in && !found && fgets(line, sizeof(line), in))
		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &port, &state) ==
			    2 &&
		    port >= lo && port <= hi && state != TCP_TIME_WAIT)
			found = port;
	if (in)
		fclose(in);
	return found;
}

/*
 * Of a kernel server that served the port before us, connections may be in TIME-WAIT: nobody's any
 * more, yet the port counts as in use. So it is shared with those; listening there is refused to
 * others all the same.
 */
static int bind_beside_waiting(int fd, const struct sockaddr *a, socklen_t len, uint16_t port)
{
	int on = 1, off = 0, err;

	if (port_in_use("/proc/net/tcp", port, port) || port_in_use("/proc/net/tcp6", port, port))
		return -EADDRINUSE;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	err = bind(fd, a, len) < 0 ? -errno : 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	return err;
}

static int bind_only(int family, const struct sockaddr *a, socklen_t len, uint16_t port)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, err;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	/* The address may come later: netlink follows it. */
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	err = bind(fd, a, len) < 0 ? -errno : 0;
	if (err == -EADDRINUSE)
		err = bind_beside_waiting(fd, a, len, port);
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int reserve4(const uint8_t addr[4], uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	memcpy(&a.sin_addr, addr, 4);
	return bind_only(AF_INET, (const struct sockaddr *)&a, sizeof(a), port);
}

static int reserve6(const uint8_t addr[16], uint16_t port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memcpy(&a.sin6_addr, addr, 16);
	return bind_only(AF_INET6, (const struct sockaddr *)&a, sizeof(a), port);
}

int mr_port_reserve(const uint8_t addr[16], uint16_t port)
{
	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)addr))
		return reserve4(addr + 12, port);
	return reserve6(addr, port);
}

/* A host without IPv6 has no IPv6 ports to keep. */
static bool is_no_family(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

/*
 * Who binds a port keeps it from others on all addresses that he names, whoever the peer is. So
 * that is done for what a rule takes whole: a few ports, one address or any. All other ports of
 * rules are at least not given to those who ask for any port (value_with_ours()).
 */
static bool is_bound(const struct mr_settings_rule *s)
{
	const struct mr_match *m = &s->match;

	if (!mr_rule_is_live(s) ||
	    s->fallback == MR_FALLBACK_KERNEL) /* a kernel socket may listen */
		return false;
	return m->port_hi - m->port_lo < BOUND_PORTS && !m->source.given && !m->interface[0] &&
	       (s->lane.any_family || s->lane.family);
}

/* What is being bound for other rules. */
struct binding {
	struct mr_daemon *d;
	struct mr_reserved *list;
	uint32_t n;
};

static const struct mr_reserved *find(const struct mr_reserved *list, uint32_t n,
				      const struct mr_reserved *key)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i].port == key->port && list[i].family == key->family &&
		    !memcmp(list[i].addr, key->addr, sizeof(key->addr)))
			return &list[i];
	return NULL;
}

static int bind_one(struct binding *b, const uint8_t addr[16], uint8_t family, uint16_t port)
{
	struct mr_reserved one = { .port = port, .family = family, .ours = true }, *list;
	const struct mr_reserved *had;

	memcpy(one.addr, addr, sizeof(one.addr));
	if (find(b->list, b->n, &one))
		return 0;
	had = find(b->d->reserved, b->d->n_reserved, &one);
	list = realloc(b->list, (b->n + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	b->list = list;
	if (had) {
		one.fd = had->fd;
		one.ours = false;
	} else {
		one.fd = family == 4 ? reserve4(addr + 12, port) : reserve6(addr, port);
		if (one.fd < 0)
			return one.fd;
	}
	list[b->n++] = one;
	return 0;
}

static int reserve_port(struct binding *b, const struct mr_lane_rule *r, uint16_t port)
{
	static const uint8_t any[16];
	int err = 0;

	if (r->any_family || r->family == 4)
		err = bind_one(b, r->any_family ? any : r->addr, 4, port);
	if (!err && (r->any_family || r->family == 6)) {
		err = bind_one(b, r->addr, 6, port);
		err = is_no_family(err) ? 0 : err;
	}
	return err;
}

static int reserve_rule(struct binding *b, const struct mr_settings_rule *s)
{
	const struct mr_lane_rule *r = &s->lane;
	uint32_t port = s->match.port_lo;
	int err = 0;

	for (; is_bound(s) && port <= s->match.port_hi; port++) {
		err = reserve_port(b, r, (uint16_t)port);
		if (err)
			break;
	}
	if (err == -EADDRINUSE)
		return mr_fail(
			b->d, err,
			"rule %s: port %u is in use by a kernel socket (ss -tanp sport = :%u); "
			"stop that program, or set fallback: kernel",
			r->name, port, port);
	if (err)
		return mr_fail(b->d, err, "rule %s: port %u cannot be reserved: %s", r->name, port,
			       strerror(-err));
	return 0;
}

void mr_ports_drop(struct mr_reserved *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i].ours)
			close(list[i].fd);
	free(list);
}

int mr_ports_prepare(struct mr_daemon *d, const struct mr_settings *next, struct mr_reserved **list,
		     uint32_t *n)
{
	struct binding b = { .d = d };
	int err = 0;

	for (unsigned int i = 0; !err && i < next->n_rules; i++)
		err = reserve_rule(&b, &next->rules[i]);
	if (err) {
		mr_ports_drop(b.list, b.n);
		b = (struct binding){ 0 };
	}
	*list = b.list;
	*n = b.n;
	return err;
}

static void take_list(struct mr_daemon *d, struct mr_reserved *list, uint32_t n)
{
	for (uint32_t i = 0; i < d->n_reserved; i++)
		if (!find(list, n, &d->reserved[i]))
			close(d->reserved[i].fd);
	free(d->reserved);
	d->reserved = list;
	d->n_reserved = n;
}

/* Of a daemon before us, whose port somebody took meanwhile. */
static bool is_lost(struct mr_daemon *d, struct mr_settings_rule *r, int err)
{
	if (err != -EADDRINUSE || !d->adopting || !r->added)
		return false;
	mr_warn("%s; the rule came while a millraced before us ran, and is dropped", d->error);
	d->error[0] = '\0';
	mr_rule_leave(r);
	return true;
}

static int reserve_rules(struct mr_daemon *d)
{
	struct binding b = { .d = d };
	int err = 0;

	for (unsigned int i = 0; !err && i < d->settings.n_rules; i++) {
		err = reserve_rule(&b, &d->settings.rules[i]);
		if (is_lost(d, &d->settings.rules[i], err))
			err = 0;
	}
	take_list(d, b.list, b.n);
	return err;
}

/* Somebody's port in the lanes' range: his segments would be taken. */
static int check_range(struct mr_daemon *d, const char *table)
{
	const struct mr_settings_lanes *l = &d->settings.lanes;
	unsigned int port = port_in_use(table, l->port_lo, l->port_hi);

	if (!port)
		return 0;
	return mr_fail(d, -EADDRINUSE,
		       "lanes.ports %u-%u: port %u is in use by a kernel socket "
		       "(ss -tanp sport = :%u); choose another range",
		       l->port_lo, l->port_hi, port, port);
}

static char *read_text(const char *path)
{
	char *text = calloc(1, SYSCTL_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 && text ? read(fd, text, SYSCTL_BYTES - 1) : -1;

	mr_close_fd(&fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static int write_text(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%s\n", text) < 0)
		err = -errno;
	close(fd);
	return err;
}

static const char *memory_path(const struct mr_daemon *d, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/reserved_ports", d->settings.run_directory);
	return path;
}

/* The value from before, also when a daemon before us had no time to put it back. */
static char *value_before(const struct mr_daemon *d)
{
	char path[PATH_BYTES];
	char *text = read_text(memory_path(d, path));
	int err;

	if (text)
		return text;
	text = read_text(SYSCTL);
	err = text ? write_text(path, O_CREAT | O_EXCL, text) : 0;
	if (err) {
		mr_warn("%s: cannot be written: %s", path, strerror(-err));
		unlink(path); /* half of it would be believed, and put back */
	}
	return text;
}

/* What was reserved before, the lanes' range, and the ports that a kernel socket may bind. */
static char *value_with_ours(const struct mr_daemon *d)
{
	const struct mr_settings *s = &d->settings;
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	fprintf(out, "%s,", d->sysctl_before);
	if (s->lanes.port_hi)
		fprintf(out, "%u-%u,", s->lanes.port_lo, s->lanes.port_hi);
	for (unsigned int i = 0; i < s->n_rules; i++)
		if (s->rules[i].lane.state != MR_RULE_FREE && !is_bound(&s->rules[i]))
			fprintf(out, "%u-%u,", s->rules[i].match.port_lo,
				s->rules[i].match.port_hi);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static bool needs_range(const struct mr_settings *s)
{
	for (unsigned int i = 0; i < s->n_rules; i++)
		if (s->rules[i].lane.state != MR_RULE_FREE && !is_bound(&s->rules[i]))
			return true;
	return s->lanes.port_hi;
}

static int reserve_range(struct mr_daemon *d)
{
	char *text;
	int err;

	if (!d->sysctl_before && !needs_range(&d->settings))
		return 0;
	if (!d->sysctl_before)
		d->sysctl_before = value_before(d);
	if (!d->sysctl_before)
		return mr_fail(d, -errno, SYSCTL ": cannot be read: %s", strerror(errno));
	text = value_with_ours(d);
	if (!text)
		return mr_fail(d, -ENOMEM, "out of memory");
	/* A comma at the end is taken, one in front is not. */
	err = write_text(SYSCTL, 0, text + (text[0] == ','));
	free(text);
	if (err)
		return mr_fail(d, err, SYSCTL ": cannot be written: %s; set lanes.ports: none",
			       strerror(-err));
	return 0;
}

void mr_ports_take(struct mr_daemon *d, struct mr_reserved *list, uint32_t n)
{
	take_list(d, list, n);
	if (reserve_range(d)) {
		mr_warn("%s", d->error);
		d->error[0] = '\0';
	}
}

int mr_ports_reserve(struct mr_daemon *d)
{
	int err = reserve_rules(d);

	if (!err && d->settings.lanes.port_hi)
		err = check_range(d, "/proc/net/tcp");
	if (!err && d->settings.lanes.port_hi)
		err = check_range(d, "/proc/net/tcp6");
	return err ? err : reserve_range(d);
}

void mr_ports_release(struct mr_daemon *d)
{
	char path[PATH_BYTES];

	if (d->sysctl_before) {
		int err = write_text(SYSCTL, 0, d->sysctl_before);

		if (err)
			mr_warn(SYSCTL ": cannot be put back to \"%s\": %s", d->sysctl_before,
				strerror(-err));
		else
			unlink(memory_path(d, path));
		free(d->sysctl_before);
		d->sysctl_before = NULL;
	}
	take_list(d, NULL, 0);
}
