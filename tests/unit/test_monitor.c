/* SPDX-License-Identifier: Apache-2.0 */
/* The client of Renode's monitor against a console that the test plays on the other end of a socket pair. */
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/monitor.h"
#include "wire/mem.h"

#define DEADLINE_S 30

struct box {
	struct event_base *base;
	struct monitor *monitor;
	int renode;      /* our end */
	char seen[4096]; /* what was told, a line each */
	int told;
	int free_at; /* monitor_free() in the callback that comes with this number, from 1 */
	bool asks_in_callback;
};

static void box_tell(struct box *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void box_tell(struct box *b, const char *fmt, ...)
{
	size_t used = strlen(b->seen);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(b->seen + used, sizeof(b->seen) - used, fmt, ap);
	va_end(ap);
	if (++b->told == b->free_at) {
		struct monitor *monitor = b->monitor;
		b->monitor = NULL;
		monitor_free(monitor);
	}
}

static void on_prompt(void *ctx)
{
	box_tell(ctx, "prompt\n");
}

static void on_closed(void *ctx, const struct err *err)
{
	box_tell(ctx, "closed %s\n", err_code_name(err->code));
}

static void on_reply(void *ctx, const char *text, const struct err *err)
{
	struct box *b = ctx;
	if (b->asks_in_callback && b->monitor != NULL) {
		b->asks_in_callback = false;
		monitor_ask(b->monitor, "inner", 60000, on_reply, b);
	}
	if (err != NULL)
		box_tell(b, "failed %s [%s]\n", err_code_name(err->code), text);
	else
		box_tell(b, "reply [%s]\n", text);
}

static const struct monitor_ops ops = { .on_prompt = on_prompt, .on_closed = on_closed };

static struct box *box_new(bool is_fresh)
{
	struct box *b = xcalloc(1, sizeof(*b));
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	b->base = event_base_new();
	b->renode = fds[1];
	b->monitor = monitor_new(b->base, fds[0], is_fresh, &ops, b);
	return b;
}

/* One that is at its prompt, as an earlier daemon left it. */
static int box_setup(void **state)
{
	*state = box_new(false);
	return 0;
}

static int box_setup_fresh(void **state)
{
	*state = box_new(true);
	return 0;
}

static int box_teardown(void **state)
{
	struct box *b = *state;
	b->free_at = 0;
	monitor_free(b->monitor);
	event_base_free(b->base);
	if (b->renode >= 0)
		close(b->renode);
	free(b);
	return 0;
}

static void turn(struct box *b)
{
	event_base_loop(b->base, EVLOOP_NONBLOCK);
}

/* Is read before more is said. */
static void say(struct box *b, const char *text)
{
	size_t len = strlen(text);
	assert_int_equal(send(b->renode, text, len, MSG_NOSIGNAL), (ssize_t)len);
	turn(b);
}

static void await(struct box *b, const char *text)
{
	time_t end = time(NULL) + DEADLINE_S;
	while (strstr(b->seen, text) == NULL) {
		if (time(NULL) > end)
			fail_msg("no \"%s\" in: %s", text, b->seen);
		struct timeval tv = { .tv_usec = 20000 };
		event_base_loopexit(b->base, &tv);
		event_base_loop(b->base, EVLOOP_ONCE);
	}
}

static void await_told(struct box *b, const char *all)
{
	turn(b);
	assert_string_equal(b->seen, all);
	b->seen[0] = '\0';
}

/* What was sent; "" if nothing. */
static const char *heard(struct box *b)
{
	static char text[MONITOR_COMMAND_MAX + 16];
	ssize_t n = recv(b->renode, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void ask(struct box *b, const char *command)
{
	monitor_ask(b->monitor, command, 60000, on_reply, b);
}

/* ---------------------------------------------------------------- */

/* Nothing is sent before the first prompt; the banner is kept. */
static void test_first_prompt(void **state)
{
	struct box *b = *state;
	ask(b, "version");
	assert_string_equal(heard(b), "");
	say(b, "Renode, version 1.16.1 (d66b0c2a-202611221354)\n\r\n\r(monit");
	await_told(b, "");
	say(b, "or) ");
	await_told(b, "prompt\n");
	assert_string_equal(heard(b), "version\n");
	assert_string_equal(monitor_prompt(b->monitor), "(monitor) ");
	assert_string_equal(monitor_words(b->monitor), "Renode, version 1.16.1 (d66b0c2a-202611221354)\n");
}

/* As recorded. */
static void test_answers(void **state)
{
	struct box *b = *state;
	ask(b, "mach create \"m\"");
	assert_string_equal(heard(b), "mach create \"m\"\n");
	say(b, "mach create \"m\"\n\r(m) ");
	await_told(b, "reply []\n");
	assert_string_equal(monitor_prompt(b->monitor), "(m) ");
	ask(b, "machine IsPaused");
	say(b, "machine IsPaused\n\rTrue\r\r\n(m) ");
	await_told(b, "reply [True]\n");
	ask(b, "sysbus.nothing");
	say(b, "sysbus.nothing\n\rNo such command or device: sysbus.nothing\r\n(m) ");
	await_told(b, "failed NOT_FOUND [No such command or device: sysbus.nothing]\n");
	assert_string_equal(monitor_words(b->monitor), "");
}

static void test_one_at_a_time(void **state)
{
	struct box *b = *state;
	ask(b, "one");
	ask(b, "two");
	monitor_ask(b->monitor, "silent", 60000, NULL, NULL);
	ask(b, "three");
	assert_string_equal(heard(b), "one\n");
	say(b, "one\n\r1\r\n\r(m) ");
	assert_string_equal(heard(b), "two\n");
	say(b, "two\n\r2\r\n\r(m) ");
	assert_string_equal(heard(b), "silent\n");
	say(b, "silent\n\r(m) ");
	assert_string_equal(heard(b), "three\n");
	say(b, "three\n\r3\r\n\r(m) ");
	await_told(b, "reply [1]\nreply [2]\nreply [3]\n");
}

static void test_pieces(void **state)
{
	struct box *b = *state;
	static const char text[] = "peripherals\n\rAvailable peripherals:\r\n\r\r\n\r  sysbus (SystemBus)\r\n\r          \r\n\r(m) ";
	ask(b, "peripherals");
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_string_equal(b->seen, "");
		say(b, (char[]){ text[i], '\0' });
	}
	await_told(b, "reply [Available peripherals:\n\n  sysbus (SystemBus)\n          ]\n");
}

/* What only looks like a prompt, inside of an answer. */
static void test_prompt_within(void **state)
{
	struct box *b = *state;
	ask(b, "help");
	say(b, "help\n\r(monitor) is\r\nwhat you see\r\n(m) and\r\n\r(m) ");
	await_told(b, "reply [(monitor) is\nwhat you see\n(m) and]\n");
}

static void test_unasked_words(void **state)
{
	struct box *b = *state;
	say(b, "out of the blue\r\n(m) ");
	assert_string_equal(monitor_words(b->monitor), "out of the blue\n");
	for (int i = 0; i < 3000; i++)
		say(b, "and more\r\n(m) ");
	assert_in_range(strlen(monitor_words(b->monitor)), 8000, 16384);
	await_told(b, "");
}

/* An earlier daemon's question, whose answer comes now, is nobody's. */
static void test_leftovers(void **state)
{
	struct box *b = *state;
	ask(b, "emulation IsStarted");
	say(b, "peripherals\n\rAvailable peripherals:\r\n\r");
	say(b, "\r\n(m) ");
	await_told(b, "");
	say(b, "emulation IsStarted\n\rTrue\r\r\n(m) ");
	await_told(b, "reply [True]\n");
}

/* The answer that is too late does not answer the next question, which is not asked before. */
static void test_deadline(void **state)
{
	struct box *b = *state;
	monitor_ask(b->monitor, "slow", 30, on_reply, b);
	ask(b, "next");
	await(b, "failed");
	await_told(b, "failed DEADLINE_EXCEEDED []\n");
	assert_string_equal(heard(b), "slow\n");
	say(b, "slow\n\rFalse\r\n(m) ");
	await_told(b, "");
	assert_string_equal(heard(b), "next\n");
	say(b, "next\n\rTrue\r\n(m) ");
	await_told(b, "reply [True]\n");
}

/* One that was never sent is not sent later. */
static void test_deadline_in_queue(void **state)
{
	struct box *b = *state;
	ask(b, "slow");
	monitor_ask(b->monitor, "impatient", 30, on_reply, b);
	ask(b, "next");
	await(b, "failed");
	(void)heard(b);
	say(b, "slow\n\r(m) ");
	assert_string_equal(heard(b), "next\n");
	await_told(b, "failed DEADLINE_EXCEEDED []\nreply []\n");
}

static void test_end_of_file(void **state)
{
	struct box *b = *state;
	ask(b, "one");
	ask(b, "two");
	say(b, "one\n\rUnhandled exception");
	close(b->renode);
	b->renode = -1;
	await(b, "closed");
	await_told(b, "failed UNAVAILABLE []\nfailed UNAVAILABLE []\nclosed UNAVAILABLE\n");
	assert_string_equal(monitor_words(b->monitor), "one\nUnhandled exception\n");
	ask(b, "late");
	await_told(b, "failed UNAVAILABLE []\n");
	monitor_close_input(b->monitor);
}

static void test_drain(void **state)
{
	struct box *b = *state;
	static const char text[] = "quit\n\rRenode is quitting\r\n\r";
	ask(b, "quit");
	assert_int_equal(send(b->renode, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
	close(b->renode);
	b->renode = -1;
	monitor_drain(b->monitor);
	assert_string_equal(b->seen, "failed UNAVAILABLE []\nclosed UNAVAILABLE\n");
	monitor_drain(b->monitor);
}

static void test_closes_input(void **state)
{
	struct box *b = *state;
	char c;
	monitor_close_input(b->monitor);
	assert_int_equal(recv(b->renode, &c, 1, 0), 0);
	say(b, "Renode is quitting\r\n(m) ");
	assert_string_equal(monitor_words(b->monitor), "Renode is quitting\n");
}

/* Ctrl-D quits Renode, a line end would be a command of its own, nothing would have no answer. */
static void test_refuses(void **state)
{
	struct box *b = *state;
	static const char *const bad[] = { "", "a\nb", "a\r", "\x04", "a\tb", "  ", "\x1b[A", "\x7f" };
	char *huge = xmalloc(MONITOR_COMMAND_MAX + 2);
	memset(huge, 'x', MONITOR_COMMAND_MAX + 1);
	huge[MONITOR_COMMAND_MAX + 1] = '\0';
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask(b, bad[i]);
		await_told(b, "failed INVALID_ARGUMENT []\n");
	}
	ask(b, huge);
	await_told(b, "failed INVALID_ARGUMENT []\n");
	assert_string_equal(heard(b), "");
	huge[MONITOR_COMMAND_MAX] = '\0';
	ask(b, huge);
	assert_int_equal(strlen(heard(b)), MONITOR_COMMAND_MAX + 1);
	free(huge);
}

/* An answer without end closes the console and does not fill the memory. */
static void test_huge_answer(void **state)
{
	struct box *b = *state;
	static char block[65536];
	size_t sent = 0;
	memset(block, 'x', sizeof(block));
	ask(b, "one");
	while (strstr(b->seen, "closed") == NULL && sent < (64u << 20)) {
		ssize_t n = send(b->renode, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		turn(b);
	}
	assert_true(sent < (12u << 20));
	await_told(b, "failed RESOURCE_EXHAUSTED []\nclosed RESOURCE_EXHAUSTED\n");
}

static void test_ask_in_callback(void **state)
{
	struct box *b = *state;
	b->asks_in_callback = true;
	ask(b, "outer");
	ask(b, "second");
	(void)heard(b);
	say(b, "outer\n\r1\r\n(m) ");
	assert_string_equal(heard(b), "second\n");
	say(b, "second\n\r2\r\n(m) ");
	assert_string_equal(heard(b), "inner\n");
	say(b, "inner\n\r3\r\n(m) ");
	await_told(b, "reply [1]\nreply [2]\nreply [3]\n");
}

/* In every callback that there is. */
static void test_free_in_callback(void **state)
{
	struct box *b = *state;
	b->free_at = 1;
	ask(b, "one");
	ask(b, "two");
	say(b, "one\n\r1\r\n(m) ");
	await_told(b, "reply [1]\nfailed CANCELLED []\n");
	assert_null(b->monitor);

	for (int at = 1; at <= 3; at++) { /* in those of a closed console */
		struct box *c = box_new(false);
		void *inner = c;
		c->free_at = at;
		ask(c, "one");
		ask(c, "two");
		close(c->renode);
		c->renode = -1;
		turn(c);
		assert_null(c->monitor);
		assert_int_equal(c->told, at == 3 ? 3 : 2);
		box_teardown(&inner);
	}
	struct box *c = box_new(false); /* at a deadline */
	void *inner = c;
	c->free_at = 1;
	monitor_ask(c->monitor, "one", 20, on_reply, c);
	monitor_ask(c->monitor, "two", 20, on_reply, c);
	await(c, "CANCELLED");
	await_told(c, "failed DEADLINE_EXCEEDED []\nfailed CANCELLED []\n");
	box_teardown(&inner);
	c = box_new(true); /* at the first prompt */
	inner = c;
	c->free_at = 1;
	ask(c, "one");
	say(c, "(monitor) ");
	await_told(c, "prompt\nfailed CANCELLED []\n");
	box_teardown(&inner);
}

static void test_free_with_queue(void **state)
{
	struct box *b = *state;
	ask(b, "one");
	ask(b, "two");
	monitor_free(b->monitor);
	b->monitor = NULL;
	await_told(b, "failed CANCELLED []\nfailed CANCELLED []\n");
	monitor_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_prompt, box_setup_fresh, box_teardown),
		TEST(test_answers),
		TEST(test_one_at_a_time),
		TEST(test_pieces),
		TEST(test_prompt_within),
		TEST(test_unasked_words),
		TEST(test_leftovers),
		TEST(test_deadline),
		TEST(test_deadline_in_queue),
		TEST(test_end_of_file),
		TEST(test_drain),
		TEST(test_closes_input),
		TEST(test_refuses),
		TEST(test_huge_answer),
		TEST(test_ask_in_callback),
		TEST(test_free_in_callback),
		TEST(test_free_with_queue),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
