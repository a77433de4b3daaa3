/* SPDX-License-Identifier: MIT */
/*
 * The configuration file as libcyaml reads it: a NULL pointer is a key that is not there. Between
 * config_raw.c (schema), config_walk.c (structure, with lines) and config_check.c (meaning).
 */
#ifndef MR_DAEMON_CONFIG_RAW_H
#define MR_DAEMON_CONFIG_RAW_H

#include <cyaml/cyaml.h>
#include <yaml.h>

#include "shared/mr_cc.h"
#include "user/daemon/config.h"
#include "user/daemon/config_guard.h"

struct mr_raw_interface {
	char *name;
	char *queues;
	char *mode;
	char *attach;
	char *bind;
	bool *force;
};

struct mr_raw_heartbeat {
	uint64_t *stale_ms;
	uint64_t *grace_ms;
};

struct mr_raw_lanes {
	uint64_t *frames;
	uint64_t *frame_bytes;
	char *huge_pages;
	uint64_t *connections;
	uint64_t *half_open;
	uint64_t *time_wait;
	uint64_t *message_bytes;
	uint64_t *receive_buffer;
	uint64_t *send_buffer;
	uint64_t *busy_poll_us;
	uint64_t *coalesce_us;
	uint64_t *cpus;
	unsigned int n_cpus;
	char *capture_directory;
	char *ports;
	char *sockets;
};

struct mr_raw_keepalive {
	bool *enabled;
	uint64_t *idle_s;
	uint64_t *interval_s;
	uint64_t *count;
};

struct mr_raw_per_source {
	uint64_t *connections;
	uint64_t *half_open;
};

struct mr_raw_tcp {
	bool *nagle;
	uint64_t *user_timeout_ms;
	uint64_t *time_wait_ms;
	uint64_t *fin_wait_ms;
	uint64_t *delayed_ack_ms;
	char *congestion_control;
	char *ecn;
	char *syn_cookies;
	char *overflow;
	uint64_t *syn_ack_retries;
	char *fast_open;
	uint64_t *fast_open_pending;
	struct mr_raw_per_source per_source;
	char *mtu_probing;
	struct mr_raw_keepalive keepalive;
};

struct mr_raw_tlv {
	uint64_t *tag_bytes;
	uint64_t *length_bytes;
	char *order;
	bool *length_has_header;
	uint64_t *max_bytes;
	char *check;
};

struct mr_raw_rule_heartbeat {
	uint64_t *ping_tag;
	uint64_t *pong_tag;
	uint64_t *idle_ms;
	uint64_t *partial_ms;
	uint64_t *ping_ms;
	uint64_t *pong_ms;
	uint64_t *handler_ms;
	uint64_t *send_ms;
};

struct mr_raw_rule {
	char *name;
	char *action;
	uint64_t *priority;
	char *comment;
	char *protocol;
	char *address;
	char *destination;
	char *destination_file;
	char *source;
	char *source_file;
	char *port;
	char *vlan;
	char *interface;
	char *app;
	char *fallback;
	uint64_t *backlog;
	uint64_t *ttl;
	uint64_t *dscp;
	bool *nodelay;
	char *congestion_control;
	char *ecn;
	char *directory;
	struct mr_raw_tlv *tlv;
	struct mr_raw_rule_heartbeat *heartbeat;
};

struct mr_raw_config {
	char *user;
	char *run_directory;
	char *pin_directory;
	char *http;
	char *mode;
	struct mr_raw_interface *interfaces;
	unsigned int n_interfaces;
	struct mr_raw_heartbeat heartbeat;
	struct mr_raw_lanes lanes;
	struct mr_raw_tcp tcp;
	struct mr_raw_guard guard;
	struct mr_raw_rule *rules;
	unsigned int n_rules;
};

extern const cyaml_schema_value_t mr_raw_schema;

/* A file under check. */
struct mr_config_file {
	const char *name;
	yaml_document_t document;
	char *error; /* MR_CONFIG_ERROR_BYTES; only the first error is kept */
};

/** mr_config_fail() - note an error at a line, unless there is one already; returns -EINVAL */
int mr_config_fail(struct mr_config_file *f, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** mr_config_walk() - hold the document against the schema: keys, kinds, numbers, booleans */
int mr_config_walk(struct mr_config_file *f, const cyaml_schema_value_t *schema);

/**
 * mr_config_line() - the line of the key or entry at a path such as "rules[3].tlv.order"
 *
 * Return: the line, or that of the deepest part of the path which exists; 1 at least
 */
unsigned int mr_config_line(struct mr_config_file *f, const char *path);

/** mr_config_check() - raw values into settings, with defaults; -EINVAL with an error noted */
int mr_config_check(struct mr_config_file *f, const struct mr_raw_config *raw,
		    struct mr_settings *s);

/* ----- what the files of config_*.c share ----- */

/** mr_config_number() - *@value, or @dflt when it is NULL; must lie in @lo to @hi */
int mr_config_number(struct mr_config_file *f, const char *path, const uint64_t *value,
		     uint64_t dflt, uint64_t lo, uint64_t hi, uint64_t *out);

/** mr_config_number32() - the same for 32 bits */
int mr_config_number32(struct mr_config_file *f, const char *path, const uint64_t *value,
		       uint32_t dflt, uint32_t lo, uint32_t hi, uint32_t *out);

/** mr_config_path() - a copy of @value or @dflt, which must be whole paths; NULL when both are */
int mr_config_path(struct mr_config_file *f, const char *path, const char *value, const char *dflt,
		   char **out);

/** mr_config_choice() - index of @value in the NULL-ended @names, or @dflt when @value is NULL */
int mr_config_choice(struct mr_config_file *f, const char *path, const char *value,
		     const char *const *names, int dflt, int *out);

/**
 * mr_config_cc() - the keys congestion_control and ecn of the part at @path, such as "tcp"
 * @cc, @ecn:	in: what stands where the file has none; out: enum mr_cc_algorithm, enum mr_ecn_mode
 */
int mr_config_cc(struct mr_config_file *f, const char *path, const char *cc_word,
		 const char *ecn_word, uint8_t *cc, uint8_t *ecn);

/** mr_config_lanes() - the part `lanes` */
int mr_config_lanes(struct mr_config_file *f, const struct mr_raw_lanes *raw,
		    struct mr_settings_lanes *out);

/** mr_config_open() - of `tcp`, how connections are opened */
int mr_config_open(struct mr_config_file *f, const struct mr_raw_tcp *raw,
		   struct mr_open_settings *out);

/** mr_config_rules() - all rules, and what clashes among them */
int mr_config_rules(struct mr_config_file *f, const struct mr_raw_config *raw,
		    struct mr_settings *s);

#endif
