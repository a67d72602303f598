/* SPDX-License-Identifier: Apache-2.0 */
/* The server: accepting, connections, draining. Calls are in call.c. */
#include "wire/server_int.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/addr.h"
#include "wire/mem.h"
#include "wire/peer.h"

#define ACCEPTS_PER_TURN     16
#define ACCEPTS_BEFORE_CLOSE 1024
#define ACCEPT_PAUSE_MS      200 /* when the process has no fd left */

static struct timeval server_delay(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

void server_arm(struct event *event, uint32_t ms)
{
	struct timeval delay = server_delay(ms);
	evtimer_add(event, &delay);
}

/* ---------------------------------------------------------------- methods */

static int method_compare(const void *a, const void *b)
{
	const struct server_method *left = a, *right = b;
	return strcmp(left->row->path, right->row->path);
}

static void server_add_methods(struct rpc_server *server, const struct rpc_method *table)
{
	for (; table->path != NULL; table++) {
		server->methods = xrealloc(server->methods, server->method_count + 1, sizeof(*server->methods));
		server->methods[server->method_count++].row = table;
	}
}

static void server_collect_methods(struct rpc_server *server)
{
	for (size_t i = 0; server->config.tables != NULL && server->config.tables[i] != NULL; i++)
		server_add_methods(server, server->config.tables[i]);
	server_add_methods(server, health_methods);
	if (server->config.descriptors != NULL)
		server_add_methods(server, reflection_methods);
	qsort(server->methods, server->method_count, sizeof(*server->methods), method_compare);
}

const struct rpc_method *server_find_method(const struct rpc_server *server, const char *path)
{
	const struct rpc_method row = { .path = path };
	const struct server_method wanted = { .row = &row };
	const struct server_method *found = bsearch(&wanted, server->methods, server->method_count, sizeof(wanted), method_compare);
	return found != NULL ? found->row : NULL;
}

/* ---------------------------------------------------------------- connections */

static void server_check_drained(struct rpc_server *server)
{
	if (server->is_draining && server->conn_count == 0 && !server->is_drained)
		server_arm(&server->drain, 0); /* from the loop: the owner frees the server there */
}

static void conn_on_dead(struct h2_session *session)
{
	struct rpc_conn *conn = (struct rpc_conn *)session;
	struct rpc_server *server = conn->server;
	event_del(&conn->guard);
	TAILQ_REMOVE(&server->conns, conn, link);
	server->conn_count--;
	if (server->config.on_disconnect != NULL && conn->refused == NULL)
		server->config.on_disconnect(server->config.ctx, &conn->peer);
	server->remote_count -= conn->peer.is_remote;
	h2_session_fini(session);
	conn_forget_identities(conn);
	peer_fini(&conn->peer);
	free(conn->refused);
	free(conn);
	if (!server->is_freeing)
		server_check_drained(server);
}

/* No preface in time, or no end of headers that were begun; idle for too long; refused and still here. */
static void conn_on_guard(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_conn *conn = arg;
	(void)fd;
	(void)what;
	bool is_admitted = conn->h2.is_settled && conn->refused == NULL;
	if (is_admitted && TAILQ_EMPTY(&conn->h2.streams))
		h2_session_go_away(&conn->h2); /* ends by itself: there is no call */
	else if (!is_admitted || conn->h2.in_headers)
		h2_session_end_now(&conn->h2, NGHTTP2_NO_ERROR);
}

static void conn_wait_idle(struct rpc_conn *conn)
{
	const struct rpc_server_config *config = &conn->server->config;
	if (!conn->is_known)
		server_arm(&conn->guard, config->handshake_timeout_ms);
	else if (config->idle_timeout_ms > 0)
		server_arm(&conn->guard, config->idle_timeout_ms);
}

static void conn_on_settled(struct h2_session *session)
{
	struct rpc_conn *conn = (struct rpc_conn *)session;
	if (conn->refused != NULL) /* it may learn why, then it leaves or is ended */
		return;
	event_del(&conn->guard);
	conn_wait_idle(conn);
}

static void conn_on_idle(struct h2_session *session)
{
	struct rpc_conn *conn = (struct rpc_conn *)session;
	struct rpc_conns *conns = &conn->server->conns;
	conn->used_ms = h2_now_ms();
	TAILQ_REMOVE(conns, conn, link); /* the list is in the order of their last use */
	TAILQ_INSERT_TAIL(conns, conn, link);
	if (conn->refused != NULL)
		return;
	event_del(&conn->guard);
	conn_wait_idle(conn);
}

static void conn_set_remote(struct rpc_conn *conn, int fd)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);
	const int on = 1, idle_s = 60, interval_s = 15, probes = 4; /* a peer that has vanished is found within two minutes */
	conn->peer.is_remote = true;
	conn->server->remote_count++;
	(void)getpeername(fd, (struct sockaddr *)&addr, &len);
	addr_text((const struct sockaddr *)&addr, conn->peer.address, sizeof(conn->peer.address));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static struct rpc_conn *conn_new(struct rpc_server *server, int fd, const struct tls_link *tls)
{
	const struct rpc_server_config *config = &server->config;
	struct rpc_conn *conn = xcalloc(1, sizeof(*conn));
	struct h2_config h2 = {
		.is_server = true,
		.stall_timeout_ms = config->stall_timeout_ms,
		.max_queued_bytes = config->max_queued_bytes,
		.ops = &server->ops,
		.tls = tls,
	};
	static uint64_t last_connection;
	struct err err = ERR_INIT;
	conn->server = server;
	conn->used_ms = h2_now_ms();
	conn->peer.connection = ++last_connection;
	conn->is_known = tls == NULL;
	if (tls != NULL)
		conn_set_remote(conn, fd);
	if (peer_fill(&conn->peer, fd, &err) < 0 || (config->admit != NULL && config->admit(config->ctx, &conn->peer, &err) < 0)) {
		conn->refused = xmalloc(sizeof(err));
		*conn->refused = err;
	}
	TAILQ_INSERT_TAIL(&server->conns, conn, link);
	server->conn_count++;
	evtimer_assign(&conn->guard, config->base, conn_on_guard, conn);
	server_arm(&conn->guard, config->handshake_timeout_ms);
	h2_session_init(&conn->h2, config->base, fd, &h2);
	return conn;
}

