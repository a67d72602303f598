/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/restart.h"

#include <string.h>

#define DELAY_MS       100
#define FACTOR_PERCENT 200
#define MAX_DELAY_MS   30000
#define JITTER_PERCENT 20
#define MAX_DEATHS     5
#define WINDOW_MS      600000
#define STABLE_MS      10000

#define CAUSE(name) (1u << PWEMU__V1__END_CAUSE__END_CAUSE_##name)

/* After which ends each mode starts again. What hung and was ended for it counts as a crash; so does an end that nobody can explain. */
static const unsigned causes[] = {
	[PWEMU__V1__RESTART_MODE__RESTART_MODE_ON_FAILURE] = CAUSE(CRASHED) | CAUSE(KILLED) | CAUSE(HUNG),
	[PWEMU__V1__RESTART_MODE__RESTART_MODE_ALWAYS] = CAUSE(CRASHED) | CAUSE(KILLED) | CAUSE(HUNG) | CAUSE(FINISHED) |
							 CAUSE(GUEST_FAULT) | CAUSE(GUEST_RESET) | CAUSE(GDB) | CAUSE(UNKNOWN) |
							 CAUSE(HOST_REBOOTED),
};

static uint32_t or_default(uint32_t given, uint32_t fallback)
{
	return given != 0 ? given : fallback;
}

static uint32_t at_most(uint32_t value, uint32_t max)
{
	return value < max ? value : max;
}

void restart_policy_fill(const Pwemu__V1__RestartPolicy *given, Pwemu__V1__RestartMode fallback, struct restart_policy *out)
{
	static const Pwemu__V1__RestartPolicy none = PWEMU__V1__RESTART_POLICY__INIT;
	const Pwemu__V1__RestartPolicy *p = given != NULL ? given : &none;
	bool has_delay = p->delay_case == PWEMU__V1__RESTART_POLICY__DELAY_DELAY_MS;
	bool has_jitter = p->jitter_case == PWEMU__V1__RESTART_POLICY__JITTER_JITTER_PERCENT;
	*out = (struct restart_policy){
		.mode = p->mode != PWEMU__V1__RESTART_MODE__RESTART_MODE_UNSPECIFIED ? p->mode : fallback,
		.delay_ms = has_delay ? p->delay_ms : DELAY_MS,
		.factor_percent = or_default(p->factor_percent, FACTOR_PERCENT),
		.max_delay_ms = or_default(p->max_delay_ms, MAX_DELAY_MS),
		.jitter_percent = at_most(has_jitter ? p->jitter_percent : JITTER_PERCENT, 100),
		.max_deaths = at_most(or_default(p->max_deaths, MAX_DEATHS), RESTART_DEATHS_MAX),
		.window_ms = or_default(p->window_ms, WINDOW_MS),
		.stable_ms = or_default(p->stable_ms, STABLE_MS),
	};
}

static bool policy_wants(const struct restart_policy *policy, const struct restart_death *death)
{
	size_t mode = policy->mode;
	if (death->wanted)
		return true;
	return mode < sizeof(causes) / sizeof(causes[0]) && (causes[mode] & (1u << death->cause)) != 0;
}

/* Those that are too long ago do not count any more. */
static void history_forget(struct restart_history *history, size_t count)
{
	history->count -= count;
	memmove(history->times_ms, history->times_ms + count, history->count * sizeof(history->times_ms[0]));
}

static void history_add(struct restart_history *history, const struct restart_policy *policy, uint64_t now_ms)
{
	size_t old = 0;
	while (old < history->count && history->times_ms[old] + policy->window_ms < now_ms)
		old++;
	history_forget(history, old);
	if (history->count == RESTART_DEATHS_MAX)
		history_forget(history, 1);
	history->times_ms[history->count++] = now_ms;
}

/* Of the retry after the n-th quick death in a row; n 0: it had lived well, the first retry. */
static uint32_t delay_after(const struct restart_policy *policy, size_t n, uint32_t random)
{
	uint64_t delay = policy->delay_ms;
	for (size_t i = 1; i < n && delay < policy->max_delay_ms; i++)
		delay = delay * policy->factor_percent / 100;
	if (delay > policy->max_delay_ms)
		delay = policy->max_delay_ms;
	uint64_t spread = delay * policy->jitter_percent / 100;
	return (uint32_t)(delay - spread + random % (2 * spread + 1));
}

enum restart_verdict restart_decide(const struct restart_policy *policy, const struct restart_death *death, uint64_t now_ms,
				    uint32_t random, struct restart_history *history, uint32_t *delay_ms)
{
	if (!policy_wants(policy, death))
		return RESTART_NO;
	if (death->lived_ms >= policy->stable_ms)
		history->count = 0;
	else
		history_add(history, policy, now_ms);
	if (history->count >= policy->max_deaths)
		return RESTART_GIVE_UP;
	*delay_ms = delay_after(policy, history->count, random);
	return RESTART_AGAIN;
}
