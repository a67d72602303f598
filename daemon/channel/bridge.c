/* SPDX-License-Identifier: Apache-2.0 */
/* Each direction either waits for bytes, with an empty buffer, or for room, with a full one; so nothing is read that has no place. */
#include "channel/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/gate.h"
#include "wire/addr.h"
#include "wire/mem.h"

#define BRIDGE_BUFFER 16384

/* One direction. */
struct flow {
	struct bridge *bridge;
	int to;
	size_t start, end; /* of what is in the buffer */
	struct event readable, writable;
	char buffer[BRIDGE_BUFFER];
};

struct bridge {
	struct bridge_config config; /* its path is owned */
	struct gate gate;
	struct gate_limit unreachable;
	char *who; /* NULL: nobody is connected */
	int client, server;
	struct flow up, down; /* to the emulator, to the client */
};

/* ---------------------------------------------------------------- one direction */

static void bridge_drop(struct bridge *bridge);

/* Sends what is in the buffer, then waits for more. The connection may be gone after it. */
static void flow_send(struct flow *flow)
{
	ssize_t n = send(flow->to, flow->buffer + flow->start, flow->end - flow->start, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		bridge_drop(flow->bridge);
		return;
	}
	flow->start += n > 0 ? (size_t)n : 0;
	event_add(flow->start < flow->end ? &flow->writable : &flow->readable, NULL);
}

static void flow_on_readable(evutil_socket_t from, short what, void *ctx)
{
	(void)what;
	struct flow *flow = ctx;
	ssize_t n = recv(from, flow->buffer, sizeof(flow->buffer), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		bridge_drop(flow->bridge);
		return;
	}
	flow->start = 0;
	flow->end = n > 0 ? (size_t)n : 0;
	flow_send(flow);
}

static void flow_on_writable(evutil_socket_t to, short what, void *ctx)
{
	(void)to, (void)what;
	flow_send(ctx);
}

static void flow_begin(struct flow *flow, struct bridge *bridge, int from, int to)
{
	flow->bridge = bridge;
	flow->to = to;
	flow->start = flow->end = 0;
	event_assign(&flow->readable, bridge->config.base, from, EV_READ, flow_on_readable, flow);
	event_assign(&flow->writable, bridge->config.base, to, EV_WRITE, flow_on_writable, flow);
	event_add(&flow->readable, NULL);
}

static void flow_end(struct flow *flow)
{
	event_del(&flow->readable);
	event_del(&flow->writable);
}

/* ---------------------------------------------------------------- one connection */

static void bridge_disconnect(struct bridge *bridge)
{
	if (bridge->who == NULL)
		return;
	flow_end(&bridge->up);
	flow_end(&bridge->down);
	close(bridge->client);
	close(bridge->server);
	free(bridge->who);
	bridge->who = NULL;
}

static void bridge_tell_party(struct bridge *bridge, bool attached, const char *who)
{
	if (bridge->config.on_party != NULL)
		bridge->config.on_party(bridge->config.ctx, attached, who);
}

static void bridge_drop(struct bridge *bridge)
{
	char *who = xstrdup(bridge->who);
	bridge_disconnect(bridge);
	gate_pause(&bridge->gate, false);
	bridge_tell_party(bridge, false, who);
	free(who);
}

static void bridge_on_refused(void *ctx, const struct err *err)
{
	struct bridge *bridge = ctx;
	if (bridge->config.on_trouble != NULL)
		bridge->config.on_trouble(bridge->config.ctx, err);
}

static void bridge_on_client(void *ctx, int fd, const struct sockdiag_peer *peer)
{
	struct bridge *bridge = ctx;
	struct err err;
	if (addr_connect_unix_now(bridge->config.path, &bridge->server, &err) < 0) {
		close(fd);
		err_prefix(&err, "tcp client of uid %u (%s) was sent away", (unsigned)peer->uid, peer->name);
		if (gate_limit_pass(&bridge->unreachable, 0))
			bridge_on_refused(bridge, &err);
		return;
	}
	bridge->client = fd;
	bridge->who = xasprintf("tcp client of uid %u (%s)", (unsigned)peer->uid, peer->name);
	gate_pause(&bridge->gate, true);
	flow_begin(&bridge->up, bridge, bridge->client, bridge->server);
	flow_begin(&bridge->down, bridge, bridge->server, bridge->client);
	bridge_tell_party(bridge, true, bridge->who);
}

/* ---------------------------------------------------------------- the bridge */

struct bridge *bridge_new(const struct bridge_config *config)
{
	static const struct gate_ops ops = { bridge_on_client, bridge_on_refused };
	struct bridge *bridge = xcalloc(1, sizeof(*bridge));
	bridge->config = *config;
	bridge->config.path = xstrdup(config->path);
	gate_init(&bridge->gate, config->base, config->listener, config->owner, &ops, bridge);
	return bridge;
}

void bridge_free(struct bridge *bridge)
{
	if (bridge == NULL)
		return;
	gate_fini(&bridge->gate);
	bridge_disconnect(bridge);
	free((char *)bridge->config.path);
	free(bridge);
}

bool bridge_is_connected(const struct bridge *bridge)
{
	return bridge->who != NULL;
}
