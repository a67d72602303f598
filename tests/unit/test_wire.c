/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client and server of the wire in one process and one loop. The messages are borrowed from grpc.reflection: ErrorResponse (a number
 * and a text) is what is asked and answered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "wire/addr.h"
#include "wire/mem.h"
#include "wire/rpc.h"

typedef Grpc__Reflection__V1__ErrorResponse note;
#define NOTE_INIT  GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT
#define NOTE_DESC  (&grpc__reflection__v1__error_response__descriptor)
#define TIMEOUT_MS 20000 /* of every wait here */
#define NOTE_MAX   (1024 * 1024)

extern const char wire_descriptors[], wire_descriptors_end[];

struct fixture;

/* What a stream brought. Part of the fixture: teardown ends streams that a failed test left. */
struct seen {
	struct fixture *fx;
	unsigned messages;
	size_t bytes;
	int32_t last;
	bool is_ended;
	bool is_writable;
	struct err status;
};

struct fixture {
	struct seen seen[2];
	struct event_base *base;
	struct rpc_server *server;
	struct rpc_client *client;
	char dir[32];
	char path[64];
	unsigned ends; /* on_end of server calls */
	unsigned disconnects;
	unsigned closed; /* on_closed of the client */
	bool is_drained;
	bool is_refusing;
	struct rpc_call *held;
	struct rpc_call *stream_call;
	unsigned stream_left;
	size_t stream_bytes;
	unsigned max_unsent;
};

/* ---------------------------------------------------------------- waiting */

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* Runs the loop until the condition holds. */
#define wait_for(fx, condition)                                                                                                            \
	do {                                                                                                                               \
		bool is_late_ = false;                                                                                                     \
		struct timeval delay_ = { TIMEOUT_MS / 1000, 0 };                                                                          \
		struct event *late_ = evtimer_new((fx)->base, on_timeout, &is_late_);                                                      \
		evtimer_add(late_, &delay_);                                                                                               \
		while (!(condition) && !is_late_)                                                                                          \
			event_base_loop((fx)->base, EVLOOP_ONCE);                                                                          \
		event_free(late_);                                                                                                         \
		assert_true(condition);                                                                                                    \
	} while (0)

/* ---------------------------------------------------------------- the service */

static struct fixture *fixture_of(const struct rpc_call *call)
{
	return rpc_call_server_ctx(call);
}

static void on_end(struct rpc_call *call, void *ctx)
{
	struct fixture *fx = ctx;
	if (fx->held == call)
		fx->held = NULL;
	if (fx->stream_call == call)
		fx->stream_call = NULL;
	fx->ends++;
}

static void svc_echo(struct rpc_call *call, const ProtobufCMessage *request)
{
	rpc_call_reply(call, request);
}

static void svc_fail(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct err err;
	err_set(&err, ERR_FAILED_PRECONDITION, "100 %% wrong:\n%s", ((const note *)request)->error_message);
	err_reason(&err, "already-running");
	rpc_call_finish_error(call, &err);
}

static void svc_hold(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = { .on_end = on_end };
	(void)request;
	fixture_of(call)->held = call;
	rpc_call_adopt(call, &ops, fixture_of(call));
}

static void stream_pump(struct rpc_call *call, void *ctx)
{
	struct fixture *fx = ctx;
	note reply = NOTE_INIT;
	reply.error_message = xmalloc(fx->stream_bytes + 1);
	memset(reply.error_message, 'x', fx->stream_bytes);
	reply.error_message[fx->stream_bytes] = '\0';
	unsigned burst = 0;
	while (fx->stream_left > 0 && rpc_call_can_send(call)) {
		reply.error_code = (int32_t)fx->stream_left--;
		rpc_call_send(call, &reply.base);
		burst++;
	}
	if (burst > fx->max_unsent)
		fx->max_unsent = burst;
	free(reply.error_message);
	if (fx->stream_left == 0)
		rpc_call_finish_ok(call);
}

/* error_code messages; how long they are stands in the fixture. */
static void svc_count(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = { .on_writable = stream_pump, .on_end = on_end };
	struct fixture *fx = fixture_of(call);
	fx->stream_left = (unsigned)((const note *)request)->error_code;
	fx->stream_call = call;
	rpc_call_adopt(call, &ops, fx);
	stream_pump(call, fx);
}

static void chat_answer(struct rpc_call *call, const ProtobufCMessage *request)
{
	rpc_call_send(call, request);
	if (!rpc_call_can_send(call))
		rpc_call_pause_input(call);
}

static void chat_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *request)
{
	(void)ctx;
	chat_answer(call, request);
}

static void chat_on_writable(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_resume_input(call);
}

static void chat_on_half_close(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_finish_ok(call);
}

static void svc_chat(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = {
		.on_message = chat_on_message,
		.on_writable = chat_on_writable,
		.on_half_close = chat_on_half_close,
		.on_end = on_end,
	};
	rpc_call_adopt(call, &ops, fixture_of(call));
	chat_answer(call, request);
}

static void dropping_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *request)
{
	struct fixture *fx = ctx;
	rpc_server_drop(fx->server, rpc_call_peer(call)->connection);
	rpc_call_send(call, request);
}

/* The second message ends the connection while its handler is on the stack. */
static void svc_drop(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = { .on_message = dropping_on_message, .on_end = on_end };
	(void)request;
	rpc_call_adopt(call, &ops, fixture_of(call));
}

#define METHOD(name_, kind_, handle_)                                                                                                      \
	{                                                                                                                                  \
		.path = "/test.Wire/" name_, .kind = (kind_), .request = NOTE_DESC, .reply = NOTE_DESC, .request_max_bytes = NOTE_MAX,     \
		.handle = (handle_)                                                                                                        \
	}

