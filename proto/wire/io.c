/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One static read buffer serves all connections: on_input has copied what it keeps before it returns. Bufferevents are not used:
 * they read 4 KiB at a time and keep buffers for idle connections.
 */
#include "wire/io.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire/buf.h"
#include "wire/io_tls.h"

#define IO_VECS 32

/* Without memory the kernel says no to what it would take a moment later; the event comes again. */
static bool io_may_try_again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOMEM || errno == ENOBUFS;
}

static void io_on_readable(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t input[IO_READ_BYTES];
	struct io *io = arg;
	ssize_t n;
	(void)what;
	do
		n = recv(fd, input, sizeof(input), 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		io->ops->on_input(io->ctx, input, (size_t)n);
		return;
	}
	if (n < 0 && io_may_try_again())
		return;
	int sys = n < 0 ? errno : 0;
	event_del(&io->read_event);
	event_del(&io->write_event);
	io->ops->on_lost(io->ctx, sys);
}

static void io_set_blocked(struct io *io, bool is_blocked)
{
	if (io->is_blocked == is_blocked)
		return;
	io->is_blocked = is_blocked;
	if (is_blocked)
		event_add(&io->write_event, NULL);
	else
		event_del(&io->write_event);
	if (!io->hold_when_blocked)
		return;
	if (is_blocked)
		event_del(&io->read_event);
	else
		event_add(&io->read_event, NULL);
}

/* The peer's last words may still be in our receive queue, so a failed write is no end: reading finds it. */
static void io_write_failed(struct io *io)
{
	io->is_write_broken = true;
	evbuffer_drain(io->out, evbuffer_get_length(io->out));
	io_set_blocked(io, false);
}

void io_write(struct io *io)
{
	if (io->tls != NULL) {
		io_tls_write(io);
		return;
	}
	while (evbuffer_get_length(io->out) > 0) {
		if (io->is_write_broken) {
			io_write_failed(io);
			return;
		}
		struct evbuffer_iovec vec[IO_VECS];
		int count = evbuffer_peek(io->out, -1, NULL, vec, IO_VECS);
		struct msghdr msg = { .msg_iov = (struct iovec *)vec, .msg_iovlen = (size_t)(count < IO_VECS ? count : IO_VECS) };
		ssize_t n = sendmsg(io->fd, &msg, MSG_NOSIGNAL);
		if (n > 0) {
			io->written += (uint64_t)n;
			evbuffer_drain(io->out, (size_t)n);
		} else if (n < 0 && io_may_try_again()) {
			io_set_blocked(io, true);
			return;
		} else if (n == 0 || errno != EINTR) {
			io_write_failed(io);
			return;
		}
	}
	io_set_blocked(io, false);
}

static void io_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;
	(void)fd;
	(void)what;
	io_write(io);
	if (!io->is_blocked)
		io->ops->on_drained(io->ctx);
}

void io_init(struct io *io, struct event_base *base, int fd, bool hold_when_blocked, const struct io_ops *ops, void *ctx)
{
	*io = (struct io){ .fd = fd, .hold_when_blocked = hold_when_blocked, .ops = ops, .ctx = ctx };
	io->out = buf_new();
	event_assign(&io->read_event, base, fd, EV_READ | EV_PERSIST, io_on_readable, io);
	event_assign(&io->write_event, base, fd, EV_WRITE | EV_PERSIST, io_on_writable, io);
	event_add(&io->read_event, NULL);
}

void io_init_tls(struct io *io, const struct tls_link *link, bool hold_when_blocked, const struct io_ops *ops, void *ctx)
{
	*io = (struct io){ .hold_when_blocked = hold_when_blocked, .ops = ops, .ctx = ctx };
	io->out = buf_new();
	io_tls_init(io, link);
}

void io_fini(struct io *io)
{
	if (io->out == NULL)
		return;
	if (io->tls != NULL) {
		io_tls_fini(io);
	} else {
		event_del(&io->read_event);
		event_del(&io->write_event);
		close(io->fd);
	}
	evbuffer_free(io->out);
	io->out = NULL;
	io->fd = -1;
}

void io_end_output(struct io *io)
{
	if (io->tls != NULL)
		io_tls_end_output(io);
	else
		shutdown(io->fd, SHUT_WR);
}

size_t io_queued(const struct io *io)
{
	return io->tls != NULL ? io_tls_queued(io) : evbuffer_get_length(io->out);
}

uint64_t io_written(const struct io *io)
{
	return io->tls != NULL ? io_tls_written(io) : io->written;
}

char *io_subject(const struct io *io)
{
	return io->tls != NULL ? io_tls_subject(io) : NULL;
}
