/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call being served: gRPC on top of a stream. call_on_ready() is the only place from where a handler or its callbacks run; all
 * else (headers, cancelling, deadlines, what the handler says) changes the state and marks the stream ready.
 */
#include "wire/server_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define REQUEST_TIMEOUT_MS 30000 /* for a unary call's one message to arrive; costs a slow sender its call */

#define NV(name_, value_)                                                                                                                  \
	(nghttp2_nv)                                                                                                                       \
	{                                                                                                                                  \
		(uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(value_), strlen(name_), strlen(value_), NGHTTP2_NV_FLAG_NO_COPY_NAME \
	}

static struct rpc_call *call_of(struct h2_stream *stream)
{
	return (struct rpc_call *)stream;
}
_Static_assert(offsetof(struct rpc_call, h2) == 0, "call_of");

static bool call_is_unary_input(const struct rpc_call *call)
{
	return call->method->kind == RPC_UNARY || call->method->kind == RPC_SERVER_STREAM;
}

/* ---------------------------------------------------------------- the answer */

#define TRAILERS_MAX 8

static size_t call_status(struct rpc_call *call, char code[static 4], nghttp2_nv *nv)
{
	size_t count = 0;
	snprintf(code, 4, "%u", (unsigned)call->code % 100);
	nv[count++] = NV("grpc-status", code);
	if (call->message != NULL)
		nv[count++] = NV("grpc-message", call->message);
	if (call->reason[0] != '\0')
		nv[count++] = NV("pwemu-reason", call->reason);
	return count;
}

static void call_on_output_end(struct h2_stream *stream)
{
	nghttp2_nv nv[TRAILERS_MAX];
	char code[4];
	h2_stream_trailers(stream, nv, call_status(call_of(stream), code, nv));
}

static void call_respond(struct rpc_call *call, const char *http_status, bool has_data)
{
	nghttp2_nv nv[TRAILERS_MAX];
	char code[4];
	size_t count = 0;
	call->has_responded = true;
	nv[count++] = NV(":status", http_status);
	nv[count++] = NV("content-type", "application/grpc");
	if (!has_data) {
		if (call->code == ERR_UNIMPLEMENTED)
			nv[count++] = NV("grpc-accept-encoding", "identity");
		count += call_status(call, code, nv + count);
	}
	h2_stream_respond(&call->h2, nv, count, has_data);
}

static void call_set_status(struct rpc_call *call, const struct err *err)
{
	call->state = CALL_FINISHED;
	call->h2.in_ignored = true;
	call->h2.wants_writable = false;
	if (err == NULL)
		return;
	call->code = err->code != ERR_OK ? err->code : ERR_UNKNOWN;
	if (err->msg[0] != '\0')
		call->message = percent_encode(err->msg);
	memcpy(call->reason, err->reason, sizeof(call->reason));
	call->reason[sizeof(call->reason) - 1] = '\0';
}

static void call_finish_http(struct rpc_call *call, const struct err *err, const char *http_status)
{
	if (call->state >= CALL_FINISHED)
		return;
	call_set_status(call, err);
	if (call->has_responded)
		h2_stream_end_output(&call->h2);
	else
		call_respond(call, http_status, false);
	h2_stream_mark(&call->h2);
}

static void call_finish(struct rpc_call *call, const struct err *err)
{
	call_finish_http(call, err, "200");
}

void rpc_call_send(struct rpc_call *call, const ProtobufCMessage *reply)
{
	if (call->state >= CALL_FINISHED || call->h2.closed)
		return;
	assert(reply->descriptor == call->method->reply);
	if (!call->has_responded)
		call_respond(call, "200", true);
	h2_stream_send(&call->h2, reply);
}

bool rpc_call_can_send(const struct rpc_call *call)
{
	bool can_send = h2_stream_can_send(&call->h2);
	if (!can_send && call->state < CALL_FINISHED)
		((struct rpc_call *)(uintptr_t)call)->h2.wants_writable = true; /* asked and refused: to be told */
	return can_send;
}

void rpc_call_finish_ok(struct rpc_call *call)
{
	call_finish(call, NULL);
}

void rpc_call_finish_error(struct rpc_call *call, const struct err *err)
{
	call_finish(call, err);
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *reply)
{
	rpc_call_send(call, reply);
	rpc_call_finish_ok(call);
}

/* ---------------------------------------------------------------- what handlers ask */

void rpc_call_adopt(struct rpc_call *call, const struct rpc_call_ops *ops, void *ctx)
{
	assert(ops->on_end != NULL && call->ops == NULL);
	call->ops = ops;
	call->ctx = ctx;
}

void *rpc_call_ctx(const struct rpc_call *call)
{
	return call->ctx;
}
const struct rpc_peer *rpc_call_peer(const struct rpc_call *call)
{
	return call->peer != NULL ? call->peer : &call->conn->peer;
}
const struct rpc_method *rpc_call_method(const struct rpc_call *call)
{
	return call->method;
}
void *rpc_call_server_ctx(const struct rpc_call *call)
{
	return call->conn->server->config.ctx;
}

struct rpc_label *rpc_call_label(struct rpc_call *call)
{
	if (call->label == NULL)
		call->label = xcalloc(1, sizeof(*call->label));
	return call->label;
}

void rpc_call_pause_input(struct rpc_call *call)
{
	call->h2.paused = true;
}

void rpc_call_resume_input(struct rpc_call *call)
{
	call->h2.paused = false;
	if (!call->h2.done)
		h2_stream_mark(&call->h2);
}

/* ---------------------------------------------------------------- time */

static void call_arm(struct rpc_call *call)
{
	uint64_t now = h2_now_ms();
	uint64_t left = UINT64_MAX;
	if (call->deadline_ms > 0)
		left = call->deadline_ms > now ? call->deadline_ms - now : 0;
	if (call->state == CALL_WAITING && call_is_unary_input(call) && left > REQUEST_TIMEOUT_MS)
		left = REQUEST_TIMEOUT_MS;
	if (left == UINT64_MAX) {
		event_del(&call->timer);
		return;
	}
	struct timeval delay = { .tv_sec = (time_t)(left / 1000), .tv_usec = (suseconds_t)(left % 1000) * 1000 };
	evtimer_add(&call->timer, &delay);
}

/* Trailers would have to wait behind what is queued, perhaps behind half a message: then the stream is cut. */
static void call_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_call *call = arg;
	struct err err;
	(void)fd;
	(void)what;
	bool is_stuck = call->h2.out != NULL && h2_stream_queued(&call->h2) > 0;
	err_set(&err, ERR_DEADLINE_EXCEEDED, call->state == CALL_WAITING ? "the request did not arrive in time" : "deadline exceeded");
	if (is_stuck || call->state >= CALL_FINISHED)
		h2_stream_reset(&call->h2, NGHTTP2_CANCEL);
	if (call->state < CALL_FINISHED)
		call_finish(call, &err);
}

