/* SPDX-License-Identifier: Apache-2.0 */
/* The restart policy as a function: after which ends, when, how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "instance/restart.h"

#define MODE(name)  PWEMU__V1__RESTART_MODE__RESTART_MODE_##name
#define CAUSE(name) PWEMU__V1__END_CAUSE__END_CAUSE_##name

#define T0 UINT64_C(1700000000000)

/* Of the policy as it is by default; no jitter, so that delays are exact. */
static struct restart_policy policy_of(Pwemu__V1__RestartMode mode)
{
	struct restart_policy policy;
	restart_policy_fill(NULL, mode, &policy);
	policy.jitter_percent = 0;
	return policy;
}

static enum restart_verdict die(const struct restart_policy *policy, struct restart_history *history, uint64_t now, uint64_t lived_ms,
				uint32_t *delay_ms)
{
	struct restart_death death = { .cause = CAUSE(CRASHED), .lived_ms = lived_ms };
	return restart_decide(policy, &death, now, 0, history, delay_ms);
}

/* Every cause in every mode. */
static void test_causes(void **ctx)
{
	(void)ctx;
	static const struct {
		Pwemu__V1__EndCause cause;
		bool on_failure, always;
	} rows[] = {
		{ CAUSE(UNSPECIFIED), false, false }, { CAUSE(FINISHED), false, true },      { CAUSE(GUEST_FAULT), false, true },
		{ CAUSE(STOPPED), false, false },     { CAUSE(GUEST_RESET), false, true },   { CAUSE(BAD_CONFIG), false, false },
		{ CAUSE(CRASHED), true, true },       { CAUSE(KILLED), true, true },         { CAUSE(GDB), false, true },
		{ CAUSE(UNKNOWN), false, true },      { CAUSE(HOST_REBOOTED), false, true }, { CAUSE(HUNG), true, true },
	};
	assert_int_equal(sizeof(rows) / sizeof(rows[0]), pwemu__v1__end_cause__descriptor.n_values);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const bool want[] = { [MODE(UNSPECIFIED)] = false,
				      [MODE(NO)] = false,
				      [MODE(ON_FAILURE)] = rows[i].on_failure,
				      [MODE(ALWAYS)] = rows[i].always };
		for (int mode = MODE(UNSPECIFIED); mode <= (int)MODE(ALWAYS); mode++) {
			struct restart_policy policy = policy_of((Pwemu__V1__RestartMode)mode);
			struct restart_history history = { 0 };
			struct restart_death death = { .cause = rows[i].cause };
			uint32_t delay;
			enum restart_verdict verdict = restart_decide(&policy, &death, T0, 0, &history, &delay);
			if (verdict != (want[mode] ? RESTART_AGAIN : RESTART_NO))
				fail_msg("cause %d in mode %d", (int)rows[i].cause, mode);
			death.wanted = true; /* by the hang policy */
			assert_int_equal(restart_decide(&policy, &death, T0, 0, &history, &delay), RESTART_AGAIN);
		}
	}
}

/* The first retry within 200 ms, then twice as long each time; the fifth quick death is the last. */
static void test_default_row(void **ctx)
{
	(void)ctx;
	struct restart_policy policy = policy_of(MODE(ON_FAILURE));
	struct restart_history history = { 0 };
	uint32_t delay = 0;
	for (uint32_t want = 100, n = 1; n < 5; n++, want *= 2) {
		assert_int_equal(die(&policy, &history, T0 + n * 1000, 500, &delay), RESTART_AGAIN);
		assert_int_equal(delay, want);
	}
	delay = 77;
	assert_int_equal(die(&policy, &history, T0 + 5000, 500, &delay), RESTART_GIVE_UP);
	assert_int_equal(delay, 77);
	assert_int_equal(history.count, 5);
}

static void test_cap(void **ctx)
{
	(void)ctx;
	struct restart_policy policy = policy_of(MODE(ON_FAILURE));
	struct restart_history history = { 0 };
	uint32_t delay = 0;
	policy.max_deaths = RESTART_DEATHS_MAX;
	policy.factor_percent = 1000;
	policy.max_delay_ms = 5000;
	static const uint32_t want[] = { 100, 1000, 5000, 5000 };
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(die(&policy, &history, T0 + i, 0, &delay), RESTART_AGAIN);
		assert_int_equal(delay, want[i]);
	}
	for (size_t i = 4; i < RESTART_DEATHS_MAX - 1; i++) /* no overflow on the way */
		assert_int_equal(die(&policy, &history, T0 + i, 0, &delay), RESTART_AGAIN);
	assert_int_equal(delay, 5000);
	assert_int_equal(die(&policy, &history, T0 + 1000, 0, &delay), RESTART_GIVE_UP);
}

