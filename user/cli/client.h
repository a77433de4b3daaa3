/* SPDX-License-Identifier: MIT */
/* Asking the daemon: HTTP over its Unix socket, JSON back. What it says is not trusted. */
#ifndef MR_CLI_CLIENT_H
#define MR_CLI_CLIENT_H

#include "user/cli/cli.h"

enum {
	MR_CLIENT_WORDS = 512,		  /* of a reason */
	MR_CLIENT_PATH = 512,		  /* of a request */
	MR_CLIENT_ANSWER_MAX = 256 << 20, /* bytes; more is no answer of ours */
};

/**
 * mr_client_try() - GET @path
 * @path:	from "/v1/..." on, parameters escaped
 * @answer:	out: an object of API version 1, the caller's to json_decref(); NULL on error.
 *		Unless -j was given, control characters in its strings and keys are replaced by
 *		"?", so that they can be printed
 * @why:	out: on error, one line with the cure
 *
 * Return: 0, or -errno: that of connect(2) if nobody answers (ENOENT, ECONNREFUSED, EACCES),
 *	   ETIMEDOUT, EBADMSG (no JSON, or not of our version), EREMOTEIO (HTTP error)
 */
int mr_client_try(const struct mr_cli *cli, const char *path, json_t **answer,
		  char why[MR_CLIENT_WORDS]);

/**
 * struct mr_client_sink - where a long answer goes, piece by piece
 * @begins:	how an answer begins that is meant
 * @hold:	bytes to wait for before the first piece is given away; at least those of @begins
 * @take:	false ends it
 * @streams:	out: something was given away
 */
struct mr_client_sink {
	const char *begins;
	size_t hold;
	bool (*take)(void *arg, const char *data, size_t len);
	void *arg;
	bool streams;
};

/**
 * mr_client_stream() - GET @path, an answer that may be longer than memory
 * @answer:	out: as mr_client_try()'s for what was not given to @sink: an answer shorter than
 *		@sink->hold, or one that begins otherwise; NULL after a stream
 *
 * Return: as mr_client_try(); -ECANCELED with @why empty when @take ended it
 */
int mr_client_stream(const struct mr_cli *cli, const char *path, struct mr_client_sink *sink,
		     json_t **answer, char why[MR_CLIENT_WORDS]);

/** mr_client_send() - as mr_client_post(), with @body; which is given */
json_t *mr_client_send(const struct mr_cli *cli, const char *path, json_t *body);

/** mr_client_get() - as mr_client_try(), but says itself what went wrong, and returns NULL then */
json_t *mr_client_get(const struct mr_cli *cli, const char *path);

/**
 * mr_client_show() - print an answer: as JSON with -j, else by @print
 * @answer:	given; NULL: what went wrong was said already
 *
 * Return: MR_CLI_OK, or MR_CLI_ERROR without an answer
 */
int mr_client_show(const struct mr_cli *cli, json_t *answer, void (*print)(const json_t *answer));

/** mr_client_post() - ask for a change, by POST; as mr_client_get() */
json_t *mr_client_post(const struct mr_cli *cli, const char *path);

/**
 * mr_client_append() - append `NAME=VALUE` to a path, VALUE escaped
 * @separator:	'?' or '&'
 *
 * Return: false if @path, of MR_CLIENT_PATH bytes, would overflow; it is unchanged then
 */
bool mr_client_append(char path[MR_CLIENT_PATH], char separator, const char *name,
		      const char *value);

#endif
