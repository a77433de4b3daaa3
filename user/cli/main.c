/* SPDX-License-Identifier: MIT */
/* millrace: the grammar, the options, and the way to the verb. */
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/cli.h"

#define DEFAULT_SOCKET "/run/millrace/control.sock"

/*
 * The grammar. Lower case: said as it stands. Upper case: an argument. In brackets: an option, with
 * its value if a second word follows, or, upper case with dots, all words that are left. Usage and
 * `millrace help` print it, the parser below reads it.
 */
struct verb {
	const char *grammar;
	int (*run)(struct mr_cli *cli, const struct mr_arguments *a);
	const char *help;
};

static int help(struct mr_cli *cli, const struct mr_arguments *a);

/* Of rule add and rule replace: a key of the configuration each. */
#define RULE_OPTIONS                                                                               \
	" [--source PREFIXES] [--source-file FILE] [--destination PREFIXES]"                       \
	" [--destination-file FILE] [--protocol PROTOCOL] [--port PORTS] [--vlan VLAN]"            \
	" [--interface INTERFACE] [--priority NUMBER] [--comment TEXT] [--app APP]"                \
	" [--fallback WHERE] [--backlog NUMBER] [--ttl NUMBER] [--dscp NUMBER] [--nodelay]"        \
	" [--congestion-control NAME] [--ecn MODE] [--directory DIRECTORY] [--tlv SETTINGS]"       \
	" [--heartbeat SETTINGS]"

