/* SPDX-License-Identifier: MIT */
/* user/daemon/keeper.h: what a process that is killed had held outlives it. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/daemon/keeper.h"
#include "user/daemon/keeper_run.h"

static char directory[] = "/tmp/mr-keeper-XXXXXX";
static struct mr_held held[MR_HELD_MOST];

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char path[sizeof(directory) + 16];

	(void)state;
	snprintf(path, sizeof(path), "%s/keeper", directory);
	unlink(path);
	return rmdir(directory);
}

static int text_file(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void assert_text(int fd, const char *text)
{
	char found[32] = "";

	assert_true(pread(fd, found, sizeof(found) - 1, 0) >= 0);
	assert_string_equal(found, text);
	close(fd);
}

static int fetch(void)
{
	int keeper = mr_keeper_connect(directory), n;

	assert_true(keeper >= 0);
	n = mr_keeper_fetch(keeper, held);
	close(keeper);
	return n;
}

/* All children; also those of others, when this is the first process of a container. */
static void reap(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void end(void)
{
	mr_keeper_end(mr_keeper_connect(directory));
	reap();
	assert_int_equal(mr_keeper_connect(directory), -ECONNREFUSED);
}

static void no_keeper_is_said(void **state)
{
	(void)state;
	assert_int_equal(mr_keeper_connect(directory), -ENOENT);
	assert_int_equal(mr_keeper_put(-1, "a", 0), -ENOTCONN);
}

static void killed_owner_leaves_its_descriptors(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		int keeper = mr_keeper_start(directory), fd = text_file("kept");

		if (keeper >= 0 && mr_keeper_put(keeper, "a", fd) == 0)
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(fetch(), 1);
	assert_string_equal(held[0].name, "a");
	assert_text(held[0].fd, "kept");
	assert_int_equal(fetch(), 1); /* it goes on holding it */
	close(held[0].fd);
	mr_keeper_end(mr_keeper_connect(directory));
}

/* Its socket is gone with the directory; it is found by its name. */
static void a_removed_directory_is_no_loss(void **state)
{
	int keeper = mr_keeper_start(directory), fd = text_file("kept");
	char path[sizeof(directory) + 16];

	(void)state;
	assert_int_equal(mr_keeper_put(keeper, "a", fd), 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/keeper", directory);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mr_keeper_connect(directory), -ENOENT); /* its daemon is there */
	close(keeper);
	assert_int_equal(fetch(), 1);
	assert_text(held[0].fd, "kept");
	keeper = mr_keeper_connect(directory);
	assert_true(keeper >= 0);
	assert_int_equal(mr_keeper_connect(directory), -ENOENT);
	mr_keeper_end(keeper);
	reap();
	assert_int_equal(mr_keeper_connect(directory), -ENOENT);
}

/* Somebody else's socket of that name is nobody's keeper, and keeps nobody from starting one. */
static void a_stranger_of_its_name_is_not_believed(void **state)
{
	struct sockaddr_un named = { .sun_family = AF_UNIX };
	int n = snprintf(named.sun_path + 1, sizeof(named.sun_path) - 1, MR_KEEPER_NAME ":%s",
			 directory);
	int stranger = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), keeper;
	pid_t pid;

	(void)state;
	if (getuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		socklen_t bytes = (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1;

		/* whose user a socket has is whose listens */
		if (setuid(65534) == 0 &&
		    bind(stranger, (struct sockaddr *)&named, bytes + (socklen_t)n) == 0 &&
		    listen(stranger, 4) == 0)
			raise(SIGSTOP);
		_exit(1);
	}
	close(stranger);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	assert_int_equal(mr_keeper_connect(directory), -ENOENT);
	keeper = mr_keeper_start(directory);
	assert_true(keeper >= 0);
	mr_keeper_end(keeper);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	reap();
}

static void same_name_is_replaced(void **state)
{
	int keeper = mr_keeper_start(directory), one = text_file("one"), two = text_file("two");

	(void)state;
	assert_int_equal(mr_keeper_put(keeper, "a", one), 0);
	assert_int_equal(mr_keeper_put(keeper, "b", one), 0);
	assert_int_equal(mr_keeper_put(keeper, "a", two), 0);
	assert_int_equal(mr_keeper_fetch(keeper, held), 2);
	assert_text(held[0].fd, "two");
	assert_text(held[1].fd, "one");
	close(one);
	close(two);
	close(keeper);
	end();
}

/* Somebody stopped it: what it holds must not outlive the daemon that ends in order. */
static void one_that_stands_still_is_killed(void **state)
{
	int keeper = mr_keeper_start(directory), status;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	(void)state;
	assert_int_equal(getsockopt(keeper, SOL_SOCKET, SO_PEERCRED, &peer, &len), 0);
	assert_int_not_equal(peer.pid, getpid());
	assert_int_equal(kill(peer.pid, SIGSTOP), 0);
	mr_keeper_end(keeper);
	assert_int_equal(waitpid(peer.pid, &status, 0), peer.pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(mr_keeper_connect(directory), -ECONNREFUSED);
}

static void nonsense_ends_the_connection_alone(void **state)
{
	int keeper = mr_keeper_start(directory), other = mr_keeper_connect(directory);
	struct mr_keeper_message unknown = { .op = 77 };
	int fd = text_file("kept");
	char byte;

	(void)state;
	assert_int_equal(mr_keeper_put(keeper, "a", fd), 0);
	assert_int_equal(send(other, "x", 1, 0), 1);
	assert_int_equal(recv(other, &byte, 1, 0), 0);
	close(other);
	other = mr_keeper_connect(directory);
	assert_int_equal(mr_keeper_send(other, &unknown, fd), 0);
	assert_int_equal(recv(other, &byte, 1, 0), 0);
	close(other);
	assert_int_equal(fetch(), 1);
	assert_text(held[0].fd, "kept");
	close(fd);
	close(keeper);
	end();
}

static void hundreds_are_kept(void **state)
{
	int keeper = mr_keeper_start(directory), fd = text_file("kept"), n;
	char name[MR_HELD_NAME];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "lane%d.arena", i);
		assert_int_equal(mr_keeper_put(keeper, name, fd), 0);
	}
	n = mr_keeper_fetch(keeper, held);
	assert_int_equal(n, 500);
	while (n-- > 0)
		close(held[n].fd);
	close(fd);
	close(keeper);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_keeper_is_said),
		cmocka_unit_test(killed_owner_leaves_its_descriptors),
		cmocka_unit_test(a_removed_directory_is_no_loss),
		cmocka_unit_test(a_stranger_of_its_name_is_not_believed),
		cmocka_unit_test(same_name_is_replaced),
		cmocka_unit_test(one_that_stands_still_is_killed),
		cmocka_unit_test(nonsense_ends_the_connection_alone),
		cmocka_unit_test(hundreds_are_kept),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
