/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC calls as services and commands see them: protobuf-c messages in and out, no HTTP/2.
 *
 * Server side. A table of `struct rpc_method` rows is served. Each call is a `struct rpc_call` owned by its session. A handler
 * gets the first (for unary and server streams: the only) request message, decoded and checked for size. It either finishes
 * the call at once, or keeps it by rpc_call_adopt() with callbacks and a context of its own; then `on_end` is called exactly once,
 * after which the call must not be touched. A handler that neither finishes nor adopts has a bug (assert).
 * No callback is ever run from inside rpc_call_send/rpc_call_finish: on_end follows from the loop, soon after the finish, while
 * the answer may still be on its way. Callbacks and handlers may do anything to any call but must not free the server; only
 * on_drained may. They must not run the event base either (rpc_client_unary does).
 *
 * Client side. One connection, any number of calls; the same callbacks, driven by the caller's event base. rpc_client_unary()
 * runs the loop until its reply is there. The client may be freed anywhere, also in its own callbacks.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

struct event_base;
struct tls;
struct tls_ops;
struct tls_link;

enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_CLIENT_STREAM, RPC_BIDI, RPC_KIND_COUNT };

/* ---------------------------------------------------------------- server */

struct rpc_call;
struct rpc_server;

#define RPC_ADDRESS_MAX    56
#define RPC_CREDENTIAL_MAX 80

/* Who is at the other end; filled when the connection is accepted, of a remote one when its first call with a token arrives. */
struct rpc_peer {
	uid_t uid; /* -1: not known (no UNIX socket), as gid and pid */
	gid_t gid;
	pid_t pid;
	const gid_t *groups; /* supplementary ones; valid as long as the connection */
	size_t group_count;
	bool is_alien;  /* it lives in another user or mount namespace, or that cannot be found out: its uid 0 is not root here */
	bool is_remote; /* it came over the network: uid, gid and groups are those that its certificate or token stand for */
	char address[RPC_ADDRESS_MAX];       /* where from, "192.0.2.1:49152"; "": not remote */
	char credential[RPC_CREDENTIAL_MAX]; /* what tells who it is, as authenticate() named it; "": not remote */
	uint64_t connection;                 /* unique number of the connection in this process, from 1 */
};

struct rpc_method {
	const char *path; /* "/pwemu.v1.Instances/Start" */
	enum rpc_kind kind;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *reply;
	uint32_t request_max_bytes; /* of one message; larger: RESOURCE_EXHAUSTED */
	unsigned right;             /* for rpc_server_config.authorize; meaning is the server's owner's */
	/* First message. `request` belongs to the call layer and is valid until this returns. */
	void (*handle)(struct rpc_call *call, const ProtobufCMessage *request);
};

/* For calls that outlive their handler. Any member may be NULL save on_end. */
struct rpc_call_ops {
	/* A further request message (client stream, bidi); valid until this returns. */
	void (*on_message)(struct rpc_call *call, void *ctx, const ProtobufCMessage *request);
	/* The client has sent its last message. */
	void (*on_half_close)(struct rpc_call *call, void *ctx);
	/* rpc_call_can_send() has become true again. */
	void (*on_writable)(struct rpc_call *call, void *ctx);
	/* The call is over: finished, cancelled, past its deadline, or its connection is gone. Last callback. */
	void (*on_end)(struct rpc_call *call, void *ctx);
};

void rpc_call_adopt(struct rpc_call *call, const struct rpc_call_ops *ops, void *ctx);
void *rpc_call_ctx(const struct rpc_call *call); /* NULL before adoption */
const struct rpc_peer *rpc_call_peer(const struct rpc_call *call);
const struct rpc_method *rpc_call_method(const struct rpc_call *call);
void *rpc_call_server_ctx(const struct rpc_call *call); /* rpc_server_config.ctx */

/* What the call is about, as its handler has noted it: for rpc_server_each(). Made, empty, when asked for first. */
struct rpc_label {
	char object[16];
	char part[64];
	char who[128];     /* calls, for people */
	unsigned right;    /* that it needs on the object */
	uint64_t since_ns; /* when it was noted, in nanoseconds since the Unix epoch */
};
struct rpc_label *rpc_call_label(struct rpc_call *call);

