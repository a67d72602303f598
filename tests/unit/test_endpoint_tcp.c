/* SPDX-License-Identifier: Apache-2.0 */
/* A channel on a TCP port: who may connect, from where one reads, who writes, and what becomes of those who leave. */
#include "test_endpoint.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define STRANGER 54321
#define OWNER    12345

static void bench_listen(struct bench *b)
{
	struct err err = ERR_INIT;
	if (endpoint_make_tcp(0, 22000, 22999, &b->fds, &b->port, &err) != 0)
		fail_msg("%s", err.msg);
	bench_open(b, false);
}

static int setup(void **state)
{
	struct bench *b = bench_new(ENDPOINT_TCP);
	bench_listen(b);
	*state = b;
	return 0;
}

static int client_open(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)
		return -1;
	(void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	return fd;
}

/* Connects and waits until it is attached. */
static int client_attach(struct bench *b)
{
	unsigned attached = b->attached;
	int fd = client_open(b->port);
	assert_true(fd >= 0);
	LOOP_UNTIL(b->f, b->attached == attached + 1);
	return fd;
}

static void client_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void client_name(int fd, char *out, size_t size)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(out, size, "tcp client of uid %u (127.0.0.1:%u)", (unsigned)getuid(), ntohs(sin.sin_port));
}

/* ---------------------------------------------------------------- from where one reads */

static void test_first_party_from_the_boot_others_from_now(void **state)
{
	struct bench *b = *state;
	struct inbox first, second, third;
	char name[64];
	bench_boot(b, 1);
	guest_print_logged(b->f, "one ");
	bench_boot(b, 2);
	guest_print_logged(b->f, "two ");
	inbox_init(&first, client_attach(b), 0);
	client_name(first.fd, name, sizeof(name));
	assert_string_equal(b->who, name);
	ASSERT_COMES(b, &first, "two ");
	inbox_init(&second, client_attach(b), 0);
	guest_print_logged(b->f, "more ");
	ASSERT_COMES(b, &first, "two more ");
	ASSERT_COMES(b, &second, "more ");
	/* Who is there when a boot begins is the first party of it. */
	bench_boot(b, 3);
	guest_print_logged(b->f, "three");
	inbox_init(&third, client_attach(b), 0);
	ASSERT_COMES(b, &second, "more three");
	guest_print_logged(b->f, "!");
	ASSERT_COMES(b, &third, "!");
	close(first.fd);
	close(second.fd);
	close(third.fd);
	LOOP_UNTIL(b->f, endpoint_party_count(b->endpoint) == 0);
	assert_int_equal(b->left, 3);
	assert_int_equal(hub_cursor_count(b->f->hub), 0);
	/* Had a boot its first party, also one that left. */
	inbox_init(&first, client_attach(b), 0);
	guest_print_logged(b->f, "?");
	ASSERT_COMES(b, &first, "?");
	close(first.fd);
	LOOP_UNTIL(b->f, endpoint_party_count(b->endpoint) == 0);
	bench_boot(b, 4);
	guest_print_logged(b->f, "four");
	inbox_init(&first, client_attach(b), 0);
	ASSERT_COMES(b, &first, "four");
	close(first.fd);
}

static void test_had_party(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	endpoint_free(b->endpoint);
	b->config.had_party = true;
	bench_open(b, true);
	fixture_boot(b->f, 1, true); /* the boot goes on: endpoint_begin_boot is not called */
	guest_print_logged(b->f, "before ");
	inbox_init(&inbox, client_attach(b), 0);
	guest_print_logged(b->f, "after");
	ASSERT_COMES(b, &inbox, "after");
	close(inbox.fd);
}

static void test_slow_reader_costs_nobody(void **state)
{
	struct bench *b = *state;
	struct inbox slow, quick;
	bench_boot(b, 1);
	inbox_init(&slow, client_attach(b), 0);
	inbox_init(&quick, client_attach(b), 0);
	guest_print_big(b, BIG);
	LOOP_UNTIL(b->f, inbox_poll(&quick) == BIG);
	assert_true(quick.is_exact);
	assert_quiet(b->f); /* nor does waiting for it */
	LOOP_UNTIL(b->f, inbox_poll(&slow) == BIG);
	assert_true(slow.is_exact);
	close(slow.fd);
	close(quick.fd);
}

