// SPDX-License-Identifier: MIT
/* What mr-load prints: a line a second, and the report at the end. */
#include <inttypes.h>
#include <stdio.h>

#include "bench/load/load.h"

static double us(uint64_t ns)
{
	return (double)ns / 1000.0;
}

static double quantile_us(const struct load *l, double q)
{
	return us(mr_histogram_quantile(&l->all, q));
}

static double per_second(const struct load *l, uint64_t n)
{
	return l->elapsed_s > 0 ? (double)n / l->elapsed_s : 0;
}

static bool is_bulk(const struct load *l)
{
	return l->opt.workload == WORKLOAD_SINK || l->opt.workload == WORKLOAD_SOURCE;
}

void load_progress(const struct load *l, uint64_t now_ns, double span_s)
{
	double at = (double)(now_ns - l->measure_ns) / (double)LOAD_SECOND_NS;
	const char *who = l->opt.demo ? "demo" : "mr-load";

	if (is_bulk(l)) {
		fprintf(stderr, "%s: %.0f s: %" PRIu64 " bytes in all, %" PRIu64 " errors\n", who,
			at, l->bytes, l->errors);
		return;
	}
	fprintf(stderr,
		"%s: %.0f s: %.0f messages/s, p50 %.0f us, p99 %.0f us, %" PRIu64 " errors\n", who,
		at, (double)l->second.count / span_s, us(mr_histogram_quantile(&l->second, 0.5)),
		us(mr_histogram_quantile(&l->second, 0.99)), l->errors);
}

static void print_cpu(const struct load *l)
{
	const struct mr_cputime *a = &l->cpu_start, *b = &l->cpu_end;

	printf(", \"server_cpu_s\": %.6f, \"client_cpu_s\": %.6f, \"ksoftirqd_cpu_s\": %.6f"
	       ", \"machine_cpu_s\": %.2f, \"machine_softirq_s\": %.2f",
	       b->processes_s - a->processes_s, b->own_s - a->own_s,
	       b->ksoftirqd_s - a->ksoftirqd_s, b->busy_s - a->busy_s, b->softirq_s - a->softirq_s);
}

static void print_json(const struct load *l)
{
	printf("{\"via\": \"%s\", \"messages\": %" PRIu64 ", \"measured\": %" PRIu64
	       ", \"rate\": %.1f, \"seconds\": %.6f, \"p50_us\": %.3f, \"p90_us\": %.3f"
	       ", \"p99_us\": %.3f, \"p999_us\": %.3f, \"max_us\": %.3f, \"errors\": %" PRIu64
	       ", \"unsent\": %" PRIu64 ", \"connections\": %lu, \"active\": %lu, \"depth\": %lu"
	       ", \"size\": %lu, \"bytes\": %" PRIu64 ", \"gbit_s\": %.4f",
	       l->opt.via->name, l->messages, l->measured, per_second(l, l->measured), l->elapsed_s,
	       quantile_us(l, 0.5), quantile_us(l, 0.9), quantile_us(l, 0.99),
	       quantile_us(l, 0.999), us(l->all.max), l->errors, l->unsent, l->opt.connections,
	       l->opt.active, l->opt.depth, l->opt.size, l->bytes,
	       per_second(l, l->bytes) * 8 / 1e9);
	if (l->cpu_known)
		print_cpu(l);
	if (l->opt.via->counters)
		l->opt.via->counters(l);
	printf("}\n");
}

static void print_text(const struct load *l)
{
	if (is_bulk(l))
		printf("bytes     %" PRIu64 "\nrate      %.3f Gbit/s\n", l->bytes,
		       per_second(l, l->bytes) * 8 / 1e9);
	else
		printf("messages  %" PRIu64 "\nrate      %.0f/s\np50       %.1f us\n"
		       "p99       %.1f us\np99.9     %.1f us\nmax       %.1f us\n",
		       l->messages, per_second(l, l->measured), quantile_us(l, 0.5),
		       quantile_us(l, 0.99), quantile_us(l, 0.999), us(l->all.max));
	printf("errors    %" PRIu64 "\n", l->errors);
	if (l->unsent)
		printf("unsent    %" PRIu64 "\n", l->unsent);
	if (l->cpu_known)
		printf("cpu       %.3f s here, %.3f s of the server, %.3f s of ksoftirqd\n",
		       l->cpu_end.own_s - l->cpu_start.own_s,
		       l->cpu_end.processes_s - l->cpu_start.processes_s,
		       l->cpu_end.ksoftirqd_s - l->cpu_start.ksoftirqd_s);
}

/* Return: does every message count as intact? */
bool load_report(const struct load *l)
{
	bool ok = !l->errors && (is_bulk(l) ? l->bytes : l->measured);

	if (l->opt.demo)
		printf("demo: %s messages=%" PRIu64 " rate=%.0f/s p50_us=%.0f p99_us=%.0f "
		       "errors=%" PRIu64 "\n",
		       ok ? "ok" : "failed", l->messages, per_second(l, l->measured),
		       quantile_us(l, 0.5), quantile_us(l, 0.99), l->errors);
	else if (l->opt.json)
		print_json(l);
	else
		print_text(l);
	return ok && !fflush(stdout);
}
