/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "user/cli/value.h"

json_t *mr_value_at(const json_t *v, const char *path)
{
	while (v && *path) {
		size_t len = strcspn(path, ".");

		v = json_object_getn(v, path, len);
		path += len + (path[len] == '.');
	}
	return (json_t *)v;
}

const char *mr_value_text(const json_t *v, char out[MR_VALUE_BYTES])
{
	const char *s;

	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_STRING:
		s = json_string_value(v);
		return *s ? s : "-";
	case JSON_INTEGER:
		snprintf(out, MR_VALUE_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		return out;
	case JSON_REAL:
		snprintf(out, MR_VALUE_BYTES, "%.10g", json_real_value(v));
		return out;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	default:
		return "-";
	}
}

const char *mr_value_text_at(const json_t *v, const char *path, char out[MR_VALUE_BYTES])
{
	return mr_value_text(mr_value_at(v, path), out);
}

uint64_t mr_value_count(const json_t *v)
{
	json_int_t n = json_integer_value(v);

	return n > 0 ? (uint64_t)n : 0;
}

bool mr_value_is(const json_t *v, const char *text)
{
	const char *s = json_string_value(v);

	return s && !strcmp(s, text);
}

const char *mr_value_duration(double ns, char out[MR_VALUE_BYTES])
{
	static const char *const unit[] = { "ns", "us", "ms", "s" };
	size_t i = 0;

	while (ns >= 1000 && i + 1 < sizeof(unit) / sizeof(unit[0])) {
		ns /= 1000;
		i++;
	}
	snprintf(out, MR_VALUE_BYTES, i ? "%.1f %s" : "%.0f %s", ns, unit[i]);
	return out;
}

void mr_mode_print(const json_t *answer)
{
	const char *mode = json_string_value(json_object_get(answer, "mode"));

	if (mode && !strcmp(mode, "monitor"))
		puts("mode monitor: what the rules say is counted, every frame passes to the "
		     "kernel");
	else if (mode && strcmp(mode, "enforce"))
		printf("mode %s: no rule is asked, every frame passes to the kernel\n", mode);
}
