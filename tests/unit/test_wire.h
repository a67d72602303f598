/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client and server of the wire in one process and one loop. The messages are borrowed from grpc.reflection: ErrorResponse (a number
 * and a text) is what is asked and answered.
 */
#pragma once

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

static inline void on_timeout(evutil_socket_t fd, short what, void *arg)
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

static inline struct fixture *fixture_of(const struct rpc_call *call)
{
	return rpc_call_server_ctx(call);
}

static inline void on_end(struct rpc_call *call, void *ctx)
{
	struct fixture *fx = ctx;
	if (fx->held == call)
		fx->held = NULL;
	if (fx->stream_call == call)
		fx->stream_call = NULL;
	fx->ends++;
}

static inline void svc_echo(struct rpc_call *call, const ProtobufCMessage *request)
{
	rpc_call_reply(call, request);
}

static inline void svc_fail(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct err err;
	err_set(&err, ERR_FAILED_PRECONDITION, "100 %% wrong:\n%s", ((const note *)request)->error_message);
	err_reason(&err, "already-running");
	rpc_call_finish_error(call, &err);
}

static inline void svc_hold(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = { .on_end = on_end };
	(void)request;
	fixture_of(call)->held = call;
	rpc_call_adopt(call, &ops, fixture_of(call));
}

static inline void stream_pump(struct rpc_call *call, void *ctx)
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
static inline void svc_count(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = { .on_writable = stream_pump, .on_end = on_end };
	struct fixture *fx = fixture_of(call);
	fx->stream_left = (unsigned)((const note *)request)->error_code;
	fx->stream_call = call;
	rpc_call_adopt(call, &ops, fx);
	stream_pump(call, fx);
}

static inline void chat_answer(struct rpc_call *call, const ProtobufCMessage *request)
{
	rpc_call_send(call, request);
	if (!rpc_call_can_send(call))
		rpc_call_pause_input(call);
}

static inline void chat_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *request)
{
	(void)ctx;
	chat_answer(call, request);
}

static inline void chat_on_writable(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_resume_input(call);
}

static inline void chat_on_half_close(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_finish_ok(call);
}

static inline void svc_chat(struct rpc_call *call, const ProtobufCMessage *request)
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

static inline void dropping_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *request)
{
	struct fixture *fx = ctx;
	rpc_server_drop(fx->server, rpc_call_peer(call)->connection);
	rpc_call_send(call, request);
}

/* The second message ends the connection while its handler is on the stack. */
static inline void svc_drop(struct rpc_call *call, const ProtobufCMessage *request)
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

static inline int on_authorize(void *ctx, const struct rpc_peer *peer, const struct rpc_method *method, struct err *err)
{
	(void)ctx;
	assert_int_equal(peer->uid, getuid());
	assert_int_equal(peer->pid, getpid());
	if (strcmp(method->path, "/test.Wire/Forbidden") == 0)
		return err_set(err, ERR_PERMISSION_DENIED, "not you");
	return 0;
}

static inline int on_admit(void *ctx, const struct rpc_peer *peer, struct err *err)
{
	struct fixture *fx = ctx;
	if (!fx->is_refusing)
		return 0;
	err_set(err, ERR_PERMISSION_DENIED, "this daemon belongs to somebody else, not to uid %u", (unsigned)peer->uid);
	return err_reason(err, "not-admitted");
}

static inline void on_disconnect(void *ctx, const struct rpc_peer *peer)
{
	struct fixture *fx = ctx;
	(void)peer;
	fx->disconnects++;
}

static inline void on_closed(struct rpc_client *client, void *ctx)
{
	struct fixture *fx = ctx;
	assert_true(rpc_client_is_closed(client));
	fx->closed++;
}

static inline void on_drained(void *ctx)
{
	struct fixture *fx = ctx;
	fx->is_drained = true;
	rpc_server_free(fx->server);
	fx->server = NULL;
}

static inline struct rpc_client *client_new(struct fixture *fx)
{
	int fd;
	struct err err = ERR_INIT;
	assert_int_equal(addr_connect_unix(fx->path, &fd, &err), 0);
	return rpc_client_new(fx->base, fd, on_closed, fx);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline int unary(struct fixture *fx, const struct rpc_client_method *method, int code, const char *text, uint32_t timeout_ms,
			note **reply, struct err *err)
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

static inline void note_free(note *n)
{
	protobuf_c_message_free_unpacked(&n->base, NULL);
}

static inline void seen_on_message(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	struct seen *seen = ctx;
	(void)stream;
	assert_false(seen->is_ended);
	seen->messages++;
	seen->bytes += strlen(((const note *)reply)->error_message);
	seen->last = ((const note *)reply)->error_code;
}

static inline void seen_on_writable(struct rpc_stream *stream, void *ctx)
{
	(void)stream;
	((struct seen *)ctx)->is_writable = true;
}

static inline void seen_on_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	struct seen *seen = ctx;
	(void)stream;
	assert_false(seen->is_ended);
	seen->is_ended = true;
	seen->status = *status;
}

static const struct rpc_stream_ops seen_ops = { .on_message = seen_on_message, .on_writable = seen_on_writable, .on_end = seen_on_end };

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
