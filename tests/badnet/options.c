/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static const char help[] =
	"usage: mr-impair [OPTION]... INTERFACE-A INTERFACE-B\n"
	"A bridge between two interfaces that treats frames badly. The fate of a frame is a "
	"function\n"
	"of the seed, the direction and the frame's number, and of nothing else.\n"
	"\n"
	"  --seed N           0 by default\n"
	"  --dir ab|ba|both   the directions that the options after it are for; both by default\n"
	"what happens to frames; P is a probability from 0 to 1:\n"
	"  --match WHAT       only to, and counting only: any, arp, tcp, syn, data,\n"
	"                     local (ethertype 0x88b5)\n"
	"  --drop P           lose\n"
	"  --burst P,Q[,R]    Gilbert-Elliott: good to bad with P, back with Q, loss R (1) in bad\n"
	"  --dup P            send twice\n"
	"  --reorder P[,K]    hold until K (3) later frames have passed\n"
	"  --corrupt P        flip a bit\n"
	"  --where WHERE      of any, hdr (network and transport), l4 or data; any by default\n"
	"  --repair           and make the checksums good again\n"
	"  --truncate P       cut\n"
	"  --ce P             mark Congestion Experienced (ECN)\n"
	"  --list LIST        by number: d2,d7-9 lose; 2x4 frame 4 twice; r6:2 frame 6 behind the "
	"two\n"
	"                     that follow; h8:150 hold for 150 ms; c3 corrupt; t5 truncate; e6 CE\n"
	"the link, for all frames; times in ms, with fractions:\n"
	"  --delay MS         one way\n"
	"  --jitter MS        from 0 to MS more\n"
	"  --in-order         jitter does not reorder\n"
	"  --rate MBITS       bottleneck\n"
	"  --queue BYTES      before it; 65536 by default\n"
	"  --mark BYTES       CE beyond so many in the queue\n"
	"  --wait MS          longest wait of a frame to be overtaken; 20 by default\n"
	"\n"
	"Prints one line of JSON at SIGUSR1, and at its end, which is SIGTERM or SIGINT.\n";

enum option_id {
	SEED = 256,
	DIR,
	MATCH,
	DROP,
	BURST,
	DUP,
	REORDER,
	CORRUPT,
	WHERE,
	REPAIR,
	TRUNCATE,
	CE,
	LIST,
	DELAY,
	JITTER,
	IN_ORDER,
	RATE,
	QUEUE,
	MARK,
	WAIT,
	HELP,
};