/* ---------------------------------------------------------------- listening */

/* Without a free fd the listener stays readable for ever: look away for a while instead of spinning. */
static void listener_pause(struct rpc_listener *listener)
{
	event_del(&listener->accept);
	server_arm(&listener->again, ACCEPT_PAUSE_MS);
}

static void listener_on_again(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_listener *listener = arg;
	(void)fd;
	(void)what;
	event_add(&listener->accept, NULL);
}

/* Strangers from the network take no more than half of the places. */
static bool listener_is_full(const struct rpc_listener *listener)
{
	return listener->is_remote && listener->server->remote_count >= (listener->server->config.max_connections + 1) / 2;
}

static void listener_take(struct rpc_listener *listener, int fd)
{
	struct rpc_server *server = listener->server;
	struct tls_link link = { .ops = server->tls_ops };
	struct rpc_conn *conn = NULL;
	struct err err = ERR_INIT;
	if (listener_is_full(listener) || (listener->is_remote && server->tls == NULL)) {
		close(fd);
	} else if (!listener->is_remote) {
		conn = conn_new(server, fd, NULL);
	} else {
		link.bev = server->tls_ops->attach(server->tls, server->config.base, fd, &err);
		conn = link.bev != NULL ? conn_new(server, fd, &link) : NULL;
	}
	if (conn != NULL && server->conn_count > server->config.max_connections)
		(void)server_make_room(server, conn);
}

static bool listener_is_awaited(const struct rpc_listener *listener)
{
	struct pollfd waiting = { .fd = listener->fd, .events = POLLIN };
	return poll(&waiting, 1, 0) > 0;
}

