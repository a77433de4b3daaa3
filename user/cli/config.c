/* SPDX-License-Identifier: MIT */
/* millrace config show, config reload, config check */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/cli/client.h"
#include "user/cli/value.h"

/* ----- config show: the answer as YAML, which the daemon would read again ----- */

static void print_yaml(const json_t *v, int indent, bool in_list);

/* Plain YAML 1.1 reads some words as booleans, numbers or null; what is not a plain word is quoted,
 * and JSON's quotes are YAML's. */
static bool is_plain(const char *s)
{
	static const char *const words[] = { "yes",   "no",   "on", "off", "true",
					     "false", "null", "y",  "n" };

	if (!isalpha((unsigned char)*s) && *s != '/')
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(s, words[i]))
			return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_-./", *s))
			return false;
	return true;
}

static void print_scalar(const json_t *v)
{
	if (json_is_object(v))
		fputs("{}", stdout);
	else if (json_is_string(v) && is_plain(json_string_value(v)))
		fputs(json_string_value(v), stdout);
	else
		json_dumpf(v, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
}

/* Has it anything to print on lines of its own? */
static bool is_block(const json_t *v)
{
	const char *key;
	json_t *member;

	if (json_is_array(v))
		return json_array_size(v) > 0;
	json_object_foreach((json_t *)v, key, member)
	{
		if (!json_is_null(member))
			return true;
	}
	return false;
}

/* The configuration has no empty texts: a key without value is an error there. */
static bool is_unset(const json_t *v)
{
	return json_is_null(v) || (json_is_string(v) && !json_string_length(v));
}

static void print_list(const json_t *list, int indent)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
	{
		printf("%*s- ", indent, "");
		if (is_block(v)) {
			print_yaml(v, indent + 2, true);
		} else {
			print_scalar(v);
			putchar('\n');
		}
	}
}

static void print_member(const char *key, const json_t *v, int indent)
{
	if (is_unset(v)) {
		printf("# %s: not set\n", key);
	} else if (is_block(v)) {
		printf("%s:\n", key);
		print_yaml(v, indent + 2, false);
	} else {
		printf("%s: ", key);
		print_scalar(v);
		putchar('\n');
	}
}

/* @in_list: the cursor stands behind "- ", the first line needs no indent. Depth is bounded by the
 * parser of the answer. */
static void print_yaml(const json_t *v, int indent, bool in_list)
{
	const char *key;
	json_t *member;

	if (!json_is_object(v)) {
		if (in_list)
			putchar('\n');
		print_list(v, indent);
		return;
	}
	json_object_foreach((json_t *)v, key, member)
	{
		/* No comment can stand behind "- ". */
		if (in_list && is_unset(member))
			continue;
		printf("%*s", in_list ? 0 : indent, "");
		print_member(key, member, indent);
		in_list = false;
	}
}

static void show(json_t *config)
{
	char file[MR_VALUE_BYTES];

	printf("# in force, read from %s\n", mr_value_text_at(config, "file", file));
	json_object_del(config, "v");
	json_object_del(config, "file");
	if (json_object_size(config))
		print_yaml(config, 0, false);
}

int mr_cli_config_show(struct mr_cli *cli, const struct mr_arguments *a)
{
	json_t *answer = mr_client_get(cli, "/v1/config");

	(void)a;
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	else
		show(answer);
	json_decref(answer);
	return MR_CLI_OK;
}

/* ----- config reload ----- */

static void print_names(const char *words, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (!json_array_size(list))
		return;
	printf("%s", words);
	json_array_foreach(list, i, one)
	{
		printf("%s%s", i ? ", " : " ", json_string_value(one));
	}
	printf("\n");
}

static void print_reload(const json_t *o)
{
	printf("%s is in force, %lld rules\n", json_string_value(json_object_get(o, "file")),
	       (long long)json_integer_value(json_object_get(o, "rules")));
	print_names("left as they are until a restart:", json_object_get(o, "left"));
	print_names(
		"rules added at run time and dropped, for the file has one of the name or match:",
		json_object_get(o, "dropped"));
}

int mr_cli_config_reload(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)a;
	return mr_client_show(cli, mr_client_post(cli, "/v1/config/reload"), print_reload);
}

/* ----- config check: the daemon's own parser is the judge ----- */

