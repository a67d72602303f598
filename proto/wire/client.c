/* SPDX-License-Identifier: Apache-2.0 */
/* The client: calls on one connection. Like the server's calls, only stream_on_ready() runs the caller's code. */
#include "wire/rpc.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/http2_int.h"
#include "wire/mem.h"

#define REPLY_MAX_BYTES (64 * 1024 * 1024)

#define NV(name_, value_)                                                                                                                  \
	(nghttp2_nv)                                                                                                                       \
	{                                                                                                                                  \
		(uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(value_), strlen(name_), strlen(value_), NGHTTP2_NV_FLAG_NO_COPY_NAME \
	}

struct rpc_client {
	struct h2_session h2;
	const char *scheme;
	char *authority;     /* NULL: a UNIX socket */
	char *authorization; /* NULL: none */
	void (*on_closed)(struct rpc_client *client, void *ctx);
	void *ctx;
	struct event reap;
	bool is_freed;
};

struct rpc_stream {
	struct h2_stream h2;
	const struct rpc_client_method *method;
	const struct rpc_stream_ops *ops;
	void *ctx;
	struct event timer;
	struct err status;
	unsigned http_status;
	bool has_status;  /* the server's trailers have arrived */
	bool is_failed;   /* `status` is our own verdict; what the server says no longer counts */
	bool keeps_reply; /* on_message takes the message over */
	struct err local;
};

static struct rpc_stream *stream_of(struct h2_stream *h2)
{
	return (struct rpc_stream *)h2;
}

/* ---------------------------------------------------------------- status */

static bool stream_name_is(const char *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

static unsigned stream_number(const char *text, size_t len)
{
	unsigned value = 0;
	for (size_t i = 0; i < len && i < 4 && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (unsigned)(text[i] - '0');
	return value;
}

static void stream_on_header(struct h2_stream *h2, const char *name, size_t name_len, const char *value, size_t len)
{
	struct rpc_stream *stream = stream_of(h2);
	if (stream_name_is(name, name_len, ":status")) {
		stream->http_status = stream_number(value, len);
	} else if (stream_name_is(name, name_len, "grpc-status")) {
		unsigned code = stream_number(value, len);
		stream->has_status = len > 0;
		stream->status.code = code < ERR_CODE_COUNT ? (enum err_code)code : ERR_UNKNOWN;
	} else if (stream_name_is(name, name_len, "grpc-message")) {
		percent_decode(value, len, stream->status.msg, sizeof(stream->status.msg));
	} else if (stream_name_is(name, name_len, "pwemu-reason")) {
		size_t used = len < ERR_REASON_MAX ? len : ERR_REASON_MAX - 1;
		memcpy(stream->status.reason, value, used);
		stream->status.reason[used] = '\0';
	}
}

static void stream_fail(struct rpc_stream *stream, enum err_code code, const char *text)
{
	if (stream->is_failed)
		return;
	stream->is_failed = true;
	err_set(&stream->local, code, "%s", text);
	stream->h2.in_ignored = true;
	h2_stream_reset(&stream->h2, NGHTTP2_CANCEL);
	h2_stream_mark(&stream->h2);
}

/* What a stream that ended without trailers means. */
static void stream_status_of_reset(const struct rpc_stream *stream, struct err *status)
{
	uint32_t code = stream->h2.error_code;
	if (code == H2_LOST) {
		err_set(status, ERR_UNAVAILABLE, "the connection to the daemon was lost");
		err_reason(status, "disconnected");
	} else if (code == NGHTTP2_REFUSED_STREAM) {
		err_set(status, ERR_UNAVAILABLE, "the daemon takes no more calls on this connection");
		err_reason(status, "disconnected");
	} else if (code == NGHTTP2_CANCEL) {
		err_set(status, ERR_CANCELLED, "the daemon cancelled the call");
	} else if (code == NGHTTP2_ENHANCE_YOUR_CALM) {
		err_set(status, ERR_RESOURCE_EXHAUSTED, "the daemon found the call too demanding");
	} else if (stream->http_status != 0 && stream->http_status != 200) {
		err_set(status, ERR_UNKNOWN, "the answer is no gRPC: HTTP status %u", stream->http_status);
	} else {
		err_set(status, ERR_INTERNAL, "the answer ended without a status (HTTP/2 error %u)", (unsigned)code);
	}
}

/* ---------------------------------------------------------------- the turn of a stream */

static void stream_end(struct rpc_stream *stream)
{
	const struct rpc_stream_ops *ops = stream->ops;
	struct err status = stream->is_failed ? stream->local : stream->status;
	if (!stream->is_failed && !stream->has_status)
		stream_status_of_reset(stream, &status);
	event_del(&stream->timer);
	stream->ops = NULL;
	h2_stream_done(&stream->h2);
	ops->on_end(stream, stream->ctx, &status);
}

static void stream_hand_over(struct rpc_stream *stream, const uint8_t *data, size_t len)
{
	ProtobufCMessage *reply = msg_unpack(stream->method->reply, data, len);
	if (reply == NULL) {
		stream_fail(stream, ERR_INTERNAL, "a reply of the daemon cannot be decoded");
		return;
	}
	if (stream->ops->on_message != NULL)
		stream->ops->on_message(stream, stream->ctx, reply); /* may end the stream by freeing the client */
	if (!stream->keeps_reply)
		protobuf_c_message_free_unpacked(reply, NULL);
}

static void stream_deliver(struct rpc_stream *stream)
{
	enum msg_result result = MSG_NONE;
	const uint8_t *data;
	size_t len;
	while (!stream->is_failed && !stream->h2.paused && stream->ops != NULL) {
		result = msg_reader_next(&stream->h2.in, &data, &len);
		if (result != MSG_READY)
			break;
		stream_hand_over(stream, data, len);
	}
	if (stream->ops == NULL || stream->is_failed || stream->h2.paused)
		return;
	if (result != MSG_NONE)
		stream_fail(stream, result == MSG_TOO_LARGE ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL,
			    "the daemon sent a message that is not acceptable");
	else
		h2_stream_give_back(&stream->h2);
}

/* Whole messages that wait in a paused stream come before its good end, but nobody waits for a bad one. */
static bool stream_has_ended(const struct rpc_stream *stream)
{
	if (stream->is_failed)
		return true;
	if (!stream->h2.closed && !(stream->h2.in_end && stream->has_status))
		return false;
	return !stream->h2.paused || msg_reader_bytes(&stream->h2.in) == 0 || !stream->has_status;
}

static void stream_on_ready(struct h2_stream *h2)
{
	struct rpc_stream *stream = stream_of(h2);
	stream_deliver(stream);
	if (stream->ops != NULL && h2->wants_writable && !stream->is_failed && !h2->closed && h2_stream_can_send(h2)) {
		h2->wants_writable = false;
		if (stream->ops->on_writable != NULL)
			stream->ops->on_writable(stream, stream->ctx);
	}
	if (stream->ops == NULL || !stream_has_ended(stream))
		return;
	stream_end(stream);
	if (!h2->closed) /* the server has ended its side; ours may still be open */
		h2_stream_reset(h2, NGHTTP2_CANCEL);
}

static void stream_on_free(struct h2_stream *h2)
{
	struct rpc_stream *stream = stream_of(h2);
	event_del(&stream->timer);
	free(stream);
}

static void stream_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stream_fail(arg, ERR_DEADLINE_EXCEEDED, "the daemon did not answer in time");
}

/* ---------------------------------------------------------------- calls */

static void stream_submit(struct rpc_client *client, struct rpc_stream *stream, uint32_t timeout_ms)
{
	char timeout[TIMEOUT_TEXT_MAX];
	nghttp2_nv nv[9] = {
		NV(":method", "POST"),
		NV(":scheme", client->scheme),
		NV(":path", stream->method->path),
		NV(":authority", client->authority != NULL ? client->authority : "localhost"),
		NV("content-type", "application/grpc"),
		NV("te", "trailers"),
		NV("user-agent", "pwemu/" PWEMU_VERSION),
	};
	size_t count = 7;
	if (client->authorization != NULL) {
		nv[count] = NV("authorization", client->authorization);
		nv[count++].flags |= NGHTTP2_NV_FLAG_NO_INDEX; /* a secret stays out of compression */
	}
	if (timeout_ms > 0) {
		struct timeval delay = { .tv_sec = timeout_ms / 1000, .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };
		timeout_format(timeout_ms, timeout);
		nv[count++] = NV("grpc-timeout", timeout);
		evtimer_add(&stream->timer, &delay);
	}
	if (h2_stream_request(&client->h2, &stream->h2, nv, count) == 0)
		return;
	/* No connection: the end still comes from the loop. */
	stream->h2.closed = true;
	stream->h2.error_code = H2_LOST;
	h2_stream_attach(&client->h2, &stream->h2);
	h2_stream_mark(&stream->h2);
}

struct rpc_stream *rpc_client_call(struct rpc_client *client, const struct rpc_client_method *method, const ProtobufCMessage *request,
				   uint32_t timeout_ms, const struct rpc_stream_ops *ops, void *ctx)
{
	struct rpc_stream *stream = xcalloc(1, sizeof(*stream));
	assert(ops->on_end != NULL);
	stream->method = method;
	stream->ops = ops;
	stream->ctx = ctx;
	stream->h2.in.limit_bytes = REPLY_MAX_BYTES;
	evtimer_assign(&stream->timer, client->h2.base, stream_on_timer, stream);
	stream_submit(client, stream, timeout_ms);
	if (request != NULL)
		h2_stream_send(&stream->h2, request);
	return stream;
}

void rpc_stream_send(struct rpc_stream *stream, const ProtobufCMessage *request)
{
	h2_stream_send(&stream->h2, request);
}

void rpc_stream_half_close(struct rpc_stream *stream)
{
	h2_stream_end_output(&stream->h2);
}

bool rpc_stream_can_send(const struct rpc_stream *stream)
{
	bool can_send = h2_stream_can_send(&stream->h2);
	if (!can_send)
		((struct rpc_stream *)(uintptr_t)stream)->h2.wants_writable = true;
	return can_send;
}

void rpc_stream_cancel(struct rpc_stream *stream)
{
	stream_fail(stream, ERR_CANCELLED, "cancelled");
}

void rpc_stream_pause_input(struct rpc_stream *stream)
{
	stream->h2.paused = true;
}

void rpc_stream_resume_input(struct rpc_stream *stream)
{
	stream->h2.paused = false;
	h2_stream_mark(&stream->h2);
}

/* ---------------------------------------------------------------- one request, one reply */

#define UNARY_LOOK_OUT_NS 100000

struct unary {
	ProtobufCMessage *reply;
	unsigned count;
	bool is_done;
	struct err status;
};

static void unary_on_message(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	struct unary *unary = ctx;
	(void)stream;
	protobuf_c_message_free_unpacked(unary->reply, NULL);
	unary->reply = (ProtobufCMessage *)(uintptr_t)reply;
	unary->count++;
}

static void unary_on_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	struct unary *unary = ctx;
	(void)stream;
	unary->is_done = true;
	unary->status = *status;
	if (status->code == ERR_OK && unary->count != 1)
		err_set(&unary->status, ERR_INTERNAL, "the daemon sent %u replies instead of one", unary->count);
}

static uint64_t unary_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* An answer often takes less time than it takes to wake a sleeping processor: look out for it a short while before going to sleep,
 * giving way to whoever wants to run, the daemon first of all. */
static int unary_look_out(struct event_base *base, const struct unary *unary)
{
	int rv = 0;
	for (uint64_t end = unary_now_ns() + UNARY_LOOK_OUT_NS; !unary->is_done && rv == 0 && unary_now_ns() < end; sched_yield())
		rv = event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	return rv;
}

int rpc_client_unary(struct rpc_client *client, const struct rpc_client_method *method, const ProtobufCMessage *request,
		     uint32_t timeout_ms, ProtobufCMessage **reply, struct err *err)
{
	static const struct rpc_stream_ops ops = { .on_message = unary_on_message, .on_end = unary_on_end };
	struct unary unary = { .reply = NULL };
	struct rpc_stream *stream = rpc_client_call(client, method, request, timeout_ms, &ops, &unary);
	struct event_base *base = client->h2.base;
	stream->keeps_reply = true;
	rpc_stream_half_close(stream);
	h2_session_turn(&client->h2);
	int rv = unary_look_out(base, &unary);
	while (!unary.is_done && rv == 0)
		rv = event_base_loop(base, EVLOOP_ONCE);
	if (unary.is_done && unary.status.code == ERR_OK) {
		*reply = unary.reply;
		return 0;
	}
	assert(unary.is_done); /* the connection's events keep the loop alive until the call has ended */
	protobuf_c_message_free_unpacked(unary.reply, NULL);
	if (err != NULL)
		*err = unary.status;
	return -1;
}

/* ---------------------------------------------------------------- life */

static void client_on_dead(struct h2_session *session)
{
	struct rpc_client *client = (struct rpc_client *)session;
	void (*on_closed)(struct rpc_client *, void *) = client->on_closed;
	client->on_closed = NULL;
	if (on_closed != NULL && !client->is_freed)
		on_closed(client, client->ctx);
}

static const struct h2_ops client_ops = {
	.on_header = stream_on_header,
	.on_ready = stream_on_ready,
	.on_free = stream_on_free,
	.on_dead = client_on_dead,
};

static void client_free(struct rpc_client *client)
{
	h2_session_fini(&client->h2);
	free(client->authority);
	free(client->authorization);
	free(client);
}

/* Freed inside one of its own callbacks: the memory goes when the stack is clear. */
static void client_on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_client *client = arg;
	(void)fd;
	(void)what;
	client_free(client);
}

