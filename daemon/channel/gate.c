/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/gate.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/timer.h"

#define GATE_ACCEPTS_PER_TURN 16
#define GATE_QUIET_MS         60000

bool gate_limit_pass(struct gate_limit *limit, uid_t uid)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (now_ms < limit->until_ms && uid == limit->uid)
		return false;
	*limit = (struct gate_limit){ now_ms + GATE_QUIET_MS, uid };
	return true;
}

bool gate_list_has(const struct gate_list *list, uid_t uid)
{
	return uid == list->owner || uid == 0 || (list->may != NULL && list->may(list->ctx, uid));
}

static void gate_refuse(struct gate *gate, struct gate_limit *limit, uid_t uid, const struct err *err)
{
	if (gate_limit_pass(limit, uid))
		gate->ops->on_refused(gate->ctx, err);
}

static bool gate_admits(struct gate *gate, int fd, struct sockdiag_peer *peer)
{
	struct err err;
	if (sockdiag_peer(fd, peer, &err) < 0) {
		err_prefix(&err, "tcp client %s was refused", peer->name);
		gate_refuse(gate, err.code == ERR_NOT_FOUND ? &gate->gone : &gate->broken, 0, &err);
		return false;
	}
	if (gate_list_has(&gate->list, peer->uid))
		return true;
	err_set(&err, ERR_PERMISSION_DENIED, "tcp client of uid %u (%s) was refused: only uid %u and root may connect%s",
		(unsigned)peer->uid, peer->name, (unsigned)gate->list.owner,
		gate->list.may != NULL ? ", and whom this channel is shared with" : "");
	gate_refuse(gate, &gate->stranger, peer->uid, &err);
	return false;
}

static void gate_take(struct gate *gate, int fd)
{
	static const int on = 1;
	struct sockdiag_peer peer;
	if (!gate_admits(gate, fd, &peer)) {
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	gate->ops->on_client(gate->ctx, fd, &peer);
}

/* Without a free fd the listener stays readable for ever: look away for a while instead of spinning. */
static void gate_look_away(struct gate *gate)
{
	static const struct timeval a_while = { 0, 500000 };
	event_del(&gate->acceptable);
	event_add(&gate->again, &a_while);
}

static void gate_on_acceptable(evutil_socket_t listener, short what, void *ctx)
{
	(void)what;
	struct gate *gate = ctx;
	for (int i = 0; i < GATE_ACCEPTS_PER_TURN && !gate->is_paused; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			gate_take(gate, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			gate_look_away(gate);
			return;
		}
	}
}

static void gate_on_again(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct gate *gate = ctx;
	event_add(&gate->acceptable, NULL);
}

void gate_init(struct gate *gate, struct event_base *base, int listener, const struct gate_list *list, const struct gate_ops *ops,
	       void *ctx)
{
	*gate = (struct gate){ .ops = ops, .ctx = ctx, .list = *list };
	event_assign(&gate->acceptable, base, listener, EV_READ | EV_PERSIST, gate_on_acceptable, gate);
	event_assign(&gate->again, base, -1, EV_TIMEOUT, gate_on_again, gate);
	event_add(&gate->acceptable, NULL);
}

void gate_pause(struct gate *gate, bool paused)
{
	gate->is_paused = paused;
	event_del(&gate->again);
	if (paused)
		event_del(&gate->acceptable);
	else
		event_add(&gate->acceptable, NULL);
}

void gate_fini(struct gate *gate)
{
	event_del(&gate->acceptable);
	event_del(&gate->again);
}