/* ---------------------------------------------------------------- headers */

static bool call_name_is(const char *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

static bool call_is_grpc_type(const char *value, size_t len)
{
	static const char grpc[] = "application/grpc";
	static const char proto[] = "application/grpc+proto";
	size_t end = 0;
	while (end < len && value[end] != ';')
		end++;
	return call_name_is(value, end, grpc) || call_name_is(value, end, proto);
}

static void call_on_header(struct h2_stream *stream, const char *name, size_t name_len, const char *value, size_t len)
{
	struct rpc_call *call = call_of(stream);
	if (stream->headers_done) /* trailers of a request have no meaning in gRPC */
		return;
	if (call_name_is(name, name_len, ":path")) {
		free(call->path);
		call->path_len = (uint32_t)(len < CALL_PATH_MAX ? len : CALL_PATH_MAX);
		call->path = xmalloc(call->path_len + 1);
		memcpy(call->path, value, call->path_len);
		call->path[call->path_len] = '\0';
	} else if (call_name_is(name, name_len, ":method")) {
		call->is_post = call_name_is(value, len, "POST");
	} else if (call_name_is(name, name_len, "content-type")) {
		call->is_grpc = call_is_grpc_type(value, len);
	} else if (call_name_is(name, name_len, "grpc-timeout")) {
		call->has_bad_timeout = timeout_parse(value, len, &call->timeout_ms) < 0;
		if (call->timeout_ms == 0)
			call->timeout_ms = 1;
	} else if (call_name_is(name, name_len, "grpc-encoding")) {
		call->is_encoded = !call_name_is(value, len, "identity");
	} else if (call->conn->peer.is_remote && call_name_is(name, name_len, "authorization")) {
		free(call->authorization);
		call->authorization = xasprintf("%.*s", (int)len, value); /* its length is bounded with the header list's */
	}
}

static int call_check_headers(struct rpc_call *call, const char **http_status, struct err *err)
{
	const struct rpc_server_config *config = &call->conn->server->config;
	if (call->h2.headers_too_large)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "the headers of the request are larger than %u bytes", H2_MAX_HEADERS_BYTES);
	if (!call->is_post) {
		*http_status = "405";
		return err_set(err, ERR_INTERNAL, "gRPC needs the HTTP method POST");
	}
	if (!call->is_grpc) {
		*http_status = "415";
		return err_set(err, ERR_INTERNAL, "the content-type must be application/grpc");
	}
	if (call->has_bad_timeout)
		return err_set(err, ERR_INVALID_ARGUMENT, "grpc-timeout is malformed");
	call->method = server_find_method(call->conn->server, call->path != NULL ? call->path : "");
	if (call->method == NULL)
		return err_set(err, ERR_UNIMPLEMENTED, "unknown method \"%s\"", call->path != NULL ? call->path : "");
	if (call->is_encoded)
		return err_set(err, ERR_UNIMPLEMENTED, "compressed messages are not supported");
	if (call->conn->refused != NULL) {
		*err = *call->conn->refused;
		return -1;
	}
	int rv = call->conn->peer.is_remote ? conn_identify(call->conn, call->authorization, &call->peer, err) : 0;
	if (rv != 0)
		return rv;
	if (config->authorize != NULL)
		return config->authorize(config->ctx, rpc_call_peer(call), call->method, err);
	return 0;
}