/* Takes up to `max` connections. */
static void listener_accept(struct rpc_listener *listener, int max)
{
	for (int i = 0; i < max; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			bool is_empty = errno == EAGAIN || errno == EWOULDBLOCK, is_full = errno == EMFILE || errno == ENFILE;
			if (is_full && !listener_is_awaited(listener)) /* without a free fd it fails before it looks */
				return;
			if (is_full && server_make_room(listener->server, NULL))
				continue;
			if (!is_empty)
				listener_pause(listener);
			return;
		}
		listener_take(listener, fd);
	}
}

static void listener_on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	(void)listen_fd;
	(void)what;
	listener_accept(arg, ACCEPTS_PER_TURN);
}

static void server_listen(struct rpc_server *server, int fd, bool is_remote)
{
	struct rpc_listener *listener = xcalloc(1, sizeof(*listener));
	listener->server = server;
	listener->fd = fd;
	listener->is_remote = is_remote;
	TAILQ_INSERT_TAIL(&server->listeners, listener, link);
	event_assign(&listener->accept, server->config.base, fd, EV_READ | EV_PERSIST, listener_on_accept, listener);
	evtimer_assign(&listener->again, server->config.base, listener_on_again, listener);
	event_add(&listener->accept, NULL);
}

static void listener_free(struct rpc_listener *listener)
{
	TAILQ_REMOVE(&listener->server->listeners, listener, link);
	event_del(&listener->accept);
	event_del(&listener->again);
	close(listener->fd);
	free(listener);
}

static void server_stop_listening(struct rpc_server *server)
{
	struct rpc_listener *listener, *next;
	for (listener = TAILQ_FIRST(&server->listeners); listener != NULL; listener = next) {
		next = TAILQ_NEXT(listener, link);
		listener_free(listener);
	}
}

static struct rpc_listener *server_local_listener(struct rpc_server *server)
{
	struct rpc_listener *listener;
	TAILQ_FOREACH (listener, &server->listeners, link)
		if (!listener->is_remote)
			break;
	return listener;
}

void rpc_server_relisten(struct rpc_server *server, int listen_fd)
{
	struct rpc_listener *old = server_local_listener(server);
	if (old != NULL) {
		listener_accept(old, ACCEPTS_BEFORE_CLOSE); /* who waits in the old queue would be reset */
		listener_free(old);
	}
	if (server->is_draining)
		close(listen_fd);
	else
		server_listen(server, listen_fd, false);
}

void rpc_server_listen_tls(struct rpc_server *server, int listen_fd)
{
	server_listen(server, listen_fd, true);
}

void rpc_server_set_tls(struct rpc_server *server, const struct tls_ops *ops, struct tls *tls)
{
	server->tls_ops = ops;
	server->tls = tls;
}

/* ---------------------------------------------------------------- draining */

static void server_on_drain(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_server *server = arg;
	struct rpc_conn *conn;
	(void)fd;
	(void)what;
	while ((conn = TAILQ_FIRST(&server->conns)) != NULL)
		h2_session_end_now(&conn->h2, NGHTTP2_NO_ERROR);
	event_del(&server->drain);
	if (server->is_drained)
		return;
	server->is_drained = true;
	if (server->on_drained != NULL)
		server->on_drained(server->drained_ctx);
}

void rpc_server_drain(struct rpc_server *server, uint32_t deadline_ms, void (*on_drained)(void *ctx), void *ctx)
{
	struct rpc_conn *conn;
	assert(!server->is_draining);
	server->is_draining = true;
	server->on_drained = on_drained;
	server->drained_ctx = ctx;
	server_stop_listening(server);
	health_shutdown(server->health);
	TAILQ_FOREACH (conn, &server->conns, link)
		h2_session_go_away(&conn->h2);
	server_arm(&server->drain, deadline_ms);
	server_check_drained(server);
}

/* ---------------------------------------------------------------- life */

