/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client: commands, answers, events, deadlines, ends. */
#include "tests/unit/test_qmp.h"

static void test_greeting(void **state)
{
	struct box *b = *state;
	say(b, GREETING);
	await(b, "greeting\n");
	assert_string_equal(b->seen, "greeting\n");
	assert_string_equal(heard(b), ""); /* nothing is said by itself */
}

static void test_command(void **state)
{
	struct box *b = *state;
	qmp_execute(b->qmp, "qom-get", "{\"path\": \"/machine\"}", 60000, on_reply, b);
	assert_string_equal(heard(b), "{\"execute\":\"qom-get\",\"id\":1,\"arguments\":{\"path\": \"/machine\"}}\n");
	say(b, "{\"return\": {\"running\": true}, \"id\": 1}\r\n");
	await(b, "reply");
	assert_string_equal(b->seen, "reply {\"running\":true}\n");
}

/* One at a time, in the order of asking. */
static void test_queue(void **state)
{
	struct box *b = *state;
	ask(b, "one");
	ask(b, "two");
	qmp_execute(b->qmp, "silent", NULL, 60000, NULL, NULL);
	ask(b, "three");
	assert_string_equal(heard(b), "{\"execute\":\"one\",\"id\":1}\n");
	say(b, "{\"return\": 1, \"id\": 1}\n");
	await(b, "reply 1\n");
	assert_string_equal(heard(b), "{\"execute\":\"two\",\"id\":2}\n");
	say(b, "{\"return\": 2, \"id\": 2}\n");
	await(b, "reply 2\n");
	assert_string_equal(heard(b), "{\"execute\":\"silent\",\"id\":3}\n");
	say(b, "{\"return\": {}, \"id\": 3}\n");
	turn(b);
	assert_string_equal(heard(b), "{\"execute\":\"three\",\"id\":4}\n");
	say(b, "{\"return\": 3, \"id\": 4}\n");
	await(b, "reply 3\n");
	assert_string_equal(b->seen, "reply 1\nreply 2\nreply 3\n");
}

static void ask_pair(struct box *b, uint32_t timeout_ms)
{
	const struct qmp_ask asks[2] = { { "one", NULL, timeout_ms, on_reply }, { "two", "{}", timeout_ms, on_reply } };
	qmp_execute_pair(b->qmp, asks, b);
}

/* Both are sent at once, the next waits for both answers, of which one may be an error. */
static void test_pair(void **state)
{
	struct box *b = *state;
	ask_pair(b, 60000);
	ask(b, "three");
	assert_string_equal(heard(b), "{\"execute\":\"one\",\"id\":1}\n{\"execute\":\"two\",\"id\":2,\"arguments\":{}}\n");
	say(b, "{\"id\": 1, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"none\"}}\n");
	await(b, "failed NOT_FOUND: QMP one: none\n");
	assert_string_equal(heard(b), "");
	say(b, "{\"return\": 2, \"id\": 2}\n");
	await(b, "reply 2\n");
	assert_string_equal(heard(b), "{\"execute\":\"three\",\"id\":3}\n");
}

/* The two answers to a pair that is too late belong to nobody. */
static void test_pair_deadline(void **state)
{
	struct box *b = *state;
	ask_pair(b, 30);
	ask(b, "three");
	await(b, "failed DEADLINE_EXCEEDED: QMP one: no answer within 30 ms\nfailed DEADLINE_EXCEEDED");
	(void)heard(b);
	say(b, "{\"return\": 1, \"id\": 1}\n{\"return\": 2, \"id\": 2}\n{\"return\": 3, \"id\": 3}\n");
	await(b, "reply 3\n");
	assert_null(strstr(b->seen, "reply 1"));
	assert_null(strstr(b->seen, "reply 2"));
}

static void test_pair_when_closed(void **state)
{
	struct box *b = *state;
	ask_pair(b, 60000);
	(void)heard(b);
	close(b->qemu);
	b->qemu = -1;
	await(b, "closed");
	assert_int_equal(b->told, 3);
	ask_pair(b, 60000);
	assert_int_equal(b->told, 5);
}

static void test_error(void **state)
{
	struct box *b = *state;
	ask(b, "bad");
	ask(b, "good");
	say(b, "{\"id\": 1, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such command\"}}\n");
	await(b, "failed");
	say(b, "{\"return\": \"x\", \"id\": 2}\n");
	await(b, "reply");
	assert_string_equal(b->seen, "failed FAILED_PRECONDITION: QMP bad: no such command\nreply \"x\"\n");
}

/* Replies that nobody waits for, or with another id, are no reply to what was asked. */
static void test_ids(void **state)
{
	struct box *b = *state;
	say(b, "{\"return\": 9, \"id\": 1}\n{\"return\": 9}\n");
	turn(b);
	ask(b, "one");
	ask(b, "two");
	say(b, "{\"return\": 8, \"id\": 2}\n{\"return\": 8}\n{\"return\": 8, \"id\": 77}\n{\"error\": {\"desc\": \"x\"}, \"id\": 3}\n"
	       "{\"return\": 1, \"id\": 1}\n");
	await(b, "reply");
	assert_string_equal(b->seen, "reply 1\n");
	say(b, "{\"return\": 2, \"id\": 2}\n");
	await(b, "reply 2\n");
	assert_string_equal(b->seen, "reply 1\nreply 2\n");
}

