/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two buffers: `up` to the emulator, `down` to the party. Nothing is read from a side while the buffer to the other one is full. What a
 * party is told of goes through the loop (`tell`), so that it may do anything in its callbacks.
 */
#include "channel/bridge_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/addr.h"
#include "wire/buf.h"
#include "wire/mem.h"

#define BRIDGE_BUFFER_MAX (64u << 10) /* no more is read while this much waits */
#define BRIDGE_PIECE      16384

struct bridge_party {
	struct bridge *bridge;
	char *who;
	const struct bridge_party_ops *ops;
	void *ctx;
	bool wants_room;
};

struct bridge {
	struct bridge_config config; /* its path is owned */
	struct bridge_tcp *tcp;
	struct bridge_pty *pty;
	struct bridge_party *party; /* NULL: nobody is there */
	bool is_waiting;            /* the party has come before the filter was done with the one before */
	bool must_wait;             /* … which it is not yet */
	bool is_ended;              /* nothing more comes for the party */
	struct err end;             /* why; ERR_OK: the emulator has closed */
	int server;                 /* -1: not connected */
	bool is_opening;            /* … but soon */
	struct evbuffer *up, *down;
	struct event readable, writable; /* of the server */
	struct event tell;
};

const struct bridge_config *bridge_configuration(const struct bridge *bridge)
{
	return &bridge->config;
}

void bridge_tell_trouble(const struct bridge *bridge, const struct err *err)
{
	if (bridge->config.on_trouble != NULL)
		bridge->config.on_trouble(bridge->config.ctx, err);
}

static void bridge_tell_party(const struct bridge *bridge, bool attached, const char *who)
{
	if (bridge->config.on_party != NULL)
		bridge->config.on_party(bridge->config.ctx, attached, who);
}

static void bridge_tell(struct bridge *bridge)
{
	event_active(&bridge->tell, EV_TIMEOUT, 0);
}

/* ---------------------------------------------------------------- the emulator's end */

static void bridge_await_output(struct bridge *bridge)
{
	if (bridge->server >= 0 && evbuffer_get_length(bridge->down) < BRIDGE_BUFFER_MAX)
		event_add(&bridge->readable, NULL);
}

/* An error shows up as the end on the read side. */
static void bridge_flush(struct bridge *bridge)
{
	if (bridge->server < 0)
		return;
	while (evbuffer_get_length(bridge->up) > 0 && evbuffer_write(bridge->up, bridge->server) > 0) {
	}
	if (evbuffer_get_length(bridge->up) > 0)
		event_add(&bridge->writable, NULL);
	else if (bridge->party != NULL && bridge->party->wants_room)
		bridge_tell(bridge);
}

static void bridge_on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	bridge_flush(ctx);
}

static void bridge_close_server(struct bridge *bridge)
{
	bridge_flush(bridge);
	event_del(&bridge->readable);
	event_del(&bridge->writable);
	close(bridge->server);
	bridge->server = -1;
	evbuffer_drain(bridge->up, evbuffer_get_length(bridge->up));
}

void bridge_hang_up(struct bridge *bridge)
{
	bool was_there = bridge->server >= 0 || bridge->is_opening;
	bridge->is_opening = false;
	if (bridge->server >= 0)
		bridge_close_server(bridge);
	if (was_there && bridge->config.close != NULL)
		bridge->config.close(bridge->config.ctx);
}

static void bridge_lose(struct bridge *bridge)
{
	bridge_hang_up(bridge);
	if (bridge->config.filter != NULL)
		bridge->config.filter->on_lost(bridge->config.filter_ctx);
	bridge->must_wait = false;
	if (bridge->party == NULL || bridge->is_waiting) {
		bridge_next(bridge);
		return;
	}
	bridge->is_ended = true;
	bridge_tell(bridge);
}

static void bridge_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct bridge *bridge = ctx;
	static char buf[BRIDGE_PIECE];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		bridge_lose(bridge);
		return;
	}
	if (n > 0 && bridge->config.filter != NULL)
		bridge->config.filter->on_output(bridge->config.filter_ctx, buf, (size_t)n);
	else if (n > 0)
		bridge_send_party(bridge, buf, (size_t)n);
	bridge_await_output(bridge);
}

static void bridge_take(struct bridge *bridge, int fd)
{
	bridge->server = fd;
	event_assign(&bridge->readable, bridge->config.base, bridge->server, EV_READ, bridge_on_readable, bridge);
	event_assign(&bridge->writable, bridge->config.base, bridge->server, EV_WRITE, bridge_on_writable, bridge);
	bridge_await_output(bridge);
	if (bridge->config.filter != NULL)
		bridge->config.filter->on_connected(bridge->config.filter_ctx);
}

