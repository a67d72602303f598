/* SPDX-License-Identifier: Apache-2.0 */
/* A UNIX socket of the emulator's and its parties: calls, a TCP port, a PTY. */
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
		.list = { .owner = owner },
		.path = s->path,
		.on_party = bench_on_party,
		.on_trouble = bench_on_trouble,
		.ctx = &s->bench,
	};
	struct endpoint_fds fds = ENDPOINT_FDS_NONE;
	struct err err = ERR_INIT;
	fds.listener = s->listener;
	s->bridge = bridge_new(&config);
	assert_int_equal(bridge_serve(s->bridge, &fds, "", &err), 0);
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
	assert_non_null(bridge_holder(s->bridge));
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
	say(client.fd, "$D#44");
	close(client.fd);
	ASSERT_COMES(b, &emulator, "$?#3f$D#44");
	LOOP_UNTIL(b->f, (inbox_poll(&emulator), emulator.is_ended));
	assert_int_equal(b->left, 1);
	assert_null(bridge_holder(s->bridge));
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

/* ---- a party that is a call */

struct caller {
	struct bridge_party *party;
	char text[64];
	size_t len;
	unsigned rooms, ends;
	struct err err;
};

static void caller_on_output(void *ctx)
{
	struct caller *c = ctx;
	c->len += bridge_read(c->party, c->text + c->len, sizeof(c->text) - 1 - c->len);
}

static void caller_on_room(void *ctx)
{
	((struct caller *)ctx)->rooms++;
}

static void caller_on_end(void *ctx, const struct err *err)
{
	struct caller *c = ctx;
	c->ends++;
	c->party = NULL;
	if (err != NULL)
		c->err = *err;
}

static const struct bridge_party_ops caller_ops = { caller_on_output, caller_on_room, caller_on_end };

static void test_call(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct caller caller = { 0 };
	struct inbox emulator;
	struct err err = ERR_INIT;
	assert_int_equal(bridge_join(s->bridge, "alice", &caller_ops, &caller, &caller.party, &err), 0);
	assert_string_equal(bridge_holder(s->bridge), "alice");
	assert_int_equal(bridge_write(caller.party, "$g#67", 5), 5);
	inbox_init(&emulator, emulator_accept(s), 0);
	ASSERT_COMES(b, &emulator, "$g#67");
	say(emulator.fd, "+$00#60");
	LOOP_UNTIL(b->f, caller.len == 7);
	assert_string_equal(caller.text, "+$00#60");
	say(emulator.fd, "$W00#b7"); /* its last words come before the end */
	close(emulator.fd);
	LOOP_UNTIL(b->f, caller.ends == 1);
	assert_string_equal(caller.text, "+$00#60$W00#b7");
	assert_int_equal(caller.err.code, ERR_OK);
	assert_null(bridge_holder(s->bridge));
	assert_int_equal(b->left, 1);
}

/* Nobody waits silently for one who is there. */
static void test_second_is_refused(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct inbox second;
	struct caller caller = { 0 };
	struct err err = ERR_INIT;
	int first = client_open(b->port), emulator = emulator_accept(s);
	inbox_init(&second, client_open(b->port), 0);
	say(second.fd, "me too");
	LOOP_UNTIL(b->f, (inbox_poll(&second), second.is_ended));
	assert_int_equal(b->attached, 1);
	assert_non_null(strstr(b->trouble.msg, "has it"));
	assert_int_equal(bridge_join(s->bridge, "bob", &caller_ops, &caller, &caller.party, &err), -1);
	assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
	assert_string_equal(err.reason, "busy");
	assert_non_null(strstr(err.msg, "tcp client of uid"));
	close(second.fd);
	close(first);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_int_equal(bridge_join(s->bridge, "bob", &caller_ops, &caller, &caller.party, &err), 0);
	bridge_leave(caller.party);
	assert_int_equal(caller.ends, 0);
	close(emulator);
}

/* Who is there when the bridge goes is told. */
static void test_end_of_bridge(void **state)
{
	struct stage *s = *state;
	struct caller caller = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(bridge_join(s->bridge, "alice", &caller_ops, &caller, &caller.party, &err), 0);
	say(emulator_accept(s), "bye");
	bridge_free(s->bridge);
	s->bridge = NULL;
	assert_int_equal(caller.ends, 1);
	assert_string_equal(caller.text, "bye");
}

/* ---- a filter that takes its time */

struct slow {
	struct bridge *bridge;
	unsigned comings, lefts, losses;
};

static void slow_on_coming(void *ctx)
{
	((struct slow *)ctx)->comings++;
}

static void slow_on_connected(void *ctx)
{
	(void)ctx;
}

static void slow_on_input(void *ctx, const void *bytes, size_t len)
{
	struct slow *slow = ctx;
	bridge_send_emulator(slow->bridge, "<", 1);
	bridge_send_emulator(slow->bridge, bytes, len);
}

