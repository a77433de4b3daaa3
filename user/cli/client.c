/* SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "user/cli/client.h"

enum {
	CONNECT_TIMEOUT_S = 5,
	ANSWER_TIMEOUT_S = 30,
	API_VERSION = 1,
};

struct body {
	char *bytes;
	size_t len;
	size_t room;
	bool too_long;
	CURL *curl;
	struct mr_client_sink *sink; /* or NULL: all of it is kept */
	bool refused;		     /* by the sink */
};

static bool sink_takes(struct body *b, const char *data, size_t len)
{
	b->sink->streams = true;
	b->refused = !b->sink->take(b->sink->arg, data, len);
	return !b->refused;
}

/* What was kept so far is the beginning of what the sink waits for: from here on it is its own. */
static bool give_away(struct body *b)
{
	size_t n = strlen(b->sink->begins);
	long status = 0;

	curl_easy_getinfo(b->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 || b->len < b->sink->hold || memcmp(b->bytes, b->sink->begins, n) != 0)
		return true;
	return sink_takes(b, b->bytes, b->len);
}

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
	struct body *b = arg;
	size_t len = size * n;

	if (b->sink && b->sink->streams)
		return sink_takes(b, data, len) ? len : 0;
	if (len > MR_CLIENT_ANSWER_MAX - b->len) {
		b->too_long = true;
		return 0; /* curl ends the transfer */
	}
	if (len > b->room - b->len) {
		size_t room = 2 * (b->len + len);
		char *bytes = realloc(b->bytes, room);

		if (!bytes)
			return 0;
		b->bytes = bytes;
		b->room = room;
	}
	memcpy(b->bytes + b->len, data, len);
	b->len += len;
	return b->sink && !give_away(b) ? 0 : len;
}

/* Control characters, C0 and C1 in UTF-8, would reach the terminal. Returns true if it had any. */
static bool make_printable(char *s)
{
	bool changed = false;

	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			*p = p[1] = '?';
		else if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else
			continue;
		changed = true;
	}
	return changed;
}

static void clean_string(json_t *v)
{
	char *copy = strdup(json_string_value(v));

	if (copy && make_printable(copy))
		json_string_set(v, copy);
	free(copy);
}

/* Renames keys that cannot be printed: a second object is built, in the same order. */
static void clean_keys(json_t *object)
{
	json_t *clean = json_object();
	const char *key;
	json_t *v;
	bool changed = false;

	json_object_foreach(object, key, v)
	{
		char *copy = strdup(key);

		if (!copy)
			continue;
		changed |= make_printable(copy);
		json_object_set(clean, copy, v);
		free(copy);
	}
	if (changed && !json_object_clear(object))
		json_object_update(object, clean);
	json_decref(clean);
}

/* Depth is bounded by the parser (JSON_PARSER_MAX_DEPTH). */
static void clean_value(json_t *v)
{
	const char *key;
	json_t *member;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_STRING:
		clean_string(v);
		break;
	case JSON_ARRAY:
		json_array_foreach(v, i, member)
		{
			clean_value(member);
		}
		break;
	case JSON_OBJECT:
		clean_keys(v);
		json_object_foreach(v, key, member)
		{
			clean_value(member);
		}
		break;
	default:
		break;
	}
}

static const char *cure_of(int err)
{
	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		return " (is millraced running?)";
	case EACCES:
	case EPERM:
		return " (run as root or as a member of the daemon's group)";
	default:
		return "";
	}
}

/* Why the transfer failed. Returns -errno. */
static int explain_transfer(const struct mr_cli *cli, CURLcode code, const struct body *b,
			    char *why)
{
	long err = 0;

	if (b->refused) {
		why[0] = '\0';
		return -ECANCELED;
	}
	curl_easy_getinfo(b->curl, CURLINFO_OS_ERRNO, &err);
	if (code == CURLE_COULDNT_CONNECT && err > 0) {
		snprintf(why, MR_CLIENT_WORDS, "cannot reach %s: %s%s", cli->socket,
			 strerror((int)err), cure_of((int)err));
		return -(int)err;
	}
	if (code == CURLE_OPERATION_TIMEDOUT) {
		snprintf(why, MR_CLIENT_WORDS, "no answer from %s (is millraced stopped or busy?)",
			 cli->socket);
		return -ETIMEDOUT;
	}
	if (b->sink && b->sink->streams)
		snprintf(why, MR_CLIENT_WORDS, "the daemon's answer was cut off: %s",
			 curl_easy_strerror(code));
	else if (b->too_long)
		snprintf(why, MR_CLIENT_WORDS, "answer from %s is longer than %d MiB", cli->socket,
			 MR_CLIENT_ANSWER_MAX >> 20);
	else
		snprintf(why, MR_CLIENT_WORDS, "%s: %s (is it millraced that listens there?)",
			 cli->socket, curl_easy_strerror(code));
	return -EBADMSG;
}

/* Why there is no answer to use. Returns -errno. */
static int explain_status(long status, const json_t *answer, char *why)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (error) {
		snprintf(why, MR_CLIENT_WORDS, "%s", error);
		make_printable(why);
	} else if (status == 404) {
		snprintf(why, MR_CLIENT_WORDS,
			 "the daemon does not know this request (is it of the same release?)");
	} else {
		snprintf(why, MR_CLIENT_WORDS, "the daemon answered with HTTP status %ld", status);
	}
	return -EREMOTEIO;
}

