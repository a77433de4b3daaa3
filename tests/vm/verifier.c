/* SPDX-License-Identifier: MIT */
/*
 * What this kernel's verifier says of the XDP program: one line of JSON a section, with the
 * instructions that it walked and the stack that each function takes.
 *
 *	verifier OBJECT [-v]	-v: with the end of the verifier's words of what it refused
 *
 * Exit 0: both sections load. Nothing is attached or pinned.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOG_BYTES = 16 << 20,
	LOG_STATISTICS = 4, /* of log_level: no walk, the figures at its end */
	WORDS_BYTES = 4000,
};

static const char *const sections[] = { "xdp", "xdp.frags" };

static char log_buffer[LOG_BYTES];

/* "stack depth 200+96+0": per function, the main one first. */
static void print_depths(const char *log)
{
	const char *at = strstr(log, "stack depth ");
	const char *comma = "";

	printf("\"stack_bytes\": [");
	at = at ? at + strlen("stack depth ") : "";
	while (*at >= '0' && *at <= '9') {
		char *end;

		printf("%s%lu", comma, strtoul(at, &end, 10));
		comma = ", ";
		at = *end == '+' ? end + 1 : "";
	}
	printf("]");
}

static unsigned long processed(const char *log)
{
	const char *at = strstr(log, "processed ");

	return at ? strtoul(at + strlen("processed "), NULL, 10) : 0;
}

/* Only the one program of @section is loaded, with @level's words in log_buffer. */
static int load(const char *path, const char *section, unsigned int level)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *p;
	struct bpf_map *map;
	int err;

	if (!object)
		return -errno;
	bpf_object__for_each_map(map, object) bpf_map__set_pin_path(map, NULL);
	bpf_object__for_each_program(p, object)
	{
		bool wanted = strcmp(bpf_program__section_name(p), section) == 0;

		bpf_program__set_autoload(p, wanted);
		if (!wanted)
			continue;
		bpf_program__set_log_buf(p, log_buffer, sizeof(log_buffer));
		bpf_program__set_log_level(p, level);
	}
	err = bpf_object__load(object);
	bpf_object__close(object);
	return err;
}

static bool verify(const char *path, const char *section, bool words)
{
	int err = load(path, section, LOG_STATISTICS);
	size_t length = strlen(log_buffer);

	printf("{\"section\": \"%s\", \"loads\": %s, \"instructions\": %lu, ", section,
	       err ? "false" : "true", processed(log_buffer));
	print_depths(log_buffer);
	printf("}\n");
	if (err && words)
		fprintf(stderr, "%s: %s\n%s\n", section, strerror(-err),
			log_buffer + (length > WORDS_BYTES ? length - WORDS_BYTES : 0));
	return err == 0;
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

int main(int argc, char *argv[])
{
	bool words = argc == 3 && strcmp(argv[2], "-v") == 0, all = true;

	if (argc < 2 || argc > 3 || (argc == 3 && !words)) {
		fprintf(stderr, "usage: verifier OBJECT [-v]\n");
		return 2;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(silent);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		all = verify(argv[1], sections[i], words) && all;
	return all ? EXIT_SUCCESS : EXIT_FAILURE;
}