static const struct verb verbs[] = {
	/* clang-format off */
	{ "capture [FILTER...] [-w FILE] [-i INTERFACE] [--direction DIRECTION] [-c COUNT]"
	  " [--seconds N] [--snaplen BYTES] [--buffer MIB] [--pins DIRECTORY]", mr_cli_capture,
	  "frames received, with what became of them, and sent, into a pcapng file; FILTER as "
	  "tcpdump has it" },
	{ "check INTERFACE [--probe]",	mr_cli_check,
	  "what an interface can do, and what the daemon made of it" },
	{ "config check FILE",		mr_cli_config_check,
	  "check a configuration file without using it" },
	{ "config reload",		mr_cli_config_reload,
	  "have the daemon read its configuration again: rules and guard, all or nothing" },
	{ "config show",		mr_cli_config_show,
	  "the configuration in force, defaults filled in" },
	{ "conn list [--long] [--lane LANE] [--state STATE] [--rule RULE] [--address PREFIX] "
	  "[--local PREFIX] [--remote PREFIX] [--port PORT] [--remote-port PORT] "
	  "[--older TIME] [--younger TIME] [--idle TIME] [--retransmits N] [--limit N]",
	  mr_cli_conn_list,
	  "connections, a line each; --long: with all figures" },
	{ "conn show CONNECTION",	mr_cli_conn_show,
	  "one connection: LANE/ID as conn list prints them, or the peer's ADDRESS:PORT" },
	{ "doctor [-o FILE] [--mask] [--log FILE]", mr_cli_doctor,
	  "everything for a report of a fault, in one FILE.tar.gz; --mask: without addresses" },
	{ "guard list",			mr_cli_guard_list,
	  "block list, limits, SYN cookies in XDP, and what they did" },
	{ "guard block list",		mr_cli_guard_block_list,
	  "blocked prefixes and their exceptions" },
	{ "guard block add [PREFIX...] [--file FILE]", mr_cli_guard_block_add,
	  "block prefixes; FILE as in guard.block, \"-\" for stdin" },
	{ "guard block del [PREFIX...] [--file FILE]", mr_cli_guard_block_del,
	  "block them no more" },
	{ "guard block load FILE",	mr_cli_guard_block_load,
	  "a whole list, exceptions included, in place of the one that there is" },
	{ "guard allow add [PREFIX...]", mr_cli_guard_allow_add,
	  "exceptions inside of what is blocked" },
	{ "guard allow del [PREFIX...]", mr_cli_guard_allow_del,
	  "exceptions no more" },
	{ "guard limit set [--rule NAME] [--ipv4-prefix BITS] [--ipv6-prefix BITS]"
	  " [--packets PER_S] [--packets-burst N] [--connections PER_S] [--connections-burst N]",
	  mr_cli_guard_limit_set,
	  "how much may come from each prefix of a length, or for a rule" },
	{ "guard limit del [--rule NAME] [--ipv4-prefix BITS] [--ipv6-prefix BITS]",
	  mr_cli_guard_limit_del,
	  "limit it no more" },
	{ "guard syn set [--cookies auto|on|off] [--at PERCENT] [--calm SECONDS]", mr_cli_guard_syn_set,
	  "when XDP answers SYNs by cookies" },
	{ "guard reset",		mr_cli_guard_reset,
	  "the guard as the configuration has it" },
	{ "lane list",			mr_cli_lane_list,
	  "lanes, their modes, drops and slow applications" },
	{ "lane restart [--lane LANE]",	mr_cli_lane_restart,
	  "another worker for a lane, or for all one by one; connections go on" },
	{ "lane drain LANE [--deadline SECONDS]", mr_cli_lane_drain,
	  "refuse new connections, let the old ones finish, then stop; LANE may be all" },
	{ "lane resume LANE",		mr_cli_lane_resume,
	  "end a drain, or start a lane that was drained" },
	{ "lane show INTERFACE QUEUE",	mr_cli_lane_show,
	  "everything about one lane" },
	{ "prog list",			mr_cli_prog_list,
	  "the XDP programs: current, and the one to go back to" },
	{ "prog upgrade [--object FILE]", mr_cli_prog_upgrade,
	  "exchange the XDP program for that of a file, or of the installed one" },
	{ "prog rollback",		mr_cli_prog_rollback,
	  "exchange the XDP program for the one before it" },
	{ "rule import-nft",		mr_cli_rule_import_nft,
	  "the host's nftables rules as rules, and those that cannot be" },
	{ "rule list [-w SECONDS]",	mr_cli_rule_list,
	  "rules and what they count; with -w the rates, again and again" },
	{ "rule add NAME ACTION" RULE_OPTIONS, mr_cli_rule_add,
	  "one more rule; ACTION is steer, pass or drop" },
	{ "rule replace NAME ACTION" RULE_OPTIONS, mr_cli_rule_replace,
	  "another rule under the same name" },
	{ "rule del NAME",		mr_cli_rule_del,
	  "take a rule away; of one that steers, connections that stand go on" },
	{ "rule load FILE",		mr_cli_rule_load,
	  "all rules of a JSON or YAML file in place of those that there are, but for the steering "
	  "ones of the configuration" },
	{ "rule mode MODE",		mr_cli_rule_mode,
	  "enforce the rules, monitor what they would do, or bypass them" },
	{ "stats show [--all]",		mr_cli_stats_show,
	  "verdicts and counters of all lanes, without zeros" },
	{ "top [-b] [-d SECONDS] [-n N] [--sort KEY]", mr_cli_top,
	  "lanes, rates and drops as they change; -b: as text for scripts" },
	{ "trace list [--live] [--lane LANE] [--state STATE] [--rule RULE] [--address PREFIX] "
	  "[--local PREFIX] [--remote PREFIX] [--port PORT] [--remote-port PORT] "
	  "[--older TIME] [--younger TIME] [--idle TIME] [--retransmits N] [--limit N]",
	  mr_cli_trace_list,
	  "connections that met a timeout or a reset; --live: that stand, with something noted" },
	{ "trace show ID",		mr_cli_trace_show,
	  "what happened to one of them; ID may be a connection: LANE/ID, or the peer's "
	  "ADDRESS:PORT" },
	{ "help",			help,
	  "this text" },
	/* clang-format on */
};

enum {
	N_VERBS = sizeof(verbs) / sizeof(verbs[0]),
	MAX_WORDS = 64,
};

static void print_help(FILE *f)
{
	fputs("usage: millrace [-j] [-s SOCKET] OBJECT VERB [ARGUMENTS]\n\n", f);
	for (int i = 0; i < N_VERBS; i++)
		fprintf(f, "  millrace %s\n        %s\n", verbs[i].grammar, verbs[i].help);
	fputs("\n"
	      "  -j         print JSON\n"
	      "  -s SOCKET  the daemon's control socket, else $MILLRACE_CONTROL,\n"
	      "             else " DEFAULT_SOCKET "\n"
	      "\n"
	      "LANE is INTERFACE:QUEUE, or a queue alone when one interface has it.\n"
	      "TIME is a number with ms, s, m, h or d behind it, else seconds.\n"
	      "Exit status: 0 ok, 1 error, 2 usage.\n",
	      f);
}

static int help(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)cli;
	(void)a;
	print_help(stdout);
	return MR_CLI_OK;
}

