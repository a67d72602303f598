/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection holds no byte: output that the socket does not take is read from the log again, input stays in the socket until the FIFO
 * has taken it (peeked at first: splice(2) would never get past a byte that was sent as urgent, as telnet does).
 *
 * Everything that happens to a connection ends in conn_step(), which does what can be done and then looks whether it has ended. Its one
 * I/O event is edge-triggered: input that must lie, and a half-closed connection, do not keep the loop busy.
 *
 * A client that sends FIN has ended its input, and its role. Whether it has only that, or has gone, TCP does not tell before we write;
 * the kernel's table of sockets does: a closed socket has no inode. Who goes before its input could be moved is no party any more, but
 * its input is kept, behind everybody else.
 */
#include "channel/endpoint_priv.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/gate.h"
#include "wire/mem.h"

#define TCP_CONNS_MAX       64
#define TCP_PIECE           65536
#define TCP_PIECES_PER_TURN 4
#define TCP_PROBE_MIN_MS    20 /* how soon and how often to look whether a half-closed client is still there */
#define TCP_PROBE_MAX_MS    60000

struct conn {
	LIST_ENTRY(conn) link;
	struct endpoint_tcp *tcp;
	char *who;
	uid_t uid;
	int fd;
	struct cursor *cursor; /* NULL: its output has ended */
	struct writer *writer; /* while it has input */
	bool is_party;
	bool is_gone;      /* the client does not read any more */
	bool is_broken;    /* … nor is its input of use */
	unsigned probe_ms; /* != 0: the client sends no more */
	struct event io;
	struct event again; /* timer: goes on with a long transfer, or probes */
};

struct endpoint_tcp {
	struct endpoint endpoint;
	struct gate gate;
	LIST_HEAD(, conn) conns;
	unsigned conn_count;
	struct gate_limit too_many;
};

static char tcp_piece[TCP_PIECE]; /* of whoever is being served */

/* ---------------------------------------------------------------- one connection */

static void conn_again(struct conn *conn, unsigned delay_ms)
{
	struct timeval delay = { delay_ms / 1000, (suseconds_t)(delay_ms % 1000) * 1000 };
	event_add(&conn->again, &delay);
}

static void conn_free(struct conn *conn)
{
	event_del(&conn->io);
	event_del(&conn->again);
	cursor_close(conn->cursor);
	writer_close(conn->writer);
	close(conn->fd);
	LIST_REMOVE(conn, link);
	conn->tcp->conn_count--;
	free(conn->who);
	free(conn);
}

static void conn_end_writer(struct conn *conn)
{
	writer_close(conn->writer);
	conn->writer = NULL;
}

static void conn_end_output(struct conn *conn)
{
	cursor_close(conn->cursor);
	conn->cursor = NULL;
	shutdown(conn->fd, SHUT_WR);
}

