/* SPDX-License-Identifier: MIT */
/* Two samples as lines of text: rates are differences of counters, by the daemon's own words. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/top.h"
#include "user/cli/value.h"
#include "user/cli/words.h"

enum {
	LANES_MOST = 256,
	REASONS_MOST = 10,
};

static const char *const sort_names[MR_TOP_SORTS] = {
	[MR_TOP_BY_LANE] = "lane",	   [MR_TOP_BY_CONNECTIONS] = "connections",
	[MR_TOP_BY_RECEIVED] = "received", [MR_TOP_BY_RETRANSMITS] = "retransmits",
	[MR_TOP_BY_DROPS] = "drops",
};

/* A lane, or all of them. Rates are a second; negative: not known. */
struct lane {
	const json_t *json; /* NULL: the sum */
	double rx, tx, rx_bytes, tx_bytes, messages, retransmits, drops;
};

const char *mr_top_sort_name(enum mr_top_sort sort)
{
	return sort_names[sort];
}

void mr_top_add(struct mr_top_text *t, enum mr_top_kind kind, const char *fmt, ...)
{
	va_list args;

	if (t->n == MR_TOP_LINES)
		return;
	va_start(args, fmt);
	vsnprintf(t->line[t->n].text, MR_TOP_LINE, fmt, args);
	va_end(args);
	t->line[t->n].columns = false;
	t->line[t->n++].kind = kind;
}

/* ----- differences ----- */

static double seconds_between(const struct mr_top_sample *before, const struct mr_top_sample *now)
{
	return before->at_ns && now->at_ns > before->at_ns
		       ? (double)(now->at_ns - before->at_ns) / 1e9
		       : 0;
}

/* A second, of a counter that may have begun anew (another daemon); -1: not known. */
static double rate(const json_t *before, const json_t *now, const char *path, double seconds)
{
	uint64_t a = mr_value_count(mr_value_at(before, path));
	uint64_t b = mr_value_count(mr_value_at(now, path));

	if (!before || seconds <= 0)
		return -1;
	return b >= a ? (double)(b - a) / seconds : 0;
}

static uint64_t sum_of(const json_t *counters)
{
	uint64_t sum = 0;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)counters, key, v)
	{
		sum += mr_value_count(v);
	}
	return sum;
}

static const json_t *same_lane(const struct mr_top_sample *s, const json_t *lane)
{
	const json_t *name = json_object_get(lane, "interface"), *other;
	uint64_t queue = mr_value_count(json_object_get(lane, "queue"));
	size_t i;

	json_array_foreach(json_object_get(s->lanes, "lanes"), i, other)
	{
		if (mr_value_count(json_object_get(other, "queue")) == queue &&
		    json_equal(json_object_get(other, "interface"), (json_t *)name))
			return other;
	}
	return NULL;
}

static double drop_rate(const json_t *before, const json_t *now, double seconds)
{
	uint64_t a = sum_of(json_object_get(before, "drops"));
	uint64_t b = sum_of(json_object_get(now, "drops"));

	if (!before || seconds <= 0)
		return -1;
	return b >= a ? (double)(b - a) / seconds : 0;
}

static void measure(struct lane *l, const json_t *before, const json_t *now, double seconds)
{
	double in = rate(before, now, "counters.messages_in", seconds);

	l->rx = rate(before, now, "counters.rx_frames", seconds);
	l->tx = rate(before, now, "counters.tx_frames", seconds);
	l->rx_bytes = rate(before, now, "counters.rx_bytes", seconds);
	l->tx_bytes = rate(before, now, "counters.tx_bytes", seconds);
	l->messages = in < 0 ? in : in + rate(before, now, "counters.messages_out", seconds);
	l->retransmits = rate(before, now, "counters.retransmits", seconds);
	l->drops = drop_rate(before, now, seconds);
}

/* ----- text ----- */

