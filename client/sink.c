/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sink.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/mem.h"

#define HIGH_WATER 65536
/* What a pipe or terminal takes at once without blocking when poll says that it takes something. */
#define CAREFUL_BYTES 512

enum sink_kind {
	SINK_PLAIN,  /* file, device: never blocks for long */
	SINK_OPENED, /* our own non-blocking opening of a pipe or terminal */
	SINK_SOCKET,
	SINK_CAREFUL, /* it could not be opened again: poll before each small write */
};

struct sink {
	int fd;
	enum sink_kind kind;
	bool terminal, broken;
	char last; /* last byte written, for lone line feeds */
	char *kept;
	size_t len, at, size;
	struct event *writable, *closed;
	const struct sink_ops *ops;
	void *ctx;
};

static int reopen(int fd)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static void choose_kind(struct sink *sink)
{
	struct stat st;
	if (fstat(sink->fd, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) && !isatty(sink->fd)))
		return;
	if (S_ISSOCK(st.st_mode)) {
		sink->kind = SINK_SOCKET;
		return;
	}
	int own = reopen(sink->fd);
	sink->kind = own >= 0 ? SINK_OPENED : SINK_CAREFUL;
	if (own >= 0)
		sink->fd = own;
}

static void break_it(struct sink *sink, int error)
{
	if (sink->broken)
		return;
	sink->broken = true;
	sink->len = sink->at = 0;
	if (sink->writable != NULL)
		event_del(sink->writable);
	if (sink->closed != NULL)
		event_del(sink->closed);
	sink->ops->on_broken(sink->ctx, error);
}

static ssize_t write_some(struct sink *sink, const char *bytes, size_t len)
{
	if (sink->kind == SINK_SOCKET)
		return send(sink->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sink->kind == SINK_CAREFUL) {
		struct pollfd poll_fd = { .fd = sink->fd, .events = POLLOUT };
		if (poll(&poll_fd, 1, 0) <= 0) {
			errno = EAGAIN;
			return -1;
		}
		len = len < CAREFUL_BYTES ? len : CAREFUL_BYTES;
	}
	return write(sink->fd, bytes, len);
}

/* Returns how much was taken; less than len when it would block or is broken. */
static size_t write_all(struct sink *sink, const char *bytes, size_t len)
{
	size_t done = 0;
	while (done < len && !sink->broken) {
		ssize_t n = write_some(sink, bytes + done, len - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			break_it(sink, errno);
	}
	return done;
}

static void keep(struct sink *sink, const char *bytes, size_t len)
{
	if (sink->at > 0) {
		memmove(sink->kept, sink->kept + sink->at, sink->len - sink->at);
		sink->len -= sink->at;
		sink->at = 0;
	}
	if (sink->len + len > sink->size) {
		sink->size = (sink->len + len) * 2;
		sink->kept = xrealloc(sink->kept, sink->size, 1);
	}
	memcpy(sink->kept + sink->len, bytes, len);
	sink->len += len;
}

static void put(struct sink *sink, const char *bytes, size_t len)
{
	bool was_empty = sink->len == sink->at;
	size_t done = was_empty ? write_all(sink, bytes, len) : 0;
	if (sink->broken || done == len)
		return;
	keep(sink, bytes + done, len - done);
	if (was_empty)
		event_add(sink->writable, NULL);
}

static void put_terminal(struct sink *sink, const char *bytes, size_t len)
{
	char text[2048];
	size_t used = 0;
	for (size_t i = 0; i < len; i++) {
		if (used + 2 > sizeof(text)) {
			put(sink, text, used);
			used = 0;
		}
		if (bytes[i] == '\n' && sink->last != '\r')
			text[used++] = '\r';
		text[used++] = sink->last = bytes[i];
	}
	put(sink, text, used);
}

void sink_write(struct sink *sink, const void *bytes, size_t len)
{
	if (sink->broken || len == 0)
		return;
	if (sink->terminal)
		put_terminal(sink, bytes, len);
	else
		put(sink, bytes, len);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct sink *sink = ctx;
	sink->at += write_all(sink, sink->kept + sink->at, sink->len - sink->at);
	if (sink->broken)
		return;
	if (sink->at < sink->len) {
		event_add(sink->writable, NULL);
		return;
	}
	sink->at = sink->len = 0;
	sink->ops->on_drained(sink->ctx);
}

/* Of the write end of a pipe "readable" means one thing: nobody reads it any more. */
static void on_closed(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct sink *sink = ctx;
	struct pollfd poll_fd = { .fd = sink->fd };
	if (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLERR) != 0)
		break_it(sink, EPIPE);
}

static void watch(struct sink *sink, struct event_base *base)
{
	struct stat st;
	sink->writable = event_new(base, sink->fd, EV_WRITE, on_writable, sink);
	if (sink->kind == SINK_OPENED && fstat(sink->fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
		sink->closed = event_new(base, sink->fd, EV_READ | EV_PERSIST, on_closed, sink);
		event_add(sink->closed, NULL);
	}
}

struct sink *sink_new(struct event_base *base, int fd, const struct sink_ops *ops, void *ctx)
{
	struct sink *sink = xcalloc(1, sizeof(*sink));
	sink->fd = fd;
	sink->ops = ops;
	sink->ctx = ctx;
	choose_kind(sink);
	watch(sink, base);
	return sink;
}

void sink_free(struct sink *sink)
{
	if (sink == NULL)
		return;
	if (sink->writable != NULL)
		event_free(sink->writable);
	if (sink->closed != NULL)
		event_free(sink->closed);
	if (sink->kind == SINK_OPENED)
		close(sink->fd);
	free(sink->kept);
	free(sink);
}

bool sink_is_full(const struct sink *sink)
{
	return sink->len - sink->at > HIGH_WATER;
}

bool sink_is_empty(const struct sink *sink)
{
	return sink->len == sink->at;
}

void sink_set_terminal(struct sink *sink, bool terminal)
{
	sink->terminal = terminal;
}
