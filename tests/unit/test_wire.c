/* SPDX-License-Identifier: Apache-2.0 */
/* Client and server of the wire: calls and streams. */
#include "tests/unit/test_wire.h"

/* ---------------------------------------------------------------- unary */

static void test_unary(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	for (int i = 0; i < 300; i++) {
		assert_int_equal(unary(fx, &echo, i, "hello", 0, &reply, &err), 0);
		assert_int_equal(reply->error_code, i);
		assert_string_equal(reply->error_message, "hello");
		note_free(reply);
	}
}

static void test_error(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	assert_int_equal(unary(fx, &fail, 0, "caf\xc3\xa9", 1000, &reply, &err), -1);
	assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
	assert_string_equal(err.reason, "already-running");
	assert_string_equal(err.msg, "100 % wrong:\ncaf\xc3\xa9");
}

static void test_server_stream(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	request.error_code = 1000;
	fx->stream_bytes = 10000;
	struct rpc_stream *stream = rpc_client_call(fx->client, &count, &request.base, 0, &seen_ops, seen);
	rpc_stream_half_close(stream);
	wait_for(fx, seen->is_ended);
	assert_int_equal(seen->status.code, ERR_OK);
	assert_int_equal(seen->messages, 1000);
	assert_int_equal(seen->bytes, 10000 * 1000);
	assert_int_equal(seen->last, 1);
	assert_true(fx->max_unsent < 100);
	wait_for(fx, fx->ends == 1);
}

static void test_peer_and_rights(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	assert_int_equal(unary(fx, &forbidden, 0, "", 0, &reply, &err), -1);
	assert_int_equal(err.code, ERR_PERMISSION_DENIED);
	assert_string_equal(err.msg, "not you");
}

/* Who is not admitted is told why, and is not kept. */
static void test_refused(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	fx->is_refusing = true;
	assert_int_equal(unary(fx, &echo, 0, "", 0, &reply, &err), -1);
	assert_int_equal(err.code, ERR_PERMISSION_DENIED);
	assert_string_equal(err.reason, "not-admitted");
	assert_non_null(strstr(err.msg, "somebody else"));
	wait_for(fx, fx->closed == 1);
	assert_int_equal(fx->disconnects, 0);
}

static void test_large_unary(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	char *text = xmalloc(NOTE_MAX);
	memset(text, 'a', NOTE_MAX);
	text[NOTE_MAX - 100] = '\0';
	assert_int_equal(unary(fx, &echo, 1, text, TIMEOUT_MS, &reply, &err), 0);
	assert_string_equal(reply->error_message, text);
	note_free(reply);
	free(text);
}

static void test_oversize(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	char *text = xmalloc((size_t)4 * NOTE_MAX);
	memset(text, 'a', (size_t)4 * NOTE_MAX);
	text[4 * NOTE_MAX - 1] = '\0';
	assert_int_equal(unary(fx, &echo, 1, text, TIMEOUT_MS, &reply, &err), -1);
	assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
	free(text);
	assert_int_equal(unary(fx, &echo, 1, "next", TIMEOUT_MS, &reply, &err), 0);
	note_free(reply);
}