static void call_open(struct rpc_call *call)
{
	struct err err = ERR_INIT;
	const char *http_status = "200";
	if (call->timeout_ms > 0 && call->deadline_ms == 0)
		call->deadline_ms = h2_now_ms() + call->timeout_ms;
	int rv = call_check_headers(call, &http_status, &err);
	if (rv > 0)
		return; /* stays CALL_NEW */
	free(call->path);
	call->path = NULL;
	free(call->authorization);
	call->authorization = NULL;
	if (rv < 0) {
		call_finish_http(call, &err, http_status);
		return;
	}
	call->h2.in.limit_bytes = call->method->request_max_bytes;
	call->state = CALL_WAITING;
}

/* ---------------------------------------------------------------- messages */

static void call_bad_input(struct rpc_call *call, enum msg_result result)
{
	struct err err;
	switch (result) {
	case MSG_TOO_LARGE:
		err_set(&err, ERR_RESOURCE_EXHAUSTED, "the request is larger than %u bytes", (unsigned)call->method->request_max_bytes);
		break;
	case MSG_COMPRESSED:
		err_set(&err, ERR_UNIMPLEMENTED, "compressed messages are not supported");
		break;
	default:
		err_set(&err, ERR_INVALID_ARGUMENT, "the request is not framed as gRPC frames messages");
		break;
	}
	call_finish(call, &err);
}

static void call_hand_over(struct rpc_call *call, const uint8_t *data, size_t len)
{
	ProtobufCMessage *request = msg_unpack(call->method->request, data, len);
	if (request == NULL) {
		struct err err;
		err_set(&err, ERR_INVALID_ARGUMENT, "the request is no %s", call->method->request->name);
		call_finish(call, &err);
		return;
	}
	if (call->state == CALL_WAITING) {
		call->state = CALL_RUNNING;
		call_arm(call);
		call->method->handle(call, request);
		assert(call->state >= CALL_FINISHED || call->ops != NULL);
	} else if (call->ops->on_message != NULL) {
		call->ops->on_message(call, call->ctx, request);
	}
	protobuf_c_message_free_unpacked(request, NULL);
}

