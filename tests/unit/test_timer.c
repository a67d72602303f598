/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "loop/timer.h"

struct ticks {
	int count;
	struct timer *timer, *other;
};

static void tick(void *ctx)
{
	((struct ticks *)ctx)->count++;
}

static void tick_again(void *ctx)
{
	struct ticks *ticks = ctx;
	assert_false(timer_is_armed(ticks->timer));
	if (++ticks->count < 3)
		timer_arm(ticks->timer, 1);
}

static void tick_and_free(void *ctx)
{
	struct ticks *ticks = ctx;
	ticks->count++;
	timer_free(ticks->timer);
	timer_free(ticks->other);
}

static int base_setup(void **state)
{
	*state = event_base_new();
	return *state != NULL ? 0 : -1;
}

static int base_teardown(void **state)
{
	event_base_free(*state);
	return 0;
}

static void fires_once_and_not_early(void **state)
{
	struct ticks ticks = { 0 };
	struct timer *timer = timer_new(*state, tick, &ticks);
	assert_false(timer_is_armed(timer));
	uint64_t before = clock_monotonic_ms();
	timer_arm(timer, 30);
	assert_true(timer_is_armed(timer));
	event_base_dispatch(*state); /* returns when nothing is armed */
	assert_int_equal(ticks.count, 1);
	assert_true(clock_monotonic_ms() - before >= 29);
	assert_false(timer_is_armed(timer));
	timer_free(timer);
}

static void arming_replaces(void **state)
{
	struct ticks ticks = { 0 };
	struct timer *timer = timer_new(*state, tick, &ticks);
	timer_arm(timer, 3600000);
	timer_arm(timer, 1);
	event_base_dispatch(*state);
	assert_int_equal(ticks.count, 1);
	timer_free(timer);
}

static void disarmed_does_not_fire(void **state)
{
	struct ticks ticks = { 0 };
	struct timer *timer = timer_new(*state, tick, &ticks);
	timer_arm(timer, 0);
	timer_disarm(timer);
	assert_false(timer_is_armed(timer));
	assert_int_equal(event_base_dispatch(*state), 1); /* nothing to wait for */
	assert_int_equal(ticks.count, 0);
	timer_disarm(timer);
	timer_free(timer);
	timer_free(NULL);
}

static void arms_itself_again(void **state)
{
	struct ticks ticks = { 0 };
	ticks.timer = timer_new(*state, tick_again, &ticks);
	timer_arm(ticks.timer, 0);
	event_base_dispatch(*state);
	assert_int_equal(ticks.count, 3);
	timer_free(ticks.timer);
}

static void frees_itself_and_another(void **state)
{
	struct ticks ticks = { 0 };
	ticks.timer = timer_new(*state, tick_and_free, &ticks);
	ticks.other = timer_new(*state, tick, &ticks);
	timer_arm(ticks.timer, 0);
	timer_arm(ticks.other, 1000);
	event_base_dispatch(*state);
	assert_int_equal(ticks.count, 1);
}

static uint64_t fake_ms(void)
{
	return 42;
}
static uint64_t fake_ns(void)
{
	return 43;
}

static void clock_can_be_replaced(void **state)
{
	(void)state;
	static const struct clock_source fake = { fake_ms, fake_ns };
	uint64_t before = clock_monotonic_ms();
	clock_override(&fake);
	assert_int_equal(clock_monotonic_ms(), 42);
	assert_int_equal(clock_wall_ns(), 43);
	clock_override(NULL);
	assert_true(clock_monotonic_ms() >= before);
	assert_true(clock_wall_ns() > 1600000000000000000u);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, base_setup, base_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fires_once_and_not_early), TEST(arming_replaces),          TEST(disarmed_does_not_fire),
		TEST(arms_itself_again),        TEST(frees_itself_and_another), cmocka_unit_test(clock_can_be_replaced),
	};
	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
