/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the server: connections (server.c), calls (call.c), the services it brings along. */
#pragma once

#include "wire/http2.h"
#include "wire/rpc.h"

/* Somebody that a remote connection has told it is. */
struct rpc_identity {
	SLIST_ENTRY(rpc_identity) link;
	char *token;    /* NULL: it was the certificate alone */
	struct err err; /* set: nobody */
	struct rpc_peer peer;
};

SLIST_HEAD(rpc_identities, rpc_identity);

struct rpc_conn {
	struct h2_session h2;
	struct rpc_server *server;
	struct rpc_peer peer;
	struct err *refused; /* not admitted: every call is answered with this */
	struct event guard;  /* handshake, later idle time */
	uint64_t used_ms;    /* when it came, or its last call ended; monotonic */
	struct rpc_identities identities;
	unsigned identity_count;
	char *certificate; /* common name; NULL: none, or not looked at yet */
	bool has_looked;
	bool is_known; /* some call has told who it is, or it is no remote connection */
	TAILQ_ENTRY(rpc_conn) link;
};

TAILQ_HEAD(rpc_conns, rpc_conn);

struct rpc_listener {
	TAILQ_ENTRY(rpc_listener) link;
	struct rpc_server *server;
	struct event accept;
	struct event again; /* accept goes on after a pause */
	int fd;
	bool is_remote;
};

TAILQ_HEAD(rpc_listeners, rpc_listener);

struct server_method {
	const struct rpc_method *row;
};

struct rpc_server {
	struct rpc_server_config config;
	struct server_method *methods; /* sorted by path */
	size_t method_count;
	struct rpc_conns conns;
	size_t conn_count;
	size_t remote_count;
	struct rpc_listeners listeners;
	const struct tls_ops *tls_ops;
	struct tls *tls;
	struct event drain;
	bool is_draining;
	bool is_freeing;
	bool is_drained;
	void (*on_drained)(void *ctx);
	void *drained_ctx;
	struct h2_ops ops;
	struct health *health;
};

#define CALL_PATH_MAX 256

enum call_state {
	CALL_NEW,      /* headers are arriving */
	CALL_WAITING,  /* accepted, the first message is not there */
	CALL_RUNNING,  /* handle() has been called */
	CALL_FINISHED, /* the answer is decided; on_end is due */
	CALL_OVER,     /* nobody outside knows it any more */
	CALL_STATE_COUNT
};

struct rpc_call {
	struct h2_stream h2;
	struct rpc_conn *conn;
	const struct rpc_method *method;
	const struct rpc_call_ops *ops; /* NULL: not adopted */
	void *ctx;
	struct event timer;
	uint64_t timeout_ms;  /* of the client; 0: none */
	uint64_t deadline_ms; /* monotonic; 0: none */
	enum call_state state;
	enum err_code code; /* once finished */
	char *message;      /* percent-encoded; NULL when empty */
	char reason[ERR_REASON_MAX];
	struct rpc_label *label;     /* NULL: none */
	const struct rpc_peer *peer; /* NULL: the connection's */
	char *authorization;         /* until it is known who calls */
	uint32_t path_len;
	char *path; /* until the method is known */
	bool is_post, is_grpc, is_encoded, has_bad_timeout;
	bool has_responded;   /* response headers are submitted */
	bool has_half_closed; /* the handler knows that the input has ended */
	bool in_handle;
};

/*
 * Ends a connection so that there is room for `newcomer`, perhaps that itself; NULL: for one that cannot be taken yet, and then only one
 * that is not in use. False: there is none to be ended.
 */
bool server_make_room(struct rpc_server *server, struct rpc_conn *newcomer);

void server_arm(struct event *event, uint32_t ms);
/* Who calls with this `authorization` (NULL: none) on a remote connection; valid as long as that. 1: not known yet. */
int conn_identify(struct rpc_conn *conn, const char *authorization, const struct rpc_peer **out, struct err *err);
void conn_forget_identities(struct rpc_conn *conn);

const struct h2_ops *call_ops(void); /* without the members that are the connection's */
const struct rpc_method *server_find_method(const struct rpc_server *server, const char *path);

/* grpc.health.v1 and grpc.reflection: rows, and what their handlers find through the call's server. */
extern const struct rpc_method health_methods[];
extern const struct rpc_method reflection_methods[];
struct health *health_new(struct rpc_server *server);
void health_free(struct health *health);
void health_shutdown(struct health *health); /* NOT_SERVING to all who watch; their calls end */
