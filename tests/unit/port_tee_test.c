/* SPDX-License-Identifier: MIT */
/*
 * The tee: what passes a port stands in a pcapng file (draft-ietf-opsawg-pcapng 4.1 to 4.3), and
 * the port below notices nothing. The blocks are read back here, and by tshark where it is.
 */
#define _GNU_SOURCE 1 /* memfd_create */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/port/memory.h"
#include "user/port/tee.h"

enum {
	FRAME = 2048,
	FRAMES = 64,
	RING = 32,
};

struct fixture {
	uint8_t *umem[2];
	struct mr_memory_wire *wire;
	struct mr_port *tee; /* in front of end 0 */
	struct mr_port *far; /* end 1 */
	uint64_t now_ns;
	int fd;
};

static uint64_t clock_ns(void *arg)
{
	return *(uint64_t *)arg;
}

static void open_tee(struct fixture *x, int fd)
{
	struct mr_memory_end ends[2];

	for (unsigned int i = 0; i < 2; i++) {
		x->umem[i] = calloc(FRAMES, FRAME);
		ends[i] = (struct mr_memory_end){ x->umem[i], FRAMES * FRAME, FRAME, RING };
	}
	x->wire = mr_memory_new(ends, 0);
	assert_non_null(x->wire);
	x->now_ns = 0x17a1b2c3d4e5f607ull;
	x->fd = fd;
	assert_true(fd >= 0);
	x->tee = mr_tee_new(mr_memory_port(x->wire, 0), x->umem[0], fd, "mrs0", clock_ns,
			    &x->now_ns);
	assert_non_null(x->tee);
	x->far = mr_memory_port(x->wire, 1);
}

static void close_tee(struct fixture *x)
{
	x->tee->ops->close(x->tee);
	mr_memory_free(x->wire);
	free(x->umem[0]);
	free(x->umem[1]);
	close(x->fd);
}

static void send_one(struct mr_port *p, uint8_t *umem, unsigned int number, uint32_t len)
{
	struct mr_span s = { .addr = (uint64_t)(number % 32) * FRAME, .len = len };
	bool again;

	for (uint32_t i = 0; i < len; i++)
		umem[s.addr + i] = (uint8_t)(number + i);
	assert_int_equal(p->ops->transmit(p, &s, 1), 1);
	p->ops->kick(p, &again);
}

static void pass_one_back(struct fixture *x, unsigned int number, uint32_t len)
{
	uint64_t addr = (uint64_t)(32 + number % 32) * FRAME;
	struct mr_span s;

	assert_int_equal(x->tee->ops->fill(x->tee, &addr, 1), 1);
	send_one(x->far, x->umem[1], number, len);
	assert_int_equal(x->tee->ops->receive(x->tee, &s, 1), 1);
	assert_int_equal(s.len, len);
}

/* ----- reading the file ----- */

struct file {
	uint8_t *b;
	size_t len;
	size_t at;
};

