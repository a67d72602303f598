/* SPDX-License-Identifier: Apache-2.0 */
#include "client/drain.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/conn.h"

#define QUIET_SECONDS 30
#define TAIL_BYTES    16384

struct drain {
	struct event_base *base;
	struct event *timer;
	void (*on_data)(void *ctx, const Pwemu__V1__Data *data);
	void *ctx;
	struct err status;
	bool done;
};

static void arm(struct drain *drain)
{
	static const struct timeval quiet = { .tv_sec = QUIET_SECONDS };
	evtimer_add(drain->timer, &quiet);
}

static void finish(struct drain *drain)
{
	drain->done = true;
	event_base_loopbreak(drain->base);
}

static void on_quiet(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct drain *drain = ctx;
	err_set(&drain->status, ERR_DEADLINE_EXCEEDED, "the daemon sent nothing for %d s", QUIET_SECONDS);
	finish(drain);
}

static void on_feed_data(void *ctx, struct feed *feed, const Pwemu__V1__Data *data)
{
	(void)feed;
	struct drain *drain = ctx;
	arm(drain);
	drain->on_data(drain->ctx, data);
}

static void on_feed_end(void *ctx, struct feed *feed, const struct err *status)
{
	(void)feed;
	struct drain *drain = ctx;
	drain->status = *status;
	finish(drain);
}

int drain_feed(struct conn *conn, const struct feed_config *config, void (*on_data)(void *ctx, const Pwemu__V1__Data *data), void *ctx,
	       struct err *err)
{
	static const struct feed_ops ops = { .on_data = on_feed_data, .on_end = on_feed_end };
	struct drain drain = { .base = conn->base, .on_data = on_data, .ctx = ctx };
	drain.timer = evtimer_new(conn->base, on_quiet, &drain);
	arm(&drain);
	struct feed *feed = feed_new(conn, config, &ops, &drain);
	while (!drain.done)
		event_base_loop(conn->base, EVLOOP_NO_EXIT_ON_EMPTY);
	feed_free(feed);
	event_free(drain.timer);
	if (drain.status.code == ERR_OK)
		return 0;
	*err = drain.status;
	return -1;
}

/* ---------------------------------------------------------------- the end of a channel's text */

struct tail {
	char bytes[TAIL_BYTES];
	size_t len;
	bool cut;
};

static void keep_tail(void *ctx, const Pwemu__V1__Data *data)
{
	struct tail *tail = ctx;
	const uint8_t *bytes = data->bytes.data;
	size_t len = data->bytes.len;
	if (len > TAIL_BYTES) {
		bytes += len - TAIL_BYTES;
		len = TAIL_BYTES;
		tail->cut = true;
	}
	if (tail->len + len > TAIL_BYTES) {
		size_t drop = tail->len + len - TAIL_BYTES;
		memmove(tail->bytes, tail->bytes + drop, tail->len - drop);
		tail->len -= drop;
		tail->cut = true;
	}
	memcpy(tail->bytes + tail->len, bytes, len);
	tail->len += len;
}

static void write_tail(const struct tail *tail, int fd)
{
	const char *at = tail->bytes, *end = tail->bytes + tail->len;
	const char *line = tail->cut ? memchr(at, '\n', tail->len) : NULL;
	if (line != NULL)
		at = line + 1;
	while (at < end) {
		ssize_t n = write(fd, at, (size_t)(end - at));
		if (n < 0 && errno != EINTR)
			return;
		at += n > 0 ? n : 0;
	}
	if (tail->len > 0 && end[-1] != '\n')
		(void)!write(fd, "\n", 1);
}

void drain_channel(struct conn *conn, const char *instance_id, const char *channel, int fd)
{
	struct tail tail = { .len = 0 };
	struct err err = ERR_INIT;
	struct feed_config config = { .instance_id = instance_id, .channel = channel };
	config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config.from.at_case = PWEMU__V1__POSITION__AT_START;
	config.from.start = 1;
	if (drain_feed(conn, &config, keep_tail, &tail, &err) == 0)
		write_tail(&tail, fd);
}
