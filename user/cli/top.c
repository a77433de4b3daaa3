/* SPDX-License-Identifier: MIT */
/* millrace top: the screen and its keys, or plain text for scripts. */
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/cli/top.h"

enum {
	INTERVAL_MIN_MS = 100,
	INTERVAL_MAX_MS = 60000,
	CTRL_L = 'L' & 31,
};

struct top {
	const struct mr_cli *cli;
	struct mr_top_sample before, now;
	struct mr_top_text text;
	enum mr_top_sort sort;
	int interval_ms;
	uint64_t left; /* iterations, UINT64_MAX: until q */
	bool paused, help, colour;
	int first;		   /* line at the top of the screen */
	char why[MR_CLIENT_WORDS]; /* the daemon does not answer */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A new sample; the one before it is kept for the rates. */
static int sample(struct top *t)
{
	struct mr_top_sample next = { 0 };
	int err = mr_top_sample_get(t->cli, &next, t->why);

	if (err)
		return err;
	t->why[0] = '\0';
	mr_top_sample_move(&t->before, &t->now);
	mr_top_sample_move(&t->now, &next);
	return 0;
}

/* ----- for scripts ----- */

static void print_json(const struct top *t)
{
	json_t *all = json_pack("{s:i, s:O, s:O, s:O}", "v", 1, "status", t->now.status, "lanes",
				json_object_get(t->now.lanes, "lanes"), "stats", t->now.stats);

	json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
	putchar('\n');
	json_decref(all);
}

static void print_text(struct top *t)
{
	t->text.n = 0;
	mr_top_lines(&t->text, &t->before, &t->now, t->sort);
	for (int i = 0; i < t->text.n; i++)
		puts(t->text.line[i].text);
	putchar('\n');
}

/* Rates need two samples: so the first iteration, too, comes after an interval. */
static int batch(struct top *t)
{
	int err = sample(t);

	for (; !err && t->left; t->left -= t->left != UINT64_MAX) {
		struct timespec pause = { t->interval_ms / 1000, t->interval_ms % 1000 * 1000000L };

		nanosleep(&pause, NULL);
		err = sample(t);
		if (err)
			break;
		if (t->cli->json)
			print_json(t);
		else
			print_text(t);
		if (fflush(stdout) != 0)
			return MR_CLI_OK; /* close_stdout() says so */
	}
	return err ? mr_cli_error(t->cli, "%s", t->why) : MR_CLI_OK;
}

/* ----- the screen ----- */

static const char *const help_lines[] = {
	"q          end",
	"s          sort lanes by the next key",
	"+ -        longer, shorter interval",
	"p, space   pause, and go on",
	"up, down   move the text",
	"h, ?       this text, and back",
};

static chtype look_of(const struct top *t, enum mr_top_kind kind)
{
	switch (kind) {
	case MR_TOP_HEAD:
		return A_REVERSE;
	case MR_TOP_GOOD:
		return A_BOLD | (t->colour ? COLOR_PAIR(1) : 0);
	case MR_TOP_BAD:
		return A_BOLD | (t->colour ? COLOR_PAIR(2) : 0);
	default:
		return A_NORMAL;
	}
}

static void draw_line(int row, chtype look, const char *text, int width)
{
	move(row, 0);
	attrset(look);
	addnstr(text, width);
	attrset(A_NORMAL);
	clrtoeol();
}

static void compose(struct top *t)
{
	t->text.n = 0;
	if (t->why[0])
		mr_top_add(&t->text, MR_TOP_BAD, "%s; trying again", t->why);
	if (t->why[0] && t->now.status)
		mr_top_add(&t->text, MR_TOP_BAD, "no answer for %d s; what follows is older",
			   (int)((now_ms() - t->now.at_ns / 1000000) / 1000));
	if (t->help)
		for (size_t i = 0; i < sizeof(help_lines) / sizeof(help_lines[0]); i++)
			mr_top_add(&t->text, MR_TOP_PLAIN, "%s", help_lines[i]);
	else if (t->now.status)
		mr_top_lines(&t->text, &t->before, &t->now, t->sort);
}

static void draw(struct top *t)
{
	char foot[MR_TOP_LINE];
	int room = LINES - 1, last = t->text.n - room;

	compose(t);
	last = t->text.n - room;
	if (t->first > last)
		t->first = last;
	if (t->first < 0)
		t->first = 0;
	for (int i = 0; i < room; i++) {
		int at = t->first + i;
		bool is_there = at < t->text.n;

		draw_line(i, is_there ? look_of(t, t->text.line[at].kind) : A_NORMAL,
			  is_there ? t->text.line[at].text : "",
			  is_there && t->text.line[at].columns ? mr_top_fit(COLS) : COLS);
	}
	snprintf(foot, sizeof(foot), "every %d.%d s  sorted by %s  h: help  q: end%s",
		 t->interval_ms / 1000, t->interval_ms % 1000 / 100, mr_top_sort_name(t->sort),
		 t->paused ? "  PAUSED" : "");
	draw_line(LINES - 1, A_REVERSE, foot, COLS);
	refresh();
}

/* False: the end. */
static bool key(struct top *t, int c)
{
	switch (c) {
	case 'q':
	case 'Q':
		return false;
	case 's':
		t->sort = (t->sort + 1) % MR_TOP_SORTS;
		break;
	case '+':
	case '=':
		t->interval_ms = t->interval_ms * 2 < INTERVAL_MAX_MS ? t->interval_ms * 2
								      : INTERVAL_MAX_MS;
		break;
	case '-':
		t->interval_ms = t->interval_ms / 2 > INTERVAL_MIN_MS ? t->interval_ms / 2
								      : INTERVAL_MIN_MS;
		break;
	case 'p':
	case ' ':
		t->paused = !t->paused;
		break;
	case 'h':
	case '?':
		t->help = !t->help;
		break;
	case CTRL_L:
		clearok(curscr, TRUE); /* another program wrote on the terminal */
		break;
	case KEY_UP:
		t->first--;
		break;
	case KEY_DOWN:
		t->first++;
		break;
	default:
		break; /* KEY_RESIZE: drawn anew in the new size */
	}
	return true;
}

static void run_screen(struct top *t)
{
	uint64_t due = now_ms();
	int c = ERR;

	do {
		if (c == KEY_RESIZE)
			erase();
		if (now_ms() >= due) {
			if (!t->paused)
				sample(t);
			t->left -= t->left != UINT64_MAX;
			due = now_ms() + (uint64_t)t->interval_ms;
		}
		draw(t);
		if (!t->left)
			break;
		timeout(due > now_ms() ? (int)(due - now_ms()) : 0);
		c = getch();
		if (c == '+' || c == '=' || c == '-')
			due = now_ms();
	} while (key(t, c));
}

static int screen(struct top *t)
{
	const char *no_colour = getenv("NO_COLOR");
	SCREEN *s;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return mr_cli_error(t->cli, "needs a terminal (in scripts: millrace top -b -n 1)");
	setlocale(LC_CTYPE, "");
	s = newterm(NULL, stdout, stdin);
	if (!s)
		return mr_cli_error(t->cli,
				    "this terminal is not known (set TERM, or: millrace top "
				    "-b)");
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	t->colour = !(no_colour && no_colour[0]) && has_colors() && start_color() == OK &&
		    use_default_colors() == OK;
	if (t->colour) {
		init_pair(1, COLOR_GREEN, -1);
		init_pair(2, COLOR_RED, -1);
	}
	run_screen(t);
	endwin();
	delscreen(s);
	return MR_CLI_OK;
}

static int read_sort(const struct mr_cli *cli, const char *text, enum mr_top_sort *sort)
{
	for (int i = 0; i < MR_TOP_SORTS; i++)
		if (!strcmp(text, mr_top_sort_name(i))) {
			*sort = i;
			return MR_CLI_OK;
		}
	return mr_cli_usage(
		cli, "--sort %s: want lane, connections, received, retransmits or drops", text);
}

static int read_interval(const struct mr_cli *cli, const char *text, int *ms)
{
	char *end;
	double s = strtod(text, &end);

	if (*end || end == text || !(s * 1000 >= INTERVAL_MIN_MS && s * 1000 <= INTERVAL_MAX_MS))
		return mr_cli_usage(cli, "-d %s: want seconds from 0.1 to 60", text);
	*ms = (int)(s * 1000);
	return MR_CLI_OK;
}

int mr_cli_top(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *interval = mr_arguments_find(a, "-d"), *sort = mr_arguments_find(a, "--sort");
	struct top *t = calloc(1, sizeof(*t));
	struct mr_top_sample none = { 0 };
	int err;

	if (!t)
		return mr_cli_error(cli, "out of memory");
	t->cli = cli;
	t->interval_ms = 2000;
	t->left = UINT64_MAX;
	err = mr_cli_number(cli, a, "-n", 1, UINT32_MAX, &t->left);
	if (!err && interval)
		err = read_interval(cli, interval, &t->interval_ms);
	if (!err && sort)
		err = read_sort(cli, sort, &t->sort);
	if (!err)
		err = mr_arguments_find(a, "-b") || cli->json ? batch(t) : screen(t);
	mr_top_sample_move(&t->now, &none);
	mr_top_sample_move(&t->before, &none);
	free(t);
	return err;
}