/*
 * Queues a message. Always succeeds; a stream must stop when can_send says false (more than 256 KiB queued, less when many streams
 * of the connection are slow) and go on in on_writable, which is run once after can_send has said false. Messages of streams should
 * be at most 32 KiB: then 128 paused streams stay below max_queued_bytes. After the end of a call it does nothing.
 */
void rpc_call_send(struct rpc_call *call, const ProtobufCMessage *reply);
bool rpc_call_can_send(const struct rpc_call *call);

/* Input flow control: paused, the messages stay with the client (window not given back). */
void rpc_call_pause_input(struct rpc_call *call);
void rpc_call_resume_input(struct rpc_call *call);

/* Ends the call: what is queued is sent, then the trailers. Nothing may be sent after. */
void rpc_call_finish_ok(struct rpc_call *call);
void rpc_call_finish_error(struct rpc_call *call, const struct err *err); /* reason goes into the trailer pwemu-reason */

/* send + finish_ok. */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *reply);

struct rpc_server_config {
	struct event_base *base;
	/* Method rows; several tables, each ended by a row with path NULL; the array ended by NULL. Must outlive the server. */
	const struct rpc_method *const *tables;
	/* Decides whether the peer may open a connection (called once after accept). A refused one is told why in answer to each
	 * call and is closed after handshake_timeout_ms. NULL: everybody. */
	int (*admit)(void *ctx, const struct rpc_peer *peer, struct err *err);
	/* Connections from the network only: who calls. `certificate`: common name of the verified one of the client, `token`: what follows
	 * "Bearer " in the metadata `authorization`; NULL: none. Fills in uid, gid, groups (malloc, then the server's) and credential.
	 * Asked once for each token on a connection. 1: it is not known yet; the call waits for rpc_server_look_again(). NULL: nobody from
	 * there may call. */
	int (*authenticate)(void *ctx, struct rpc_peer *peer, const char *certificate, const char *token, struct err *err);
	/* Decides whether the peer may call this method; called before handle. NULL: everything. */
	int (*authorize)(void *ctx, const struct rpc_peer *peer, const struct rpc_method *method, struct err *err);
	/* A connection is gone; its calls have ended before. NULL: not wanted. */
	void (*on_disconnect)(void *ctx, const struct rpc_peer *peer);
	/* Whether the connection is worth something though it has no call: something lives as long as it. Where there are too many
	 * connections those go first that are not. NULL: never. */
	bool (*is_needed)(void *ctx, const struct rpc_peer *peer);
	void *ctx;
	/* FileDescriptorSet for server reflection, from `protoc --descriptor_set_out --include_imports`; NULL: no reflection. */
	const void *descriptors;
	size_t descriptors_len;
	/* Limits; 0 = default. */
	uint32_t max_connections;      /* 4096; one more costs another that has no call, the longest unused one, its place */
	uint32_t handshake_timeout_ms; /* 10000: from accept to the client's preface and SETTINGS; from begin to end of the headers of a
					  call */
	uint32_t idle_timeout_ms;      /* 0 = none: a connection without calls is not closed */
	uint32_t stall_timeout_ms;     /* 30000: output is queued and not one byte was taken; the connection is closed.
					  A stream blocked by its reader's window alone (a paused `logs -f`) is no stall
					  as long as at most its own small high-water mark is queued. */
	uint32_t max_queued_bytes;     /* 8 MiB per connection: more ends it */
};

/* Starts serving on a listening socket, which it then owns. health and reflection are served beside the tables. */
struct rpc_server *rpc_server_new(const struct rpc_server_config *config, int listen_fd);
/* Stops accepting, sends GOAWAY, ends health watches; on_drained, from the loop, when the last connection is gone or after
 * deadline_ms, when those that remain have been closed. Open calls go on until then: end those that would never end. */
void rpc_server_drain(struct rpc_server *server, uint32_t deadline_ms, void (*on_drained)(void *ctx), void *ctx);
/* Stops listening on the old socket and goes on with another (the control socket was made again). */
void rpc_server_relisten(struct rpc_server *server, int listen_fd);
void rpc_server_free(struct rpc_server *server); /* closes everything at once; on_end of each call is run; not from callbacks */

