/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a boot: its last bytes, why it ended, and whether the emulator is started again. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config/settings.h"
#include "config/value.h"
#include "instance/priv.h"
#include "wire/utf8.h"

/* ---------------------------------------------------------------- why */

/* An end that the daemon brought about is no fault of whoever is named by the exit status. */
static void end_override(const struct instance *inst, struct driver_verdict *verdict)
{
	if (inst->ending[0] == '\0' || inst->stop_requested || verdict->cause == PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_FAULT)
		return;
	if (inst->was_refused) {
		/* What was good before is not bad now: the host is in trouble, and it may pass. */
		verdict->cause = inst->is_restart ? PWEMU__V1__END_CAUSE__END_CAUSE_CRASHED : PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG;
		snprintf(verdict->message, sizeof(verdict->message), "%.200s", inst->ending);
		return;
	}
	verdict->cause = PWEMU__V1__END_CAUSE__END_CAUSE_HUNG;
	snprintf(verdict->message, sizeof(verdict->message), "ended by the daemon: %.200s", inst->ending);
}

/* What it died of may be a limit that somebody has set: which, and where. */
static void end_explain_limits(const struct instance *inst, const char *text, struct driver_verdict *verdict)
{
	const struct settings *settings = inst->env->settings;
	char limit[32], said[sizeof(verdict->message)];
	bool is_short = strstr(text, "Cannot allocate memory") != NULL || strstr(text, "failed to allocate") != NULL;
	if (settings == NULL)
		return;
	if (inst->proc_end.signal == SIGKILL && !inst->stop_requested && boot_oom_kills(inst) > inst->oom_kills) {
		verdict->cause = PWEMU__V1__END_CAUSE__END_CAUSE_KILLED;
		snprintf(verdict->message, sizeof(verdict->message),
			 "resource exhausted: its control group has used the memory that it may (settings emulator-memory, user-memory)");
	} else if (settings->emulator_cpu_ms > 0 && inst->proc_end.signal == SIGXCPU) {
		verdict->cause = PWEMU__V1__END_CAUSE__END_CAUSE_KILLED;
		snprintf(verdict->message, sizeof(verdict->message),
			 "resource exhausted: it has used the %s of CPU time that it may (setting "
			 "emulator-cpu)",
			 value_duration_text(settings->emulator_cpu_ms, limit, sizeof(limit)));
	} else if (settings->emulator_memory_bytes > 0 && is_short) {
		snprintf(said, sizeof(said), "%s", verdict->message);
		snprintf(verdict->message, sizeof(verdict->message),
			 "resource exhausted: it may have %s of memory (setting emulator-memory): %.120s",
			 value_size_text(settings->emulator_memory_bytes, limit, sizeof(limit)), said);
	}
}

static void end_classify(struct instance *inst, struct driver_verdict *verdict)
{
	char *text = channels_emulator_text(inst);
	struct driver_death death = {
		.end = &inst->proc_end,
		.was_ready = inst->was_ready,
		.stop_requested = inst->stop_requested,
		.is_restart = inst->is_restart,
		.semihosting = inst->request->semihosting || inst->request->n_firmware_args > 0,
		.target = inst->target,
		.argv = &inst->argv,
		.shutdown_reason = inst->shutdown_reason,
		.text = text,
		.semihosting_calls = inst->prepared != NULL ? inst->prepared->calls : NULL,
		.semihosting_call_count = inst->prepared != NULL ? inst->prepared->call_count : 0,
	};
	inst->driver->classify(&death, verdict);
	end_explain_limits(inst, text, verdict);
	free(text);
	end_override(inst, verdict);
}

/* It may be that the serial channels lack their last bytes: whoever reads them is to know. */
static void end_mark_tail(struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		if (inst->channels[i]->kind == CHANNEL_SERIAL && inst->channels[i]->hub != NULL)
			hub_mark_tail_unknown(inst->channels[i]->hub);
}

static void end_note(struct instance *inst)
{
	static struct driver_verdict verdict; /* large */
	memset(&verdict, 0, sizeof(verdict));
	end_classify(inst, &verdict);
	utf8_repair(verdict.message); /* it may be the emulator's words, cut */
	utf8_repair(verdict.details);
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	end.cause = verdict.cause;
	end.code = inst->proc_end.code;
	end.signal = inst->proc_end.signal;
	end.exec_errno = inst->proc_end.exec_errno;
	end.time_ns = inst->proc_end.time_ns != 0 ? inst->proc_end.time_ns : clock_wall_ns();
	end.began_ns = inst->began_ns;
	end.boot = inst->boot;
	end.message = verdict.message;
	end.details = verdict.details;
	end.tail_unknown = verdict.tail_unknown;
	if (verdict.tail_unknown)
		end_mark_tail(inst);
	ends_add(&inst->ends, &end);
	inst->has_end = true;
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_END, NULL, NULL, verdict.message);
}

