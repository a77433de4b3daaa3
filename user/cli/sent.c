/* SPDX-License-Identifier: MIT */
#include "user/cli/sent.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/value.h"

enum {
	LANES_MOST = 64,
	ANSWER_MOST = sizeof(struct mr_sent_answer) + MR_SENT_BYTES,
	ANSWER_TIMEOUT_S = 5,
	PIECES_AT_ONCE = 8, /* of a lane, before others have their turn */
};

struct mr_sent_reader {
	CURL *curl;
	uint32_t copy_bytes;
	mr_sent_taker take;
	void *arg;
	uint64_t lost;
	uint32_t n_lanes;
	struct mr_sent_lane lane[LANES_MOST];
	size_t len; /* of the answer so far */
	uint8_t answer[ANSWER_MOST];
};

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
	struct mr_sent_reader *s = arg;
	size_t len = size * n;

	if (len > ANSWER_MOST - s->len)
		return 0; /* curl ends the transfer */
	memcpy(s->answer + s->len, data, len);
	s->len += len;
	return len;
}

static const json_t *interface_named(const json_t *status, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "interfaces"), i, one)
	{
		const char *theirs = json_string_value(json_object_get(one, "name"));

		if (theirs && name && !strcmp(theirs, name))
			return one;
	}
	return NULL;
}

static void add_lane(struct mr_sent_reader *s, const json_t *status, const json_t *lane,
		     uint32_t ifindex)
{
	const char *name = json_string_value(json_object_get(lane, "interface"));
	const json_t *interface = interface_named(status, name);
	struct mr_sent_lane *l = &s->lane[s->n_lanes];

	if (!interface || s->n_lanes == LANES_MOST)
		return;
	*l = (struct mr_sent_lane){
		.ifindex = (uint32_t)mr_value_count(json_object_get(interface, "ifindex")),
		.queue = (uint32_t)mr_value_count(json_object_get(lane, "queue")),
		.slot = (uint32_t)mr_value_count(json_object_get(lane, "slot")),
		.after = UINT64_MAX,
	};
	snprintf(l->name, sizeof(l->name), "%.40s:%" PRIu32, name, l->queue);
	if (!ifindex || ifindex == l->ifindex)
		s->n_lanes++;
}

static int find_lanes(struct mr_sent_reader *s, const struct mr_cli *cli, const json_t *status,
		      uint32_t ifindex, char why[MR_CLIENT_WORDS])
{
	json_t *answer, *lane;
	size_t i;
	int err = mr_client_try(cli, "/v1/lanes", &answer, why);

	if (err < 0)
		return err;
	json_array_foreach(json_object_get(answer, "lanes"), i, lane)
	{
		add_lane(s, status, lane, ifindex);
	}
	json_decref(answer);
	return 0;
}

static void set_options(struct mr_sent_reader *s, const struct mr_cli *cli)
{
	curl_easy_setopt(s->curl, CURLOPT_POST, 1L);
	curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, "");
	curl_easy_setopt(s->curl, CURLOPT_UNIX_SOCKET_PATH, cli->socket);
	curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(s->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->curl, CURLOPT_TIMEOUT, (long)ANSWER_TIMEOUT_S);
	curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, s);
}

/* One piece of a lane's ring into @s->answer; 0 or -EREMOTEIO with @why. */
static int fetch(struct mr_sent_reader *s, const struct mr_sent_lane *l, char why[MR_CLIENT_WORDS])
{
	char url[256];
	long status = 0;
	CURLcode code;

	snprintf(url, sizeof(url),
		 "http://millrace/v1/lanes/sent?lane=%s&after=%" PRIu64 "&copy_bytes=%" PRIu32,
		 l->name, l->after, s->copy_bytes);
	s->len = 0;
	curl_easy_setopt(s->curl, CURLOPT_URL, url);
	code = curl_easy_perform(s->curl);
	curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && status == 200 && s->len >= sizeof(struct mr_sent_answer))
		return 0;
	if (code != CURLE_OK)
		snprintf(why, MR_CLIENT_WORDS, "%s", curl_easy_strerror(code));
	else
		snprintf(why, MR_CLIENT_WORDS, "the daemon answered with HTTP status %ld%s", status,
			 status == 403 ? " (run as root)" : "");
	return -EREMOTEIO;
}

