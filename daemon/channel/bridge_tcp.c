/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP port of a bridge. Who comes while another is there is told so and closed: for that its last bytes are read and thrown away for a
 * while, since a close with unread input would take the words from it. */
#include "channel/bridge_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/gate.h"
#include "wire/mem.h"

#define TCP_PIECE         16384
#define TCP_FAREWELLS_MAX 16

struct tcp_farewell {
	TAILQ_ENTRY(tcp_farewell) link;
	struct bridge_tcp *tcp;
	int fd;
	struct event event;
};

struct bridge_tcp {
	struct bridge *bridge;
	struct gate gate;
	struct gate_limit trouble;
	struct bridge_party *party; /* NULL: nobody is connected */
	int client;
	uid_t uid; /* its user's */
	struct event readable, writable;
	char in[TCP_PIECE];
	size_t in_start, in_end;
	TAILQ_HEAD(, tcp_farewell) farewells;
	unsigned farewell_count;
};

/* ---------------------------------------------------------------- one connection */

static void tcp_close(struct bridge_tcp *tcp)
{
	event_del(&tcp->readable);
	event_del(&tcp->writable);
	close(tcp->client);
	tcp->client = -1;
	tcp->party = NULL;
}

static void tcp_leave(struct bridge_tcp *tcp)
{
	struct bridge_party *party = tcp->party;
	tcp_close(tcp);
	bridge_leave(party);
}

static void tcp_send(struct bridge_tcp *tcp)
{
	if (bridge_read_to(tcp->party, tcp->client) < 0)
		tcp_leave(tcp);
	else if (bridge_has_output(tcp->party))
		event_add(&tcp->writable, NULL);
}

static void tcp_on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	tcp_send(ctx);
}

static void tcp_hand_on(struct bridge_tcp *tcp)
{
	tcp->in_start += bridge_write(tcp->party, tcp->in + tcp->in_start, tcp->in_end - tcp->in_start);
	if (tcp->in_start == tcp->in_end)
		event_add(&tcp->readable, NULL);
}

static void tcp_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct bridge_tcp *tcp = ctx;
	ssize_t n = recv(fd, tcp->in, sizeof(tcp->in), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		tcp_leave(tcp);
		return;
	}
	tcp->in_start = 0;
	tcp->in_end = n > 0 ? (size_t)n : 0;
	tcp_hand_on(tcp);
}

static void tcp_on_output(void *ctx)
{
	tcp_send(ctx);
}

static void tcp_on_room(void *ctx)
{
	tcp_hand_on(ctx);
}

static void tcp_on_end(void *ctx, const struct err *err)
{
	(void)err;
	tcp_close(ctx);
}

static const struct bridge_party_ops tcp_party_ops = { .on_output = tcp_on_output, .on_room = tcp_on_room, .on_end = tcp_on_end };

/* ---------------------------------------------------------------- who is sent away */

static void farewell_end(struct tcp_farewell *farewell)
{
	TAILQ_REMOVE(&farewell->tcp->farewells, farewell, link);
	farewell->tcp->farewell_count--;
	event_del(&farewell->event);
	close(farewell->fd);
	free(farewell);
}

static void farewell_on_event(evutil_socket_t fd, short what, void *ctx)
{
	char buf[1024];
	ssize_t n = (what & EV_READ) != 0 ? recv(fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		farewell_end(ctx);
}

static void tcp_send_away(struct bridge_tcp *tcp, int fd, const char *why)
{
	static const struct timeval a_while = { 1, 0 };
	const struct bridge_filter *filter = bridge_configuration(tcp->bridge)->filter;
	char *words = filter != NULL ? filter->refusal(why) : NULL;
	if (words != NULL)
		(void)!send(fd, words, strlen(words), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(words);
	if (tcp->farewell_count >= TCP_FAREWELLS_MAX) {
		close(fd);
		return;
	}
	(void)shutdown(fd, SHUT_WR);
	struct tcp_farewell *farewell = xcalloc(1, sizeof(*farewell));
	farewell->tcp = tcp;
	farewell->fd = fd;
	event_assign(&farewell->event, bridge_configuration(tcp->bridge)->base, fd, EV_READ | EV_PERSIST, farewell_on_event, farewell);
	event_add(&farewell->event, &a_while);
	TAILQ_INSERT_TAIL(&tcp->farewells, farewell, link);
	tcp->farewell_count++;
}

/* ---------------------------------------------------------------- the port */

static void tcp_on_refused(void *ctx, const struct err *err)
{
	struct bridge_tcp *tcp = ctx;
	bridge_tell_trouble(tcp->bridge, err);
}

static void tcp_on_client(void *ctx, int fd, const struct sockdiag_peer *peer)
{
	struct bridge_tcp *tcp = ctx;
	struct err err = ERR_INIT;
	char *who = xasprintf("tcp client of uid %u (%s)", (unsigned)peer->uid, peer->name);
	struct bridge_party *party;
	if (bridge_join(tcp->bridge, who, &tcp_party_ops, tcp, &party, &err) < 0) {
		tcp_send_away(tcp, fd, err.msg);
		err_prefix(&err, "%s was sent away", who);
		if (gate_limit_pass(&tcp->trouble, 0))
			bridge_tell_trouble(tcp->bridge, &err);
		free(who);
		return;
	}
	free(who);
	struct event_base *base = bridge_configuration(tcp->bridge)->base;
	tcp->party = party;
	tcp->client = fd;
	tcp->uid = peer->uid;
	tcp->in_start = tcp->in_end = 0;
	event_assign(&tcp->readable, base, fd, EV_READ, tcp_on_readable, tcp);
	event_assign(&tcp->writable, base, fd, EV_WRITE, tcp_on_writable, tcp);
	event_add(&tcp->readable, NULL);
}

struct bridge_tcp *bridge_tcp_new(struct bridge *bridge, int listener)
{
	static const struct gate_ops ops = { tcp_on_client, tcp_on_refused };
	const struct bridge_config *config = bridge_configuration(bridge);
	struct bridge_tcp *tcp = xcalloc(1, sizeof(*tcp));
	tcp->bridge = bridge;
	tcp->client = -1;
	TAILQ_INIT(&tcp->farewells);
	gate_init(&tcp->gate, config->base, listener, &config->list, &ops, tcp);
	return tcp;
}

void bridge_tcp_review(struct bridge_tcp *tcp)
{
	if (tcp != NULL && tcp->party != NULL && !gate_list_has(&bridge_configuration(tcp->bridge)->list, tcp->uid))
		tcp_leave(tcp);
}

void bridge_tcp_free(struct bridge_tcp *tcp)
{
	struct tcp_farewell *farewell, *next;
	if (tcp == NULL)
		return;
	gate_fini(&tcp->gate);
	for (farewell = TAILQ_FIRST(&tcp->farewells); farewell != NULL; farewell = next) {
		next = TAILQ_NEXT(farewell, link);
		farewell_end(farewell);
	}
	if (tcp->client >= 0)
		tcp_leave(tcp);
	free(tcp);
}
