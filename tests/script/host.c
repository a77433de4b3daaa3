// SPDX-License-Identifier: MIT
/*
 * A program that loads the object as packetdrill does, and asks the C library's getsockopt() and
 * sendfile() of its descriptors, as packetdrill does for `%{ }%` and for sendfile. Says what is
 * wrong.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/script/so/packetdrill.h"

static int failed;

static void expect(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "host: %s: %s\n", what, strerror(errno));
	failed = 1;
}

static void ask(int fd)
{
	char value[512];
	socklen_t len = sizeof(value);

	memset(value, 0xff, sizeof(value));
	expect(getsockopt(fd, IPPROTO_TCP, TCP_INFO, value, &len) == 0, "TCP_INFO");
	expect(len == sizeof(value) && ((struct tcp_info *)(void *)value)->tcpi_state == 10,
	       "a listener's state, padded with zeros");
	expect(!value[sizeof(value) - 1], "zeros at the end");
	len = sizeof(value);
	expect(getsockopt(fd, IPPROTO_TCP, TCP_CC_INFO, value, &len) == 0 && !len, "TCP_CC_INFO");
	len = SK_MEMINFO_VARS * 4;
	expect(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, value, &len) == 0 &&
		       len == SK_MEMINFO_VARS * 4,
	       "SO_MEMINFO");
}

/* Descriptors that are not the object's are the library's business still. */
static void ask_others(int fd, const char *file)
{
	FILE *from = fopen(file, "r");
	int pair[2], type = 0;
	socklen_t len = sizeof(type);

	expect(from && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "a pair of sockets");
	if (failed)
		return;
	expect(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM,
	       "SO_TYPE of a socket of the kernel's");
	expect(sendfile(pair[0], fileno(from), NULL, 10) == 10, "sendfile() to one");
	expect(sendfile(fd, fileno(from), NULL, 10) < 0 && errno == EPIPE,
	       "sendfile() to a socket of the object's that is not connected");
	close(pair[0]);
	close(pair[1]);
	fclose(from);
}

int main(int argc, char **argv)
{
	void (*init)(const char *flags, struct packetdrill_interface *ifc);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = 0x901f };
	struct packetdrill_interface ifc;
	void *object;
	int fd;

	object = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND)
			   : NULL;
	if (!object) {
		fprintf(stderr, "host: %s\n", argc == 2 ? dlerror() : "which object?");
		return 2;
	}
	*(void **)&init = dlsym(object, "packetdrill_interface_init");
	init(NULL, &ifc);
	fd = ifc.socket(ifc.userdata, AF_INET, SOCK_STREAM, IPPROTO_TCP);
	expect(fd >= 0, "socket()");
	expect(ifc.bind(ifc.userdata, fd, (struct sockaddr *)&at, sizeof(at)) == 0, "bind()");
	expect(ifc.listen(ifc.userdata, fd, 1) == 0, "listen()");
	ask(fd);
	ask_others(fd, argv[1]);
	ifc.free(ifc.userdata);
	return failed;
}
