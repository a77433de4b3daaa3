/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "user/daemon/config_raw.h"

enum {
	OPTIONAL = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
};

/* clang-format off */
#define STRING(type, key)   CYAML_FIELD_STRING_PTR(#key, OPTIONAL, type, key, 0, CYAML_UNLIMITED)
#define NUMBER(type, key)   CYAML_FIELD_UINT_PTR(#key, OPTIONAL, type, key)
#define BOOLEAN(type, key)  CYAML_FIELD_BOOL_PTR(#key, OPTIONAL, type, key)
#define REQUIRED(type, key) CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER, type, key, 1, CYAML_UNLIMITED)

static const cyaml_schema_field_t interface_fields[] = {
	REQUIRED(struct mr_raw_interface, name),
	STRING(struct mr_raw_interface, queues),
	STRING(struct mr_raw_interface, mode),
	STRING(struct mr_raw_interface, attach),
	STRING(struct mr_raw_interface, bind),
	BOOLEAN(struct mr_raw_interface, force),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t interface_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct mr_raw_interface, interface_fields),
};

static const cyaml_schema_field_t heartbeat_fields[] = {
	NUMBER(struct mr_raw_heartbeat, stale_ms),
	NUMBER(struct mr_raw_heartbeat, grace_ms),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t cpu_schema = {
	CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint64_t),
};

