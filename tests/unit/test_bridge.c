/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP port in front of a UNIX socket of the emulator's. */
#include "test_endpoint.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "channel/bridge.h"
#include "loop/ports.h"
#include "wire/addr.h"

#define STRANGER 54321

struct stage {
	struct bench bench; /* its endpoint is not used */
	struct bridge *bridge;
	int listener, server;
	char path[200];
};

static void stage_listen(struct stage *s)
{
	struct err err = ERR_INIT;
	if (addr_listen_unix(s->path, 0600, &s->server, &err) != 0)
		fail_msg("%s", err.msg);
}

static void stage_bridge(struct stage *s, uid_t owner)
{
	const struct bridge_config config = {
		.base = s->bench.f->base,
		.listener = s->listener,
		.owner = owner,
		.path = s->path,
		.on_party = bench_on_party,
		.on_trouble = bench_on_trouble,
		.ctx = &s->bench,
	};
	s->bridge = bridge_new(&config);
}

static int setup(void **state)
{
	struct stage *s = xcalloc(1, sizeof(*s));
	struct err err = ERR_INIT;
	void *fixture;
	fixture_setup(&fixture);
	s->bench.f = fixture;
	snprintf(s->path, sizeof(s->path), "%s/gdb.sock", s->bench.f->path);
	stage_listen(s);
	if (ports_listen(0, 23000, 23999, &s->listener, &s->bench.port, &err) != 0)
		fail_msg("%s", err.msg);
	stage_bridge(s, getuid());
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stage *s = *state;
	void *fixture = s->bench.f;
	bridge_free(s->bridge);
	close(s->listener);
	if (s->server >= 0)
		close(s->server);
	free(s);
	return fixture_teardown(&fixture);
}

static int client_open(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	(void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	return fd;
}

/* The emulator's end of a new connection. */
static int emulator_accept(struct stage *s)
{
	int fd = -1;
	LOOP_UNTIL(s->bench.f, (fd = accept4(s->server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void test_both_ways(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct inbox client, emulator;
	inbox_init(&client, client_open(b->port), 0);
	say(client.fd, "$?#3f");
	inbox_init(&emulator, emulator_accept(s), 0);
	ASSERT_COMES(b, &emulator, "$?#3f");
	say(emulator.fd, "+$T05#b9");
	ASSERT_COMES(b, &client, "+$T05#b9");
	assert_int_equal(b->attached, 1);
	assert_true(bridge_is_connected(s->bridge));
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
	say(client.fd, "$D#44");
	close(client.fd);
	ASSERT_COMES(b, &emulator, "$?#3f$D#44");
	LOOP_UNTIL(b->f, (inbox_poll(&emulator), emulator.is_ended));
	assert_int_equal(b->left, 1);
	assert_false(bridge_is_connected(s->bridge));
	close(emulator.fd);
}

static void test_emulator_closes(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct inbox client;
	inbox_init(&client, client_open(b->port), 0);
	int emulator = emulator_accept(s);
	say(emulator, "$W00#b7");
	close(emulator);
	LOOP_UNTIL(b->f, (inbox_poll(&client), client.is_ended));
	assert_string_equal(client.text, "$W00#b7");
	LOOP_UNTIL(b->f, b->left == 1);
	close(client.fd);
}

/* A reader that does not read holds up its writer; nothing piles up and nothing is lost. */
static void test_bounded(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct inbox client;
	char block[4096];
	inbox_init(&client, client_open(b->port), 0);
	int emulator = emulator_accept(s);
	for (uint64_t at = 0; at < BIG;) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = big_byte(at + i);
		ssize_t n = send(emulator, block, sizeof(block), MSG_NOSIGNAL);
		at += n > 0 ? (uint64_t)n : 0;
		if (n == (ssize_t)sizeof(block))
			continue;
		event_base_loop(b->f->base, EVLOOP_NONBLOCK);
		inbox_poll(&client);
	}
	LOOP_UNTIL(b->f, inbox_poll(&client) == BIG);
	assert_true(client.is_exact);
	while (send(emulator, block, sizeof(block), MSG_NOSIGNAL) > 0)
		event_base_loop(b->f->base, EVLOOP_NONBLOCK);
	assert_quiet(b->f);
	close(client.fd);
	LOOP_UNTIL(b->f, b->left == 1);
	close(emulator);
}

static void test_second_waits(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct inbox second;
	int first = client_open(b->port), emulator = emulator_accept(s);
	inbox_init(&second, client_open(b->port), 0);
	say(second.fd, "me too");
	assert_quiet(b->f);
	assert_int_equal(b->attached, 1);
	close(first);
	LOOP_UNTIL(b->f, b->attached == 2);
	struct inbox at_emulator;
	close(emulator);
	inbox_init(&at_emulator, emulator_accept(s), 0);
	ASSERT_COMES(b, &at_emulator, "me too");
	close(at_emulator.fd);
	close(second.fd);
}

static void test_no_emulator(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct inbox client;
	close(s->server);
	s->server = -1;
	unlink(s->path);
	for (int i = 0; i < 3; i++) {
		inbox_init(&client, client_open(b->port), 0);
		LOOP_UNTIL(b->f, (inbox_poll(&client), client.is_ended));
		close(client.fd);
	}
	assert_int_equal(b->troubles, 1); /* told once a minute */
	assert_non_null(strstr(b->trouble.msg, "gdb.sock"));
	stage_listen(s); /* the next boot */
	int fd = client_open(b->port);
	close(emulator_accept(s));
	close(fd);
}

static void test_stranger_is_refused(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	if (geteuid() != 0) {
		print_message("optional: test_stranger_is_refused: only root can be somebody else\n");
		skip();
	}
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		int fd = setuid(STRANGER) == 0 ? client_open(b->port) : -1;
		(void)fcntl(fd, F_SETFL, O_RDWR);
		_exit(read(fd, &c, 1) > 0 ? 1 : 0);
	}
	int status = -1;
	LOOP_UNTIL(b->f, waitpid(pid, &status, WNOHANG) == pid);
	assert_int_equal(status, 0);
	assert_int_equal(b->troubles, 1);
	assert_int_equal(b->trouble.code, ERR_PERMISSION_DENIED);
	assert_int_equal(b->attached, 0);
	assert_int_equal(accept(s->server, NULL, NULL), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways),    TEST(test_emulator_closes), TEST(test_bounded),
		TEST(test_second_waits), TEST(test_no_emulator),     TEST(test_stranger_is_refused),
	};
	return cmocka_run_group_tests_name("bridge", tests, NULL, NULL);
}
