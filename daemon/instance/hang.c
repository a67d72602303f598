/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each kind of hang is told once until it is over. The emulator is asked again half its time after it has answered, so that a timer
 * runs only where somebody wants this; silence is measured by one timer that is set to when it would be too long.
 */
#include "instance/hang.h"

#include <stdio.h>
#include <stdlib.h>

#include "instance/priv.h"
#include "wire/mem.h"

struct hang {
	struct instance *inst;
	const Pwemu__V1__HangPolicy *policy; /* the instance's */
	struct timer *ask, *silence;
	bool is_on;                /* the emulator is up and nobody ends it */
	bool is_asking;            /* an answer is waited for */
	uint64_t running_since_ms; /* 0: the guest does not run */
	bool is_silent, is_mute;   /* told */
};

static const Pwemu__V1__HangPolicy *hang_policy(const struct instance *inst)
{
	return inst->request->hang != NULL ? inst->request->hang : inst->target->hang;
}

static void hang_report(struct hang *hang, const char *reason)
{
	struct instance *inst = hang->inst;
	log_warn(&inst->scope, "hangs: %s", reason);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_HANG, NULL, NULL, reason);
	instance_hung(inst, hang->policy->action, reason); /* may free the hang */
}

/* ---------------------------------------------------------------- the emulator's answers */

/* While a log cannot be written the emulator waits for us, not we for it. */
static bool hang_is_drained(const struct hang *hang)
{
	for (size_t i = 0; i < hang->inst->channel_count; i++) {
		const struct hub *hub = hang->inst->channels[i]->hub;
		if (hub != NULL && hub_is_in_trouble(hub))
			return false;
	}
	return true;
}

static void hang_note(struct hang *hang, bool is_late)
{
	bool tell = is_late && !hang->is_mute;
	hang->is_mute = is_late;
	if (!tell)
		return;
	char reason[128];
	snprintf(reason, sizeof(reason), "the emulator has not answered for %.1f s though its output is taken",
		 hang->policy->answer_ms / 1e3);
	hang_report(hang, reason);
}

static void hang_on_answer(void *ctx, const struct err *err)
{
	struct hang *hang = ctx;
	hang->is_asking = false;
	if (!hang->is_on || (err != NULL && (err->code == ERR_CANCELLED || err->code == ERR_UNAVAILABLE)))
		return; /* it is being ended, or the link is gone, and so are we soon */
	timer_arm(hang->ask, hang->policy->answer_ms / 2);
	hang_note(hang, err != NULL && err->code == ERR_DEADLINE_EXCEEDED && hang_is_drained(hang));
}

/* The question may wait behind others that are not answered either (the greeting, after an adoption): its time runs all the same. */
static void hang_ask(void *ctx)
{
	struct hang *hang = ctx;
	struct instance *inst = hang->inst;
	if (inst->link == NULL)
		return;
	timer_arm(hang->ask, hang->policy->answer_ms);
	if (hang->is_asking) {
		hang_note(hang, hang_is_drained(hang));
		return;
	}
	hang->is_asking = true;
	inst->driver->ping(inst->link, hang->policy->answer_ms, hang_on_answer, hang);
}

/* ---------------------------------------------------------------- silence */

static const struct instance_channel *hang_channel(const struct hang *hang)
{
	const char *name = hang->policy->channel;
	return name[0] != '\0' ? channels_find(hang->inst, name) : channels_default(hang->inst);
}

static void hang_on_silence(void *ctx)
{
	struct hang *hang = ctx;
	const struct instance_channel *channel = hang_channel(hang);
	uint64_t limit = hang->policy->silence_ms, now = clock_monotonic_ms(), since = hang->running_since_ms;
	if (channel == NULL || channel->hub == NULL || since == 0)
		return;
	if (hub_is_in_trouble(channel->hub)) { /* it may say what it wants, we cannot hear it */
		timer_arm(hang->silence, limit);
		return;
	}
	uint64_t output = hub_last_output_ms(channel->hub);
	since = output > since ? output : since;
	if (now - since < limit) {
		hang->is_silent = false;
		timer_arm(hang->silence, limit - (now - since));
		return;
	}
	timer_arm(hang->silence, limit);
	if (hang->is_silent)
		return;
	char reason[160];
	hang->is_silent = true;
	snprintf(reason, sizeof(reason), "channel %s has been silent for %.1f s", channel->name, (double)limit / 1e3);
	hang_report(hang, reason);
}

/* ---------------------------------------------------------------- life */

static void hang_set_on(struct hang *hang, bool is_on)
{
	bool changes = hang->is_on != is_on && hang->policy->answer_ms > 0;
	hang->is_on = is_on;
	if (changes && is_on)
		timer_arm(hang->ask, hang->policy->answer_ms / 2);
	else if (changes)
		timer_disarm(hang->ask);
}

static void hang_set_running(struct hang *hang, bool runs)
{
	if (runs == (hang->running_since_ms != 0) || hang->policy->silence_ms == 0)
		return;
	hang->running_since_ms = runs ? clock_monotonic_ms() : 0;
	if (runs)
		timer_arm(hang->silence, hang->policy->silence_ms);
	else
		timer_disarm(hang->silence);
}

void hang_state_changed(struct hang *hang)
{
	if (hang == NULL)
		return;
	enum inst_state state = hang->inst->state;
	hang_set_on(hang, state == INST_RUNNING || state == INST_PAUSED);
	hang_set_running(hang, state == INST_RUNNING);
}

struct hang *hang_new(struct instance *inst)
{
	const Pwemu__V1__HangPolicy *policy = hang_policy(inst);
	if (policy == NULL || (policy->answer_ms == 0 && policy->silence_ms == 0))
		return NULL;
	struct hang *hang = xcalloc(1, sizeof(*hang));
	hang->inst = inst;
	hang->policy = policy;
	hang->ask = timer_new(inst->env->base, hang_ask, hang);
	hang->silence = timer_new(inst->env->base, hang_on_silence, hang);
	hang_state_changed(hang);
	return hang;
}

void hang_free(struct hang *hang)
{
	if (hang == NULL)
		return;
	timer_free(hang->ask);
	timer_free(hang->silence);
	free(hang);
}