/* "9500", "12.3k", "4.5M": six characters at most; a dash for what is not known. */
static const char *short_text(double v, char out[16])
{
	static const char units[] = " kMGT";
	size_t i = 0;

	if (v < 0)
		return "-";
	while (v >= (i ? 999.95 : 9999.5) && units[i + 1]) {
		v /= 1000;
		i++;
	}
	snprintf(out, 16, i ? "%.1f%c" : "%.0f", v, units[i]);
	return out;
}

static double bits(double bytes)
{
	return bytes < 0 ? bytes : 8 * bytes;
}

static void add_status(struct mr_top_text *t, const struct mr_top_sample *now)
{
	char version[MR_VALUE_BYTES], state[MR_VALUE_BYTES], serving[MR_VALUE_BYTES];
	char lanes[MR_VALUE_BYTES], rules[MR_VALUE_BYTES];
	const json_t *s = now->status, *problem, *mode = json_object_get(s, "mode");
	uint64_t up = mr_value_count(json_object_get(s, "uptime_ms")) / 1000;
	bool well = mr_value_is(json_object_get(s, "state"), "serving");
	size_t i;

	mr_top_add(t, well ? MR_TOP_GOOD : MR_TOP_BAD,
		   "millrace %s  %s  up %" PRIu64 ":%02" PRIu64 ":%02" PRIu64
		   "  %s of %s lanes serve  %s rules%s%s",
		   mr_value_text_at(s, "version", version), mr_value_text_at(s, "state", state),
		   up / 3600, up / 60 % 60, up % 60, mr_value_text_at(s, "lanes_serving", serving),
		   mr_value_text_at(s, "lanes", lanes), mr_value_text_at(s, "rules", rules),
		   json_is_string(mode) ? "  mode " : "",
		   json_is_string(mode) ? json_string_value(mode) : "");
	json_array_foreach(json_object_get(s, "problems"), i, problem)
	{
		if (json_is_string(problem))
			mr_top_add(t, MR_TOP_BAD, "! %s", json_string_value(problem));
	}
}

static void add_totals(struct mr_top_text *t, const struct mr_top_sample *now)
{
	const json_t *g = json_object_get(now->stats, "gauges");
	char conns[MR_VALUE_BYTES], half[MR_VALUE_BYTES], wait[MR_VALUE_BYTES];
	char accept[MR_VALUE_BYTES];

	mr_top_add(t, MR_TOP_PLAIN,
		   "connections %s  half-open %s  time-wait %s  wait for accept %s",
		   mr_value_text_at(g, "connections", conns),
		   mr_value_text_at(g, "half_open", half), mr_value_text_at(g, "time_wait", wait),
		   mr_value_text_at(g, "accept_queue", accept));
}

static const char lane_head[] =
	"LANE         STATE    MODE              BEAT   CONNS   RX/s   TX/s  MSG/s DROP/s "
	"RETR/s RXbit/s TXbit/s   FREE   FILL     RX    OOO     TX   SENT";

/* Half a number is a wrong one. A title ends where its column does, from CONNS on. */
int mr_top_fit(int width)
{
	int all = (int)sizeof(lane_head) - 1, first = (int)(strstr(lane_head, "CONNS") - lane_head);

	if (width >= all)
		return all;
	for (int i = width; i > first; i--)
		if (lane_head[i] == ' ' && lane_head[i - 1] != ' ')
			return i;
	return width;
}

static void add_columns(struct mr_top_text *t, enum mr_top_kind kind, const char *line)
{
	int n = t->n;

	mr_top_add(t, kind, "%s", line);
	for (; n < t->n; n++)
		t->line[n].columns = true;
}

