/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/2 connection, either role, over nghttp2: frames, flow control, limits, streams as queues of framed messages. What a
 * stream means (a call being served, a call being made) is the role's business, told by struct h2_ops.
 *
 * Nothing of the role's owner runs inside nghttp2: its callbacks only store and mark a stream ready; then the turn of the session
 * hands every ready stream to on_ready, and flushes once. on_ready is therefore free to do anything but free the session.
 *
 * A stream's memory lives until both sides are through with it: `closed` (HTTP/2 knows it no more) and `done` (set by
 * h2_stream_done(): the owner has had its last callback).
 */
#pragma once

#include <event2/event_struct.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "wire/codec.h"
#include "wire/io.h"
#include "wire/tls.h"

#define H2_MAX_FRAME_BYTES      (256 << 10)
#define H2_MAX_HEADERS_BYTES    (16 << 10) /* of one header list, as the protocol counts: names + values + 32 each */
#define H2_MAX_STREAMS          128
#define H2_SERVER_STREAM_WINDOW 65535 /* bytes a client may send into a stream nobody takes from */
#define H2_CLIENT_STREAM_WINDOW (256 << 10)
#define H2_CONNECTION_WINDOW    (1 << 20)   /* given back at once, so it bounds nothing */
#define H2_SEND_HIGH_BYTES      (256 << 10) /* a stream that has more queued must wait */

struct h2_session;

struct h2_stream {
	struct h2_session *session;
	TAILQ_ENTRY(h2_stream) link;
	TAILQ_ENTRY(h2_stream) ready_link;
	struct evbuffer *out; /* framed messages not yet handed to the socket; NULL until the first */
	struct msg_reader in;
	int32_t id;
	uint32_t error_code;     /* of RST_STREAM, once closed */
	uint32_t not_given_back; /* bytes received whose window the peer does not have back */
	uint32_t header_bytes;
	bool is_ready;
	bool headers_done; /* a whole header list has arrived */
	bool headers_too_large;
	bool in_end;   /* the peer has sent its last byte */
	bool out_end;  /* nothing is queued after what is */
	bool deferred; /* nghttp2 waits for h2_stream_kick() */
	bool paused;
	bool in_ignored; /* input is dropped */
	bool wants_writable;
	bool is_over_mark;
	bool is_reset; /* RST_STREAM is submitted */
	bool closed;
	bool done;
};

#define H2_LOST UINT32_MAX /* error_code of streams whose connection is gone */

TAILQ_HEAD(h2_streams, h2_stream);

struct h2_ops {
	/* Server: a stream begins; returns a zeroed object's h2_stream. NULL on the client's side. */
	struct h2_stream *(*on_open)(struct h2_session *session);
	/* Inside nghttp2, only to store: a header or trailer; the end of the output, when a server submits its trailers. */
	void (*on_header)(struct h2_stream *stream, const char *name, size_t name_len, const char *value, size_t value_len);
	void (*on_output_end)(struct h2_stream *stream);
	/* From the turn. */
	void (*on_ready)(struct h2_stream *stream);
	void (*on_free)(struct h2_stream *stream);
	/* First SETTINGS of the peer (may be NULL); no stream is left (may be NULL). No owner's code may be run. */
	void (*on_settled)(struct h2_session *session);
	void (*on_idle)(struct h2_session *session);
	/* The connection is gone, its socket closed, and no stream is left. The last callback; the session may be freed in it. */
	void (*on_dead)(struct h2_session *session);
};

/* A budget that refills with time; for what a well-behaved peer does rarely. */
struct h2_rate {
	uint32_t left;
	uint32_t burst;
	uint32_t per_second;
	uint64_t last_ms;
};

struct h2_config {
	bool is_server;
	uint32_t stall_timeout_ms;  /* 0: none */
	size_t max_queued_bytes;    /* 0: none */
	const struct tls_link *tls; /* instead of the fd of h2_session_init(), during that */
	const struct h2_ops *ops;
};