static const struct option options[] = {
	{ "seed", required_argument, NULL, SEED },
	{ "dir", required_argument, NULL, DIR },
	{ "match", required_argument, NULL, MATCH },
	{ "drop", required_argument, NULL, DROP },
	{ "burst", required_argument, NULL, BURST },
	{ "dup", required_argument, NULL, DUP },
	{ "reorder", required_argument, NULL, REORDER },
	{ "corrupt", required_argument, NULL, CORRUPT },
	{ "where", required_argument, NULL, WHERE },
	{ "repair", no_argument, NULL, REPAIR },
	{ "truncate", required_argument, NULL, TRUNCATE },
	{ "ce", required_argument, NULL, CE },
	{ "list", required_argument, NULL, LIST },
	{ "delay", required_argument, NULL, DELAY },
	{ "jitter", required_argument, NULL, JITTER },
	{ "in-order", no_argument, NULL, IN_ORDER },
	{ "rate", required_argument, NULL, RATE },
	{ "queue", required_argument, NULL, QUEUE },
	{ "mark", required_argument, NULL, MARK },
	{ "wait", required_argument, NULL, WAIT },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

/* Up to @most numbers with commas between them, each from 0 to @limit; how many, or -EINVAL. */
static int read_numbers(const char *text, double limit, int most, double *out)
{
	for (int n = 0; n < most;) {
		char *end;

		errno = 0;
		out[n] = strtod(text, &end);
		if (end == text || errno || !isfinite(out[n]) || out[n] < 0 || out[n] > limit)
			return -EINVAL;
		n++;
		if (!*end)
			return n;
		if (*end != ',')
			return -EINVAL;
		text = end + 1;
	}
	return -EINVAL;
}

static int read_probability(const char *text, double *out)
{
	return read_numbers(text, 1, 1, out) == 1 ? 0 : -EINVAL;
}

static int read_ms(const char *text, uint64_t *ns)
{
	double ms;

	if (read_numbers(text, 3600e3, 1, &ms) != 1)
		return -EINVAL;
	*ns = (uint64_t)(ms * 1e6);
	return 0;
}

static int read_count(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return errno || end == text || *end || *text == '-' ? -EINVAL : 0;
}

static int read_burst(const char *text, struct mr_fate_rules *r)
{
	double v[3] = { 0, 0, 1 };

	if (read_numbers(text, 1, 3, v) < 2)
		return -EINVAL;
	r->burst_enter = v[0];
	r->burst_leave = v[1];
	r->burst_drop = v[2];
	return 0;
}

static int read_reorder(const char *text, struct mr_fate_rules *r)
{
	double v[2] = { 0, 3 };

	if (read_numbers(text, 1000, 2, v) < 1 || v[0] > 1 || v[1] < 1)
		return -EINVAL;
	r->reorder = v[0];
	r->reorder_by = (uint32_t)v[1];
	return 0;
}

static int read_rate(const char *text, uint64_t *bps)
{
	double mbits;

	if (read_numbers(text, 1e6, 1, &mbits) != 1)
		return -EINVAL;
	*bps = (uint64_t)(mbits * 1e6);
	return 0;
}

static int read_word(const char *text, const char *const words[], int n, int *out)
{
	for (*out = 0; *out < n; ++*out)
		if (!strcmp(text, words[*out]))
			return 0;
	return -EINVAL;
}

static int read_where(const char *text, enum mr_corrupt_where *out)
{
	static const char *const words[] = { "any", "hdr", "l4", "data" };
	int i;

	if (read_word(text, words, 4, &i))
		return -EINVAL;
	*out = (enum mr_corrupt_where)i;
	return 0;
}

static int read_match(const char *text, enum mr_match *out)
{
	int i;

	if (read_word(text, mr_match_names, MR_MATCH_COUNT, &i))
		return -EINVAL;
	*out = (enum mr_match)i;
	return 0;
}

/* One option for one direction. */
static int apply(struct mr_way *w, int option, const char *text)
{
	switch (option) {
	case MATCH:
		return read_match(text, &w->match);
	case DROP:
		return read_probability(text, &w->fate.drop);
	case BURST:
		return read_burst(text, &w->fate);
	case DUP:
		return read_probability(text, &w->fate.duplicate);
	case REORDER:
		return read_reorder(text, &w->fate);
	case CORRUPT:
		return read_probability(text, &w->fate.corrupt);
	case WHERE:
		return read_where(text, &w->fate.where);
	case REPAIR:
		w->fate.repair = true;
		return 0;
	case TRUNCATE:
		return read_probability(text, &w->fate.truncate);
	case CE:
		return read_probability(text, &w->fate.ce);
	case LIST:
		return mr_fate_list_parse(&w->fate, text);
	case DELAY:
		return read_ms(text, &w->link.delay_ns);
	case JITTER:
		return read_ms(text, &w->link.jitter_ns);
	case IN_ORDER:
		w->link.in_order = true;
		return 0;
	case RATE:
		return read_rate(text, &w->link.rate_bps);
	case QUEUE:
		return read_count(text, &w->link.queue_bytes);
	case MARK:
		return read_count(text, &w->link.mark_bytes);
	case WAIT:
		return read_ms(text, &w->link.wait_ns);
	}
	return -EINVAL;
}

static _Noreturn void refuse(const char *what, const char *text)
{
	fprintf(stderr, "mr-impair: %s%s%s; try --help\n", what, text ? " " : "", text ? text : "");
	exit(2);
}

void mr_options_read(struct mr_options *o, int argc, char *argv[])
{
	static const char *const directions[] = { "ab", "ba", "both" };
	int direction = 2, option, index = 0, err = 0;

	*o = (struct mr_options){ 0 };
	for (int i = 0; i < 2; i++)
		o->way[i].link =
			(struct mr_link_rules){ .queue_bytes = 65536, .wait_ns = 20000000 };
	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == HELP) {
			fputs(help, stdout);
			exit(0);
		}
		if (option == '?')
			exit(2);
		if (option == SEED)
			err = read_count(optarg, &o->seed);
		else if (option == DIR)
			err = read_word(optarg, directions, 3, &direction);
		for (int i = 0; i < 2 && option != SEED && option != DIR && !err; i++)
			if (direction == 2 || direction == i)
				err = apply(&o->way[i], option, optarg);
		if (err)
			refuse(options[index].name, optarg);
	}
	if (argc - optind != 2)
		refuse("two interfaces are needed", NULL);
	o->interface[0] = argv[optind];
	o->interface[1] = argv[optind + 1];
}