static void add_lane(struct mr_top_text *t, const struct lane *l, const json_t *counts,
		     const char *name, const char *state, const char *mode, const char *beat)
{
	static const char *const frames[] = { "free", "fill", "rx", "ooo", "tx", "sent" };
	char out[8][16], line[MR_TOP_LINE];
	bool bad = l->json && (!mr_value_is(json_object_get(l->json, "state"), "serving") ||
			       !mr_value_is(json_object_get(l->json, "beat"), "fresh"));
	double conns = (double)mr_value_count(mr_value_at(counts, "connections"));
	int n;

	n = snprintf(line, sizeof(line),
		     "%-12.20s %-8.8s %-17.17s %-5.5s %6s %6s %6s %6s %6s %6s %7s %7s", name, state,
		     mode, beat, short_text(conns, out[0]), short_text(l->rx, out[1]),
		     short_text(l->tx, out[2]), short_text(l->messages, out[3]),
		     short_text(l->drops, out[4]), short_text(l->retransmits, out[5]),
		     short_text(bits(l->rx_bytes), out[6]), short_text(bits(l->tx_bytes), out[7]));
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		const json_t *v = json_object_get(json_object_get(counts, "frames"), frames[i]);

		n += snprintf(line + n, sizeof(line) - (size_t)n, " %6s",
			      short_text(json_is_integer(v) ? (double)mr_value_count(v) : -1,
					 out[0]));
	}
	add_columns(t, bad ? MR_TOP_BAD : MR_TOP_PLAIN, line);
}

static void add_one_lane(struct mr_top_text *t, const struct lane *l)
{
	char interface[MR_VALUE_BYTES], queue[MR_VALUE_BYTES], name[MR_VALUE_BYTES];
	char attach[MR_VALUE_BYTES], bind[MR_VALUE_BYTES], mode[MR_VALUE_BYTES];
	char state[MR_VALUE_BYTES], beat[MR_VALUE_BYTES];

	snprintf(name, sizeof(name), "%.64s:%.32s",
		 mr_value_text_at(l->json, "interface", interface),
		 mr_value_text_at(l->json, "queue", queue));
	snprintf(mode, sizeof(mode), "%.32s, %.32s", mr_value_text_at(l->json, "attach", attach),
		 mr_value_text_at(l->json, "bind", bind));
	add_lane(t, l, l->json, name, mr_value_text_at(l->json, "state", state), mode,
		 mr_value_text_at(l->json, "beat", beat));
}

