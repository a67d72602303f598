/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "loop/helper.h"
#include "wire/mem.h"

struct loop_watch {
	struct event *event;
	void (*on_event)(void *ctx);
	void *ctx;
};

/* A descriptor that could not be watched would never be heard of again. Like any lack of memory that ends us; the next daemon adopts. */
static void loop_on_log(int severity, const char *text)
{
	log_warn(NULL, "libevent: %s", text);
	if (severity >= EVENT_LOG_WARN && strncmp(text, "Epoll ", 6) == 0 && strncmp(text, "Epoll DEL", 9) != 0)
		abort();
}

struct event_base *loop_new(void)
{
	event_set_log_callback(loop_on_log);
	struct event_config *config = event_config_new();
	if (config == NULL)
		abort();
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL)
		abort();
	return base;
}

void loop_free(struct event_base *base)
{
	helper_dismiss(base);
	event_base_free(base);
}

void loop_run(struct event_base *base)
{
	event_base_dispatch(base);
}

void loop_stop(struct event_base *base)
{
	event_base_loopbreak(base);
}

static void loop_on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct loop_watch *watch = arg;
	watch->on_event(watch->ctx);
}

static struct loop_watch *loop_watch(struct event_base *base, int fd, short what, void (*on_event)(void *ctx), void *ctx)
{
	struct loop_watch *watch = xcalloc(1, sizeof(*watch));
	watch->on_event = on_event;
	watch->ctx = ctx;
	watch->event = event_new(base, fd, what | EV_PERSIST, loop_on_event, watch);
	if (watch->event == NULL || event_add(watch->event, NULL) < 0)
		abort();
	return watch;
}

struct loop_watch *loop_watch_fd(struct event_base *base, int fd, void (*on_event)(void *ctx), void *ctx)
{
	return loop_watch(base, fd, EV_READ, on_event, ctx);
}

struct loop_watch *loop_watch_signal(struct event_base *base, int sig, void (*on_event)(void *ctx), void *ctx)
{
	return loop_watch(base, sig, EV_SIGNAL, on_event, ctx);
}

void loop_watch_free(struct loop_watch *watch)
{
	if (watch == NULL)
		return;
	event_free(watch->event);
	free(watch);
}