/* The one message of a unary request is handed over only when it is known to be the only one. */
static void call_deliver_one(struct rpc_call *call)
{
	const uint8_t *data;
	size_t len;
	if (call->state != CALL_WAITING)
		return;
	struct msg_reader probe = call->h2.in;
	enum msg_result result = msg_reader_next(&probe, &data, &len);
	struct err err;
	if (result != MSG_NONE && result != MSG_READY) {
		call_bad_input(call, result);
	} else if (result == MSG_READY && msg_reader_bytes(&probe) > 0) {
		err_set(&err, ERR_INVALID_ARGUMENT, "more than one request message");
		call_finish(call, &err);
	} else if (call->h2.in_end && result == MSG_NONE) {
		err_set(&err, ERR_INVALID_ARGUMENT, msg_reader_bytes(&probe) > 0 ? "the request is cut short" : "no request message");
		call_finish(call, &err);
	} else if (call->h2.in_end) {
		call->h2.in.start = probe.start;
		call_hand_over(call, data, len);
	}
}

static void call_deliver_all(struct rpc_call *call)
{
	enum msg_result result = MSG_READY;
	const uint8_t *data;
	size_t len;
	struct err err;
	while (call->state < CALL_FINISHED && !call->h2.paused && !call->h2.session->is_ending) {
		result = msg_reader_next(&call->h2.in, &data, &len);
		if (result != MSG_READY)
			break;
		call_hand_over(call, data, len);
	}
	if (call->state >= CALL_FINISHED || call->h2.paused || call->h2.session->is_ending)
		return;
	if (result != MSG_NONE) {
		call_bad_input(call, result);
	} else if (call->h2.in_end && msg_reader_bytes(&call->h2.in) > 0) {
		call_bad_input(call, MSG_MALFORMED);
	} else if (call->h2.in_end && call->state == CALL_WAITING) {
		err_set(&err, ERR_INVALID_ARGUMENT, "no request message");
		call_finish(call, &err);
	} else if (call->h2.in_end && !call->has_half_closed) {
		call->has_half_closed = true;
		if (call->ops->on_half_close != NULL)
			call->ops->on_half_close(call, call->ctx);
	}
}

static void call_input(struct rpc_call *call)
{
	if (call_is_unary_input(call))
		call_deliver_one(call);
	else
		call_deliver_all(call);
	if (call->state < CALL_FINISHED && !call->h2.paused)
		h2_stream_give_back(&call->h2);
}

/* ---------------------------------------------------------------- the turn of a call */

static void call_end(struct rpc_call *call)
{
	call->state = CALL_OVER;
	if (call->ops != NULL)
		call->ops->on_end(call, call->ctx);
	call->ops = NULL;
	h2_stream_done(&call->h2);
}

static void call_on_ready(struct h2_stream *stream)
{
	struct rpc_call *call = call_of(stream);
	if (stream->closed && call->state < CALL_FINISHED)
		call->state = CALL_FINISHED; /* cancelled or lost: there is nobody to answer */
	if (call->state == CALL_NEW && stream->headers_done) {
		if (call->conn->refused == NULL && !stream->session->in_headers)
			event_del(&call->conn->guard);
		call_open(call);
		if (call->state == CALL_WAITING && (!stream->in_end || call->deadline_ms > 0))
			call_arm(call);
	}
	if (call->state == CALL_WAITING || call->state == CALL_RUNNING)
		call_input(call);
	if (call->state == CALL_RUNNING && stream->wants_writable && h2_stream_can_send(stream)) {
		stream->wants_writable = false;
		if (call->ops->on_writable != NULL)
			call->ops->on_writable(call, call->ctx);
	}
	if (call->state == CALL_FINISHED)
		call_end(call);
}

static struct h2_stream *call_on_open(struct h2_session *session)
{
	struct rpc_call *call = xcalloc(1, sizeof(*call));
	call->conn = (struct rpc_conn *)session;
	evtimer_assign(&call->timer, session->base, call_on_timer, call);
	if (call->conn->refused == NULL)
		server_arm(&call->conn->guard, call->conn->server->config.handshake_timeout_ms); /* for the rest of its headers */
	return &call->h2;
}

static void call_on_free(struct h2_stream *stream)
{
	struct rpc_call *call = call_of(stream);
	event_del(&call->timer);
	free(call->path);
	free(call->message);
	free(call->authorization);
	free(call->label);
	free(call);
}

const struct h2_ops *call_ops(void)
{
	static const struct h2_ops ops = {
		.on_open = call_on_open,
		.on_header = call_on_header,
		.on_output_end = call_on_output_end,
		.on_ready = call_on_ready,
		.on_free = call_on_free,
	};
	return &ops;
}
