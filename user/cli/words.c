/* SPDX-License-Identifier: MIT */
#include <linux/types.h>
#include <stdio.h>
#include <string.h>

#include "shared/mr_lane.h"
#include "user/cli/value.h"
#include "user/cli/words.h"

struct word {
	enum mr_words kind;
	const char *name;
	const char *text;
};

static const struct word table[] = {
#define C(field, text) { MR_WORDS_COUNTERS, #field, text },
	MR_LANE_COUNTERS(C)
#undef C
#define C(field, text) { MR_WORDS_GAUGES, #field, text },
		MR_LANE_GAUGES(C)
#undef C
#define D(name, field, text) { MR_WORDS_DROPS, #field, text },
			MR_DROPS(D)
#undef D
#define R(name, field, error, text) { MR_WORDS_CLOSES, #field, text },
				MR_CLOSE_REASONS(R)
#undef R
#define F(name, field, text) { MR_WORDS_FRAMES, #field, text },
					MR_FRAME_STATES(F)
#undef F
};

const char *mr_words_find(enum mr_words kind, const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].kind == kind && !strcmp(table[i].name, name))
			return table[i].text;
	return "";
}

void mr_words_print(const char *title, enum mr_words kind, const json_t *counters, bool all)
{
	char out[MR_VALUE_BYTES];
	bool titled = !title;
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)counters, name, v)
	{
		if (!all && json_is_integer(v) && json_integer_value(v) == 0)
			continue;
		if (!titled)
			printf("%s\n", title);
		titled = true;
		printf("%14s  %-20s %s\n", mr_value_text(v, out), name, mr_words_find(kind, name));
	}
}