struct h2_session {
	struct io io;
	nghttp2_session *ng; /* NULL once dead */
	struct event_base *base;
	struct h2_config config;
	struct h2_streams streams;
	struct h2_streams ready;
	struct event turn;
	struct event stall;
	struct event alive;
	struct h2_rate control_frames;
	struct h2_rate client_resets;
	struct h2_rate resets;               /* that a client makes us send */
	uint64_t frames_sent, small_updates; /* HEADERS and DATA of ours; WINDOW_UPDATEs of the client that they account for */
	size_t stream_bytes;                 /* queued in the streams' out */
	size_t over_mark;                    /* streams that hold more than a paused reader may make them hold */
	uint64_t data_moved;                 /* bytes that left streams; grows only */
	uint64_t stall_written, stall_moved;
	uint64_t heard, alive_heard; /* inputs; grows only */
	uint32_t alive_ask_ms, alive_answer_ms;
	unsigned continuations;
	unsigned busy; /* an on_ready may be on the stack */
	bool is_settled;
	bool in_headers;    /* a header list has begun and not ended: nothing else can come meanwhile */
	bool is_ending;     /* the end is decided; it happens when nothing is on the stack */
	bool is_going_away; /* our GOAWAY, not one for an error */
	bool is_lingering;  /* all is said; the client closes */
	bool is_dead;
	bool is_scheduled; /* the turn event is armed */
	bool is_stall_armed;
	bool is_asked; /* a PING waits for its answer */
	bool has_more; /* the flush stopped for fairness */
};

/* Takes the fd; SETTINGS go out with the first flush. */
void h2_session_init(struct h2_session *session, struct event_base *base, int fd, const struct h2_config *config);
/* Frees what is left; no callback but on_free. Not from on_ready. Harmless when never initialised (zeroed) or dead. */
void h2_session_fini(struct h2_session *session);
/* Ends the connection at the next turn; a GOAWAY with the code is tried. */
void h2_session_end(struct h2_session *session, uint32_t error_code);
/* The same at once, running on_ready and on_dead. Nothing of this session may be on the stack. */
void h2_session_end_now(struct h2_session *session, uint32_t error_code);
/* GOAWAY; the connection ends by itself when its last stream has. */
void h2_session_go_away(struct h2_session *session);
/* Flushes now. Nothing of this session may be on the stack. */
void h2_session_turn(struct h2_session *session);
void h2_session_schedule(struct h2_session *session);
/* Asks a peer that has been silent for ask_ms (PING), and ends the connection when nothing comes for answer_ms then. */
void h2_session_keep_alive(struct h2_session *session, uint32_t ask_ms, uint32_t answer_ms);

/* Client: opens a stream. */
int h2_stream_request(struct h2_session *session, struct h2_stream *stream, const nghttp2_nv *headers, size_t count)
	__attribute__((warn_unused_result));
/* Server: the response headers; has_data: messages follow, else the stream ends here. */
void h2_stream_respond(struct h2_stream *stream, const nghttp2_nv *headers, size_t count, bool has_data);
void h2_stream_trailers(struct h2_stream *stream, const nghttp2_nv *trailers, size_t count);
void h2_stream_send(struct h2_stream *stream, const ProtobufCMessage *message);
void h2_stream_end_output(struct h2_stream *stream);
size_t h2_stream_queued(const struct h2_stream *stream);
bool h2_stream_can_send(const struct h2_stream *stream);
void h2_stream_reset(struct h2_stream *stream, uint32_t error_code);
/* The stored input was taken: the peer may send more. */
void h2_stream_give_back(struct h2_stream *stream);
/* on_ready will be run in the next turn. */
void h2_stream_mark(struct h2_stream *stream);
/* The owner has had its last callback. Only within on_ready, or when nothing of the session is on the stack. */
void h2_stream_done(struct h2_stream *stream);

uint64_t h2_now_ms(void);
bool h2_rate_take(struct h2_rate *rate);