static int read_answer(long status, const struct body *b, json_t **answer, char *why)
{
	json_error_t error = { .line = -1 };
	json_t *v = json_loadb(b->bytes ? b->bytes : "", b->len, 0, &error);
	const json_t *version;
	int err = -EBADMSG;

	if (status != 200) {
		err = explain_status(status, v, why);
		goto refuse;
	}
	if (!v) {
		snprintf(why, MR_CLIENT_WORDS, "the daemon's answer is no JSON: line %d: %s",
			 error.line, error.text);
		make_printable(why);
		return err;
	}
	if (!json_is_object(v)) {
		snprintf(why, MR_CLIENT_WORDS, "the daemon's answer is no JSON object");
		goto refuse;
	}
	version = json_object_get(v, "v");
	if (version && json_integer_value(version) != API_VERSION) {
		snprintf(
			why, MR_CLIENT_WORDS,
			"the daemon speaks another version of the control API (use the millrace of "
			"its release)");
		goto refuse;
	}
	*answer = v;
	return 0;
refuse:
	json_decref(v);
	return err;
}

/* A stream may take as long as who reads our output takes; silence ends it. */
static void set_options(const struct mr_cli *cli, const char *url, const char *text, struct body *b)
{
	CURL *curl = b->curl;

	if (text) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
	}
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, cli->socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*"); /* whatever http_proxy says */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(curl, b->sink ? CURLOPT_LOW_SPEED_TIME : CURLOPT_TIMEOUT,
			 (long)ANSWER_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, b->sink ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, b);
}

/* @text: to be sent; NULL: a GET */
static int ask(const struct mr_cli *cli, const char *path, const char *text,
	       struct mr_client_sink *sink, json_t **answer, char why[MR_CLIENT_WORDS])
{
	char url[MR_CLIENT_PATH + 32];
	struct body body = { .sink = sink };
	CURLcode code;
	long status = 0;
	int err = 0;

	*answer = NULL;
	if (strlen(cli->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		snprintf(why, MR_CLIENT_WORDS, "the path of the socket is longer than %zu bytes",
			 sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		return -ENAMETOOLONG;
	}
	body.curl = curl_easy_init();
	if (!body.curl) {
		snprintf(why, MR_CLIENT_WORDS, "out of memory");
		return -ENOMEM;
	}
	snprintf(url, sizeof(url), "http://millrace%s", path);
	set_options(cli, url, text, &body);
	code = curl_easy_perform(body.curl);
	curl_easy_getinfo(body.curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		err = explain_transfer(cli, code, &body, why);
	else if (!sink || !sink->streams)
		err = read_answer(status, &body, answer, why);
	if (*answer && !cli->json)
		clean_value(*answer);
	free(body.bytes);
	curl_easy_cleanup(body.curl);
	return err;
}

int mr_client_try(const struct mr_cli *cli, const char *path, json_t **answer,
		  char why[MR_CLIENT_WORDS])
{
	return ask(cli, path, NULL, NULL, answer, why);
}

int mr_client_stream(const struct mr_cli *cli, const char *path, struct mr_client_sink *sink,
		     json_t **answer, char why[MR_CLIENT_WORDS])
{
	return ask(cli, path, NULL, sink, answer, why);
}

static json_t *post(const struct mr_cli *cli, const char *path, const char *text)
{
	char why[MR_CLIENT_WORDS];
	json_t *answer;

	if (ask(cli, path, text, NULL, &answer, why) < 0)
		mr_cli_error(cli, "%s", why);
	return answer;
}

int mr_client_show(const struct mr_cli *cli, json_t *answer, void (*print)(const json_t *answer))
{
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	else
		print(answer);
	json_decref(answer);
	return MR_CLI_OK;
}

json_t *mr_client_post(const struct mr_cli *cli, const char *path)
{
	return post(cli, path, "");
}

json_t *mr_client_send(const struct mr_cli *cli, const char *path, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_t *answer = NULL;

	if (text)
		answer = post(cli, path, text);
	else
		mr_cli_error(cli, "out of memory");
	json_decref(body);
	free(text);
	return answer;
}

json_t *mr_client_get(const struct mr_cli *cli, const char *path)
{
	char why[MR_CLIENT_WORDS];
	json_t *answer;

	if (mr_client_try(cli, path, &answer, why) < 0)
		mr_cli_error(cli, "%s", why);
	return answer;
}

bool mr_client_append(char path[MR_CLIENT_PATH], char separator, const char *name,
		      const char *value)
{
	char *escaped = curl_easy_escape(NULL, value, 0);
	size_t len = strlen(path);
	int n = -1;

	if (escaped)
		n = snprintf(path + len, MR_CLIENT_PATH - len, "%c%s=%s", separator, name, escaped);
	curl_free(escaped);
	if (n >= 0 && (size_t)n < MR_CLIENT_PATH - len)
		return true;
	path[len] = '\0';
	return false;
}
