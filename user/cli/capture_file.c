/* SPDX-License-Identifier: MIT */
#include "user/cli/capture_file.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/mr_verdict.h"
#include "user/cli/value.h"
#include "user/wire/pcapng.h"

enum {
	BUFFER_BYTES = 1 << 18,
	MAX_INTERFACES = 64, /* of the file; frames of more are written as of the last */
	NAME_BYTES = 64,
	COMMENT_BYTES = 256,
};

struct mr_capture_file {
	int fd;
	int error; /* 0, or -errno that ended the writing */
	const json_t *status, *rules;
	uint32_t snaplen;
	const char *filter;
	uint32_t ifindex[MAX_INTERFACES]; /* by the file's own number */
	uint32_t n_interfaces;
	int64_t wall_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	struct mr_pcapng blocks;
	uint8_t buffer[BUFFER_BYTES];
};

static const char *const verdict_names[] = {
#define V(name, action, text) #name,
	MR_VERDICTS(V)
#undef V
};

static int64_t clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int mr_capture_file_flush(struct mr_capture_file *f)
{
	uint32_t done = 0;

	while (done < f->blocks.used && !f->error) {
		ssize_t n = write(f->fd, f->buffer + done, f->blocks.used - done);

		if (n >= 0)
			done += (uint32_t)n;
		else if (errno != EINTR)
			f->error = -errno;
	}
	f->blocks.used = 0;
	/* The wall clock may be set while we run. */
	f->wall_ns = clock_of(CLOCK_REALTIME) - clock_of(CLOCK_MONOTONIC);
	return f->error;
}

struct mr_capture_file *mr_capture_file_new(int fd, const json_t *status, const json_t *rules,
					    uint32_t snaplen, const char *filter)
{
	struct mr_capture_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->fd = fd;
	f->status = status;
	f->rules = rules;
	f->snaplen = snaplen;
	f->filter = filter;
	f->blocks = (struct mr_pcapng){ .bytes = f->buffer, .room = sizeof(f->buffer) };
	f->wall_ns = clock_of(CLOCK_REALTIME) - clock_of(CLOCK_MONOTONIC);
	mr_pcapng_section(&f->blocks, "millrace capture");
	return f;
}

/* ----- names ----- */

/* The daemon's record of an interface, by one of its numbers. */
static const json_t *interface_at(const struct mr_capture_file *f, uint32_t ifindex)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(f->status, "interfaces"), i, one)
	{
		if (mr_value_count(json_object_get(one, "ifindex")) == ifindex)
			return one;
	}
	return NULL;
}

/* The daemon's word first: the interface may be in another network namespace than we are. */
static void interface_name(const struct mr_capture_file *f, uint32_t ifindex, char out[NAME_BYTES])
{
	const char *name = json_string_value(json_object_get(interface_at(f, ifindex), "name"));
	char own[IF_NAMESIZE];

	if (name)
		snprintf(out, NAME_BYTES, "%.63s", name);
	else if (if_indextoname(ifindex, own))
		snprintf(out, NAME_BYTES, "%s", own);
	else
		snprintf(out, NAME_BYTES, "ifindex %" PRIu32, ifindex);
}

static const char *rule_name(const struct mr_capture_file *f, uint32_t id)
{
	const json_t *rule;
	size_t i;

	json_array_foreach(json_object_get(f->rules, "rules"), i, rule)
	{
		if (mr_value_count(json_object_get(rule, "id")) == id)
			return json_string_value(json_object_get(rule, "name"));
	}
	return NULL;
}

static int add_lane(const struct mr_capture_file *f, const struct mr_tap_frame *head, char *out,
		    size_t room)
{
	const json_t *one = interface_at(f, head->ifindex);
	uint64_t base = mr_value_count(json_object_get(one, "slot_base"));
	const char *name = json_string_value(json_object_get(one, "name"));

	if (name && head->slot >= base)
		return snprintf(out, room, " lane=%.63s:%" PRIu64, name, head->slot - base);
	return snprintf(out, room, " slot=%" PRIu32, head->slot);
}