static void complain(const struct mr_cli *cli, const char *fmt, va_list ap)
{
	fflush(stdout);
	fputs("millrace: ", stderr);
	if (cli->verb[0])
		fprintf(stderr, "%s: ", cli->verb);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int mr_cli_error(const struct mr_cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(cli, fmt, ap);
	va_end(ap);
	return MR_CLI_ERROR;
}

int mr_cli_usage(const struct mr_cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(cli, fmt, ap);
	va_end(ap);
	return MR_CLI_USAGE;
}

const char *mr_arguments_find(const struct mr_arguments *a, const char *name)
{
	for (int i = 0; i < a->n; i++)
		if (strlen(name) == a->list[i].name_len &&
		    !memcmp(name, a->list[i].name, a->list[i].name_len))
			return a->list[i].value;
	return NULL;
}

int mr_cli_number(const struct mr_cli *cli, const struct mr_arguments *a, const char *name,
		  uint64_t min, uint64_t max, uint64_t *value)
{
	const char *text = mr_arguments_find(a, name);
	unsigned long long n;
	char *end;

	if (!text)
		return MR_CLI_OK;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n < min || n > max)
		return mr_cli_usage(cli, "%s %s: want a number from %llu to %llu", name, text,
				    (unsigned long long)min, (unsigned long long)max);
	*value = n;
	return MR_CLI_OK;
}

int mr_cli_print_json(const json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	putchar('\n');
	return MR_CLI_OK;
}

/* One word of a grammar line; *@at moves behind it. Returns its length, 0 at the end. */
static size_t next_word(const char **at, const char **word)
{
	size_t len;

	*at += strspn(*at, " ");
	*word = *at;
	len = strcspn(*at, " ");
	*at += len;
	return len;
}

/* How many of @words the literal words of @v are; *@rest: the grammar behind them. -1: not @v. */
static int match_literals(const struct verb *v, char *const *words, int n, const char **rest)
{
	const char *at = v->grammar, *word;
	size_t len;
	int i = 0;

	*rest = at;
	while ((len = next_word(&at, &word)) && *word >= 'a' && *word <= 'z') {
		if (i == n || strlen(words[i]) != len || memcmp(words[i], word, len) != 0)
			return -1;
		*rest = at;
		i++;
	}
	return i;
}

static int add_argument(struct mr_arguments *a, const char *name, size_t name_len,
			const char *value)
{
	for (int i = 0; i < a->n; i++)
		if (a->list[i].name_len == name_len && !memcmp(a->list[i].name, name, name_len)) {
			a->list[i].value = value; /* the last one holds */
			return 0;
		}
	if (a->n == MR_CLI_ARGUMENTS)
		return -E2BIG;
	a->list[a->n].name = name;
	a->list[a->n].name_len = name_len;
	a->list[a->n].value = value;
	a->n++;
	return 0;
}

/* Where @grammar has option @word (`--limit`, `--limit=5`), behind its bracket; NULL: nowhere. */
static const char *find_option(const char *grammar, const char *word, size_t len)
{
	for (const char *p = strchr(grammar, '['); p; p = strchr(p + 1, '['))
		if (!strncmp(p + 1, word, len) && (p[1 + len] == ']' || p[1 + len] == ' '))
			return p + 1;
	return NULL;
}

/*
 * One option at words[*i], which moves behind it and its value. Returns 0, or -errno: ENOENT (no
 * such option), EINVAL (value missing, or one too many).
 */
static int read_option(struct mr_arguments *a, const char *grammar, char *const *words, int n,
		       int *i)
{
	const char *word = words[(*i)++];
	size_t len = strcspn(word, "=");
	const char *option = find_option(grammar, word, len);
	bool has_value = word[len] == '=';

	if (!option)
		return -ENOENT;
	if (option[len] == ']')
		return has_value ? -EINVAL : add_argument(a, option, len, "");
	if (has_value)
		return add_argument(a, option, len, word + len + 1);
	if (*i == n)
		return -EINVAL;
	return add_argument(a, option, len, words[(*i)++]);
}

/* The next upper-case word of *@at, which moves behind it; 0: there is none before the options. */
static size_t next_positional(const char **at, const char **name)
{
	size_t len = next_word(at, name);

	if (!len || **name != '[')
		return len;
	*at = *name;
	return 0;
}

/* A word that no other argument takes. */
static int add_rest(struct mr_arguments *a, const char *grammar, const char *word)
{
	if (!strstr(grammar, "...]") || a->n_rest == MR_CLI_REST)
		return -E2BIG;
	a->rest[a->n_rest++] = word;
	return 0;
}