static double sort_key(const struct lane *l, enum mr_top_sort sort)
{
	switch (sort) {
	case MR_TOP_BY_CONNECTIONS:
		return (double)mr_value_count(json_object_get(l->json, "connections"));
	case MR_TOP_BY_RECEIVED:
		return l->rx;
	case MR_TOP_BY_RETRANSMITS:
		return l->retransmits;
	case MR_TOP_BY_DROPS:
		return l->drops;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b, void *sort)
{
	double x = sort_key(a, *(enum mr_top_sort *)sort),
	       y = sort_key(b, *(enum mr_top_sort *)sort);

	if (x != y)
		return x < y ? 1 : -1;
	/* as the daemon has them: rows of equals do not change places */
	return ((const struct lane *)a)->json < ((const struct lane *)b)->json ? -1 : 1;
}

static void add_lanes(struct mr_top_text *t, const struct mr_top_sample *before,
		      const struct mr_top_sample *now, enum mr_top_sort sort, double seconds)
{
	static struct lane lanes[LANES_MOST];
	struct lane all = { 0 };
	const json_t *lane;
	json_t *counts = json_object();
	size_t n = 0, i;

	json_array_foreach(json_object_get(now->lanes, "lanes"), i, lane)
	{
		if (n == LANES_MOST)
			break;
		lanes[n].json = lane;
		measure(&lanes[n], same_lane(before, lane), lane, seconds);
		n++;
	}
	if (sort != MR_TOP_BY_LANE)
		qsort_r(lanes, n, sizeof(lanes[0]), compare, &sort);
	add_columns(t, MR_TOP_HEAD, lane_head);
	for (i = 0; i < n; i++)
		add_one_lane(t, &lanes[i]);
	measure(&all, before->stats, now->stats, seconds);
	json_object_set(counts, "frames", json_object_get(now->stats, "frames"));
	json_object_set(counts, "connections", mr_value_at(now->stats, "gauges.connections"));
	add_lane(t, &all, counts, "all", "", "", "");
	json_decref(counts);
}

/* ----- why frames were dropped, and what the XDP program decided ----- */

struct reason {
	const char *name;
	const char *words;
	uint64_t total;
	double rate;
};

static int compare_reasons(const void *a, const void *b)
{
	const struct reason *x = a, *y = b;

	if (x->rate != y->rate)
		return x->rate < y->rate ? 1 : -1;
	return x->total < y->total ? 1 : x->total > y->total ? -1 : strcmp(x->name, y->name);
}

static void print_reasons(struct mr_top_text *t, const char *title, struct reason *r, size_t n)
{
	char now[16], total[16];

	if (!n)
		return;
	qsort(r, n, sizeof(*r), compare_reasons);
	mr_top_add(t, MR_TOP_PLAIN, "%s", "");
	mr_top_add(t, MR_TOP_HEAD, "%-28s %8s %8s", title, "PER-S", "TOTAL");
	for (size_t i = 0; i < n && i < REASONS_MOST; i++)
		mr_top_add(t, MR_TOP_PLAIN, "%-28.28s %8s %8s  %s", r[i].name,
			   short_text(r[i].rate, now), short_text((double)r[i].total, total),
			   r[i].words);
}

static void add_drops(struct mr_top_text *t, const struct mr_top_sample *before,
		      const struct mr_top_sample *now, double seconds)
{
	const json_t *drops = json_object_get(now->stats, "drops");
	const json_t *former = json_object_get(before->stats, "drops");
	struct reason reasons[128];
	const char *key;
	size_t n = 0;
	json_t *v;

	json_object_foreach((json_t *)drops, key, v)
	{
		if (!mr_value_count(v) || n == sizeof(reasons) / sizeof(reasons[0]))
			continue;
		reasons[n++] = (struct reason){ key, mr_words_find(MR_WORDS_DROPS, key),
						mr_value_count(v),
						rate(former, drops, key, seconds) };
	}
	print_reasons(t, "DROPS OF LANES", reasons, n);
}

static const json_t *verdict_of(const struct mr_top_sample *s, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s->stats, "verdicts"), i, v)
	{
		if (mr_value_is(json_object_get(v, "name"), name))
			return v;
	}
	return NULL;
}

static void add_verdicts(struct mr_top_text *t, const struct mr_top_sample *before,
			 const struct mr_top_sample *now, double seconds)
{
	struct reason reasons[128];
	size_t n = 0, i;
	const json_t *v;

	json_array_foreach(json_object_get(now->stats, "verdicts"), i, v)
	{
		const char *name = json_string_value(json_object_get(v, "name"));
		const char *words = json_string_value(json_object_get(v, "text"));
		uint64_t packets = mr_value_count(json_object_get(v, "packets"));

		if (!name || !packets || n == sizeof(reasons) / sizeof(reasons[0]))
			continue;
		reasons[n++] =
			(struct reason){ name, words ? words : "", packets,
					 rate(verdict_of(before, name), v, "packets", seconds) };
	}
	print_reasons(t, "VERDICTS OF THE XDP PROGRAM", reasons, n);
}

void mr_top_lines(struct mr_top_text *t, const struct mr_top_sample *before,
		  const struct mr_top_sample *now, enum mr_top_sort sort)
{
	double seconds = seconds_between(before, now);

	add_status(t, now);
	add_totals(t, now);
	mr_top_add(t, MR_TOP_PLAIN, "%s", "");
	add_lanes(t, before, now, sort, seconds);
	add_verdicts(t, before, now, seconds);
	add_drops(t, before, now, seconds);
}