enum {
	PATH_BYTES = 4096,
	TEXT_BYTES = 64 << 10, /* of the daemon's words that -j passes on */
};

static bool try_daemon(char *out, const char *directory, size_t len, const char *name)
{
	int n = snprintf(out, PATH_BYTES, "%.*s/%s", (int)len, directory, name);

	return n > 0 && n < PATH_BYTES && access(out, X_OK) == 0;
}

/* millraced beside this tool, in the sbin beside its bin, in $PATH, in the system's sbin. */
static bool find_daemon(char out[PATH_BYTES])
{
	static const char *const more[] = { "/usr/local/sbin", "/usr/sbin", "/sbin" };
	const char *path = getenv("PATH");
	char self[PATH_BYTES];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
	size_t len;

	while (n > 0 && self[n - 1] != '/')
		n--;
	if (n > 1 && (try_daemon(out, self, n - 1, "millraced") ||
		      try_daemon(out, self, n - 1, "../sbin/millraced")))
		return true;
	for (; path && *path; path += len + (path[len] == ':')) {
		len = strcspn(path, ":");
		if (len && try_daemon(out, path, len, "millraced"))
			return true;
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (try_daemon(out, more[i], strlen(more[i]), "millraced"))
			return true;
	return false;
}

/* In the child, or instead of us: never returns. */
static void become_daemon(const char *daemon, const char *file)
{
	execl(daemon, "millraced", "-n", "-c", file, (char *)NULL);
	fprintf(stderr, "millrace: config check: cannot run %s: %s\n", daemon, strerror(errno));
	_exit(MR_CLI_ERROR);
}

/* All that comes from @fd, as far as it fits. The rest is read too, or the writer would block. */
static size_t drain(int fd, char *text, size_t size)
{
	char rest[512] = "";
	size_t len = 0;
	ssize_t n;

	for (;;) {
		bool full = len + 1 >= size;

		n = read(fd, full ? rest : text + len, full ? sizeof(rest) : size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += full ? 0 : (size_t)n;
	}
	text[len] = '\0';
	return len;
}

/* Run it and keep its words and status. Returns 0 or -errno. */
static int run_daemon(const char *daemon, const char *file, char *text, int *status)
{
	int p[2];
	pid_t pid;

	if (pipe(p) < 0)
		return -errno;
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		close(p[0]);
		close(p[1]);
		return -errno;
	}
	if (pid == 0) {
		dup2(p[1], STDOUT_FILENO);
		dup2(p[1], STDERR_FILENO);
		close(p[0]);
		close(p[1]);
		become_daemon(daemon, file);
	}
	close(p[1]);
	drain(p[0], text, TEXT_BYTES);
	close(p[0]);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int check_as_json(const struct mr_cli *cli, const char *daemon, const char *file)
{
	char *text = malloc(TEXT_BYTES);
	int status = 0, err = text ? run_daemon(daemon, file, text, &status) : -ENOMEM;
	json_t *answer;
	bool is_ok;

	if (err) {
		free(text);
		return mr_cli_error(cli, "cannot run %s: %s", daemon, strerror(-err));
	}
	is_ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	while (*text && text[strlen(text) - 1] == '\n')
		text[strlen(text) - 1] = '\0';
	answer = json_pack("{s:i, s:s, s:b, s:i, s:s}", "v", 1, "file", file, "ok", is_ok, "status",
			   WIFEXITED(status) ? WEXITSTATUS(status) : MR_CLI_ERROR, "text", text);
	free(text);
	if (!answer)
		return mr_cli_error(cli, "%s: no UTF-8, cannot be told in JSON", file);
	mr_cli_print_json(answer);
	json_decref(answer);
	if (!WIFEXITED(status))
		return MR_CLI_ERROR;
	return WEXITSTATUS(status);
}

int mr_cli_config_check(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *file = mr_arguments_find(a, "FILE");
	char daemon[PATH_BYTES];

	if (!find_daemon(daemon))
		return mr_cli_error(cli, "cannot find millraced (is it installed beside millrace, "
					 "or in $PATH?)");
	if (cli->json)
		return check_as_json(cli, daemon, file);
	fflush(stdout);
	become_daemon(daemon, file);
	return MR_CLI_ERROR;
}