/* A message of another type: its field 1 is a message where a number is expected. */
static void test_undecodable(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	Grpc__Reflection__V1__ServiceResponse service = GRPC__REFLECTION__V1__SERVICE_RESPONSE__INIT;
	Grpc__Reflection__V1__ServiceResponse *services[] = { &service };
	Grpc__Reflection__V1__ListServiceResponse wrong = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
	ProtobufCMessage *reply;
	service.name = (char *)(uintptr_t) "x";
	wrong.n_service = 1;
	wrong.service = services;
	assert_int_equal(rpc_client_unary(fx->client, &echo, &wrong.base, TIMEOUT_MS, &reply, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	const struct rpc_client_method misread = { "/test.Wire/Echo", &grpc__reflection__v1__list_service_response__descriptor };
	note request = NOTE_INIT;
	request.error_code = 5;
	assert_int_equal(rpc_client_unary(fx->client, &misread, &request.base, TIMEOUT_MS, &reply, &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
}

static void test_unknown_method(void **state)
{
	static const struct rpc_client_method nothing = { "/test.Wire/Nothing", NOTE_DESC };
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	assert_int_equal(unary(fx, &nothing, 0, "", 0, &reply, &err), -1);
	assert_int_equal(err.code, ERR_UNIMPLEMENTED);
	assert_non_null(strstr(err.msg, "/test.Wire/Nothing"));
}

static void test_wrong_number_of_messages(void **state)
{
	struct fixture *fx = *state;
	struct seen *none = &fx->seen[0], *two = &fx->seen[1];
	note request = NOTE_INIT;
	rpc_stream_half_close(rpc_client_call(fx->client, &echo, NULL, 0, &seen_ops, none));
	struct rpc_stream *stream = rpc_client_call(fx->client, &echo, &request.base, 0, &seen_ops, two);
	request.error_message = (char *)(uintptr_t) "second";
	rpc_stream_send(stream, &request.base);
	rpc_stream_half_close(stream);
	wait_for(fx, none->is_ended && two->is_ended);
	assert_int_equal(none->status.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(two->status.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(two->messages, 0);
}

/* ---------------------------------------------------------------- streams */

static void chat_push(struct rpc_stream *stream, int number, char *text)
{
	note request = NOTE_INIT;
	request.error_code = number;
	request.error_message = text;
	rpc_stream_send(stream, &request.base);
}

/* A reader that stops: the writer is stopped by the windows, and all arrives when it goes on. */
static void test_bidi_flow_control(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	char text[10001];
	int sent = 0;
	memset(text, 'b', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	struct rpc_stream *stream = rpc_client_call(fx->client, &chat, NULL, 0, &seen_ops, seen);
	rpc_stream_pause_input(stream);
	for (int quiet = 0; quiet < 20; quiet++) { /* turns of the loop in which nothing moves any more */
		for (; sent < 1000 && rpc_stream_can_send(stream); quiet = 0)
			chat_push(stream, sent++, text);
		event_base_loop(fx->base, EVLOOP_NONBLOCK);
	}
	assert_true(sent > 20 && sent < 300);
	assert_int_equal(seen->messages, 0);
	rpc_stream_resume_input(stream);
	while (sent < 1000) {
		wait_for(fx, rpc_stream_can_send(stream));
		chat_push(stream, sent++, text);
	}
	rpc_stream_half_close(stream);
	wait_for(fx, seen->is_ended);
	assert_int_equal(seen->status.code, ERR_OK);
	assert_int_equal(seen->messages, 1000);
	assert_int_equal(seen->last, 999);
	assert_true(seen->is_writable);
	wait_for(fx, fx->ends == 1);
}

/* What had arrived before the good end of a paused stream is still delivered; the end comes after it. */
static void test_paused_until_after_the_end(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	request.error_code = 3;
	fx->stream_bytes = 10;
	struct rpc_stream *stream = rpc_client_call(fx->client, &count, &request.base, 0, &seen_ops, seen);
	rpc_stream_pause_input(stream);
	rpc_stream_half_close(stream);
	wait_for(fx, fx->ends == 1);
	rpc_server_free(fx->server);
	fx->server = NULL;
	wait_for(fx, rpc_client_is_closed(fx->client));
	assert_int_equal(seen->messages, 0);
	assert_false(seen->is_ended);
	rpc_stream_resume_input(stream);
	wait_for(fx, seen->is_ended);
	assert_int_equal(seen->messages, 3);
	assert_int_equal(seen->status.code, ERR_OK);
	wait_for(fx, fx->closed == 1);
}

static void test_many_small_messages(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	request.error_code = 200000;
	fx->stream_bytes = 1;
	rpc_stream_half_close(rpc_client_call(fx->client, &count, &request.base, 0, &seen_ops, seen));
	wait_for(fx, seen->is_ended);
	assert_int_equal(seen->messages, 200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unary),
		TEST(test_error),
		TEST(test_server_stream),
		TEST(test_peer_and_rights),
		TEST(test_refused),
		TEST(test_large_unary),
		TEST(test_oversize),
		TEST(test_undecodable),
		TEST(test_unknown_method),
		TEST(test_wrong_number_of_messages),
		TEST(test_bidi_flow_control),
		TEST(test_paused_until_after_the_end),
		TEST(test_many_small_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
