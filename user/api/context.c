/* SPDX-License-Identifier: MIT */
/* Contexts: which backend a string means. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/api/backend.h"
#include "user/api/words.h"

/* A library that was linked without a backend has no symbol for it. */
#define MAYBE __attribute__((weak, visibility("hidden")))
extern MAYBE const struct mr_backend mr_backend_lane;
extern MAYBE const struct mr_backend mr_backend_wire;

static const struct known {
	const char *name;
	const struct mr_backend *backend;
} known[] = {
	{ "kernel", &mr_backend_kernel },
	{ "lane", &mr_backend_lane },
	{ "wire", &mr_backend_wire },
};

int mr_api_words(char *error, size_t error_bytes, int result, const char *format, ...)
{
	va_list args;

	if (!error || !error_bytes)
		return result;
	va_start(args, format);
	vsnprintf(error, error_bytes, format, args);
	va_end(args);
	return result;
}

static const struct known *find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == len && !memcmp(known[i].name, name, len))
			return &known[i];
	return NULL;
}

int mr_context_open(const char *backend, struct mr_context **out, char *error, size_t error_bytes)
{
	const struct known *k;
	const char *colon;
	size_t len;

	if (!backend)
		backend = secure_getenv("MILLRACE_BACKEND");
	if (!backend || !*backend)
		backend = "kernel";
	colon = strchr(backend, ':');
	len = colon ? (size_t)(colon - backend) : strlen(backend);
	k = find(backend, len);
	if (!k)
		return mr_api_words(error, error_bytes, -EINVAL,
				    "backend %.*s: there is none of this name; kernel, lane and "
				    "wire are known",
				    (int)(len < 64 ? len : 64), backend);
	if (!k->backend)
		return mr_api_words(error, error_bytes, -EINVAL,
				    "backend %s: this libmillrace was built without it; kernel is "
				    "always there",
				    k->name);
	return k->backend->open(colon ? colon + 1 : NULL, out, error, error_bytes);
}

void mr_context_close(struct mr_context *x)
{
	if (x)
		x->backend->close(x);
}

const char *mr_context_backend(const struct mr_context *x)
{
	return x->backend->name;
}
