/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, millraced.yaml(5): read once by the parent, inherited by the child.
 * Everything here is checked and has its defaults filled in.
 */
#ifndef MR_DAEMON_CONFIG_H
#define MR_DAEMON_CONFIG_H

#include <linux/types.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/mr_maps.h"
#include "shared/mr_worker.h"
#include "user/daemon/blocks.h"
#include "user/daemon/match.h"
#include "user/port/xsk.h"

enum mr_attach_mode {
	MR_ATTACH_AUTO,	   /* native, then generic */
	MR_ATTACH_NATIVE,  /* or fail */
	MR_ATTACH_GENERIC, /* or fail */
};

enum mr_attach_by {
	MR_ATTACH_BY_NETLINK, /* in the interface's own slot, as ip(8) does it */
	MR_ATTACH_BY_LINK,    /* by a pinned bpf_link */
	MR_ATTACH_BY_LIBXDP,  /* in libxdp's dispatcher */
	MR_ATTACH_BY_ADOPT,   /* the operator does it */
};

struct mr_settings_interface {
	char name[IFNAMSIZ];
	uint32_t queues; /* 0: all */
	enum mr_attach_mode mode;
	enum mr_attach_by by;
	enum mr_xsk_bind bind;
	bool force; /* replace a foreign XDP program */
};

struct mr_settings_lanes {
	uint32_t frames;      /* power of two */
	uint32_t frame_bytes; /* 0: by the MTU */
	bool huge_pages;
	bool renew_sockets; /* for each worker, also where it could have the last one's */
	uint32_t connections;
	uint32_t half_open;
	uint32_t time_wait;
	uint64_t message_bytes; /* power of two */
	uint32_t receive_buffer;
	uint32_t send_buffer;
	uint32_t busy_poll_us;
	uint32_t coalesce_us;
	uint32_t *cpus;
	unsigned int n_cpus;
	char *capture_directory;   /* or NULL */
	uint16_t port_lo, port_hi; /* of active opens, inclusive; both 0: none */
};

struct mr_settings_tcp {
	bool nagle;
	uint32_t user_timeout_ms;
	uint32_t time_wait_ms;
	uint32_t fin_wait_ms;
	uint32_t delayed_ack_ms;
	uint8_t cc;  /* enum mr_cc_algorithm */
	uint8_t ecn; /* enum mr_ecn_mode */
	enum mr_mtu_probing mtu_probing;
	struct mr_keepalive_settings keepalive;
	struct mr_open_settings open;
};

/** mr_config_open_names() - the words for three of the settings, as in the file */
void mr_config_open_names(const struct mr_open_settings *s, const char **syn_cookies,
			  const char **overflow, const char **fast_open);

enum {
	MR_RULE_COMMENT_BYTES = 96,
	MR_MAX_DYNAMIC = 256, /* listeners that applications ask for, which are rules too */
	MR_RULES_MOST = MR_MAX_RULES - MR_MAX_DYNAMIC,
	MR_DYNAMIC_FIRST = MR_RULES_MOST, /* number of the first of them */
};

/* A rule that steers, or a filter: one that passes or drops, of which `lane` has only the name. */
struct mr_settings_rule {
	struct mr_lane_rule lane; /* as the lanes get it; a steering rule's rule_id is the index */
	struct mr_match match;
	enum mr_rule_action action;
	char comment[MR_RULE_COMMENT_BYTES];
	enum mr_rule_fallback fallback;
	bool messages; /* a TLV application */
	bool added;    /* while the daemon ran: the file does not have it so */
	unsigned int line;
};

/* Limits of a rule by its index. */
struct mr_settings_guard_rule {
	uint32_t rule;
	struct mr_guard_rate packets, syns;
};

struct mr_settings_guard {
	struct mr_blocks blocks;
	struct mr_guard limits;
	struct mr_settings_guard_rule *rules;
	unsigned int n_rules;
};

struct mr_settings {
	char *file;
	char *user;
	uid_t uid;
	gid_t gid;
	char *run_directory;
	char *pin_directory;
	char *http; /* ADDRESS:PORT of loopback, NULL: off */
	struct mr_settings_interface *interfaces;
	unsigned int n_interfaces;
	uint32_t stale_ms;
	uint32_t grace_ms;
	struct mr_settings_lanes lanes;
	struct mr_settings_tcp tcp;
	enum mr_mode mode;
	struct mr_settings_rule
		*rules; /* that steer, by number; some leave, some places are free */
	unsigned int n_rules;
	struct mr_settings_rule *filters; /* that pass or drop */
	unsigned int n_filters;
	uint16_t last_filter;	/* number given last to one of them */
	uint64_t rules_in_file; /* mr_ruleset_digest() of the rules as they were read */
	char *directories[MR_MAX_DIRECTORIES]; /* of mr_lane_rule.directory */
	unsigned int n_directories;
	struct mr_settings_guard guard;
};

enum {
	MR_CONFIG_ERROR_BYTES = 512,
};

/**
 * mr_settings_load() - read and check a configuration file
 * @s:		out: filled in; to be freed with mr_settings_free() after success
 * @error:	out: on failure one line `FILE:LINE: what is wrong; cure`
 *
 * Return: 0, or -errno with @s zeroed
 */
int mr_settings_load(const char *file, struct mr_settings *s, char error[MR_CONFIG_ERROR_BYTES]);

/** mr_settings_free() - also of a zeroed @s */
void mr_settings_free(struct mr_settings *s);

/** mr_app_name() - name of the application with index @i in a lane's counters, or NULL */
const char *mr_app_name(unsigned int i);

/** mr_rule_is_live() - it takes new connections: it neither leaves, nor is its number free */
bool mr_rule_is_live(const struct mr_settings_rule *r);

/** mr_rules_live() - how many rules of the settings steer */
unsigned int mr_rules_live(const struct mr_settings *s);

/** mr_rules_free() - rules and what they own */
void mr_rules_free(struct mr_settings_rule *rules, unsigned int n);

/** mr_mode_names(), mr_action_names() - of enum mr_mode, mr_rule_action; NULL at the end */
const char *const *mr_mode_names(void);
const char *const *mr_action_names(void);

/** mr_attach_mode_name() and the others: as the file spells them */
const char *mr_attach_mode_name(enum mr_attach_mode mode);
const char *mr_attach_by_name(enum mr_attach_by by);
const char *mr_xsk_bind_name(enum mr_xsk_bind bind);
const char *mr_mtu_probing_name(enum mr_mtu_probing probing);

#endif