/* Sends one piece. False: the socket takes no more, or there is no more. */
static bool conn_send_piece(struct conn *conn)
{
	struct chunk chunk;
	struct err err;
	int rc = cursor_read(conn->cursor, tcp_piece, sizeof(tcp_piece), &chunk, &err);
	if (rc < 0) {
		conn->is_broken = true;
		endpoint_tell_trouble(&conn->tcp->endpoint, &err);
	}
	if (rc == 0 && cursor_is_at_end(conn->cursor))
		conn_end_output(conn);
	if (rc <= 0)
		return false;
	ssize_t n = send(conn->fd, tcp_piece, chunk.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	size_t sent = n > 0 ? (size_t)n : 0;
	conn->is_gone |= n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM;
	if (sent < chunk.len)
		cursor_seek(conn->cursor, chunk.offset + sent);
	return sent == chunk.len;
}

static void conn_send(struct conn *conn)
{
	unsigned pieces = 0;
	while (conn->cursor != NULL && conn_send_piece(conn)) {
		if (++pieces == TCP_PIECES_PER_TURN) {
			conn_again(conn, 0);
			return;
		}
	}
}

/* False: the FIFO takes no more, or there is no more. */
static bool conn_receive_piece(struct conn *conn)
{
	ssize_t n = recv(conn->fd, tcp_piece, sizeof(tcp_piece), MSG_PEEK | MSG_DONTWAIT);
	ssize_t taken = n > 0 ? writer_write(conn->writer, tcp_piece, (size_t)n) : 0;
	conn->is_broken |= n < 0 && errno != EAGAIN && errno != EINTR;
	if (taken > 0 && recv(conn->fd, NULL, (size_t)taken, MSG_TRUNC | MSG_DONTWAIT) != taken)
		conn->is_broken = true; /* never twice */
	return taken > 0 && taken == n && !conn->is_broken;
}

static const struct writer_ops conn_writer_ops;

/* has_more: the client may send more than what lies there now. */
static void conn_receive(struct conn *conn, bool has_more)
{
	struct err err;
	if (endpoint_unread(conn->fd) == 0) {
		if (conn->writer != NULL && (!has_more || !writer_has_role(conn->writer)))
			conn_end_writer(conn);
		return;
	}
	/* A read-only channel: it lies until a boot can take it. */
	if (conn->writer == NULL &&
	    writer_open(conn->tcp->endpoint.config.hub, conn->who, false, &conn_writer_ops, conn, &conn->writer, &err) < 0)
		return;
	for (unsigned pieces = 0; writer_has_role(conn->writer) && conn_receive_piece(conn); pieces++) {
		if (pieces == TCP_PIECES_PER_TURN) {
			conn_again(conn, 0);
			return;
		}
	}
	if (!has_more && endpoint_unread(conn->fd) == 0)
		conn_end_writer(conn);
}

/* ---------------------------------------------------------------- its end */

enum conn_state { CONN_OPEN, CONN_HALF_CLOSED, CONN_CLOSED };

static enum conn_state conn_tcp_state(const struct conn *conn)
{
	static const enum conn_state states[] = {
		[TCP_ESTABLISHED] = CONN_OPEN,       [TCP_FIN_WAIT1] = CONN_OPEN, [TCP_FIN_WAIT2] = CONN_OPEN,
		[TCP_CLOSE_WAIT] = CONN_HALF_CLOSED, [TCP_CLOSING] = CONN_CLOSED, [TCP_LAST_ACK] = CONN_CLOSED,
		[TCP_TIME_WAIT] = CONN_CLOSED,       [TCP_CLOSE] = CONN_CLOSED,
	};
	unsigned char state = TCP_CLOSE; /* the first byte of struct tcp_info */
	socklen_t len = sizeof(state);
	if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &state, &len) < 0 || state >= sizeof(states) / sizeof(states[0]))
		return CONN_CLOSED;
	return states[state];
}

/* Whether a client that sends no more has closed; looked at now and then. */
static bool conn_has_gone(struct conn *conn)
{
	struct sockdiag_peer peer;
	struct err err;
	if (event_pending(&conn->again, EV_TIMEOUT, NULL))
		return false;
	if (sockdiag_peer(conn->fd, &peer, &err) < 0 && err.code == ERR_NOT_FOUND)
		return true;
	conn->probe_ms = conn->probe_ms == 0 ? TCP_PROBE_MIN_MS : conn->probe_ms * 2;
	if (conn->probe_ms > TCP_PROBE_MAX_MS)
		conn->probe_ms = TCP_PROBE_MAX_MS;
	conn_again(conn, conn->probe_ms);
	return false;
}

static void conn_leave(struct conn *conn)
{
	cursor_close(conn->cursor);
	conn->cursor = NULL;
	conn->is_party = false;
	if (conn->writer != NULL)
		writer_set_yielding(conn->writer);
	endpoint_party(&conn->tcp->endpoint, false, conn->who);
}

/* Does what can be done now. The connection may be gone after it. */
static void conn_step(struct conn *conn)
{
	enum conn_state state = conn_tcp_state(conn);
	conn_send(conn);
	conn_receive(conn, !conn->is_gone && state == CONN_OPEN);
	conn->is_gone |= conn->is_broken || state == CONN_CLOSED || (state == CONN_HALF_CLOSED && !conn->is_gone && conn_has_gone(conn));
	if (conn->is_gone && conn->is_party)
		conn_leave(conn);
	if (conn->is_broken || (conn->is_gone && conn->writer == NULL))
		conn_free(conn);
}

/* ---------------------------------------------------------------- what happens to it */

static void conn_on_io(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	conn_step(ctx);
}

static void conn_on_change(void *ctx)
{
	conn_step(ctx);
}

static void conn_on_role(void *ctx, bool has_role, const char *reason)
{
	(void)has_role, (void)reason;
	conn_step(ctx);
}

static const struct cursor_ops conn_cursor_ops = { conn_on_change };
static const struct writer_ops conn_writer_ops = { conn_on_change, conn_on_role };