static void test_reader_that_dies(void **state)
{
	static const struct linger reset = { 1, 0 };
	struct bench *b = *state;
	bench_boot(b, 1);
	int fd = client_attach(b);
	guest_print_big(b, BIG);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(fd);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_quiet(b->f);
}

static void test_end_of_the_channel(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	inbox_init(&inbox, client_attach(b), 0);
	guest_print_big(b, BIG);
	client_send(inbox.fd, "unread input makes no reset");
	fixture_end_boot(b->f);
	hub_set_final(b->f->hub, true);
	LOOP_UNTIL(b->f, (inbox_poll(&inbox), inbox.is_ended));
	assert_int_equal(inbox.sys, 0);
	assert_int_equal(inbox.len, BIG);
	assert_true(inbox.is_exact);
	close(inbox.fd);
	LOOP_UNTIL(b->f, endpoint_party_count(b->endpoint) == 0);
	/* Who comes now gets the last boot, and its end. */
	inbox_init(&inbox, client_attach(b), BIG);
	LOOP_UNTIL(b->f, (inbox_poll(&inbox), inbox.is_ended));
	assert_int_equal(inbox.len, 0);
	close(inbox.fd);
	LOOP_UNTIL(b->f, endpoint_party_count(b->endpoint) == 0);
}

static void test_idle_costs_nothing(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	int fd = client_attach(b);
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
	close(fd);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
}

/* ---------------------------------------------------------------- who writes */

static void test_role_comes_with_the_first_byte(void **state)
{
	struct bench *b = *state;
	char name[64];
	bench_boot(b, 1);
	int a = client_attach(b), c = client_attach(b);
	assert_quiet(b->f);
	assert_null(writer_holder(b->f->hub));
	client_send(c, "c1");
	assert_guest_gets(b, "c1");
	client_name(c, name, sizeof(name));
	assert_string_equal(writer_holder(b->f->hub), name);
	/* Left unread, not dropped, and nothing spins. */
	client_send(a, "a1");
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
	client_send(a, "a2");
	client_send(c, "c2");
	assert_guest_gets(b, "c2");
	close(c);
	assert_guest_gets(b, "a1a2");
	client_name(a, name, sizeof(name));
	assert_string_equal(writer_holder(b->f->hub), name);
	close(a);
	LOOP_UNTIL(b->f, !hub_has_writer(b->f->hub));
}

static void test_input_only_as_the_guest_takes_it(void **state)
{
	struct bench *b = *state;
	struct inbox guest;
	char block[8192];
	uint64_t sent = 0, total = 1u << 20, give_up_ms = test_now_ms() + DEADLINE_MS;
	bench_boot(b, 1);
	int fd = client_attach(b);
	inbox_init(&guest, b->f->guest_in, 0);
	for (bool is_first = true; sent < total && test_now_ms() < give_up_ms; is_first = false) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = big_byte(sent + i);
		ssize_t n = send(fd, block, total - sent < sizeof(block) ? total - sent : sizeof(block), MSG_NOSIGNAL);
		sent += n > 0 ? (uint64_t)n : 0;
		if (is_first)
			assert_quiet(b->f);
		fixture_turn(b->f);
		if (fifo_unread(b->f->guest_in) >= 65536)
			inbox_poll(&guest);
	}
	LOOP_UNTIL(b->f, inbox_poll(&guest) == total);
	assert_true(guest.is_exact);
	close(fd);
}

/* telnet sends some of its bytes as urgent. */
static void test_urgent_byte(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	int fd = client_attach(b);
	client_send(fd, "ab");
	assert_int_equal(send(fd, "c", 1, MSG_OOB), 1);
	client_send(fd, "de");
	assert_guest_gets(b, "abcde");
	assert_quiet(b->f);
	close(fd);
}

static void test_read_only_until_a_boot_reads(void **state)
{
	struct bench *b = *state;
	struct err err = ERR_INIT;
	assert_int_equal(hub_begin_boot(b->f->hub, 1, true, fixture_fifo(b->f, "out", &b->f->guest_out), -1, &err), 0);
	endpoint_begin_boot(b->endpoint);
	int fd = client_attach(b);
	client_send(fd, "patience");
	assert_quiet(b->f);
	bench_boot(b, 2);
	assert_guest_gets(b, "patience");
	close(fd);
}