void rpc_server_drop(struct rpc_server *server, uint64_t connection)
{
	struct rpc_conn *conn;
	TAILQ_FOREACH (conn, &server->conns, link)
		if (conn->peer.connection == connection)
			h2_session_end(&conn->h2, NGHTTP2_NO_ERROR);
}

void rpc_server_look_again(struct rpc_server *server)
{
	struct rpc_conn *conn;
	struct h2_stream *stream;
	TAILQ_FOREACH (conn, &server->conns, link)
		TAILQ_FOREACH (stream, &conn->h2.streams, link)
			if (conn->peer.is_remote && ((struct rpc_call *)stream)->state == CALL_NEW)
				h2_stream_mark(stream);
}

void rpc_server_revoke(struct rpc_server *server, bool (*is_revoked)(void *ctx, const struct rpc_peer *peer), void *ctx)
{
	struct rpc_conn *conn;
	const struct rpc_identity *identity;
	TAILQ_FOREACH (conn, &server->conns, link)
		SLIST_FOREACH (identity, &conn->identities, link)
			if (!err_is_set(&identity->err) && is_revoked(ctx, &identity->peer))
				h2_session_end(&conn->h2, NGHTTP2_NO_ERROR);
}

void rpc_server_each(struct rpc_server *server, void (*each)(void *ctx, struct rpc_call *call, const struct rpc_label *label), void *ctx)
{
	struct rpc_conn *conn;
	struct h2_stream *stream;
	TAILQ_FOREACH (conn, &server->conns, link)
		TAILQ_FOREACH (stream, &conn->h2.streams, link) {
			struct rpc_call *call = (struct rpc_call *)stream;
			if (call->state < CALL_FINISHED && call->label != NULL)
				each(ctx, call, call->label);
		}
}

static bool conn_is_of(const struct rpc_conn *conn, uid_t uid)
{
	const struct rpc_identity *identity;
	if (!conn->peer.is_remote)
		return conn->peer.uid == uid;
	SLIST_FOREACH (identity, &conn->identities, link)
		if (!err_is_set(&identity->err) && identity->peer.uid == uid)
			return true;
	return false;
}

size_t rpc_server_connections(const struct rpc_server *server, uid_t uid)
{
	const struct rpc_conn *conn;
	size_t count = 0;
	TAILQ_FOREACH (conn, &server->conns, link)
		count += conn_is_of(conn, uid);
	return count;
}

static void server_set_defaults(struct rpc_server_config *config)
{
	if (config->max_connections == 0)
		config->max_connections = 4096;
	if (config->handshake_timeout_ms == 0)
		config->handshake_timeout_ms = 10000;
	if (config->stall_timeout_ms == 0)
		config->stall_timeout_ms = 30000;
	if (config->max_queued_bytes == 0)
		config->max_queued_bytes = 8 * 1024 * 1024;
}

struct rpc_server *rpc_server_new(const struct rpc_server_config *config, int listen_fd)
{
	struct rpc_server *server = xcalloc(1, sizeof(*server));
	server->config = *config;
	server_set_defaults(&server->config);
	TAILQ_INIT(&server->conns);
	TAILQ_INIT(&server->listeners);
	server->ops = *call_ops();
	server->ops.on_settled = conn_on_settled;
	server->ops.on_idle = conn_on_idle;
	server->ops.on_dead = conn_on_dead;
	evtimer_assign(&server->drain, config->base, server_on_drain, server);
	server_collect_methods(server);
	server->health = health_new(server);
	server_listen(server, listen_fd, false);
	return server;
}

void rpc_server_free(struct rpc_server *server)
{
	struct rpc_conn *conn;
	if (server == NULL)
		return;
	server->is_freeing = true;
	server_stop_listening(server);
	while ((conn = TAILQ_FIRST(&server->conns)) != NULL) {
		assert(conn->h2.busy == 0);
		h2_session_end_now(&conn->h2, NGHTTP2_NO_ERROR);
	}
	event_del(&server->drain);
	health_free(server->health);
	free(server->methods);
	free(server);
}