static void conn_new(struct endpoint_tcp *tcp, int fd, const struct sockdiag_peer *peer)
{
	static const int on = 1;
	const struct endpoint_config *config = &tcp->endpoint.config;
	struct conn *conn = xcalloc(1, sizeof(*conn));
	struct err err;
	conn->tcp = tcp;
	conn->fd = fd;
	conn->uid = peer->uid;
	conn->who = xasprintf("tcp client of uid %u (%s)", (unsigned)peer->uid, peer->name);
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	event_assign(&conn->io, config->base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, conn_on_io, conn);
	event_assign(&conn->again, config->base, -1, EV_TIMEOUT, conn_on_io, conn);
	event_add(&conn->io, NULL);
	LIST_INSERT_HEAD(&tcp->conns, conn, link);
	tcp->conn_count++;
	if (cursor_open(config->hub, endpoint_start_offset(&tcp->endpoint), UINT64_MAX, false, &conn_cursor_ops, conn, &conn->cursor,
			&err) < 0)
		assert(false); /* it begins where there is something */
	conn->is_party = true;
	endpoint_party(&tcp->endpoint, true, conn->who);
}

/* ---------------------------------------------------------------- the endpoint */

static void tcp_on_client(void *ctx, int fd, const struct sockdiag_peer *peer)
{
	struct endpoint_tcp *tcp = ctx;
	if (tcp->conn_count < TCP_CONNS_MAX) {
		conn_new(tcp, fd, peer);
		return;
	}
	close(fd);
	if (!gate_limit_pass(&tcp->too_many, 0))
		return;
	struct err err;
	err_set(&err, ERR_RESOURCE_EXHAUSTED, "tcp client of uid %u (%s) was refused: there are %d connections already",
		(unsigned)peer->uid, peer->name, TCP_CONNS_MAX);
	endpoint_tell_trouble(&tcp->endpoint, &err);
}

static void tcp_on_refused(void *ctx, const struct err *err)
{
	struct endpoint_tcp *tcp = ctx;
	endpoint_tell_trouble(&tcp->endpoint, err);
}

static int tcp_open(struct endpoint *endpoint, bool adopted, struct err *err)
{
	static const struct gate_ops ops = { tcp_on_client, tcp_on_refused };
	struct endpoint_tcp *tcp = (struct endpoint_tcp *)endpoint;
	(void)adopted, (void)err; /* an earlier daemon's connections ended with it */
	LIST_INIT(&tcp->conns);
	gate_init(&tcp->gate, endpoint->config.base, endpoint->fds.listener, &endpoint->config.list, &ops, tcp);
	return 0;
}

/* What lay there for want of an input may be taken now. */
static void tcp_begin_boot(struct endpoint *endpoint)
{
	struct endpoint_tcp *tcp = (struct endpoint_tcp *)endpoint;
	struct conn *conn;
	LIST_FOREACH (conn, &tcp->conns, link)
		conn_again(conn, 0);
}

static void tcp_review(struct endpoint *endpoint)
{
	struct endpoint_tcp *tcp = (struct endpoint_tcp *)endpoint;
	struct conn *conn, *next;
	for (conn = LIST_FIRST(&tcp->conns); conn != NULL; conn = next) {
		next = LIST_NEXT(conn, link);
		if (gate_list_has(&endpoint->config.list, conn->uid))
			continue;
		if (conn->is_party)
			conn_leave(conn);
		conn_free(conn);
	}
}

static void tcp_end(struct endpoint *endpoint)
{
	gate_fini(&((struct endpoint_tcp *)endpoint)->gate);
}

static bool tcp_has_ended(const struct endpoint *endpoint)
{
	const struct conn *conn;
	LIST_FOREACH (conn, &((const struct endpoint_tcp *)endpoint)->conns, link)
		if (conn->cursor != NULL)
			return false;
	return true;
}

static void tcp_fini(struct endpoint *endpoint)
{
	struct endpoint_tcp *tcp = (struct endpoint_tcp *)endpoint;
	struct conn *conn, *next;
	gate_fini(&tcp->gate);
	for (conn = LIST_FIRST(&tcp->conns); conn != NULL; conn = next) {
		next = LIST_NEXT(conn, link);
		conn_free(conn);
	}
}

const struct endpoint_ops endpoint_tcp_ops = {
	.size = sizeof(struct endpoint_tcp),
	.open = tcp_open,
	.begin_boot = tcp_begin_boot,
	.end = tcp_end,
	.review = tcp_review,
	.has_ended = tcp_has_ended,
	.fini = tcp_fini,
};
