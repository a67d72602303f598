/* SPDX-License-Identifier: Apache-2.0 */
/* Client and server of the wire: deadlines, cancelled calls, either side gone, draining. */
#include "tests/unit/test_wire.h"

static int is_timer(const struct event_base *base, const struct event *event, void *ctx)
{
	(void)base;
	(void)ctx;
	return event_pending(event, EV_TIMEOUT, NULL);
}

static void test_deadline(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	assert_int_equal(unary(fx, &hold, 0, "", 50, &reply, &err), -1);
	assert_int_equal(err.code, ERR_DEADLINE_EXCEEDED);
	wait_for(fx, fx->ends == 1);
}

static void test_cancel(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	struct rpc_stream *stream = rpc_client_call(fx->client, &hold, &request.base, 0, &seen_ops, seen);
	rpc_stream_half_close(stream);
	wait_for(fx, fx->held != NULL);
	rpc_stream_cancel(stream);
	assert_false(seen->is_ended); /* from the loop, not from here */
	wait_for(fx, seen->is_ended && fx->ends == 1);
	assert_int_equal(seen->status.code, ERR_CANCELLED);
}

static void test_cancel_before_sent(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	struct err err = ERR_INIT;
	note *reply = NULL;
	rpc_stream_cancel(rpc_client_call(fx->client, &hold, &request.base, 0, &seen_ops, seen));
	wait_for(fx, seen->is_ended);
	assert_int_equal(seen->status.code, ERR_CANCELLED);
	assert_int_equal(unary(fx, &echo, 0, "", 0, &reply, &err), 0);
	note_free(reply);
}

/* Answered later, from somewhere else; after that the server's end comes by itself. */
static void test_answer_later(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT, late = NOTE_INIT;
	late.error_code = 77;
	rpc_stream_half_close(rpc_client_call(fx->client, &hold, &request.base, 0, &seen_ops, seen));
	wait_for(fx, fx->held != NULL);
	struct rpc_call *call = fx->held;
	rpc_call_reply(call, &late.base);
	assert_int_equal(fx->ends, 0);   /* no callback from inside */
	rpc_call_send(call, &late.base); /* nothing any more */
	wait_for(fx, seen->is_ended && fx->ends == 1);
	assert_int_equal(seen->messages, 1);
	assert_int_equal(seen->last, 77);
}