static void test_input_before_the_first_boot(void **state)
{
	struct bench *b = *state;
	int fd = client_attach(b);
	client_send(fd, "early");
	assert_quiet(b->f);
	bench_boot(b, 1);
	assert_guest_gets(b, "early");
	close(fd);
}

/* ---------------------------------------------------------------- leaving */

static void test_close_is_noticed_while_input_lies(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	struct writer *other = other_open(b);
	int fd = client_attach(b);
	client_send(fd, "later");
	assert_quiet(b->f);
	close(fd);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_int_equal(endpoint_party_count(b->endpoint), 0);
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
	writer_close(other);
	assert_guest_gets(b, "later");
	LOOP_UNTIL(b->f, !hub_has_writer(b->f->hub));
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
}

/* With output on its way, closing is a reset; what was sent before counts. */
static void test_send_and_close_at_once(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	guest_print_logged(b->f, "output that is never read");
	int fd = client_attach(b);
	assert_quiet(b->f);
	client_send(fd, "last words");
	close(fd);
	assert_guest_gets(b, "last words");
	LOOP_UNTIL(b->f, b->left == 1 && !hub_has_writer(b->f->hub));
}

static void test_half_close_ends_input_only(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	inbox_init(&inbox, client_attach(b), 0);
	client_send(inbox.fd, "ping");
	assert_int_equal(shutdown(inbox.fd, SHUT_WR), 0);
	assert_guest_gets(b, "ping");
	LOOP_UNTIL(b->f, !hub_has_writer(b->f->hub));
	assert_int_equal(endpoint_party_count(b->endpoint), 1);
	guest_print_logged(b->f, "pong");
	ASSERT_COMES(b, &inbox, "pong");
	guest_print_logged(b->f, "pong");
	ASSERT_COMES(b, &inbox, "pongpong");
	/* Nothing comes on the wire when it closes now. */
	close(inbox.fd);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
}

static void test_free_closes_connections(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	inbox_init(&inbox, client_attach(b), 0);
	client_send(inbox.fd, "x");
	assert_guest_gets(b, "x");
	endpoint_free(b->endpoint);
	b->endpoint = NULL;
	LOOP_UNTIL(b->f, (inbox_poll(&inbox), inbox.is_ended));
	assert_false(hub_has_writer(b->f->hub));
	assert_int_equal(hub_cursor_count(b->f->hub), 0);
	close(inbox.fd);
	/* The port stays: who comes now waits for the next endpoint. */
	inbox_init(&inbox, client_open(b->port), 0);
	assert_true(inbox.fd >= 0);
	bench_open(b, true);
	guest_print_logged(b->f, "hello");
	ASSERT_COMES(b, &inbox, "hello");
	close(inbox.fd);
}

/* ---------------------------------------------------------------- who may connect */

/* As another user: connects, sends, and closes at once or when the other end does. */
static void visit_as(struct bench *b, uid_t uid, bool stay)
{
	char c;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = setuid(uid) == 0 ? client_open(b->port) : -1;
		if (fd < 0 || send(fd, "evil", 4, MSG_NOSIGNAL) != 4)
			_exit(1);
		(void)fcntl(fd, F_SETFL, O_RDWR);
		_exit(!stay ? 0 : read(fd, &c, 1) > 0 ? 2 : 0);
	}
	int status = -1;
	LOOP_UNTIL(b->f, waitpid(pid, &status, WNOHANG) == pid);
	assert_int_equal(status, 0);
}

static void be_owned_by(struct bench *b, uid_t uid)
{
	endpoint_free(b->endpoint);
	b->config.list.owner = uid;
	bench_open(b, false);
	bench_boot(b, 1);
	guest_print_logged(b->f, "secret");
}

static bool is_root(const char *test)
{
	if (geteuid() != 0)
		print_message("optional: %s: only root can be somebody else\n", test);
	return geteuid() == 0;
}

static void test_stranger_is_refused(void **state)
{
	struct bench *b = *state;
	char text[64];
	if (!is_root("test_stranger_is_refused"))
		skip();
	be_owned_by(b, OWNER);
	visit_as(b, STRANGER, true);
	assert_int_equal(b->troubles, 1);
	assert_int_equal(b->trouble.code, ERR_PERMISSION_DENIED);
	snprintf(text, sizeof(text), "tcp client of uid %d (127.0.0.1:", STRANGER);
	assert_non_null(strstr(b->trouble.msg, text));
	visit_as(b, STRANGER, true);
	assert_int_equal(b->troubles, 1); /* told once a minute */
	assert_int_equal(b->attached, 0);
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
	assert_false(hub_has_writer(b->f->hub));
}