int bridge_connect(struct bridge *bridge, struct err *err)
{
	int fd;
	if (bridge->server >= 0 || bridge->is_opening)
		return 0;
	if (bridge->config.path == NULL) {
		bridge->is_opening = true;
		bridge->config.open(bridge->config.ctx);
		return 0;
	}
	if (addr_connect_unix_now(bridge->config.path, &fd, err) < 0)
		return -1;
	bridge_take(bridge, fd);
	return 0;
}

void bridge_opened(struct bridge *bridge, int fd, const struct err *err)
{
	bridge->is_opening = false;
	if (fd < 0) {
		bridge->end = *err;
		bridge_lose(bridge);
		return;
	}
	bridge_take(bridge, fd);
	if (bridge->party != NULL && bridge->party->wants_room)
		bridge_tell(bridge);
}

void bridge_send_emulator(struct bridge *bridge, const void *bytes, size_t len)
{
	if (bridge->server < 0)
		return;
	buf_require(evbuffer_add(bridge->up, bytes, len) == 0);
	bridge_flush(bridge);
}

void bridge_send_party(struct bridge *bridge, const void *bytes, size_t len)
{
	if (bridge->party == NULL || bridge->is_waiting)
		return;
	buf_require(evbuffer_add(bridge->down, bytes, len) == 0);
	bridge_tell(bridge);
}

/* ---------------------------------------------------------------- the party */

/* It is gone; its struct too. */
static void bridge_forget_party(struct bridge *bridge)
{
	struct bridge_party *party = bridge->party;
	bridge->party = NULL;
	bridge->is_waiting = bridge->is_ended = false;
	evbuffer_drain(bridge->down, evbuffer_get_length(bridge->down));
	bridge_tell_party(bridge, false, party->who);
	free(party->who);
	free(party);
}

static void bridge_end_party(struct bridge *bridge)
{
	const struct bridge_party_ops *ops = bridge->party->ops;
	void *ctx = bridge->party->ctx;
	struct err err = bridge->end;
	bridge_forget_party(bridge);
	bridge->end = (struct err)ERR_INIT;
	ops->on_end(ctx, err_is_set(&err) ? &err : NULL);
}

/* Each call may be the party's last. */
static void bridge_on_tell(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct bridge *bridge = ctx;
	struct bridge_party *party = bridge->party;
	if (party != NULL && evbuffer_get_length(bridge->down) > 0)
		party->ops->on_output(party->ctx);
	if (party != NULL && bridge->party == party && party->wants_room && !bridge->is_opening && evbuffer_get_length(bridge->up) == 0) {
		party->wants_room = false;
		party->ops->on_room(party->ctx);
	}
	if (party != NULL && bridge->party == party && bridge->is_ended && evbuffer_get_length(bridge->down) == 0)
		bridge_end_party(bridge);
}

static int bridge_begin(struct bridge *bridge, struct err *err)
{
	const struct bridge_filter *filter = bridge->config.filter;
	if (filter != NULL)
		filter->on_coming(bridge->config.filter_ctx);
	if (bridge_connect(bridge, err) == 0)
		return 0;
	if (filter != NULL)
		filter->on_lost(bridge->config.filter_ctx);
	err_prefix(err, "the emulator does not take connections");
	return err_reason(err, "not-running");
}

int bridge_join(struct bridge *bridge, const char *who, const struct bridge_party_ops *ops, void *ctx, struct bridge_party **out,
		struct err *err)
{
	if (bridge->party != NULL) {
		err_set(err, ERR_FAILED_PRECONDITION, "%s has it; it takes one at a time", bridge->party->who);
		return err_reason(err, "busy");
	}
	if (!bridge->must_wait) {
		bridge_hang_up(bridge);
		bridge->end = (struct err)ERR_INIT;
	}
	struct bridge_party *party = xcalloc(1, sizeof(*party));
	*party = (struct bridge_party){ .bridge = bridge, .who = xstrdup(who), .ops = ops, .ctx = ctx };
	bridge->party = party;
	bridge->is_waiting = bridge->must_wait;
	if (!bridge->is_waiting && bridge_begin(bridge, err) < 0) {
		bridge->party = NULL;
		free(party->who);
		free(party);
		err->code = ERR_FAILED_PRECONDITION;
		return -1;
	}
	*out = party;
	bridge_tell_party(bridge, true, who);
	return 0;
}

void bridge_next(struct bridge *bridge)
{
	struct err err = ERR_INIT;
	bridge->must_wait = false;
	if (bridge->party == NULL || !bridge->is_waiting)
		return;
	bridge->is_waiting = false;
	if (bridge_begin(bridge, &err) < 0) {
		bridge->end = err;
		bridge->is_ended = true;
	}
	bridge->party->wants_room = true;
	bridge_tell(bridge);
}

