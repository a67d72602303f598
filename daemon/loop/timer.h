/* SPDX-License-Identifier: Apache-2.0 */
/* One-shot timers, deferred work and the clock, over libevent, for code that must not see libevent. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct timer;

struct timer *timer_new(struct event_base *base, void (*on_fire)(void *ctx), void *ctx);
void timer_free(struct timer *timer);                   /* takes NULL */
void timer_arm(struct timer *timer, uint64_t delay_ms); /* replaces what was armed */
void timer_disarm(struct timer *timer);
bool timer_is_armed(const struct timer *timer);

/* Monotonic milliseconds and wall-clock nanoseconds; tests replace them through clock_override(). */
uint64_t clock_monotonic_ms(void);
uint64_t clock_wall_ns(void);
struct clock_source {
	uint64_t (*monotonic_ms)(void);
	uint64_t (*wall_ns)(void);
};
void clock_override(const struct clock_source *source); /* NULL: the real ones */
