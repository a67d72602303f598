/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the other end of a connection is: the kernel's row of the peer itself, and the traps beside it. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/ports.h"
#include "loop/sockdiag.h"

#define STRANGER 54321

struct pair {
	int listener, client, server;
	uint16_t port;
};

static void pair_listen(struct pair *pair)
{
	struct err err = ERR_INIT;
	pair->client = pair->server = -1;
	if (ports_listen(0, 21000, 21999, &pair->listener, &pair->port, &err) != 0)
		fail_msg("%s", err.msg);
}

static int connect_ipv4(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 ? fd : -1;
}

static void pair_accept(struct pair *pair)
{
	pair->server = accept(pair->listener, NULL, NULL); /* what is connected can be accepted */
	assert_true(pair->server >= 0);
}

static void pair_close(struct pair *pair)
{
	close(pair->server);
	close(pair->listener);
	if (pair->client >= 0)
		close(pair->client);
}

static void test_own(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct pair pair;
	struct sockdiag_peer peer;
	struct sockaddr_in own;
	socklen_t len = sizeof(own);
	char name[64];
	pair_listen(&pair);
	pair.client = connect_ipv4(pair.port);
	pair_accept(&pair);
	assert_int_equal(sockdiag_peer(pair.server, &peer, &err), 0);
	assert_int_equal(peer.uid, getuid());
	assert_int_equal(getsockname(pair.client, (struct sockaddr *)&own, &len), 0);
	snprintf(name, sizeof(name), "127.0.0.1:%u", ntohs(own.sin_port));
	assert_string_equal(peer.name, name);
	pair_close(&pair);
}

/* A socket of IPv6 on an IPv4 address, as Java and others make. */
static void test_mapped_address(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct pair pair;
	struct sockdiag_peer peer;
	pair_listen(&pair);
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(pair.port) };
	sin6.sin6_addr.s6_addr[10] = sin6.sin6_addr.s6_addr[11] = 0xff;
	sin6.sin6_addr.s6_addr[12] = 127;
	sin6.sin6_addr.s6_addr[15] = 1;
	pair.client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pair.client < 0) {
		print_message("optional: test_mapped_address: no IPv6 here\n");
		skip();
	}
	assert_int_equal(connect(pair.client, (struct sockaddr *)&sin6, sizeof(sin6)), 0);
	pair_accept(&pair);
	if (sockdiag_peer(pair.server, &peer, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(peer.uid, getuid());
	pair_close(&pair);
}

/* The rest of a closed connection has inode 0, and the kernel says uid 0, which would be root. */
static void test_closed_peer_is_nobody(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct pair pair;
	struct sockdiag_peer peer;
	pair_listen(&pair);
	int client = connect_ipv4(pair.port);
	assert_int_equal(send(client, "x", 1, 0), 1);
	close(client);
	pair_accept(&pair);
	assert_int_equal(sockdiag_peer(pair.server, &peer, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_memory_equal(peer.name, "127.0.0.1:", 10);
	pair_close(&pair);
}

static void test_half_closed_peer_is_there(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct pair pair;
	struct sockdiag_peer peer;
	pair_listen(&pair);
	pair.client = connect_ipv4(pair.port);
	pair_accept(&pair);
	assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
	assert_int_equal(sockdiag_peer(pair.server, &peer, &err), 0);
	assert_int_equal(peer.uid, getuid());
	pair_close(&pair);
}

static void test_reset_peer(void **state)
{
	static const struct linger at_once = { 1, 0 };
	(void)state;
	struct err err = ERR_INIT;
	struct pair pair;
	struct sockdiag_peer peer;
	pair_listen(&pair);
	int client = connect_ipv4(pair.port);
	pair_accept(&pair);
	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(client);
	assert_int_equal(sockdiag_peer(pair.server, &peer, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	pair_close(&pair);
}

static void test_another_user(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct pair pair;
	struct sockdiag_peer peer;
	int done[2];
	char c = 0;
	if (geteuid() != 0) {
		print_message("optional: test_another_user: only root can be somebody else\n");
		skip();
	}
	pair_listen(&pair);
	assert_int_equal(pipe(done), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(done[1]);
		if (setuid(STRANGER) != 0 || connect_ipv4(pair.port) < 0)
			_exit(1);
		_exit(read(done[0], &c, 1) == 0 ? 0 : 1);
	}
	close(done[0]);
	int flags = 0, status;
	assert_int_equal(ioctl(pair.listener, FIONBIO, &flags), 0); /* waits for the child; the suite has a deadline */
	pair_accept(&pair);
	assert_int_equal(sockdiag_peer(pair.server, &peer, &err), 0);
	assert_int_equal(peer.uid, STRANGER);
	close(done[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_mapped_address),
		cmocka_unit_test(test_closed_peer_is_nobody),
		cmocka_unit_test(test_half_closed_peer_is_there),
		cmocka_unit_test(test_reset_peer),
		cmocka_unit_test(test_another_user),
	};
	return cmocka_run_group_tests_name("sockdiag", tests, NULL, NULL);
}
