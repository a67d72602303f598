/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the socket does not take of io->out at once goes to the bufferevent's own output, and blocks until it has left. Input comes in
 * records of at most 16 KiB, of which one callback hands over what is there. The bufferevent tells the end before the data that came
 * ahead of it, so the end is kept until it is its turn.
 */
#include "wire/io_tls.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <stdlib.h>

#include "wire/buf.h"
#include "wire/mem.h"

struct io_tls {
	const struct tls_ops *ops;
	struct bufferevent *bev;
	bool is_open;   /* the handshake is done */
	bool has_ended; /* nothing comes behind what has been read */
	int sys;
};

static void io_tls_on_readable(struct bufferevent *bev, void *arg);
static void io_tls_on_writable(struct bufferevent *bev, void *arg);
static void io_tls_on_event(struct bufferevent *bev, short what, void *arg);

static bool io_tls_is_held(const struct io *io)
{
	return io->hold_when_blocked && io->is_blocked;
}

/* From the loop, whatever is there to be read. */
static void io_tls_look_again(struct io *io)
{
	bufferevent_trigger(io->tls->bev, EV_READ, BEV_OPT_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
}

static void io_tls_set_blocked(struct io *io, bool is_blocked)
{
	struct io_tls *tls = io->tls;
	if (io->is_blocked == is_blocked)
		return;
	io->is_blocked = is_blocked;
	if (!tls->is_open)
		return; /* what blocks is the handshake, which needs to read */
	bufferevent_setcb(tls->bev, io_tls_on_readable, is_blocked ? io_tls_on_writable : NULL, io_tls_on_event, io);
	if (!io->hold_when_blocked)
		return;
	if (is_blocked) {
		bufferevent_disable(tls->bev, EV_READ);
		return;
	}
	bufferevent_enable(tls->bev, EV_READ);
	if (tls->has_ended || evbuffer_get_length(bufferevent_get_input(tls->bev)) > 0)
		io_tls_look_again(io);
}

/* The peer's last words may still be on their way, so a failed write is no end: reading finds it. */
static void io_tls_write_failed(struct io *io)
{
	evbuffer_drain(io->out, evbuffer_get_length(io->out));
	bufferevent_disable(io->tls->bev, EV_WRITE);
	io_tls_set_blocked(io, false);
	bufferevent_enable(io->tls->bev, EV_READ); /* the error has stopped it */
}

void io_tls_write(struct io *io)
{
	struct io_tls *tls = io->tls;
	struct evbuffer *below = bufferevent_get_output(tls->bev);
	if (tls->is_open && !io->is_write_broken && evbuffer_get_length(io->out) > 0) {
		if (evbuffer_get_length(below) == 0 && tls->ops->write(tls->bev, io->out) < 0)
			io->is_write_broken = true;
		else if (evbuffer_get_length(io->out) > 0)
			buf_require(evbuffer_add_buffer(below, io->out) == 0);
	}
	if (io->is_write_broken)
		io_tls_write_failed(io);
	else
		io_tls_set_blocked(io, io_tls_queued(io) > 0);
}

static void io_tls_on_writable(struct bufferevent *bev, void *arg)
{
	struct io *io = arg;
	(void)bev;
	if (!io->is_blocked)
		return;
	io_tls_write(io);
	if (!io->is_blocked)
		io->ops->on_drained(io->ctx);
}

/* ---------------------------------------------------------------- input */

static void io_tls_lost(struct io *io)
{
	bufferevent_disable(io->tls->bev, EV_READ | EV_WRITE);
	io->ops->on_lost(io->ctx, io->tls->sys);
}

static void io_tls_on_readable(struct bufferevent *bev, void *arg)
{
	static uint8_t input[IO_READ_BYTES];
	struct io *io = arg;
	struct io_tls *tls = io->tls;
	struct evbuffer *from = bufferevent_get_input(bev);
	if (io_tls_is_held(io))
		return;
	int n = evbuffer_remove(from, input, sizeof(input));
	if (n > 0 && (tls->has_ended || evbuffer_get_length(from) > 0))
		io_tls_look_again(io);
	if (n > 0)
		io->ops->on_input(io->ctx, input, (size_t)n);
	else if (tls->has_ended)
		io_tls_lost(io);
}

static void io_tls_opened(struct io *io)
{
	struct io_tls *tls = io->tls;
	struct err err = ERR_INIT;
	if (tls->ops->opened(tls->bev, &err) < 0) {
		tls->sys = EPROTO;
		io_tls_lost(io);
		return;
	}
	tls->is_open = true;
	io->is_blocked = false;
	io_tls_write(io);
	if (!io->is_blocked)
		io->ops->on_drained(io->ctx);
}

static void io_tls_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct io *io = arg;
	struct io_tls *tls = io->tls;
	if ((what & BEV_EVENT_CONNECTED) != 0) {
		io_tls_opened(io);
		return;
	}
	if ((what & BEV_EVENT_WRITING) != 0) {
		io->is_write_broken = true;
		io_tls_write_failed(io);
		io->ops->on_drained(io->ctx);
		return;
	}
	tls->has_ended = true;
	if ((what & BEV_EVENT_ERROR) != 0)
		tls->sys = errno != 0 && errno != EAGAIN ? errno : EPROTO;
	if (evbuffer_get_length(bufferevent_get_input(bev)) > 0)
		io_tls_look_again(io);
	else
		io_tls_lost(io);
}

/* ---------------------------------------------------------------- life */

void io_tls_init(struct io *io, const struct tls_link *link)
{
	struct io_tls *tls = xcalloc(1, sizeof(*tls));
	*tls = (struct io_tls){ .ops = link->ops, .bev = link->bev, .is_open = link->is_open };
	io->tls = tls;
	io->fd = bufferevent_getfd(tls->bev);
	bufferevent_setcb(tls->bev, io_tls_on_readable, NULL, io_tls_on_event, io);
	bufferevent_enable(tls->bev, EV_READ | EV_WRITE);
	if (tls->is_open)
		io_tls_look_again(io);
}

void io_tls_fini(struct io *io)
{
	io->tls->ops->detach(io->tls->bev);
	free(io->tls);
	io->tls = NULL;
	io->fd = -1;
}

size_t io_tls_queued(const struct io *io)
{
	return io->is_write_broken ? 0 : evbuffer_get_length(io->out) + evbuffer_get_length(bufferevent_get_output(io->tls->bev));
}

uint64_t io_tls_written(const struct io *io)
{
	return io->tls->ops->written(io->tls->bev);
}

void io_tls_end_output(struct io *io)
{
	io->tls->ops->end_output(io->tls->bev);
}

char *io_tls_subject(const struct io *io)
{
	return io->tls->is_open ? io->tls->ops->subject(io->tls->bev) : NULL;
}
