/* SPDX-License-Identifier: Apache-2.0 */
/* epoll takes no plain files and no /dev/null; they are always ready, so their event is made active by hand. */
#include "client/stdin.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "wire/mem.h"

struct stdin_reader {
	struct event *event;
	const struct stdin_ops *ops;
	void *ctx;
	bool running, ended, always_ready;
};

static void arm(struct stdin_reader *reader)
{
	if (reader->always_ready)
		event_active(reader->event, EV_READ, 0);
	else
		event_add(reader->event, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct stdin_reader *reader = ctx;
	char bytes[4096];
	struct pollfd poll_fd = { .fd = STDIN_FILENO, .events = POLLIN };
	(void)fd;
	if (!reader->running || reader->ended)
		return;
	if (poll(&poll_fd, 1, 0) <= 0) { /* somebody else took it */
		arm(reader);
		return;
	}
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
		arm(reader);
		return;
	}
	if (n <= 0) {
		reader->ended = true;
		reader->ops->on_end(reader->ctx);
		return;
	}
	arm(reader); /* first, since the callback may pause or free us */
	reader->ops->on_bytes(reader->ctx, bytes, (size_t)n);
}

/* Asked of an epoll of our own, since libevent complains on stderr. */
static bool can_be_polled(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	bool can = epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
	if (epoll >= 0)
		close(epoll);
	return can;
}

struct stdin_reader *stdin_new(struct event_base *base, const struct stdin_ops *ops, void *ctx)
{
	struct stdin_reader *reader = xcalloc(1, sizeof(*reader));
	reader->ops = ops;
	reader->ctx = ctx;
	reader->always_ready = !can_be_polled(STDIN_FILENO);
	reader->event = event_new(base, reader->always_ready ? -1 : STDIN_FILENO, reader->always_ready ? 0 : EV_READ, on_readable, reader);
	return reader;
}

void stdin_free(struct stdin_reader *reader)
{
	if (reader == NULL)
		return;
	event_free(reader->event);
	free(reader);
}

void stdin_pause(struct stdin_reader *reader)
{
	if (!reader->running)
		return;
	reader->running = false;
	event_del(reader->event);
}

void stdin_resume(struct stdin_reader *reader)
{
	if (reader->running || reader->ended)
		return;
	reader->running = true;
	arm(reader);
}