static const struct rpc_method methods[] = {
	METHOD("Echo", RPC_UNARY, svc_echo),      METHOD("Fail", RPC_UNARY, svc_fail),
	METHOD("Hold", RPC_UNARY, svc_hold),      METHOD("Count", RPC_SERVER_STREAM, svc_count),
	METHOD("Chat", RPC_BIDI, svc_chat),       METHOD("Drop", RPC_BIDI, svc_drop),
	METHOD("Forbidden", RPC_UNARY, svc_echo), { .path = NULL },
};

static const struct rpc_client_method echo = { "/test.Wire/Echo", NOTE_DESC };
static const struct rpc_client_method fail = { "/test.Wire/Fail", NOTE_DESC };
static const struct rpc_client_method hold = { "/test.Wire/Hold", NOTE_DESC };
static const struct rpc_client_method count = { "/test.Wire/Count", NOTE_DESC };
static const struct rpc_client_method chat = { "/test.Wire/Chat", NOTE_DESC };
static const struct rpc_client_method drop = { "/test.Wire/Drop", NOTE_DESC };
static const struct rpc_client_method forbidden = { "/test.Wire/Forbidden", NOTE_DESC };

/* ---------------------------------------------------------------- fixture */

static int on_authorize(void *ctx, const struct rpc_peer *peer, const struct rpc_method *method, struct err *err)
{
	(void)ctx;
	assert_int_equal(peer->uid, getuid());
	assert_int_equal(peer->pid, getpid());
	if (strcmp(method->path, "/test.Wire/Forbidden") == 0)
		return err_set(err, ERR_PERMISSION_DENIED, "not you");
	return 0;
}

static int on_admit(void *ctx, const struct rpc_peer *peer, struct err *err)
{
	struct fixture *fx = ctx;
	if (!fx->is_refusing)
		return 0;
	err_set(err, ERR_PERMISSION_DENIED, "this daemon belongs to somebody else, not to uid %u", (unsigned)peer->uid);
	return err_reason(err, "not-admitted");
}

static void on_disconnect(void *ctx, const struct rpc_peer *peer)
{
	struct fixture *fx = ctx;
	(void)peer;
	fx->disconnects++;
}

static void on_closed(struct rpc_client *client, void *ctx)
{
	struct fixture *fx = ctx;
	assert_true(rpc_client_is_closed(client));
	fx->closed++;
}

static void on_drained(void *ctx)
{
	struct fixture *fx = ctx;
	fx->is_drained = true;
	rpc_server_free(fx->server);
	fx->server = NULL;
}

static struct rpc_client *client_new(struct fixture *fx)
{
	int fd;
	struct err err = ERR_INIT;
	assert_int_equal(addr_connect_unix(fx->path, &fd, &err), 0);
	return rpc_client_new(fx->base, fd, on_closed, fx);
}

static int setup(void **state)
{
	static const struct rpc_method *const tables[] = { methods, NULL };
	struct fixture *fx = xcalloc(1, sizeof(*fx));
	struct rpc_server_config config = {
		.tables = tables,
		.admit = on_admit,
		.authorize = on_authorize,
		.handshake_timeout_ms = 100,
		.on_disconnect = on_disconnect,
		.ctx = fx,
		.descriptors = wire_descriptors,
		.descriptors_len = (size_t)(wire_descriptors_end - wire_descriptors),
	};
	struct err err = ERR_INIT;
	int fd;
	fx->seen[0].fx = fx->seen[1].fx = fx;
	fx->base = config.base = event_base_new();
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/wire-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->path, sizeof(fx->path), "%s/s", fx->dir);
	assert_int_equal(addr_listen_unix(fx->path, 0600, &fd, &err), 0);
	fx->server = rpc_server_new(&config, fd);
	fx->client = client_new(fx);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	rpc_client_free(fx->client);
	rpc_server_free(fx->server);
	event_base_free(fx->base);
	unlink(fx->path);
	rmdir(fx->dir);
	free(fx);
	return 0;
}

static int unary(struct fixture *fx, const struct rpc_client_method *method, int code, const char *text, uint32_t timeout_ms, note **reply,
		 struct err *err)
{
	note request = NOTE_INIT;
	ProtobufCMessage *message;
	request.error_code = code;
	request.error_message = (char *)(uintptr_t)text;
	if (rpc_client_unary(fx->client, method, &request.base, timeout_ms, &message, err) < 0)
		return -1;
	*reply = (note *)message;
	return 0;
}

static void note_free(note *n)
{
	protobuf_c_message_free_unpacked(&n->base, NULL);
}

static void seen_on_message(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	struct seen *seen = ctx;
	(void)stream;
	assert_false(seen->is_ended);
	seen->messages++;
	seen->bytes += strlen(((const note *)reply)->error_message);
	seen->last = ((const note *)reply)->error_code;
}

static void seen_on_writable(struct rpc_stream *stream, void *ctx)
{
	(void)stream;
	((struct seen *)ctx)->is_writable = true;
}

static void seen_on_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	struct seen *seen = ctx;
	(void)stream;
	assert_false(seen->is_ended);
	seen->is_ended = true;
	seen->status = *status;
}

static const struct rpc_stream_ops seen_ops = { .on_message = seen_on_message, .on_writable = seen_on_writable, .on_end = seen_on_end };

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

/* ---------------------------------------------------------------- ends */

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_unary),
		TEST(test_error),
		TEST(test_peer_and_rights),
		TEST(test_refused),
		TEST(test_large_unary),
		TEST(test_oversize),
		TEST(test_undecodable),
		TEST(test_unknown_method),
		TEST(test_wrong_number_of_messages),
		TEST(test_server_stream),
		TEST(test_bidi_flow_control),
		TEST(test_paused_until_after_the_end),
		TEST(test_many_small_messages),
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