static void test_stranger_sends_and_closes_at_once(void **state)
{
	struct bench *b = *state;
	if (!is_root("test_stranger_sends_and_closes_at_once"))
		skip();
	be_owned_by(b, OWNER);
	for (int i = 0; i < 50; i++)
		visit_as(b, STRANGER, false);
	assert_quiet(b->f);
	assert_int_equal(b->attached, 0);
	assert_true(b->troubles >= 1);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
}

/* The kernel says uid 0 of who has gone. */
static void test_who_has_gone_is_refused(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	int fd = client_open(b->port);
	client_send(fd, "x");
	close(fd);
	LOOP_UNTIL(b->f, b->troubles == 1);
	assert_int_equal(b->trouble.code, ERR_NOT_FOUND);
	assert_quiet(b->f);
	assert_int_equal(b->attached, 0);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
}

static void test_owner_and_root_may(void **state)
{
	struct bench *b = *state;
	if (!is_root("test_owner_and_root_may"))
		skip();
	be_owned_by(b, OWNER);
	close(client_attach(b)); /* root */
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		int fd = setuid(OWNER) == 0 ? client_open(b->port) : -1;
		(void)fcntl(fd, F_SETFL, O_RDWR);
		_exit(read(fd, &c, 1) == 0 ? 0 : 1); /* the second party: nothing, until it is closed */
	}
	LOOP_UNTIL(b->f, b->attached == 2);
	assert_int_equal(b->troubles, 0);
	endpoint_free(b->endpoint);
	b->endpoint = NULL;
	int status = -1;
	LOOP_UNTIL(b->f, waitpid(pid, &status, WNOHANG) == pid);
	assert_int_equal(status, 0);
}

static void test_at_most_64(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	int fds[64];
	bench_boot(b, 1);
	for (int i = 0; i < 64; i++)
		fds[i] = client_attach(b);
	for (int i = 0; i < 3; i++) {
		inbox_init(&inbox, client_open(b->port), 0);
		LOOP_UNTIL(b->f, (inbox_poll(&inbox), inbox.is_ended));
		close(inbox.fd);
	}
	assert_int_equal(b->troubles, 1); /* told once a minute */
	assert_int_equal(b->trouble.code, ERR_RESOURCE_EXHAUSTED);
	close(fds[0]);
	LOOP_UNTIL(b->f, b->left == 1);
	fds[0] = client_attach(b);
	for (int i = 0; i < 64; i++)
		close(fds[i]);
	LOOP_UNTIL(b->f, endpoint_party_count(b->endpoint) == 0);
}

static void test_no_free_descriptor(void **state)
{
	struct bench *b = *state;
	struct rlimit before, none;
	unsigned turns = 0;
	bench_boot(b, 1);
	int fd = client_open(b->port);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	uint64_t enough_ms = test_now_ms() + 300;
	while (test_now_ms() < enough_ms) {
		fixture_turn(b->f);
		turns++;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(b->attached, 0);
	assert_true(turns < 300); /* a turn in which nothing happens takes 5 ms */
	LOOP_UNTIL(b->f, b->attached == 1);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_party_from_the_boot_others_from_now),
		TEST(test_had_party),
		TEST(test_slow_reader_costs_nobody),
		TEST(test_reader_that_dies),
		TEST(test_end_of_the_channel),
		TEST(test_idle_costs_nothing),
		TEST(test_role_comes_with_the_first_byte),
		TEST(test_input_only_as_the_guest_takes_it),
		TEST(test_urgent_byte),
		TEST(test_read_only_until_a_boot_reads),
		TEST(test_input_before_the_first_boot),
		TEST(test_close_is_noticed_while_input_lies),
		TEST(test_send_and_close_at_once),
		TEST(test_half_close_ends_input_only),
		TEST(test_free_closes_connections),
		TEST(test_stranger_is_refused),
		TEST(test_stranger_sends_and_closes_at_once),
		TEST(test_who_has_gone_is_refused),
		TEST(test_owner_and_root_may),
		TEST(test_at_most_64),
		TEST(test_no_free_descriptor),
	};
	return cmocka_run_group_tests_name("endpoint: tcp", tests, NULL, NULL);
}