static struct rpc_client *client_new(struct event_base *base, int fd, const struct tls_link *tls,
				     void (*on_closed)(struct rpc_client *client, void *ctx), void *ctx)
{
	const struct h2_config config = { .ops = &client_ops, .tls = tls };
	struct rpc_client *client = xcalloc(1, sizeof(*client));
	client->scheme = tls != NULL ? "https" : "http";
	h2_session_init(&client->h2, base, fd, &config);
	evtimer_assign(&client->reap, base, client_on_reap, client);
	client->on_closed = on_closed;
	client->ctx = ctx;
	return client;
}

void rpc_client_keep_alive(struct rpc_client *client, uint32_t ask_ms, uint32_t answer_ms)
{
	h2_session_keep_alive(&client->h2, ask_ms, answer_ms);
}

struct rpc_client *rpc_client_new(struct event_base *base, int fd, void (*on_closed)(struct rpc_client *client, void *ctx), void *ctx)
{
	return client_new(base, fd, NULL, on_closed, ctx);
}

struct rpc_client *rpc_client_new_tls(struct event_base *base, const struct tls_link *link, const char *authority, const char *token,
				      void (*on_closed)(struct rpc_client *client, void *ctx), void *ctx)
{
	struct rpc_client *client = client_new(base, -1, link, on_closed, ctx);
	client->authority = xstrdup(authority);
	if (token != NULL)
		client->authorization = xasprintf("Bearer %s", token);
	return client;
}

bool rpc_client_is_closed(const struct rpc_client *client)
{
	return client->h2.is_dead || client->h2.is_ending;
}

void rpc_client_free(struct rpc_client *client)
{
	static const struct timeval now = { 0, 0 };
	struct h2_stream *h2, *next;
	if (client == NULL || client->is_freed)
		return;
	client->is_freed = true;
	for (h2 = TAILQ_FIRST(&client->h2.streams); h2 != NULL; h2 = next) {
		struct rpc_stream *stream = stream_of(h2);
		next = TAILQ_NEXT(h2, link);
		if (stream->ops == NULL)
			continue;
		stream_fail(stream, ERR_CANCELLED, "cancelled");
		stream_end(stream);
	}
	if (client->h2.busy > 0) {
		h2_session_end(&client->h2, NGHTTP2_NO_ERROR);
		evtimer_add(&client->reap, &now);
		return;
	}
	client_free(client);
}
