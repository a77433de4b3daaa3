/* SPDX-License-Identifier: MIT */
#include "tests/bpf/run.h"

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	MAX_WORDS = 32,
	LINE_BYTES = 1024,
};

int run_command(const char *line)
{
	char copy[LINE_BYTES], *words[MAX_WORDS + 1], *rest = copy;
	unsigned int n = 0;
	int status;
	pid_t pid;

	if (strlen(line) >= sizeof(copy))
		return 127;
	memcpy(copy, line, strlen(line) + 1);
	while (n < MAX_WORDS && (words[n] = strsep(&rest, " ")))
		n++;
	words[n] = NULL;
	if (posix_spawnp(&pid, words[0], NULL, NULL, words, environ))
		return 127;
	if (waitpid(pid, &status, 0) < 0)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
