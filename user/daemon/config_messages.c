/* SPDX-License-Identifier: MIT */
/* A rule's message layer: TLV layout and heartbeats. */
#include <inttypes.h>
#include <string.h>

#include "user/daemon/config_rule.h"

enum {
	TIME_MOST_MS = 86400000,
};

static int check_width(struct mr_rule_entry *e, const char *key, const uint64_t *value,
		       uint8_t dflt, uint8_t *out)
{
	*out = value && *value <= 8 ? (uint8_t)*value : dflt;
	if (!value || *value == 1 || *value == 2 || *value == 4 || *value == 8)
		return 0;
	return mr_config_fail(e->f, mr_rule_entry_line(e, key),
			      "rule %s: %s %" PRIu64 " is none of 1, 2, 4, 8", e->raw->name, key,
			      *value);
}

int mr_config_rule_tlv(struct mr_rule_entry *e)
{
	static const struct mr_raw_tlv none;
	static const char *const orders[] = { "big", "little", NULL };
	const struct mr_raw_tlv *raw = e->raw->tlv ? e->raw->tlv : &none;
	struct mr_tlv_settings *t = &e->out->lane.tlv;
	uint64_t most = (uint64_t)1 << 30, bytes;
	int order, check, err;

	if (e->raw->tlv && !e->out->messages)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "tlv"),
				      "rule %s: app %s takes bytes, not messages; remove tlv",
				      e->raw->name, e->raw->app);
	err = check_width(e, "tlv.tag_bytes", raw->tag_bytes, 2, &t->tag_bytes);
	if (!err)
		err = check_width(e, "tlv.length_bytes", raw->length_bytes, 4, &t->length_bytes);
	if (!err)
		err = mr_config_choice(e->f, mr_rule_entry_path(e, "tlv.order"), raw->order, orders,
				       0, &order);
	if (!err)
		err = mr_config_choice(e->f, mr_rule_entry_path(e, "tlv.check"), raw->check,
				       mr_tlv_check_names(), 0, &check);
	if (err)
		return err;
	t->little_endian = order == 1;
	t->check = (uint8_t)check;
	t->length_has_header = raw->length_has_header && *raw->length_has_header;
	if (t->length_bytes < 4)
		most = ((uint64_t)1 << (8 * t->length_bytes)) - 1;
	if (t->length_has_header && t->length_bytes < 4)
		most -= (uint64_t)t->tag_bytes + t->length_bytes;
	if (most > e->s->lanes.message_bytes)
		most = e->s->lanes.message_bytes;
	err = mr_config_number(e->f, mr_rule_entry_path(e, "tlv.max_bytes"), raw->max_bytes,
			       most < 1 << 20 ? most : 1 << 20, 1, most, &bytes);
	t->max_bytes = (uint32_t)bytes;
	return err;
}

static bool fits(uint64_t tag, uint8_t bytes)
{
	return bytes == 8 || tag >> (8 * bytes) == 0;
}

static int check_ping(struct mr_rule_entry *e, const struct mr_raw_rule_heartbeat *raw)
{
	struct mr_heartbeat_settings *h = &e->out->lane.heartbeat;
	uint8_t width = e->out->lane.tlv.tag_bytes;

	if (!raw->ping_tag != !raw->pong_tag)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "heartbeat"),
				      "rule %s: ping_tag and pong_tag belong together; give both",
				      e->raw->name);
	if (!raw->ping_tag && (h->ping_ms || h->pong_ms))
		return mr_config_fail(e->f, mr_rule_entry_line(e, "heartbeat"),
				      "rule %s: ping_ms and pong_ms need ping_tag and pong_tag",
				      e->raw->name);
	if (h->pong_ms && !h->ping_ms)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "heartbeat.pong_ms"),
				      "rule %s: pong_ms needs ping_ms: without pings no pong comes",
				      e->raw->name);
	if (!raw->ping_tag)
		return 0;
	if (*raw->ping_tag == *raw->pong_tag)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "heartbeat.pong_tag"),
				      "rule %s: ping_tag and pong_tag are both %" PRIu64
				      "; give two tags",
				      e->raw->name, *raw->ping_tag);
	if (!fits(*raw->ping_tag, width) || !fits(*raw->pong_tag, width))
		return mr_config_fail(e->f, mr_rule_entry_line(e, "heartbeat.ping_tag"),
				      "rule %s: a tag of %u bytes cannot hold the ping or pong tag",
				      e->raw->name, width);
	h->has_ping = 1;
	h->ping_tag = *raw->ping_tag;
	h->pong_tag = *raw->pong_tag;
	return 0;
}

int mr_config_rule_heartbeat(struct mr_rule_entry *e)
{
	static const struct mr_raw_rule_heartbeat none;
	const struct mr_raw_rule_heartbeat *raw = e->raw->heartbeat ? e->raw->heartbeat : &none;
	struct mr_heartbeat_settings *h = &e->out->lane.heartbeat;
	const struct {
		const char *key;
		const uint64_t *value;
		uint32_t dflt;
		uint32_t *out;
	} row[] = {
		{ "heartbeat.idle_ms", raw->idle_ms, 0, &h->idle_ms },
		{ "heartbeat.partial_ms", raw->partial_ms, 30000, &h->partial_ms },
		{ "heartbeat.ping_ms", raw->ping_ms, 0, &h->ping_ms },
		{ "heartbeat.pong_ms", raw->pong_ms, 0, &h->pong_ms },
		{ "heartbeat.handler_ms", raw->handler_ms, 0, &h->handler_ms },
		{ "heartbeat.send_ms", raw->send_ms, 120000, &h->send_ms },
	};

	if (e->raw->heartbeat && !e->out->messages)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "heartbeat"),
				      "rule %s: app %s takes bytes, not messages; remove heartbeat",
				      e->raw->name, e->raw->app);
	if (!e->out->messages)
		return 0;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint64_t v;
		int err = mr_config_number(e->f, mr_rule_entry_path(e, row[i].key), row[i].value,
					   row[i].dflt, 0, TIME_MOST_MS, &v);

		if (err)
			return err;
		*row[i].out = (uint32_t)v;
	}
	return check_ping(e, raw);
}