static void read_file(struct file *f, int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	f->len = (size_t)st.st_size;
	f->b = malloc(f->len + 1);
	f->at = 0;
	assert_int_equal(pread(fd, f->b, f->len, 0), f->len);
}

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint16_t u16_at(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

/* Type of the next block, its body and length; both lengths must agree. */
static uint32_t next_block(struct file *f, const uint8_t **body, uint32_t *len)
{
	const uint8_t *p = f->b + f->at;
	uint32_t total;

	assert_true(f->len - f->at >= 12);
	total = u32_at(p + 4);
	assert_true(total >= 12 && total % 4 == 0 && total <= f->len - f->at);
	assert_int_equal(u32_at(p + total - 4), total);
	f->at += total;
	*body = p + 8;
	*len = total - 12;
	return u32_at(p);
}

/* Value of an option in a list that must end with opt_endofopt, NULL when absent. */
static const uint8_t *option(const uint8_t *p, const uint8_t *end, uint16_t code, uint16_t *len)
{
	const uint8_t *value = NULL;

	for (;;) {
		assert_true(end - p >= 4);
		if (u16_at(p) == 0) {
			assert_int_equal(u16_at(p + 2), 0);
			assert_ptr_equal(p + 4, end);
			return value;
		}
		if (u16_at(p) == code) {
			value = p + 4;
			*len = u16_at(p + 2);
		}
		p += 4 + (u16_at(p + 2) + 3u) / 4 * 4;
	}
}

static void assert_section_and_interface(struct file *f)
{
	const uint8_t *body, *value;
	uint16_t value_len;
	uint32_t len;

	assert_int_equal(next_block(f, &body, &len), 0x0a0d0d0a);
	assert_int_equal(u32_at(body), 0x1a2b3c4d);
	assert_int_equal(u16_at(body + 4), 1);
	assert_int_equal(u16_at(body + 6), 0);
	assert_int_equal(u32_at(body + 8), UINT32_MAX);
	assert_int_equal(u32_at(body + 12), UINT32_MAX);
	assert_non_null(option(body + 16, body + len, 4, &value_len));
	assert_int_equal(next_block(f, &body, &len), 1);
	assert_int_equal(u16_at(body), 1);
	assert_int_equal(u32_at(body + 4), 0);
	value = option(body + 8, body + len, 2, &value_len);
	assert_int_equal(value_len, 4);
	assert_memory_equal(value, "mrs0", 4);
	value = option(body + 8, body + len, 9, &value_len);
	assert_int_equal(value_len, 1);
	assert_int_equal(*value, 9);
}

static void assert_packet(struct file *f, uint64_t ns, uint32_t flags, unsigned int number,
			  uint32_t packet_len)
{
	const uint8_t *body, *value;
	uint16_t value_len;
	uint32_t len;

	assert_int_equal(next_block(f, &body, &len), 6);
	assert_int_equal(u32_at(body), 0);
	assert_int_equal(u32_at(body + 4), ns >> 32);
	assert_int_equal(u32_at(body + 8), (uint32_t)ns);
	assert_int_equal(u32_at(body + 12), packet_len);
	assert_int_equal(u32_at(body + 16), packet_len);
	for (uint32_t i = 0; i < packet_len; i++)
		assert_int_equal(body[20 + i], (uint8_t)(number + i));
	value = option(body + 20 + (packet_len + 3) / 4 * 4, body + len, 2, &value_len);
	assert_int_equal(value_len, 4);
	assert_int_equal(u32_at(value), flags);
}

/* ----- tests ----- */

static int memory_file(void)
{
	return memfd_create("capture", MFD_CLOEXEC);
}

static void empty_capture_is_a_section_and_an_interface(void **state)
{
	struct fixture x;
	struct file f;

	(void)state;
	open_tee(&x, memory_file());
	assert_int_equal(mr_tee_flush(x.tee), 0);
	read_file(&f, x.fd);
	assert_section_and_interface(&f);
	assert_int_equal(f.at, f.len);
	free(f.b);
	close_tee(&x);
}

static void both_directions_are_recorded_with_stamp_and_flag(void **state)
{
	static const uint32_t lengths[] = { 60, 61, 62, 63, 64, 1514, 1 };
	struct fixture x;
	struct file f;

	(void)state;
	open_tee(&x, memory_file());
	for (unsigned int i = 0; i < 7; i++) {
		send_one(x.tee, x.umem[0], i, lengths[i]);
		x.now_ns++;
		pass_one_back(&x, i + 100, lengths[i]);
		x.now_ns += 1ull << 32;
	}
	assert_int_equal(mr_tee_flush(x.tee), 0);
	read_file(&f, x.fd);
	assert_section_and_interface(&f);
	for (unsigned int i = 0; i < 7; i++) {
		uint64_t ns = 0x17a1b2c3d4e5f607ull + i * ((1ull << 32) + 1);

		assert_packet(&f, ns, 2, i, lengths[i]);
		assert_packet(&f, ns + 1, 1, i + 100, lengths[i]);
	}
	assert_int_equal(f.at, f.len);
	free(f.b);
	close_tee(&x);
}

static void nothing_is_written_before_a_flush(void **state)
{
	struct fixture x;
	struct stat st;

	(void)state;
	open_tee(&x, memory_file());
	send_one(x.tee, x.umem[0], 1, 60);
	assert_int_equal(fstat(x.fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(mr_tee_flush(x.tee), 0);
	assert_int_equal(fstat(x.fd, &st), 0);
	assert_true(st.st_size > 60);
	close_tee(&x);
}

/* More than the buffer holds: written on the way, nothing lost, in order. */
static void more_than_the_buffer_is_written_on_the_way(void **state)
{
	struct fixture x;
	struct file f;
	uint64_t done;

	(void)state;
	open_tee(&x, memory_file());
	for (unsigned int i = 0; i < 1000; i++) {
		send_one(x.tee, x.umem[0], i, 1500);
		assert_int_equal(x.tee->ops->complete(x.tee, &done, 1), 1);
	}
	assert_int_equal(mr_tee_flush(x.tee), 0);
	read_file(&f, x.fd);
	assert_section_and_interface(&f);
	for (unsigned int i = 0; i < 1000; i++)
		assert_packet(&f, 0x17a1b2c3d4e5f607ull, 2, i, 1500);
	assert_int_equal(f.at, f.len);
	free(f.b);
	close_tee(&x);
}

static void closing_writes_what_is_buffered(void **state)
{
	struct fixture x;
	struct file f;
	int fd;

	(void)state;
	open_tee(&x, memory_file());
	fd = dup(x.fd);
	send_one(x.tee, x.umem[0], 1, 60);
	close_tee(&x);
	read_file(&f, fd);
	assert_section_and_interface(&f);
	assert_packet(&f, 0x17a1b2c3d4e5f607ull, 2, 1, 60);
	assert_int_equal(f.at, f.len);
	free(f.b);
	close(fd);
}

/* Frames that the port below has no room for were not sent, so they are not recorded. */
static void only_frames_that_were_taken_are_recorded(void **state)
{
	struct mr_span spans[RING + 4];
	struct fixture x;
	struct file f;

	(void)state;
	open_tee(&x, memory_file());
	for (unsigned int i = 0; i < RING + 4; i++)
		spans[i] = (struct mr_span){ .addr = 0, .len = 60 };
	for (unsigned int i = 0; i < 60; i++)
		x.umem[0][i] = (uint8_t)(5 + i);
	assert_int_equal(x.tee->ops->transmit_room(x.tee), RING);
	assert_int_equal(x.tee->ops->transmit(x.tee, spans, RING + 4), RING);
	assert_true(x.tee->ops->needs_kick(x.tee));
	assert_int_equal(mr_tee_flush(x.tee), 0);
	read_file(&f, x.fd);
	assert_section_and_interface(&f);
	for (unsigned int i = 0; i < RING; i++)
		assert_packet(&f, 0x17a1b2c3d4e5f607ull, 2, 5, 60);
	assert_int_equal(f.at, f.len);
	free(f.b);
	close_tee(&x);
}

static void second_tee_appends_a_second_section(void **state)
{
	struct fixture x;
	struct file f;
	int fd;

	(void)state;
	open_tee(&x, memory_file());
	fd = dup(x.fd);
	send_one(x.tee, x.umem[0], 1, 60);
	close_tee(&x);
	open_tee(&x, fd);
	send_one(x.tee, x.umem[0], 2, 60);
	assert_int_equal(mr_tee_flush(x.tee), 0);
	read_file(&f, fd);
	for (unsigned int i = 1; i <= 2; i++) {
		assert_section_and_interface(&f);
		assert_packet(&f, 0x17a1b2c3d4e5f607ull, 2, i, 60);
	}
	assert_int_equal(f.at, f.len);
	free(f.b);
	close_tee(&x);
}

/* A full disk ends the recording; the frames go their way. */
static void write_error_ends_the_recording_and_never_the_traffic(void **state)
{
	struct fixture x;

	(void)state;
	open_tee(&x, open("/dev/full", O_WRONLY | O_CLOEXEC));
	assert_int_equal(mr_tee_error(x.tee), 0);
	pass_one_back(&x, 1, 60);
	assert_int_equal(mr_tee_flush(x.tee), -ENOSPC);
	assert_int_equal(mr_tee_error(x.tee), -ENOSPC);
	for (unsigned int i = 0; i < 20; i++)
		pass_one_back(&x, i, 1500);
	assert_int_equal(mr_tee_flush(x.tee), -ENOSPC);
	close_tee(&x);
}

static void every_other_call_reaches_the_port_below(void **state)
{
	struct mr_port_statistics s;
	struct fixture x;
	uint64_t addr = 40 * FRAME;
	bool again = true;

	(void)state;
	open_tee(&x, memory_file());
	assert_int_equal(x.tee->ops->fill_room(x.tee), RING);
	assert_int_equal(x.tee->ops->fill(x.tee, &addr, 1), 1);
	assert_int_equal(x.tee->ops->fill_room(x.tee), RING - 1);
	assert_int_equal(x.tee->ops->poll_fd(x.tee), -1);
	assert_false(x.tee->ops->wants_wakeup(x.tee));
	assert_false(x.tee->ops->needs_kick(x.tee));
	x.tee->ops->kick(x.tee, &again);
	assert_false(again);
	send_one(x.far, x.umem[1], 1, 60);
	send_one(x.far, x.umem[1], 2, 60);
	assert_int_equal(x.tee->ops->receive(x.tee, (struct mr_span[2]){ 0 }, 2), 1);
	x.tee->ops->statistics(x.tee, &s);
	assert_int_equal(s.fill_empty, 1);
	close_tee(&x);
}

/* Output of a shell command, its lines counted. */
static unsigned int run(const char *command, char *first, size_t size)
{
	FILE *p = popen(command, "r");
	unsigned int lines = 0;
	char line[512];

	assert_non_null(p);
	while (fgets(line, sizeof(line), p))
		if (lines++ == 0)
			snprintf(first, size, "%s", line);
	assert_int_equal(pclose(p), 0);
	return lines;
}

static void tshark_reads_the_file(void **state)
{
	char name[] = "/tmp/millrace-tee-XXXXXX", command[256], first[512] = "";
	struct fixture x;

	(void)state;
	if (system("command -v tshark >/dev/null 2>&1") != 0) {
		print_message("tshark is not installed\n");
		skip();
	}
	open_tee(&x, mkstemp(name));
	x.now_ns = 1700000000123456789ull;
	pass_one_back(&x, 1, 60);
	send_one(x.tee, x.umem[0], 2, 1000);
	assert_int_equal(mr_tee_flush(x.tee), 0);
	snprintf(
		command, sizeof(command),
		"tshark -n -r %s -T fields -e frame.time_epoch -e frame.len -e frame.interface_name"
		" -e frame.packet_flags_direction 2>/dev/null",
		name);
	assert_int_equal(run(command, first, sizeof(first)), 2);
	unlink(name);
	close_tee(&x);
	assert_string_equal(first, "1700000000.123456789\t60\tmrs0\t0x00000001\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_capture_is_a_section_and_an_interface),
		cmocka_unit_test(both_directions_are_recorded_with_stamp_and_flag),
		cmocka_unit_test(nothing_is_written_before_a_flush),
		cmocka_unit_test(more_than_the_buffer_is_written_on_the_way),
		cmocka_unit_test(closing_writes_what_is_buffered),
		cmocka_unit_test(only_frames_that_were_taken_are_recorded),
		cmocka_unit_test(second_tee_appends_a_second_section),
		cmocka_unit_test(write_error_ends_the_recording_and_never_the_traffic),
		cmocka_unit_test(every_other_call_reaches_the_port_below),
		cmocka_unit_test(tshark_reads_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