/* A boot that lived begins a new row; so does time. */
static void test_stable_and_window(void **ctx)
{
	(void)ctx;
	struct restart_policy policy = policy_of(MODE(ON_FAILURE));
	struct restart_history history = { 0 };
	uint32_t delay = 0;
	for (int i = 0; i < 4; i++)
		assert_int_equal(die(&policy, &history, T0 + (uint64_t)i, policy.stable_ms - 1, &delay), RESTART_AGAIN);
	assert_int_equal(delay, 800);
	assert_int_equal(die(&policy, &history, T0 + 9, policy.stable_ms, &delay), RESTART_AGAIN);
	assert_int_equal(history.count, 0);
	assert_int_equal(delay, 100);
	for (int i = 0; i < 4; i++)
		assert_int_equal(die(&policy, &history, T0 + (uint64_t)i, 0, &delay), RESTART_AGAIN);
	assert_int_equal(die(&policy, &history, T0 + 4 + policy.window_ms, 0, &delay), RESTART_AGAIN);
	assert_int_equal(history.count, 1);
	assert_int_equal(delay, 100);
}

static void test_jitter(void **ctx)
{
	(void)ctx;
	struct restart_policy policy = policy_of(MODE(ON_FAILURE));
	uint32_t low = UINT32_MAX, high = 0;
	policy.jitter_percent = 20;
	for (uint32_t random = 0; random < 1000; random++) {
		struct restart_history history = { 0 };
		struct restart_death death = { .cause = CAUSE(KILLED) };
		uint32_t delay = 0;
		assert_int_equal(restart_decide(&policy, &death, T0, random * 7919, &history, &delay), RESTART_AGAIN);
		low = delay < low ? delay : low;
		high = delay > high ? delay : high;
	}
	assert_int_equal(low, 80);
	assert_int_equal(high, 120);
}

static void test_zero_delay(void **ctx)
{
	(void)ctx;
	Pwemu__V1__RestartPolicy given = PWEMU__V1__RESTART_POLICY__INIT;
	struct restart_policy policy;
	struct restart_history history = { 0 };
	uint32_t delay = 1;
	given.mode = MODE(ALWAYS);
	given.delay_case = PWEMU__V1__RESTART_POLICY__DELAY_DELAY_MS;
	restart_policy_fill(&given, MODE(NO), &policy);
	assert_int_equal(policy.mode, MODE(ALWAYS));
	assert_int_equal(die(&policy, &history, T0, 0, &delay), RESTART_AGAIN);
	assert_int_equal(delay, 0);
}

static void test_fill(void **ctx)
{
	(void)ctx;
	Pwemu__V1__RestartPolicy given = PWEMU__V1__RESTART_POLICY__INIT;
	struct restart_policy policy;
	restart_policy_fill(&given, MODE(ON_FAILURE), &policy); /* no mode: the fallback */
	assert_int_equal(policy.mode, MODE(ON_FAILURE));
	assert_int_equal(policy.max_deaths, 5);
	assert_int_equal(policy.jitter_percent, 20);
	given.jitter_case = PWEMU__V1__RESTART_POLICY__JITTER_JITTER_PERCENT;
	given.jitter_percent = 5000;
	given.max_deaths = UINT32_MAX;
	given.factor_percent = 100;
	restart_policy_fill(&given, MODE(NO), &policy);
	assert_int_equal(policy.jitter_percent, 100);
	assert_int_equal(policy.max_deaths, RESTART_DEATHS_MAX);
	assert_int_equal(policy.factor_percent, 100);
}

/* A mode of a later version: never, rather than a guess. */
static void test_unknown_mode(void **ctx)
{
	(void)ctx;
	struct restart_policy policy = policy_of((Pwemu__V1__RestartMode)99);
	struct restart_history history = { 0 };
	uint32_t delay;
	assert_int_equal(die(&policy, &history, T0, 0, &delay), RESTART_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_causes), cmocka_unit_test(test_default_row),
		cmocka_unit_test(test_cap),    cmocka_unit_test(test_stable_and_window),
		cmocka_unit_test(test_jitter), cmocka_unit_test(test_zero_delay),
		cmocka_unit_test(test_fill),   cmocka_unit_test(test_unknown_mode),
	};
	return cmocka_run_group_tests_name("instance: restart policy", tests, NULL, NULL);
}