static void test_events(void **state)
{
	struct box *b = *state;
	ask(b, "one");
	say(b, "{\"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n{\"event\": \"STOP\"}\n"
	       "{\"return\": 1, \"id\": 1}\n{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": false, \"reason\": \"host-signal\"}}\n");
	await(b, "SHUTDOWN");
	assert_string_equal(b->seen, "event RESET guest-reset 1\nevent STOP  0\nreply 1\nevent SHUTDOWN host-signal 0\n");
}

/* Every byte may come alone; several lines may come at once. */
static void test_pieces(void **state)
{
	struct box *b = *state;
	static const char text[] = GREETING "{\"event\": \"STOP\"}\r\n";
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(send(b->qemu, text + i, 1, MSG_NOSIGNAL), 1);
		turn(b);
	}
	await(b, "STOP");
	assert_string_equal(b->seen, "greeting\nevent STOP  0\n");
}

static void test_garbage(void **state)
{
	struct box *b = *state;
	static const char *const lines[] = { "\n",
					     "\r\n",
					     "garbage\n",
					     "{\"event\": \n",
					     "[1, 2]\n",
					     "17\n",
					     "null\n",
					     "\"QMP\"\n",
					     "{}\n",
					     "{\"id\": 1}\n",
					     "\xff\xfe\n",
					     "{\"event\": 5}\n",
					     "}{\n",
					     "{\"id\": \"1\", \"x\": 0}\n",
					     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n" };
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		say(b, lines[i]);
	assert_int_equal(send(b->qemu, "\0{}\0\n", 5, MSG_NOSIGNAL), 5);
	turn(b);
	ask(b, "alive");
	say(b, "{\"return\": 1, \"id\": 1}\n");
	await(b, "reply 1\n");
	assert_null(strstr(b->seen, "closed"));
	assert_null(strstr(b->seen, "greeting"));
}

/* What comes after the deadline is dropped, the next command works. */
static void test_deadline(void **state)
{
	struct box *b = *state;
	qmp_execute(b->qmp, "slow", NULL, 50, on_reply, b);
	ask(b, "next");
	await(b, "failed");
	assert_string_equal(b->seen, "failed DEADLINE_EXCEEDED: QMP slow: no answer within 50 ms\n");
	say(b, "{\"return\": \"late\", \"id\": 1}\n{\"return\": \"in time\", \"id\": 2}\n");
	await(b, "reply");
	assert_non_null(strstr(b->seen, "reply \"in time\"\n"));
	assert_null(strstr(b->seen, "late"));
	assert_null(strstr(b->seen, "closed"));
}

/* A command counts its time from when it is sent, not from when it is queued. */
static void test_deadline_is_per_command(void **state)
{
	struct box *b = *state;
	ask(b, "first");
	qmp_execute(b->qmp, "second", NULL, 40, on_reply, b);
	struct timeval tv = { .tv_usec = 120000 };
	event_base_loopexit(b->base, &tv);
	event_base_dispatch(b->base);
	assert_string_equal(b->seen, "");
	say(b, "{\"return\": 1, \"id\": 1}\n");
	await(b, "failed DEADLINE_EXCEEDED: QMP second");
}

static void test_end_of_file(void **state)
{
	struct box *b = *state;
	ask(b, "one");
	ask(b, "two");
	qmp_execute(b->qmp, "silent", NULL, 60000, NULL, NULL);
	(void)heard(b); /* else the kernel calls it a reset */
	close(b->qemu);
	b->qemu = -1;
	await(b, "closed");
	assert_string_equal(b->seen, "failed UNAVAILABLE: QMP: the emulator closed the connection\n"
				     "failed UNAVAILABLE: QMP: the emulator closed the connection\n"
				     "closed UNAVAILABLE: QMP: the emulator closed the connection\n");
	b->seen[0] = '\0';
	ask(b, "after"); /* answered at once */
	assert_string_equal(b->seen, "failed UNAVAILABLE: QMP after: the emulator has closed the connection\n");
	qmp_execute(b->qmp, "silent", NULL, 60000, NULL, NULL);
	qmp_drain(b->qmp);
}

/* The last words before the end count. */
static void test_drain(void **state)
{
	struct box *b = *state;
	say(b, "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-reset\"}}\n");
	close(b->qemu);
	b->qemu = -1;
	qmp_drain(b->qmp); /* without the loop */
	assert_string_equal(b->seen, "event SHUTDOWN guest-reset 0\nclosed UNAVAILABLE: QMP: the emulator closed the connection\n");
	qmp_drain(b->qmp);
}

/* Commands from inside a callback are queued, also when the answer to that is a failure. */
static void test_execute_in_callback(void **state)
{
	struct box *b = *state;
	b->execute_in_callback = true;
	ask(b, "one");
	ask(b, "two");
	(void)heard(b);
	say(b, "{\"return\": 1, \"id\": 1}\n");
	await(b, "reply 1\n");
	assert_string_equal(heard(b), "{\"execute\":\"two\",\"id\":2}\n");
	say(b, "{\"return\": 2, \"id\": 2}\n");
	await(b, "reply 2\n");
	assert_string_equal(heard(b), "{\"execute\":\"from-callback\",\"id\":3}\n");
	b->execute_in_callback = true;
	close(b->qemu);
	b->qemu = -1;
	await(b, "closed");
	assert_non_null(strstr(b->seen, "failed UNAVAILABLE: QMP from-callback: the emulator has closed the connection\n"));
}

/* qmp_free() in any callback: what is queued fails, nothing else is told, nothing is touched after. */
static void test_free_in_callback(void **state)
{
	static const char *const inputs[] = {
		GREETING GREETING "{\"event\": \"STOP\"}\n",
		"{\"event\": \"STOP\"}\n{\"event\": \"STOP\"}\n",
		"{\"return\": 1, \"id\": 1}\n{\"event\": \"STOP\"}\n",
		"{\"error\": {}, \"id\": 1}\n{\"event\": \"STOP\"}\n",
	};
	struct box *b = *state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		void *inner;
		box_setup(&inner);
		struct box *c = inner;
		c->free_at = 1;
		ask(c, "one");
		ask(c, "two");
		say(c, inputs[i]);
		await(c, "CANCELLED: QMP: the connection was given up\n");
		turn(c);
		assert_null(c->qmp);
		assert_null(strstr(c->seen, "closed"));
		assert_null(strstr(c->seen + 6, "greeting"));
		assert_int_equal(c->told, i < 2 ? 3 : 2);
		box_teardown(&inner);
	}
	b->free_at = 3; /* on_closed, after two failed commands */
	ask(b, "one");
	ask(b, "two");
	close(b->qemu);
	b->qemu = -1;
	await(b, "closed");
	turn(b);
	assert_null(b->qmp);
}