size_t bridge_write(struct bridge_party *party, const void *bytes, size_t len)
{
	struct bridge *bridge = party->bridge;
	bool is_full = evbuffer_get_length(bridge->up) >= BRIDGE_BUFFER_MAX;
	if (bridge->is_ended || len == 0)
		return len; /* nobody wants it any more */
	if (bridge->is_waiting || bridge->is_opening || is_full) {
		party->wants_room = true;
		return 0;
	}
	if (bridge->config.filter != NULL)
		bridge->config.filter->on_input(bridge->config.filter_ctx, bytes, len);
	else
		bridge_send_emulator(bridge, bytes, len);
	return len;
}

static void bridge_was_read(struct bridge *bridge)
{
	bridge_await_output(bridge);
	if (bridge->is_ended && evbuffer_get_length(bridge->down) == 0)
		bridge_tell(bridge);
}

size_t bridge_read(struct bridge_party *party, void *buf, size_t size)
{
	int n = evbuffer_remove(party->bridge->down, buf, size);
	bridge_was_read(party->bridge);
	return n > 0 ? (size_t)n : 0;
}

int bridge_read_to(struct bridge_party *party, int fd)
{
	int n = 1;
	while (bridge_has_output(party) && n > 0)
		n = evbuffer_write(party->bridge->down, fd);
	bool is_broken = n < 0 && errno != EAGAIN && errno != EINTR;
	if (!is_broken)
		bridge_was_read(party->bridge);
	return is_broken ? -1 : 0;
}

bool bridge_has_output(const struct bridge_party *party)
{
	return evbuffer_get_length(party->bridge->down) > 0;
}

void bridge_leave(struct bridge_party *party)
{
	if (party == NULL)
		return;
	struct bridge *bridge = party->bridge;
	bool was_there = !bridge->is_waiting && !bridge->is_ended;
	bridge_forget_party(bridge);
	if (!was_there)
		return;
	if (bridge->config.filter == NULL) {
		bridge_hang_up(bridge);
		return;
	}
	bridge->must_wait = true;
	bridge->config.filter->on_left(bridge->config.filter_ctx);
}

void bridge_drop_party(struct bridge *bridge)
{
	if (bridge->party == NULL || bridge->is_waiting)
		return;
	bridge->is_ended = true;
	bridge_tell(bridge);
}

void bridge_end(struct bridge *bridge, const struct err *why)
{
	if (bridge->party == NULL)
		return;
	bridge->end = *why;
	bridge->is_ended = true;
	bridge_tell(bridge);
}

void bridge_hold(struct bridge *bridge)
{
	bridge->must_wait = true;
}

bool bridge_is_connected(const struct bridge *bridge)
{
	return bridge->server >= 0;
}

const char *bridge_holder(const struct bridge *bridge)
{
	return bridge->party != NULL ? bridge->party->who : NULL;
}

/* ---------------------------------------------------------------- the bridge */

struct bridge *bridge_new(const struct bridge_config *config)
{
	struct bridge *bridge = xcalloc(1, sizeof(*bridge));
	bridge->config = *config;
	bridge->config.path = config->path != NULL ? xstrdup(config->path) : NULL;
	bridge->server = -1;
	bridge->up = buf_new();
	bridge->down = buf_new();
	event_assign(&bridge->tell, config->base, -1, EV_TIMEOUT, bridge_on_tell, bridge);
	return bridge;
}

int bridge_serve(struct bridge *bridge, const struct endpoint_fds *fds, const char *pty_path, struct err *err)
{
	if (fds->master >= 0)
		return bridge_pty_new(bridge, fds, pty_path, &bridge->pty, err);
	bridge->tcp = bridge_tcp_new(bridge, fds->listener);
	return 0;
}

void bridge_review(struct bridge *bridge)
{
	bridge_tcp_review(bridge->tcp);
}

bool bridge_is_served(const struct bridge *bridge)
{
	return bridge->tcp != NULL || bridge->pty != NULL;
}

/* What the emulator has said last, of which the loop has not told yet. */
static void bridge_end_now(struct bridge *bridge)
{
	while (bridge->server >= 0 && bridge->party != NULL && evbuffer_get_length(bridge->down) < BRIDGE_BUFFER_MAX) {
		int before = bridge->server;
		size_t had = evbuffer_get_length(bridge->down);
		bridge_on_readable(bridge->server, EV_READ, bridge);
		if (bridge->server != before || evbuffer_get_length(bridge->down) == had)
			break;
	}
	if (bridge->party != NULL && evbuffer_get_length(bridge->down) > 0)
		bridge->party->ops->on_output(bridge->party->ctx);
	if (bridge->party != NULL)
		bridge_end_party(bridge);
}

void bridge_free(struct bridge *bridge)
{
	if (bridge == NULL)
		return;
	bridge_end_now(bridge);
	bridge_hang_up(bridge);
	event_del(&bridge->tell);
	bridge_tcp_free(bridge->tcp);
	bridge_pty_free(bridge->pty);
	evbuffer_free(bridge->up);
	evbuffer_free(bridge->down);
	free((char *)bridge->config.path);
	free(bridge);
}