/*
 * Serves a TCP socket as well, which it then owns, under TLS and authenticate(). Connections that have not told who they are within
 * handshake_timeout_ms are closed, and all from the network together have at most half of max_connections. `tls` stays the caller's until
 * another is set; connections keep the one they began with.
 */
void rpc_server_listen_tls(struct rpc_server *server, int listen_fd);
void rpc_server_set_tls(struct rpc_server *server, const struct tls_ops *ops, struct tls *tls);
/* Who calls is known now: calls that wait for that are looked at again, from the loop. */
void rpc_server_look_again(struct rpc_server *server);
/* Ends the remote connections of which is_revoked() says so for one of those they have told they are. */
void rpc_server_revoke(struct rpc_server *server, bool (*is_revoked)(void *ctx, const struct rpc_peer *peer), void *ctx);

/* Ends the connection with this number (rpc_peer.connection), e.g. when a right was revoked. */
void rpc_server_drop(struct rpc_server *server, uint64_t connection);

/* Every call that is open and has a label. `each` may finish the call. */
void rpc_server_each(struct rpc_server *server, void (*each)(void *ctx, struct rpc_call *call, const struct rpc_label *label), void *ctx);
/* Connections of this uid that are open. */
size_t rpc_server_connections(const struct rpc_server *server, uid_t uid);

/* ---------------------------------------------------------------- client */

struct rpc_client;
struct rpc_stream; /* one call on the client's side */

struct rpc_stream_ops {
	/* A reply message; valid until this returns. */
	void (*on_message)(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply);
	/* rpc_stream_can_send() has become true again. */
	void (*on_writable)(struct rpc_stream *stream, void *ctx);
	/* The call is over; `status->code` is ERR_OK when it went well. The stream is freed after this returns. Last callback. */
	void (*on_end)(struct rpc_stream *stream, void *ctx, const struct err *status);
};

struct rpc_client_method {
	const char *path;
	const ProtobufCMessageDescriptor *reply;
};

/* Takes a connected, non-blocking socket. on_closed (may be NULL) is called once when the connection is lost, after the
 * on_end of every call (code UNAVAILABLE, reason "disconnected"). */
struct rpc_client *rpc_client_new(struct event_base *base, int fd, void (*on_closed)(struct rpc_client *client, void *ctx), void *ctx);
/* The same under TLS, its handshake done. `authority`: host, for the server's logs; `token`: sent with each call, NULL: none. */
struct rpc_client *rpc_client_new_tls(struct event_base *base, const struct tls_link *link, const char *authority, const char *token,
				      void (*on_closed)(struct rpc_client *client, void *ctx), void *ctx);
void rpc_client_free(struct rpc_client *client); /* on_end of each open call is run with CANCELLED */
bool rpc_client_is_closed(const struct rpc_client *client);
/* A server that was silent for ask_ms is asked whether it is there; the connection is lost when nothing comes for answer_ms then. */
void rpc_client_keep_alive(struct rpc_client *client, uint32_t ask_ms, uint32_t answer_ms);

/* Begins a call. It is sent in the next turn of the loop; half-close it when `request` is all there is. timeout_ms 0: no deadline (streams
 * only). `request` is the first message, NULL for none yet. */
struct rpc_stream *rpc_client_call(struct rpc_client *client, const struct rpc_client_method *method, const ProtobufCMessage *request,
				   uint32_t timeout_ms, const struct rpc_stream_ops *ops, void *ctx);
void rpc_stream_send(struct rpc_stream *stream, const ProtobufCMessage *request);
void rpc_stream_half_close(struct rpc_stream *stream);
bool rpc_stream_can_send(const struct rpc_stream *stream);
void rpc_stream_cancel(struct rpc_stream *stream);      /* on_end follows with CANCELLED, from the loop */
void rpc_stream_pause_input(struct rpc_stream *stream); /* stop giving back the window */
void rpc_stream_resume_input(struct rpc_stream *stream);

/* One request, one reply; runs the event base meanwhile, so never from a callback. *reply is to be freed with
 * protobuf_c_message_free_unpacked. */
int rpc_client_unary(struct rpc_client *client, const struct rpc_client_method *method, const ProtobufCMessage *request,
		     uint32_t timeout_ms, ProtobufCMessage **reply, struct err *err) __attribute__((warn_unused_result));