/* Words behind the verb's own, by @grammar. Returns 0 or -errno with *@wrong the word at fault. */
static int read_arguments(struct mr_arguments *a, const char *grammar, char *const *words, int n,
			  const char **wrong)
{
	const char *at = grammar, *name;
	size_t len;
	int i = 0, err;

	while (i < n) {
		*wrong = words[i];
		if (words[i][0] == '-' && words[i][1]) {
			err = read_option(a, grammar, words, n, &i);
		} else {
			len = next_positional(&at, &name);
			err = len ? add_argument(a, name, len, words[i])
				  : add_rest(a, grammar, words[i]);
			i++;
		}
		if (err)
			return err;
	}
	*wrong = NULL;
	return next_positional(&at, &name) ? -ENODATA : 0;
}

static int usage_of(const struct verb *v, int err, const char *wrong)
{
	switch (err) {
	case -ENOENT:
		fprintf(stderr, "millrace: %s: no such option here\n", wrong);
		break;
	case -EINVAL:
		fprintf(stderr, "millrace: %s: value missing or not wanted\n", wrong);
		break;
	case -E2BIG:
		fprintf(stderr, "millrace: %s: one argument too many\n", wrong);
		break;
	default:
		break;
	}
	fprintf(stderr, "usage: millrace [-j] [-s SOCKET] %s\n", v->grammar);
	return MR_CLI_USAGE;
}

/* No verb matches: show those of the object, or everything. */
static int usage_of_object(const char *object)
{
	size_t len = object ? strlen(object) : 0;
	int shown = 0;

	for (int i = 0; len && i < N_VERBS; i++)
		if (!strncmp(verbs[i].grammar, object, len) && verbs[i].grammar[len] == ' ')
			fprintf(stderr, "%s millrace [-j] [-s SOCKET] %s\n",
				shown++ ? "      " : "usage:", verbs[i].grammar);
	if (shown)
		return MR_CLI_USAGE;
	if (object)
		fprintf(stderr, "millrace: %s: no such object (see: millrace help)\n", object);
	else
		print_help(stderr);
	return MR_CLI_USAGE;
}

static int run(struct mr_cli *cli, char *const *words, int n)
{
	for (int i = 0; i < N_VERBS; i++) {
		struct mr_arguments a = { 0 };
		const char *rest, *wrong;
		int used = match_literals(&verbs[i], words, n, &rest);
		int err;

		if (used < 0)
			continue;
		err = read_arguments(&a, rest, words + used, n - used, &wrong);
		if (err)
			return usage_of(&verbs[i], err, wrong);
		snprintf(cli->verb, sizeof(cli->verb), "%.*s", (int)(rest - verbs[i].grammar),
			 verbs[i].grammar);
		return verbs[i].run(cli, &a);
	}
	return usage_of_object(n ? words[0] : NULL);
}

/* A global option at argv[*i], wherever it stands. Returns false if it is none. */
static bool take_global(struct mr_cli *cli, char *const *argv, int argc, int *i, bool *wants_help)
{
	const char *word = argv[*i];

	if (!strcmp(word, "-j") || !strcmp(word, "--json")) {
		cli->json = true;
	} else if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
		*wants_help = true;
	} else if (!strncmp(word, "-s", 2)) {
		cli->socket = word[2] ? word + 2 : *i + 1 < argc ? argv[++*i] : "";
		cli->socket_given = true;
	} else {
		return false;
	}
	return true;
}

/* What was printed must have arrived: a full disk is an error. */
static int close_stdout(const struct mr_cli *cli, int status)
{
	bool failed = ferror(stdout);

	if (fflush(stdout) != 0 || failed)
		return mr_cli_error(cli, "cannot write to stdout: %s", strerror(errno));
	return status;
}

int main(int argc, char *argv[])
{
	const char *environment = getenv("MILLRACE_CONTROL");
	struct mr_cli cli = { .socket = DEFAULT_SOCKET };
	char *words[MAX_WORDS];
	bool wants_help = false;
	int n = 0, status;

	if (environment && environment[0]) {
		cli.socket = environment;
		cli.socket_given = true;
	}
	for (int i = 1; i < argc; i++) {
		if (take_global(&cli, argv, argc, &i, &wants_help))
			continue;
		if (n == MAX_WORDS)
			return mr_cli_usage(&cli, "too many arguments (see: millrace help)");
		words[n++] = argv[i];
	}
	if (!cli.socket[0])
		return mr_cli_usage(&cli, "-s needs the path of a socket");
	curl_global_init(CURL_GLOBAL_NOTHING);
	status = wants_help ? help(&cli, NULL) : run(&cli, words, n);
	status = close_stdout(&cli, status);
	curl_global_cleanup();
	return status;
}
