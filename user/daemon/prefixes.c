/* SPDX-License-Identifier: MIT */
#include "user/daemon/prefixes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LINE_BYTES = 256,
	MAPPED_BITS = 96,
};

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static int fail(char why[MR_PREFIX_WORDS], const char *text, const char *words)
{
	if (why)
		snprintf(why, MR_PREFIX_WORDS, "\"%.64s\" %s", text, words);
	return -EINVAL;
}

static bool read_bits(const char *text, unsigned int most, unsigned int *bits)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 3)
		return false;
	*bits = (unsigned int)strtoul(text, &end, 10);
	return !*end && *bits <= most;
}

/* What stands behind the bits must be zero: 192.0.2.1/24 is more likely a slip than a wish. */
static bool clear_behind(struct mr_net *p)
{
	bool clear = true;

	for (unsigned int i = p->bits; i < 128; i++) {
		uint8_t bit = (uint8_t)(0x80 >> i % 8);

		clear = clear && !(p->addr[i / 8] & bit);
		p->addr[i / 8] &= (uint8_t)~bit;
	}
	return clear;
}

bool mr_net_is_sound(const struct mr_net *p)
{
	struct mr_net copy = *p;

	if (p->bits > 128 || !clear_behind(&copy))
		return false;
	return p->family == 6 || (p->family == 4 && p->bits >= MAPPED_BITS &&
				  !memcmp(p->addr, mapped, sizeof(mapped)));
}

int mr_net_parse(const char *text, struct mr_net *out, char why[MR_PREFIX_WORDS])
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned int bits, most;

	*out = (struct mr_net){ 0 };
	if (len >= sizeof(address))
		return fail(why, text, "is neither an IPv4 nor an IPv6 prefix");
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, out->addr + 12) == 1) {
		memcpy(out->addr, mapped, sizeof(mapped));
		out->family = 4;
	} else if (inet_pton(AF_INET6, address, out->addr) == 1) {
		out->family = 6;
	} else {
		return fail(why, text, "is neither an IPv4 nor an IPv6 prefix");
	}
	most = bits = out->family == 4 ? 32 : 128;
	if (slash && !read_bits(slash + 1, most, &bits))
		return fail(why, text,
			    most == 32 ? "has a length that is not 0 to 32"
				       : "has a length that is not 0 to 128");
	out->bits = (uint8_t)(out->family == 4 ? MAPPED_BITS + bits : bits);
	if (!clear_behind(out))
		return fail(why, text, "has bits behind its length; write the network's address");
	return 0;
}

const char *mr_net_text(const struct mr_net *p, char out[64])
{
	bool v4 = p->family == 4;
	char address[INET6_ADDRSTRLEN];

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? p->addr + 12 : p->addr, address,
		       sizeof(address)))
		address[0] = '\0';
	if (p->bits == 128)
		snprintf(out, 64, "%s", address);
	else
		snprintf(out, 64, "%s/%d", address, v4 ? p->bits - MAPPED_BITS : p->bits);
	return out;
}

int mr_prefixes_add(struct mr_prefixes *s, const struct mr_net *p)
{
	if (s->n == MR_PREFIXES_MOST)
		return -E2BIG;
	if (s->n == s->room) {
		uint32_t room = s->room ? 2 * s->room : 4;
		struct mr_net *list = realloc(s->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		s->list = list;
		s->room = room;
	}
	s->list[s->n++] = *p;
	return 0;
}

int mr_prefixes_words(struct mr_prefixes *s, const char *text, char why[MR_PREFIX_WORDS])
{
	char *copy = strdup(text), *rest = copy, *word;
	struct mr_net p;
	int err = copy ? 0 : -ENOMEM;

	s->given = true;
	while (!err && (word = strsep(&rest, ", \t\n"))) {
		if (!word[0])
			continue;
		err = mr_net_parse(word, &p, why);
		if (!err)
			err = mr_prefixes_add(s, &p);
	}
	free(copy);
	if (!err && !s->n)
		return fail(why, text, "names no prefix");
	return err;
}

/* A line without its comment and the blanks around; "" when nothing is left. */
static char *strip(char *line)
{
	char *end;

	line[strcspn(line, "#;\r\n")] = '\0';
	line += strspn(line, " \t");
	end = line + strlen(line);
	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	return line;
}

static int read_lines(struct mr_prefixes *s, FILE *in, char why[MR_PREFIX_WORDS])
{
	char line[LINE_BYTES], words[MR_PREFIX_WORDS];
	unsigned int n = 0;
	int err = 0;

	while (!err && fgets(line, sizeof(line), in)) {
		struct mr_net p;
		char *text;

		n++;
		if (!strchr(line, '\n') && !feof(in)) {
			snprintf(why, MR_PREFIX_WORDS, "line %u is too long; one prefix a line", n);
			return -EINVAL;
		}
		text = strip(line);
		if (!text[0])
			continue;
		err = mr_net_parse(text, &p, words);
		if (err)
			snprintf(why, MR_PREFIX_WORDS, "line %u: %.120s", n, words);
		else
			err = mr_prefixes_add(s, &p);
	}
	if (err == -E2BIG)
		snprintf(why, MR_PREFIX_WORDS, "more than %d prefixes; split it", MR_PREFIXES_MOST);
	else if (err == -ENOMEM)
		snprintf(why, MR_PREFIX_WORDS, "out of memory");
	return err;
}

int mr_prefixes_file(struct mr_prefixes *s, const char *path, char why[MR_PREFIX_WORDS])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;
	struct stat st;
	FILE *in;

	s->given = true;
	err = fd < 0 || fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	in = err ? NULL : fdopen(fd, "r");
	if (!in) {
		snprintf(why, MR_PREFIX_WORDS, "%s",
			 err == -EINVAL ? "is not a plain file" : strerror(errno));
		if (fd >= 0)
			close(fd);
		return err ? err : -ENOMEM;
	}
	err = read_lines(s, in, why);
	fclose(in);
	return err;
}

/* A prefix before those inside it. */
static int compare(const void *a, const void *b)
{
	const struct mr_net *p = a, *q = b;
	int c = (int)p->family - q->family;

	if (!c)
		c = memcmp(p->addr, q->addr, sizeof(p->addr));
	return c ? c : (int)p->bits - q->bits;
}

void mr_prefixes_finish(struct mr_prefixes *s)
{
	uint32_t kept = 0;

	if (s->n > 1)
		qsort(s->list, s->n, sizeof(*s->list), compare);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct mr_net *p = &s->list[i], *last = &s->list[kept - 1];

		if (kept && last->bits <= p->bits && mr_net_fits(last, p->addr, p->family))
			continue;
		s->list[kept++] = *p;
	}
	s->n = kept;
	s->width = s->given ? 1 + 128 : 0;
	for (uint32_t i = 0; i < kept; i++)
		if (s->list[i].bits + 1 < s->width)
			s->width = (uint16_t)(s->list[i].bits + 1);
}

bool mr_prefixes_are_equal(const struct mr_prefixes *a, const struct mr_prefixes *b)
{
	return a->given == b->given && a->n == b->n &&
	       (!a->n || !memcmp(a->list, b->list, a->n * sizeof(*a->list)));
}

void mr_prefixes_free(struct mr_prefixes *s)
{
	free(s->list);
	*s = (struct mr_prefixes){ 0 };
}