/* "verdict=TAKE rule=echo lane=mrs0:0", "sent rule=echo lane=mrs0:0 conn=17.3" */
static void comment_of(const struct mr_capture_file *f, const struct mr_capture_frame *frame,
		       char out[COMMENT_BYTES])
{
	const struct mr_tap_frame *head = &frame->tap;
	const char *rule;
	int n;

	if (frame->sent)
		n = snprintf(out, COMMENT_BYTES, "sent");
	else if (head->verdict < MR_VERDICT_COUNT)
		n = snprintf(out, COMMENT_BYTES, "verdict=%s", verdict_names[head->verdict]);
	else
		n = snprintf(out, COMMENT_BYTES, "verdict=%u", head->verdict);
	if (head->rule_id != MR_TAP_NONE) {
		rule = rule_name(f, head->rule_id);
		if (rule)
			n += snprintf(out + n, COMMENT_BYTES - (size_t)n, " rule=%.64s", rule);
		else
			n += snprintf(out + n, COMMENT_BYTES - (size_t)n, " rule=%" PRIu32,
				      head->rule_id);
	}
	if (head->slot != MR_TAP_NONE)
		n += add_lane(f, head, out + n, COMMENT_BYTES - (size_t)n);
	if (frame->sent && frame->conn != MR_TAP_NONE)
		snprintf(out + n, COMMENT_BYTES - (size_t)n, " conn=%" PRIu32 ".%" PRIu32,
			 frame->conn, frame->generation);
}

/* ----- blocks ----- */

/* The file's number of an interface; its block is written before its first frame. */
static uint32_t interface_of(struct mr_capture_file *f, uint32_t ifindex)
{
	char name[NAME_BYTES];
	uint32_t i;

	for (i = 0; i < f->n_interfaces; i++)
		if (f->ifindex[i] == ifindex)
			return i;
	if (i == MAX_INTERFACES)
		return i - 1;
	interface_name(f, ifindex, name);
	if (!mr_pcapng_interface(&f->blocks, name, f->snaplen, f->filter)) {
		mr_capture_file_flush(f);
		mr_pcapng_interface(&f->blocks, name, f->snaplen, f->filter);
	}
	f->ifindex[f->n_interfaces++] = ifindex;
	return i;
}

int mr_capture_file_put(struct mr_capture_file *f, const struct mr_capture_frame *frame,
			const uint8_t *bytes)
{
	const struct mr_tap_frame *head = &frame->tap;
	char comment[COMMENT_BYTES];
	struct mr_pcapng_packet k = {
		.interface = interface_of(f, head->ifindex),
		.time_ns = head->time_ns + (uint64_t)f->wall_ns,
		.bytes = bytes,
		.captured = head->copied < f->snaplen ? head->copied : f->snaplen,
		.original = head->frame_bytes,
		.direction = frame->sent ? MR_PCAPNG_OUTBOUND : MR_PCAPNG_INBOUND,
		.comment = comment,
		.has_queue = true,
		.queue = head->queue,
		.has_xdp_action = !frame->sent,
		.xdp_action = head->action,
	};

	comment_of(f, frame, comment);
	if (!mr_pcapng_packet(&f->blocks, &k)) {
		mr_capture_file_flush(f);
		mr_pcapng_packet(&f->blocks, &k);
	}
	return f->error;
}

/* What was lost is not known by interface: it stands with the first one. */
int mr_capture_file_end(struct mr_capture_file *f, uint64_t seen, uint64_t lost)
{
	uint64_t now = (uint64_t)clock_of(CLOCK_REALTIME);

	if (f->n_interfaces && !mr_pcapng_statistics(&f->blocks, 0, now, seen, lost)) {
		mr_capture_file_flush(f);
		mr_pcapng_statistics(&f->blocks, 0, now, seen, lost);
	}
	return mr_capture_file_flush(f);
}

void mr_capture_file_free(struct mr_capture_file *f)
{
	free(f);
}
