/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of 127.0.0.1: whose they are, which one is given out, and that two never listen on one. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/ports.h"

enum { FIRST = 21000, LAST = 21999 };

static int listen_any(uint16_t *port)
{
	struct err err = ERR_INIT;
	int fd = -1;
	if (ports_listen(0, FIRST, LAST, &fd, port, &err) != 0)
		fail_msg("%s", err.msg);
	return fd;
}

static int stranger_bind(in_addr_t addr, uint16_t port, int *fd)
{
	static const int on = 1;
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr) };
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	return bind(*fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ? errno : 0;
}

static int try_connect(in_addr_t addr, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void test_listens_on_loopback_only(void **state)
{
	(void)state;
	uint16_t port;
	int fd = listen_any(&port), client = try_connect(INADDR_LOOPBACK, port);
	assert_in_range(port, FIRST, LAST);
	assert_true(client >= 0);
	assert_int_equal(try_connect(INADDR_LOOPBACK + 1, port), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(client);
	close(fd);
}

static void test_freed_port_is_not_handed_out_at_once(void **state)
{
	(void)state;
	uint16_t before, port;
	close(listen_any(&before));
	for (int i = 0; i < 20; i++) {
		close(listen_any(&port));
		assert_int_not_equal(port, before);
	}
}

static void test_stranger_is_skipped(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	uint16_t port;
	int fd, stranger, own = listen_any(&port);
	close(own);
	/* Also one who listens on every address. */
	assert_int_equal(stranger_bind(INADDR_ANY, port, &stranger), 0);
	assert_int_equal(listen(stranger, 1), 0);
	assert_int_equal(ports_listen(0, port, port, &fd, &port, &err), -1);
	assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
	uint16_t next;
	assert_int_equal(ports_listen(0, port, port + 1u, &fd, &next, &err), 0);
	assert_int_equal(next, port + 1);
	close(fd);
	close(stranger);
}

static void test_wanted_is_that_one_or_none(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	uint16_t port, got;
	int other = -1, fd = listen_any(&port);
	assert_int_equal(ports_listen(port, FIRST, LAST, &other, &got, &err), -1);
	assert_int_equal(err.code, ERR_ALREADY_EXISTS);
	assert_string_equal(err.reason, "port-taken");
	assert_int_equal(other, -1);
	close(fd);
	assert_int_equal(ports_listen(port, FIRST, LAST, &fd, &got, &err), 0);
	assert_int_equal(got, port);
	close(fd);
}

/* Both may have bound: then one of them cannot listen. */
static void test_two_never_listen(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	uint16_t port, got;
	int fd, stranger, own = listen_any(&port);
	close(own);
	assert_int_equal(stranger_bind(INADDR_LOOPBACK, port, &stranger), 0);
	assert_int_equal(ports_listen(port, FIRST, LAST, &fd, &got, &err), 0);
	assert_int_equal(listen(stranger, 1), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(stranger);
	close(fd);
}

/* A server that closes first is left with TIME_WAIT on its port. */
static void test_time_wait_refuses_nothing(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	uint16_t port, got;
	char c;
	int fd = listen_any(&port), client = try_connect(INADDR_LOOPBACK, port), server = accept(fd, NULL, NULL);
	assert_true(server >= 0);
	close(server);
	assert_int_equal(read(client, &c, 1), 0);
	close(client);
	close(fd);
	assert_int_equal(ports_listen(port, FIRST, LAST, &fd, &got, &err), 0);
	close(fd);
}

static void test_bad_range(void **state)
{
	static const uint32_t ranges[][2] = { { 0, 10 }, { 5, 4 }, { 60000, 65536 } };
	(void)state;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct err err = ERR_INIT;
		uint16_t port;
		int fd;
		assert_int_equal(ports_listen(0, ranges[i][0], ranges[i][1], &fd, &port, &err), -1);
		assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listens_on_loopback_only),
		cmocka_unit_test(test_freed_port_is_not_handed_out_at_once),
		cmocka_unit_test(test_stranger_is_skipped),
		cmocka_unit_test(test_wanted_is_that_one_or_none),
		cmocka_unit_test(test_two_never_listen),
		cmocka_unit_test(test_time_wait_refuses_nothing),
		cmocka_unit_test(test_bad_range),
	};
	return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