/* ---------------------------------------------------------------- what next */

static uint32_t end_random(void)
{
	uint32_t random = 0;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = (uint32_t)clock_wall_ns();
	return random;
}

/* Event for the table, with its reason; also sets when the restart is due. */
static enum inst_event end_decide(struct instance *inst, const struct restart_death *death, const char *message, char *reason, size_t size)
{
	uint64_t now_ns = clock_wall_ns();
	uint32_t delay_ms = 0;
	enum restart_verdict verdict = RESTART_NO;
	if (!inst->no_restart)
		verdict = restart_decide(&inst->restart, death, now_ns / 1000000, end_random(), &inst->deaths, &delay_ms);
	if (verdict == RESTART_NO) {
		snprintf(reason, size, "%s", message);
		return death->cause == PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG ? INST_EV_SPOILED : INST_EV_DRAINED;
	}
	if (verdict == RESTART_GIVE_UP) {
		snprintf(reason, size, "%.200s; %zu quick deaths in a row, it is not started again", message, inst->deaths.count);
		instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_RESTART, NULL, NULL, reason);
		return INST_EV_EXHAUSTED;
	}
	inst->restart_at_ns = now_ns + (uint64_t)delay_ms * 1000000;
	if (inst->restart_at_ns == 0)
		inst->restart_at_ns = 1; /* 0 is "none" */
	snprintf(reason, size, "%.200s; restart %u follows", message, inst->restarts + 1);
	char told[64];
	snprintf(told, sizeof(told), "restart %u in %u ms", inst->restarts + 1, delay_ms);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_RESTART, NULL, NULL, told);
	return INST_EV_RETRY;
}

static uint64_t end_lived_ms(const Pwemu__V1__End *end)
{
	return end->began_ns != 0 && end->time_ns > end->began_ns ? (end->time_ns - end->began_ns) / 1000000 : 0;
}

/* An emulator that never answered in its first boot was not started; whoever started it is told so. */
static bool end_was_start_timeout(const struct instance *inst)
{
	return inst->ending[0] != '\0' && !inst->was_ready && !inst->is_restart;
}

static void end_conclude(struct instance *inst)
{
	if (inst->state != INST_DRAINING)
		return; /* a start that failed half-way */
	end_note(inst);
	const Pwemu__V1__End *end = instance_end(inst);
	char reason[sizeof(inst->reason)];
	struct restart_death death = {
		.cause = end->cause,
		.lived_ms = end_lived_ms(end),
		.wanted = inst->restart_wanted && end->cause == PWEMU__V1__END_CAUSE__END_CAUSE_HUNG,
	};
	if (end_was_start_timeout(inst))
		inst->no_restart = true;
	enum inst_event event = end_decide(inst, &death, end->message, reason, sizeof(reason));
	instance_event(inst, event, reason);
}

enum inst_event boot_refused(struct instance *inst, const struct err *err, char *reason, size_t size)
{
	snprintf(reason, size, "%s", err->msg);
	if (!inst->is_restart || inst->state != INST_BOOTING)
		return INST_EV_REFUSED;
	struct restart_death death = { .cause = PWEMU__V1__END_CAUSE__END_CAUSE_CRASHED, .wanted = true };
	enum inst_event event = end_decide(inst, &death, err->msg, reason, size);
	return event == INST_EV_RETRY ? INST_EV_RETRY : INST_EV_EXHAUSTED;
}

/* ---------------------------------------------------------------- the last bytes */

static void end_on_drained(void *ctx)
{
	struct instance_channel *channel = ctx;
	struct instance *inst = channel->inst;
	if (!channel->is_draining)
		return;
	channel->is_draining = false;
	if (--inst->draining == 0)
		end_conclude(inst);
}

void boot_drain(struct instance *inst)
{
	timer_disarm(inst->quit_late); /* else it would end the next boot */
	inst->draining = 1;
	for (size_t i = 0; i < inst->channel_count; i++) {
		struct instance_channel *channel = inst->channels[i];
		if (channel->hub == NULL)
			continue;
		channel->is_draining = true;
		inst->draining++;
		hub_end_boot(channel->hub, end_on_drained, channel);
	}
	if (--inst->draining == 0)
		end_conclude(inst);
}

void boot_give_up(struct instance *inst)
{
	inst->draining = 0;
	for (size_t i = 0; i < inst->channel_count; i++) {
		if (inst->channels[i]->is_draining)
			hub_drop_boot(inst->channels[i]->hub);
		inst->channels[i]->is_draining = false;
	}
	end_conclude(inst);
}
