/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Either way waits for its source; when that is readable and nothing can be moved, for its target. A target that is full shows by EAGAIN
 * with bytes in the source. A slave whose master is closed gives EIO, or nothing: it is over then, and nothing is watched any more.
 */
#include "loop/ferry.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "wire/mem.h"

#define FERRY_PIECE    65536
#define FERRY_ROUNDS   16 /* pieces in one callback */
#define FERRY_SLEEP_MS 100

enum ferry_result { FERRY_EMPTY, FERRY_FULL, FERRY_MORE, FERRY_OVER, FERRY_BROKEN };

struct ferry_way {
	struct ferry *ferry;
	int from, to;
	struct event readable, writable, again;
};

struct ferry {
	struct ferry_fds fds;
	struct ferry_way down, up; /* from the guest, to the guest */
	void (*on_trouble)(void *ctx, const struct err *err);
	void *ctx;
	bool is_troubled;
};

static bool ferry_has_bytes(int fd)
{
	int count = 0;
	return ioctl(fd, FIONREAD, &count) == 0 && count > 0;
}

/* A terminal that is hung up has other operations than before: splice is none of them. */
static bool ferry_is_hung_up(const struct ferry *ferry)
{
	struct pollfd pollfd = { .fd = ferry->fds.slave };
	return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLHUP) != 0;
}

static enum ferry_result way_move(const struct ferry_way *way)
{
	ssize_t n = splice(way->from, NULL, way->to, NULL, FERRY_PIECE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0)
		return FERRY_MORE;
	int sys = errno;
	if (n == 0 || sys == EIO || ferry_is_hung_up(way->ferry))
		return FERRY_OVER;
	errno = sys;
	if (errno == EINTR)
		return FERRY_MORE;
	if (errno != EAGAIN)
		return FERRY_BROKEN;
	return ferry_has_bytes(way->from) ? FERRY_FULL : FERRY_EMPTY;
}

static void ferry_tell(struct ferry *ferry, int sys)
{
	struct err err;
	if (ferry->is_troubled)
		return;
	ferry->is_troubled = true;
	err_sys(&err, sys, "move bytes between the emulator's terminal and its FIFOs%s",
		sys == EINVAL ? " (Linux 5.11 or newer is needed)" : "");
	ferry->on_trouble(ferry->ctx, &err);
}

static void way_wait(struct ferry_way *way, enum ferry_result result)
{
	static const struct timeval at_once = { 0, 0 }, soon = { 0, FERRY_SLEEP_MS * 1000 };
	if (result == FERRY_EMPTY)
		event_add(&way->readable, NULL);
	else if (result == FERRY_FULL)
		event_add(&way->writable, NULL);
	else if (result != FERRY_OVER)
		event_add(&way->again, result == FERRY_MORE ? &at_once : &soon);
}

static enum ferry_result way_go(struct ferry_way *way)
{
	enum ferry_result result = FERRY_MORE;
	for (int i = 0; i < FERRY_ROUNDS && result == FERRY_MORE; i++)
		result = way_move(way);
	if (result == FERRY_BROKEN)
		ferry_tell(way->ferry, errno);
	return result;
}

static void way_on_event(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct ferry_way *way = ctx;
	way_wait(way, way_go(way));
}

static void way_init(struct ferry_way *way, struct event_base *base, struct ferry *ferry, int from, int to)
{
	*way = (struct ferry_way){ .ferry = ferry, .from = from, .to = to };
	event_assign(&way->readable, base, from, EV_READ, way_on_event, way);
	event_assign(&way->writable, base, to, EV_WRITE, way_on_event, way);
	event_assign(&way->again, base, -1, EV_TIMEOUT, way_on_event, way);
	event_add(&way->readable, NULL);
}

static void way_fini(struct ferry_way *way)
{
	event_del(&way->readable);
	event_del(&way->writable);
	event_del(&way->again);
}

struct ferry *ferry_new(struct event_base *base, const struct ferry_fds *fds, void (*on_trouble)(void *ctx, const struct err *err),
			void *ctx)
{
	struct ferry *ferry = xcalloc(1, sizeof(*ferry));
	ferry->fds = *fds;
	ferry->on_trouble = on_trouble;
	ferry->ctx = ctx;
	way_init(&ferry->down, base, ferry, fds->slave, fds->out);
	way_init(&ferry->up, base, ferry, fds->in, fds->slave);
	return ferry;
}

void ferry_free(struct ferry *ferry)
{
	if (ferry == NULL)
		return;
	way_fini(&ferry->down);
	way_fini(&ferry->up);
	close(ferry->fds.slave);
	close(ferry->fds.out);
	close(ferry->fds.in);
	free(ferry);
}

bool ferry_drain(struct ferry *ferry)
{
	enum ferry_result result = way_go(&ferry->down);
	return result == FERRY_EMPTY || result == FERRY_OVER;
}
