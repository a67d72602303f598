/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client: commands and lines that are larger than a socket takes at once. */
#include "tests/unit/test_qmp.h"

/* Half a command was sent and no more is taken: the connection is of no use. */
static void test_deadline_of_half_a_command(void **state)
{
	struct box *b = *state;
	size_t len = 2u << 20;
	char *text = xmalloc(len + 1);
	memset(text, ' ', len);
	text[0] = '{', text[len - 1] = '}', text[len] = '\0';
	qmp_execute(b->qmp, "huge", text, 50, on_reply, b);
	ask(b, "queued");
	free(text);
	await(b, "closed");
	assert_string_equal(b->seen, "failed DEADLINE_EXCEEDED: QMP huge: no answer within 50 ms\n"
				     "failed DEADLINE_EXCEEDED: QMP huge: no answer within 50 ms\n"
				     "closed DEADLINE_EXCEEDED: QMP huge: no answer within 50 ms\n");
}

/* A command larger than the socket takes arrives whole. */
static void test_large_command(void **state)
{
	struct box *b = *state;
	size_t len = 1u << 20, got = 0;
	char *text = xmalloc(len + 1), buf[65536];
	memset(text, ' ', len);
	text[0] = '{', text[len - 1] = '}', text[len] = '\0';
	qmp_execute(b->qmp, "huge", text, 60000, on_reply, b);
	free(text);
	bool is_whole = false;
	for (time_t end = time(NULL) + DEADLINE_S; !is_whole && time(NULL) <= end; turn(b)) {
		ssize_t n = recv(b->qemu, buf, sizeof(buf), MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
		is_whole = n > 0 && buf[n - 1] == '\n';
	}
	assert_true(is_whole);
	assert_int_equal(got, len + strlen("{\"execute\":\"huge\",\"id\":1,\"arguments\":}\n"));
	say(b, "{\"return\": 1, \"id\": 1}\n");
	await(b, "reply 1\n");
}

/* Many megabytes without a newline end the connection and do not fill the memory. */
static void test_huge_line(void **state)
{
	struct box *b = *state;
	static char block[65536];
	size_t sent = 0;
	memset(block, 'x', sizeof(block));
	ask(b, "one");
	while (strstr(b->seen, "closed") == NULL && sent < (64u << 20)) {
		ssize_t n = send(b->qemu, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		turn(b);
	}
	assert_true(sent < (8u << 20));
	assert_non_null(strstr(b->seen, "failed RESOURCE_EXHAUSTED"));
	assert_non_null(strstr(b->seen, "closed RESOURCE_EXHAUSTED: QMP: a line of more than 4194304 bytes\n"));
}

/* A large line that is none too many is read whole. */
static void test_large_line(void **state)
{
	struct box *b = *state;
	size_t len = 3u << 20, sent = 0;
	char *text = xmalloc(len);
	memset(text, ' ', len);
	text[len - 1] = '\n';
	memcpy(text, "{\"event\": \"BIG\"", 15);
	text[len - 2] = '}';
	for (time_t end = time(NULL) + DEADLINE_S; sent < len && time(NULL) <= end; turn(b)) {
		ssize_t n = send(b->qemu, text + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
	}
	free(text);
	await(b, "event BIG");
	assert_null(strstr(b->seen, "closed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_deadline_of_half_a_command),
		TEST(test_large_command),
		TEST(test_huge_line),
		TEST(test_large_line),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("qmp: large", tests, NULL, NULL);
}