static const cyaml_schema_field_t lanes_fields[] = {
	NUMBER(struct mr_raw_lanes, frames),
	NUMBER(struct mr_raw_lanes, frame_bytes),
	STRING(struct mr_raw_lanes, huge_pages),
	NUMBER(struct mr_raw_lanes, connections),
	NUMBER(struct mr_raw_lanes, half_open),
	NUMBER(struct mr_raw_lanes, time_wait),
	NUMBER(struct mr_raw_lanes, message_bytes),
	NUMBER(struct mr_raw_lanes, receive_buffer),
	NUMBER(struct mr_raw_lanes, send_buffer),
	NUMBER(struct mr_raw_lanes, busy_poll_us),
	NUMBER(struct mr_raw_lanes, coalesce_us),
	CYAML_FIELD_SEQUENCE_COUNT("cpus", OPTIONAL, struct mr_raw_lanes, cpus, n_cpus, &cpu_schema,
				   0, CYAML_UNLIMITED),
	STRING(struct mr_raw_lanes, capture_directory),
	STRING(struct mr_raw_lanes, ports),
	STRING(struct mr_raw_lanes, sockets),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t keepalive_fields[] = {
	BOOLEAN(struct mr_raw_keepalive, enabled),
	NUMBER(struct mr_raw_keepalive, idle_s),
	NUMBER(struct mr_raw_keepalive, interval_s),
	NUMBER(struct mr_raw_keepalive, count),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t per_source_fields[] = {
	NUMBER(struct mr_raw_per_source, connections),
	NUMBER(struct mr_raw_per_source, half_open),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t tcp_fields[] = {
	BOOLEAN(struct mr_raw_tcp, nagle),
	NUMBER(struct mr_raw_tcp, user_timeout_ms),
	NUMBER(struct mr_raw_tcp, time_wait_ms),
	NUMBER(struct mr_raw_tcp, fin_wait_ms),
	NUMBER(struct mr_raw_tcp, delayed_ack_ms),
	STRING(struct mr_raw_tcp, congestion_control),
	STRING(struct mr_raw_tcp, ecn),
	STRING(struct mr_raw_tcp, syn_cookies),
	STRING(struct mr_raw_tcp, overflow),
	NUMBER(struct mr_raw_tcp, syn_ack_retries),
	STRING(struct mr_raw_tcp, fast_open),
	NUMBER(struct mr_raw_tcp, fast_open_pending),
	CYAML_FIELD_MAPPING("per_source", CYAML_FLAG_OPTIONAL, struct mr_raw_tcp, per_source,
			    per_source_fields),
	STRING(struct mr_raw_tcp, mtu_probing),
	CYAML_FIELD_MAPPING("keepalive", CYAML_FLAG_OPTIONAL, struct mr_raw_tcp, keepalive,
			    keepalive_fields),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t tlv_fields[] = {
	NUMBER(struct mr_raw_tlv, tag_bytes),
	NUMBER(struct mr_raw_tlv, length_bytes),
	STRING(struct mr_raw_tlv, order),
	BOOLEAN(struct mr_raw_tlv, length_has_header),
	NUMBER(struct mr_raw_tlv, max_bytes),
	STRING(struct mr_raw_tlv, check),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t rule_heartbeat_fields[] = {
	NUMBER(struct mr_raw_rule_heartbeat, ping_tag),
	NUMBER(struct mr_raw_rule_heartbeat, pong_tag),
	NUMBER(struct mr_raw_rule_heartbeat, idle_ms),
	NUMBER(struct mr_raw_rule_heartbeat, partial_ms),
	NUMBER(struct mr_raw_rule_heartbeat, ping_ms),
	NUMBER(struct mr_raw_rule_heartbeat, pong_ms),
	NUMBER(struct mr_raw_rule_heartbeat, handler_ms),
	NUMBER(struct mr_raw_rule_heartbeat, send_ms),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t rule_fields[] = {
	REQUIRED(struct mr_raw_rule, name),
	STRING(struct mr_raw_rule, action),
	NUMBER(struct mr_raw_rule, priority),
	STRING(struct mr_raw_rule, comment),
	STRING(struct mr_raw_rule, protocol),
	STRING(struct mr_raw_rule, address),
	STRING(struct mr_raw_rule, destination),
	STRING(struct mr_raw_rule, destination_file),
	STRING(struct mr_raw_rule, source),
	STRING(struct mr_raw_rule, source_file),
	STRING(struct mr_raw_rule, port),
	STRING(struct mr_raw_rule, vlan),
	STRING(struct mr_raw_rule, interface),
	STRING(struct mr_raw_rule, app),
	STRING(struct mr_raw_rule, fallback),
	NUMBER(struct mr_raw_rule, backlog),
	NUMBER(struct mr_raw_rule, ttl),
	NUMBER(struct mr_raw_rule, dscp),
	BOOLEAN(struct mr_raw_rule, nodelay),
	STRING(struct mr_raw_rule, congestion_control),
	STRING(struct mr_raw_rule, ecn),
	STRING(struct mr_raw_rule, directory),
	CYAML_FIELD_MAPPING_PTR("tlv", OPTIONAL, struct mr_raw_rule, tlv, tlv_fields),
	CYAML_FIELD_MAPPING_PTR("heartbeat", OPTIONAL, struct mr_raw_rule, heartbeat,
				rule_heartbeat_fields),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t rule_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct mr_raw_rule, rule_fields),
};

static const cyaml_schema_field_t config_fields[] = {
	STRING(struct mr_raw_config, user),
	STRING(struct mr_raw_config, run_directory),
	STRING(struct mr_raw_config, pin_directory),
	STRING(struct mr_raw_config, http),
	STRING(struct mr_raw_config, mode),
	CYAML_FIELD_SEQUENCE_COUNT("interfaces", CYAML_FLAG_POINTER, struct mr_raw_config, interfaces,
				   n_interfaces, &interface_schema, 0, CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING("heartbeat", CYAML_FLAG_OPTIONAL, struct mr_raw_config, heartbeat,
			    heartbeat_fields),
	CYAML_FIELD_MAPPING("lanes", CYAML_FLAG_OPTIONAL, struct mr_raw_config, lanes, lanes_fields),
	CYAML_FIELD_MAPPING("tcp", CYAML_FLAG_OPTIONAL, struct mr_raw_config, tcp, tcp_fields),
	CYAML_FIELD_MAPPING("guard", CYAML_FLAG_OPTIONAL, struct mr_raw_config, guard, mr_raw_guard_fields),
	CYAML_FIELD_SEQUENCE_COUNT("rules", CYAML_FLAG_POINTER, struct mr_raw_config, rules, n_rules,
				   &rule_schema, 0, CYAML_UNLIMITED),
	CYAML_FIELD_END
};
/* clang-format on */

const cyaml_schema_value_t mr_raw_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct mr_raw_config, config_fields),
};
