/* SPDX-License-Identifier: MIT */
/*
 * Once, at the start: which nftables rules do frames of steered ports not meet? Asked by a process
 * of its own that keeps CAP_NET_ADMIN alone, says what it found and ends: libnftables is large and
 * ends its process when memory is short, so it is neither for the parent, which stays and may do
 * everything, nor for the child, which may do nothing.
 */
#include "user/daemon/nft_hint.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/daemon/daemon.h"
#include "user/daemon/log.h"
#include "user/nft/ruleset.h"

enum {
	LINES_MOST = 10,
	NAMES_MOST = 6, /* of nftables rules in a line */
};

static int keep_one_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = 1u << CAP_NET_ADMIN,
						    .permitted = 1u << CAP_NET_ADMIN } };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static bool hint(const struct mr_nft_ruleset *set, const struct mr_settings_rule *rule)
{
	const struct mr_nft_ports ports = { rule->match.port_lo, rule->match.port_hi };
	char line[1024] = "", text[16];
	unsigned int n = 0;
	size_t at = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		if (!mr_nft_concerns(&set->rule[i], ports))
			continue;
		if (n++ < NAMES_MOST)
			at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%.100s",
					       at ? "; " : "", set->rule[i].place);
	}
	if (!n)
		return false;
	snprintf(text, sizeof(text), ports.lo == ports.hi ? "%u" : "%u-%u", ports.lo, ports.hi);
	mr_warn("rule %s: what comes to port %s passes by the host's nftables rules: %s%s; see "
		"millrace rule import-nft",
		rule->lane.name, text, line, n > NAMES_MOST ? "; and others" : "");
	return true;
}

static void tell(const struct mr_daemon *d)
{
	struct mr_nft_ruleset set;
	unsigned int lines = 0;
	json_t *answer;

	if (mr_nft_ask(&answer) < 0 || mr_nft_parse(answer, &set) < 0)
		return; /* no nftables here: nothing is passed by */
	for (unsigned int i = 0; i < d->settings.n_rules && lines < LINES_MOST; i++)
		if (mr_rule_is_live(&d->settings.rules[i]))
			lines += hint(&set, &d->settings.rules[i]);
}

int mr_nft_hint(struct mr_daemon *d)
{
	pid_t pid = fork();

	if (pid < 0)
		mr_warn("nftables rules are not looked at: %s", strerror(errno));
	if (pid != 0)
		return 0;
	close_range(STDERR_FILENO + 1, ~0u, 0);
	mr_log_reopen();
	if (keep_one_capability() == 0)
		tell(d);
	_exit(0);
}