static void slow_on_output(void *ctx, const void *bytes, size_t len)
{
	struct slow *slow = ctx;
	bridge_send_party(slow->bridge, ">", 1);
	bridge_send_party(slow->bridge, bytes, len);
}

static void slow_on_left(void *ctx)
{
	((struct slow *)ctx)->lefts++;
}

static void slow_on_lost(void *ctx)
{
	((struct slow *)ctx)->losses++;
}

static char *slow_refusal(const char *why)
{
	(void)why;
	return xstrdup("no!");
}

static const struct bridge_filter slow_filter = { slow_on_coming, slow_on_connected, slow_on_input, slow_on_output,
						  slow_on_left,   slow_on_lost,      slow_refusal };

static void test_filter(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct slow slow = { 0 };
	struct inbox client, second, emulator;
	struct bridge_config config = {
		.base = b->f->base, .list = { .owner = getuid() }, .path = s->path, .filter = &slow_filter, .filter_ctx = &slow
	};
	struct endpoint_fds fds = ENDPOINT_FDS_NONE;
	struct err err = ERR_INIT;
	bridge_free(s->bridge);
	fds.listener = s->listener;
	s->bridge = slow.bridge = bridge_new(&config);
	assert_int_equal(bridge_serve(s->bridge, &fds, "", &err), 0);
	inbox_init(&client, client_open(b->port), 0);
	say(client.fd, "hello");
	inbox_init(&emulator, emulator_accept(s), 0);
	ASSERT_COMES(b, &emulator, "<hello");
	say(emulator.fd, "you");
	ASSERT_COMES(b, &client, ">you");
	inbox_init(&second, client_open(b->port), 0);
	LOOP_UNTIL(b->f, (inbox_poll(&second), second.is_ended));
	assert_string_equal(second.text, "no!");
	close(second.fd);
	/* The next one waits until the filter is done with the one before, on the emulator's old connection. */
	close(client.fd);
	LOOP_UNTIL(b->f, slow.lefts == 1);
	inbox_init(&client, client_open(b->port), 0);
	say(client.fd, "again");
	LOOP_UNTIL(b->f, bridge_holder(s->bridge) != NULL);
	assert_quiet(b->f);
	assert_int_equal(slow.comings, 1);
	assert_false(inbox_poll(&emulator) > 6);
	bridge_send_emulator(s->bridge, "!", 1);
	bridge_hang_up(s->bridge);
	bridge_next(s->bridge);
	ASSERT_COMES(b, &emulator, "<hello!");
	LOOP_UNTIL(b->f, (inbox_poll(&emulator), emulator.is_ended));
	close(emulator.fd);
	inbox_init(&emulator, emulator_accept(s), 0);
	ASSERT_COMES(b, &emulator, "<again");
	assert_int_equal(slow.comings, 2);
	close(emulator.fd);
	LOOP_UNTIL(b->f, slow.losses == 1);
	close(client.fd);
}

/* ---- a PTY */

static void test_pty(void **state)
{
	struct stage *s = *state;
	struct bench *b = &s->bench;
	struct err err = ERR_INIT;
	struct endpoint_fds fds = ENDPOINT_FDS_NONE;
	char path[ENDPOINT_PATH_MAX];
	struct inbox user, emulator;
	struct bridge_config config = {
		.base = b->f->base, .list = { .owner = getuid() }, .path = s->path, .on_party = bench_on_party, .ctx = b
	};
	bridge_free(s->bridge);
	s->bridge = bridge_new(&config);
	assert_int_equal(endpoint_make_pty(-1, "monitor", getuid(), &fds, path, &err), 0);
	assert_int_equal(bridge_serve(s->bridge, &fds, path, &err), 0);
	for (unsigned round = 1; round <= 2; round++) {
		inbox_init(&user, open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), 0);
		assert_true(user.fd >= 0);
		inbox_init(&emulator, emulator_accept(s), 0);
		LOOP_UNTIL(b->f, b->attached == round);
		say(emulator.fd, "(qemu) \x03\r\n");
		ASSERT_COMES(b, &user, "(qemu) \x03\r\n");
		assert_int_equal(write(user.fd, "info\r\x03\x04", 7), 7);
		ASSERT_COMES(b, &emulator, "info\r\x03\x04");
		close(user.fd);
		LOOP_UNTIL(b->f, b->left == round);
		LOOP_UNTIL(b->f, (inbox_poll(&emulator), emulator.is_ended));
		close(emulator.fd);
	}
	bridge_free(s->bridge);
	s->bridge = NULL;
	endpoint_fds_close(&fds);
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
		TEST(test_both_ways),         TEST(test_emulator_closes),     TEST(test_bounded), TEST(test_call),
		TEST(test_second_is_refused), TEST(test_end_of_bridge),       TEST(test_filter),  TEST(test_pty),
		TEST(test_no_emulator),       TEST(test_stranger_is_refused),
	};
	return cmocka_run_group_tests_name("bridge", tests, NULL, NULL);
}
