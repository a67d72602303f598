/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/timer.h"

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "wire/mem.h"

struct timer {
	struct event *event;
	void (*on_fire)(void *ctx);
	void *ctx;
};

static void timer_fire(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct timer *timer = arg;
	timer->on_fire(timer->ctx);
}

struct timer *timer_new(struct event_base *base, void (*on_fire)(void *ctx), void *ctx)
{
	struct timer *timer = xcalloc(1, sizeof(*timer));
	timer->on_fire = on_fire;
	timer->ctx = ctx;
	timer->event = evtimer_new(base, timer_fire, timer);
	if (timer->event == NULL)
		abort(); /* out of memory */
	return timer;
}

void timer_free(struct timer *timer)
{
	if (timer == NULL)
		return;
	event_free(timer->event);
	free(timer);
}

void timer_arm(struct timer *timer, uint64_t delay_ms)
{
	struct timeval delay = { .tv_sec = (time_t)(delay_ms / 1000), .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000) };
	if (evtimer_add(timer->event, &delay) != 0)
		abort();
}

void timer_disarm(struct timer *timer)
{
	evtimer_del(timer->event);
}

bool timer_is_armed(const struct timer *timer)
{
	return evtimer_pending(timer->event, NULL) != 0;
}

/* ---- clock */

static uint64_t real_monotonic_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t real_wall_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static struct clock_source clock_source = { real_monotonic_ms, real_wall_ns };

uint64_t clock_monotonic_ms(void)
{
	return clock_source.monotonic_ms();
}

uint64_t clock_wall_ns(void)
{
	return clock_source.wall_ns();
}

void clock_override(const struct clock_source *source)
{
	clock_source = source != NULL ? *source : (struct clock_source){ real_monotonic_ms, real_wall_ns };
}