/* The next record in @block, of @len bytes; 0: there is none. It moves *@at behind it. */
static bool next_record(const uint8_t *block, size_t len, size_t *at, struct mr_sent_frame *head)
{
	if (len - *at < sizeof(*head))
		return false;
	memcpy(head, block + *at, sizeof(*head));
	if (head->bytes % 8 || head->bytes < sizeof(*head) || head->bytes > len - *at ||
	    head->copied > head->bytes - sizeof(*head) || head->copied > head->frame_bytes)
		return false;
	*at += head->bytes;
	return true;
}

static int take_block(struct mr_sent_reader *s, struct mr_sent_lane *l, const uint8_t *block,
		      size_t len)
{
	struct mr_sent_frame head;
	size_t at = 0, before = 0;
	int err = 0;

	for (; !err && next_record(block, len, &at, &head); before = at) {
		if (head.number > l->number + 1)
			s->lost += head.number - l->number - 1;
		l->number = head.number;
		err = s->take(s->arg, l, &head, block + before + sizeof(head));
	}
	return err;
}

/* Records lie in blocks by their positions. */
static int take_piece(struct mr_sent_reader *s, struct mr_sent_lane *l,
		      const struct mr_sent_answer *answer)
{
	const uint8_t *bytes = s->answer + sizeof(*answer);
	uint64_t at = answer->from, end = at + (s->len - sizeof(*answer));
	int err = 0;

	if (l->after == UINT64_MAX)
		l->number = answer->frames;
	l->after = answer->next;
	while (!err && at < end) {
		uint64_t left = MR_SENT_BLOCK - at % MR_SENT_BLOCK;
		size_t len = (size_t)(left < end - at ? left : end - at);

		err = take_block(s, l, bytes + (at - answer->from), len);
		at += len;
	}
	return err;
}

int mr_sent_read(struct mr_sent_reader *s, char why[MR_CLIENT_WORDS])
{
	struct mr_sent_answer answer;
	int err = 0;

	for (uint32_t i = 0; !err && i < s->n_lanes; i++)
		for (int pieces = 0; !err && pieces < PIECES_AT_ONCE; pieces++) {
			err = fetch(s, &s->lane[i], why);
			if (err)
				break;
			memcpy(&answer, s->answer, sizeof(answer));
			err = take_piece(s, &s->lane[i], &answer);
			if (answer.next == answer.head)
				break;
		}
	return err;
}

static int ignore(void *arg, const struct mr_sent_lane *lane, const struct mr_sent_frame *head,
		  const uint8_t *bytes)
{
	(void)arg;
	(void)lane;
	(void)head;
	(void)bytes;
	return 0;
}

struct mr_sent_reader *mr_sent_open(const struct mr_cli *cli, const json_t *status,
				    uint32_t ifindex, uint32_t copy_bytes, mr_sent_taker take,
				    void *arg, char why[MR_CLIENT_WORDS])
{
	struct mr_sent_reader *s = calloc(1, sizeof(*s));

	snprintf(why, MR_CLIENT_WORDS, "out of memory");
	if (!s)
		return NULL;
	s->curl = curl_easy_init();
	s->copy_bytes = copy_bytes;
	s->take = ignore;
	if (!s->curl)
		goto undo_reader;
	set_options(s, cli);
	if (find_lanes(s, cli, status, ifindex, why) < 0 || mr_sent_read(s, why) < 0)
		goto undo_reader;
	s->take = take;
	s->arg = arg;
	return s;
undo_reader:
	mr_sent_close(s);
	return NULL;
}

uint64_t mr_sent_lost(const struct mr_sent_reader *s)
{
	return s ? s->lost : 0;
}

void mr_sent_close(struct mr_sent_reader *s)
{
	if (!s)
		return;
	if (s->curl)
		curl_easy_cleanup(s->curl);
	free(s);
}
