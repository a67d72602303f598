/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether and when an emulator that has ended is started again: a pure function of the policy, the quick deaths so far, and now.
 *
 * A boot that lived shorter than the policy's `stable` time was a quick death. Only they are counted: a longer life, and an explicit
 * start, begin a new row.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pwemu/v1/instances.pb-c.h"

#define RESTART_DEATHS_MAX 100 /* the most that a policy's max_deaths counts to */

/* A policy with every default filled in. */
struct restart_policy {
	Pwemu__V1__RestartMode mode;
	uint32_t delay_ms, factor_percent, max_delay_ms, jitter_percent;
	uint32_t max_deaths, window_ms, stable_ms;
};

/* Quick deaths in a row, oldest first; wall-clock times, since they outlive the daemon and the host's boot. */
struct restart_history {
	size_t count;
	uint64_t times_ms[RESTART_DEATHS_MAX];
};

/* A boot that ended. */
struct restart_death {
	Pwemu__V1__EndCause cause;
	uint64_t lived_ms;
	bool wanted; /* whatever the mode: somebody (the hang policy) asked for a restart */
};

enum restart_verdict {
	RESTART_NO,      /* the policy does not want it */
	RESTART_AGAIN,   /* after the delay */
	RESTART_GIVE_UP, /* it died too often */
};

/* NULL: `fallback` with the defaults. Numbers beyond their limits are taken for the limit. */
void restart_policy_fill(const Pwemu__V1__RestartPolicy *given, Pwemu__V1__RestartMode fallback, struct restart_policy *out);

/* Takes the death into the history and decides. `random`: any number, for the jitter. *delay_ms is set for RESTART_AGAIN. */
enum restart_verdict restart_decide(const struct restart_policy *policy, const struct restart_death *death, uint64_t now_ms,
				    uint32_t random, struct restart_history *history, uint32_t *delay_ms);