static void test_server_gone(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	struct err err = ERR_INIT;
	note request = NOTE_INIT, *reply = NULL;
	rpc_stream_half_close(rpc_client_call(fx->client, &hold, &request.base, 0, &seen_ops, seen));
	wait_for(fx, fx->held != NULL);
	rpc_server_free(fx->server);
	fx->server = NULL;
	assert_int_equal(fx->ends, 1);
	assert_int_equal(fx->disconnects, 1);
	wait_for(fx, fx->closed == 1);
	assert_true(seen->is_ended);
	assert_int_equal(seen->status.code, ERR_UNAVAILABLE);
	assert_string_equal(seen->status.reason, "disconnected");
	assert_int_equal(unary(fx, &echo, 0, "", 0, &reply, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static void test_client_gone(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	rpc_client_call(fx->client, &chat, &request.base, 0, &seen_ops, seen);
	wait_for(fx, seen->messages == 1);
	rpc_client_free(fx->client);
	fx->client = NULL;
	assert_true(seen->is_ended);
	assert_int_equal(seen->status.code, ERR_CANCELLED);
	wait_for(fx, fx->ends == 1 && fx->disconnects == 1);
}

static void freeing_on_message(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	struct seen *seen = ctx;
	seen_on_message(stream, ctx, reply);
	rpc_client_free(seen->fx->client);
	seen->fx->client = NULL;
	assert_true(seen->is_ended);
}

static void test_client_freed_in_callback(void **state)
{
	static const struct rpc_stream_ops ops = { .on_message = freeing_on_message, .on_end = seen_on_end };
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	request.error_code = 100;
	rpc_stream_half_close(rpc_client_call(fx->client, &count, &request.base, 0, &ops, seen));
	wait_for(fx, seen->is_ended);
	assert_int_equal(seen->messages, 1);
	wait_for(fx, fx->disconnects == 1);
	assert_int_equal(fx->closed, 0);
}

static void test_dropped_in_handler(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	struct rpc_stream *stream = rpc_client_call(fx->client, &drop, &request.base, 0, &seen_ops, seen);
	rpc_stream_send(stream, &request.base);
	rpc_stream_send(stream, &request.base);
	wait_for(fx, seen->is_ended && fx->closed == 1);
	assert_int_equal(seen->status.code, ERR_UNAVAILABLE);
	assert_int_equal(fx->ends, 1);
	assert_int_equal(fx->disconnects, 1);
}

static void test_drain(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0], *late = &fx->seen[1];
	struct err err = ERR_INIT;
	note request = NOTE_INIT;
	int fd;
	rpc_stream_half_close(rpc_client_call(fx->client, &hold, &request.base, 0, &seen_ops, seen));
	wait_for(fx, fx->held != NULL);
	rpc_server_drain(fx->server, TIMEOUT_MS, on_drained, fx);
	assert_int_equal(addr_connect_unix(fx->path, &fd, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	for (int i = 0; i < 10; i++)
		event_base_loop(fx->base, EVLOOP_NONBLOCK);
	assert_false(fx->is_drained);
	rpc_stream_half_close(rpc_client_call(fx->client, &echo, &request.base, 0, &seen_ops, late));
	wait_for(fx, late->is_ended);
	assert_int_equal(late->status.code, ERR_UNAVAILABLE);
	assert_false(seen->is_ended);
	rpc_call_reply(fx->held, &request.base);
	wait_for(fx, fx->is_drained && seen->is_ended && fx->closed == 1);
	assert_int_equal(seen->status.code, ERR_OK);
}

static void test_drain_deadline(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	rpc_stream_half_close(rpc_client_call(fx->client, &hold, &request.base, 0, &seen_ops, seen));
	wait_for(fx, fx->held != NULL);
	rpc_server_drain(fx->server, 50, on_drained, fx);
	wait_for(fx, fx->is_drained && seen->is_ended);
	assert_int_equal(seen->status.code, ERR_UNAVAILABLE);
	assert_int_equal(fx->ends, 1);
}

static void test_relisten(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	int fd;
	unlink(fx->path);
	assert_int_equal(addr_listen_unix(fx->path, 0600, &fd, &err), 0);
	rpc_server_relisten(fx->server, fd);
	assert_int_equal(unary(fx, &echo, 1, "old", 0, &reply, &err), 0);
	note_free(reply);
	rpc_client_free(fx->client);
	fx->client = client_new(fx);
	assert_int_equal(unary(fx, &echo, 1, "new", 0, &reply, &err), 0);
	note_free(reply);
}

/* Once everything is answered nothing is left that would wake the loop. */
static void test_idle_is_quiet(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	assert_int_equal(unary(fx, &echo, 1, "x", TIMEOUT_MS, &reply, &err), 0);
	note_free(reply);
	for (int i = 0; i < 10; i++)
		event_base_loop(fx->base, EVLOOP_NONBLOCK);
	assert_int_equal(event_base_get_num_events(fx->base, EVENT_BASE_COUNT_ACTIVE), 0);
	assert_int_equal(event_base_foreach_event(fx->base, is_timer, NULL), 0);
}

/* Somebody listens, reads nothing and says nothing, as behind a network that was cut. */
static void test_silent_server(void **state)
{
	struct fixture *fx = *state;
	struct seen *seen = &fx->seen[0];
	note request = NOTE_INIT;
	int pair[2];
	unsigned before = fx->closed;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	struct rpc_client *client = rpc_client_new(fx->base, pair[0], on_closed, fx);
	rpc_stream_half_close(rpc_client_call(client, &hold, &request.base, 0, &seen_ops, seen));
	rpc_client_keep_alive(client, 30, 30);
	wait_for(fx, seen->is_ended && fx->closed == before + 1);
	assert_int_equal(seen->status.code, ERR_UNAVAILABLE);
	assert_string_equal(seen->status.reason, "disconnected");
	rpc_client_free(client);
	close(pair[1]);
}

static void on_while(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	*(bool *)ctx = true;
}

/* One that has nothing to say answers the question. */
static void test_quiet_server_is_there(void **state)
{
	struct fixture *fx = *state;
	struct err err = ERR_INIT;
	note *reply = NULL;
	bool is_over = false;
	struct timeval a_while = { 0, 400000 };
	rpc_client_keep_alive(fx->client, 20, TIMEOUT_MS);
	struct event *timer = evtimer_new(fx->base, on_while, &is_over);
	evtimer_add(timer, &a_while);
	wait_for(fx, is_over);
	event_free(timer);
	assert_int_equal(fx->closed, 0);
	assert_int_equal(unary(fx, &echo, 0, "", 0, &reply, &err), 0);
	note_free(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_deadline),
		TEST(test_cancel),
		TEST(test_cancel_before_sent),
		TEST(test_answer_later),
		TEST(test_server_gone),
		TEST(test_client_gone),
		TEST(test_client_freed_in_callback),
		TEST(test_dropped_in_handler),
		TEST(test_drain),
		TEST(test_drain_deadline),
		TEST(test_relisten),
		TEST(test_idle_is_quiet),
		TEST(test_silent_server),
		TEST(test_quiet_server_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
