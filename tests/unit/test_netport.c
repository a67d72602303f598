/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on what, and connections there, also into a network of its own where the host allows one. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/netport.h"

#define DEADLINE_S 30

/* ---------------------------------------------------------------- others that listen */

static int listen_on(int family, uint16_t *port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at = { .in6 = { .sin6_family = (sa_family_t)family } };
	socklen_t len = family == AF_INET ? sizeof(at.in) : sizeof(at.in6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &at.any, len) < 0 || listen(fd, 5) < 0 || getsockname(fd, &at.any, &len) < 0)
		return -1;
	*port = ntohs(family == AF_INET ? at.in.sin_port : at.in6.sin6_port);
	return fd;
}

struct child {
	pid_t pid;
	uint16_t ports[2];
	bool is_private;
};

/* As the shim does it. */
static bool isolate(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_flags = IFF_UP;
	return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

/* Listens, tells where, and answers each connection with "hi", until it is killed. */
static _Noreturn void child_serve(int pipe, bool is_private)
{
	struct child told = { .is_private = is_private && isolate() };
	int fd = listen_on(AF_INET, &told.ports[0]);
	(void)listen_on(AF_INET6, &told.ports[1]);
	if (write(pipe, &told, sizeof(told)) != sizeof(told))
		_exit(1);
	for (;;) {
		int conn = accept(fd, NULL, NULL);
		if (conn < 0 || write(conn, "hi", 2) != 2)
			_exit(1);
		close(conn);
	}
}

/* What listens is a grandchild, like what a launcher has started; what has a network of its own is the child itself. */
static struct child child_start(bool is_private)
{
	struct child child;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (is_private)
			child_serve(fds[1], true);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			child_serve(fds[1], false);
		}
		for (;;)
			pause();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &child, sizeof(child)), sizeof(child));
	close(fds[0]);
	child.pid = pid;
	return child;
}

static void child_stop(const struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
}

static bool has_port(const struct netport_list *list, uint16_t port)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->ports[i] == port)
			return true;
	return false;
}

/* ---------------------------------------------------------------- lists */

static void test_list(void **state)
{
	(void)state;
	struct child child = child_start(false), other = child_start(false);
	struct netport_list list;
	uint16_t own = 0;
	int fd = listen_on(AF_INET, &own);
	netport_list(child.pid, &list);
	assert_true(has_port(&list, child.ports[0]));
	assert_int_equal(has_port(&list, child.ports[1]), child.ports[1] != 0); /* a host may have no IPv6 */
	assert_int_equal(list.count, child.ports[1] != 0 ? 2 : 1);
	netport_list(getpid(), &list);
	assert_true(has_port(&list, own));
	assert_true(has_port(&list, other.ports[0]));
	assert_false(netport_is_private(other.pid));
	child_stop(&child);
	netport_list(child.pid, &list);
	assert_int_equal(list.count, 0);
	assert_false(netport_is_private(child.pid)); /* gone */
	child_stop(&other);
	close(fd);
}

static void test_fresh(void **state)
{
	(void)state;
	const struct netport_list none = { .count = 0 }, one = { { 1234 }, 1 }, two = { { 1234, 4711 }, 2 };
	assert_int_equal(netport_fresh(&none, &none), 0);
	assert_int_equal(netport_fresh(&none, &one), 1234);
	assert_int_equal(netport_fresh(&one, &two), 4711);
	assert_int_equal(netport_fresh(&two, &one), 0);
	assert_int_equal(netport_fresh(&two, &two), 0);
}

/* ---------------------------------------------------------------- connections */

struct seen {
	int told, fd;
	struct err err;
};

static void on_done(void *ctx, int fd, const struct err *err)
{
	struct seen *seen = ctx;
	seen->told++;
	seen->fd = fd;
	if (err != NULL)
		seen->err = *err;
}

/* Until the helper is reaped, too. */
static void connect_to(pid_t pid, uint16_t port, struct seen *seen)
{
	struct event_base *base = event_base_new();
	struct netport *netport = NULL;
	*seen = (struct seen){ .fd = -1, .err = ERR_INIT };
	assert_int_equal(netport_connect(base, pid, port, on_done, seen, &netport, &seen->err), 0);
	event_base_loopexit(base, &(struct timeval){ .tv_sec = DEADLINE_S });
	while (seen->told == 0 && event_base_loop(base, EVLOOP_ONCE) == 0 && !event_base_got_exit(base)) {
	}
	event_base_free(base);
	assert_int_equal(seen->told, 1);
}

static void read_greeting(int fd)
{
	char text[3] = "";
	time_t end = time(NULL) + DEADLINE_S;
	ssize_t n;
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	while ((n = read(fd, text, 2)) < 0 && errno == EAGAIN && time(NULL) <= end)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(n, 2);
	assert_string_equal(text, "hi");
	close(fd);
}

static void test_connect(void **state)
{
	(void)state;
	struct child child = child_start(false);
	struct seen seen;
	connect_to(child.pid, child.ports[0], &seen);
	assert_true(seen.fd >= 0);
	read_greeting(seen.fd);
	child_stop(&child);
}

static void test_nobody_listens(void **state)
{
	(void)state;
	uint16_t port = 0;
	struct seen seen;
	close(listen_on(AF_INET, &port));
	connect_to(getpid(), port, &seen);
	assert_int_equal(seen.fd, -1);
	assert_non_null(strstr(seen.err.msg, "of the emulator: connect: Connection refused"));
}

static void test_private(void **state)
{
	(void)state;
	struct child child = child_start(true);
	struct netport_list list;
	struct seen seen;
	if (!child.is_private) {
		print_message("this host allows no network of one's own\n");
		child_stop(&child);
		return;
	}
	assert_true(netport_is_private(child.pid));
	netport_list(child.pid, &list);
	assert_true(has_port(&list, child.ports[0]));
	connect_to(child.pid, child.ports[0], &seen);
	if (seen.fd < 0)
		fail_msg("%s", seen.err.msg);
	read_greeting(seen.fd);
	child_stop(&child);
}

static void test_gone(void **state)
{
	(void)state;
	struct child child = child_start(false);
	struct seen seen;
	child_stop(&child);
	connect_to(child.pid, 1, &seen);
	assert_int_equal(seen.fd, -1);
	assert_non_null(strstr(seen.err.msg, "enter its network"));
}

static void test_cancel(void **state)
{
	(void)state;
	struct child child = child_start(false);
	struct event_base *base = event_base_new();
	struct netport *netport = NULL;
	struct seen seen = { .fd = -1, .err = ERR_INIT };
	assert_int_equal(netport_connect(base, child.pid, child.ports[0], on_done, &seen, &netport, &seen.err), 0);
	netport_cancel(netport);
	netport_cancel(NULL);
	event_base_loopexit(base, &(struct timeval){ .tv_sec = DEADLINE_S });
	event_base_dispatch(base); /* until the helper is reaped */
	assert_int_equal(seen.told, 0);
	event_base_free(base);
	child_stop(&child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),           cmocka_unit_test(test_fresh),   cmocka_unit_test(test_connect),
		cmocka_unit_test(test_nobody_listens), cmocka_unit_test(test_private), cmocka_unit_test(test_gone),
		cmocka_unit_test(test_cancel),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("netport", tests, NULL, NULL);
}