/* In the deadline's callback, and in that of a command that fails because the connection is closed. */
static void test_free_in_failure(void **state)
{
	struct box *b = *state;
	b->free_at = 1;
	qmp_execute(b->qmp, "slow", NULL, 20, on_reply, b);
	ask(b, "next");
	await(b, "CANCELLED");
	turn(b);
	assert_int_equal(b->told, 2);
	void *inner;
	box_setup(&inner);
	struct box *c = inner;
	c->free_at = 1;
	ask(c, "one");
	ask(c, "two");
	close(c->qemu);
	c->qemu = -1;
	await(c, "failed");
	turn(c);
	assert_null(strstr(c->seen, "closed"));
	assert_int_equal(c->told, 2);
	box_teardown(&inner);
}

static void test_free_with_queue(void **state)
{
	struct box *b = *state;
	ask(b, "one");
	ask(b, "two");
	qmp_free(b->qmp);
	b->qmp = NULL;
	assert_string_equal(b->seen,
			    "failed CANCELLED: QMP: the connection was given up\nfailed CANCELLED: QMP: the connection was given up\n");
	qmp_free(NULL);
}

static void test_members(void **state)
{
	(void)state;
	struct json_object *object =
		json_tokener_parse("{\"s\": \"text\", \"n\": 5, \"t\": true, \"f\": false, \"null\": null, \"o\": {}}");
	assert_string_equal(qmp_string(object, "s"), "text");
	assert_string_equal(qmp_string(object, "n"), "");
	assert_string_equal(qmp_string(object, "null"), "");
	assert_string_equal(qmp_string(object, "absent"), "");
	assert_string_equal(qmp_string(NULL, "s"), "");
	assert_true(qmp_bool(object, "t"));
	assert_false(qmp_bool(object, "f"));
	assert_false(qmp_bool(object, "absent"));
	assert_false(qmp_bool(object, "null"));
	assert_false(qmp_bool(object, "s")); /* another type */
	assert_false(qmp_bool(object, "o"));
	assert_false(qmp_bool(NULL, "t"));
	json_object_put(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_greeting),
		TEST(test_command),
		TEST(test_queue),
		TEST(test_pair),
		TEST(test_pair_deadline),
		TEST(test_pair_when_closed),
		TEST(test_error),
		TEST(test_ids),
		TEST(test_events),
		TEST(test_pieces),
		TEST(test_garbage),
		TEST(test_deadline),
		TEST(test_deadline_is_per_command),
		TEST(test_end_of_file),
		TEST(test_drain),
		TEST(test_execute_in_callback),
		TEST(test_free_in_callback),
		TEST(test_free_in_failure),
		TEST(test_free_with_queue),
		TEST(test_members),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
