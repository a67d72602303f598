/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance that an earlier daemon has left: what its record says is compared with what is there, and it goes on from that.
 *
 * What is not known to be dead is never given up: where the run directory or a lock cannot even be looked at, the instance is left
 * alone and said so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "instance/commands.h"
#include "instance/files.h"
#include "instance/priv.h"

#define ADOPT_ANSWER_MS 10000 /* nobody has asked it while there was no daemon */

/* ---------------------------------------------------------------- the host was rebooted */

static bool adopt_host_rebooted(const struct instance *inst, const char *host_boot)
{
	return host_boot[0] != '\0' && inst->env->host_boot[0] != '\0' && strcmp(host_boot, inst->env->host_boot) != 0;
}

/* Nothing of it can be left. Only who wants it always gets it again. */
static void adopt_after_reboot(struct instance *inst)
{
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_HOST_REBOOTED;
	end.code = -1;
	end.boot = inst->boot;
	end.began_ns = inst->began_ns;
	end.time_ns = clock_wall_ns();
	end.message = (char *)"the host was rebooted";
	inst->state = INST_STOPPING;
	inst->proc_end.code = -1;
	commands_forget(inst);
	if (inst->boot > 0 && !inst->has_end) {
		ends_add(&inst->ends, &end);
		inst->has_end = true;
		instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_END, NULL, NULL, end.message);
	}
	inst->state = INST_DRAINING;
	bool again =
		inst->restart.mode == PWEMU__V1__RESTART_MODE__RESTART_MODE_ALWAYS && !inst->stop_requested && !lease_ends_with_host(inst);
	inst->restart_at_ns = again ? clock_wall_ns() : 0;
	instance_event(inst, again ? INST_EV_RETRY : INST_EV_DRAINED, again ? "the host was rebooted; it is started again" : end.message);
	lease_adopt(inst, true);
}

/* ---------------------------------------------------------------- states */

static uint64_t adopt_gone_ms(const struct instance *inst)
{
	uint64_t now = clock_wall_ns();
	return now > inst->state_since_ns ? (now - inst->state_since_ns) / 1000000 : 0;
}

static void adopt_stop(struct instance *inst)
{
	uint64_t gone_ms = adopt_gone_ms(inst);
	uint32_t left_ms = inst->ending[0] != '\0' || gone_ms >= inst->grace_ms ? 0 : inst->grace_ms - (uint32_t)gone_ms;
	if (inst->no_restart)
		commands_stop(inst, true, left_ms);
	proc_stop(inst->proc, left_ms);
	if (inst->no_restart)
		commands_stop(inst, false, left_ms);
}

static void adopt_rearm(struct instance *inst)
{
	uint64_t gone_ms = adopt_gone_ms(inst), timeout_ms = inst_state_row(inst->state)->timeout_ms;
	if (inst->state == INST_STOPPING && inst->stop_requested)
		timeout_ms += inst->grace_ms;
	if (timeout_ms > 0)
		timer_arm(inst->timer, gone_ms + ADOPT_ANSWER_MS < timeout_ms ? timeout_ms - gone_ms : ADOPT_ANSWER_MS);
}

static void adopt_told(struct instance *inst)
{
	const char *name = inst_state_row(inst->state)->name;
	log_info(&inst->scope, "adopted (%s)", name);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_ADOPTED, NULL, NULL, name);
}

static int adopt_preparing(struct instance *inst, struct err *err)
{
	(void)err;
	instance_event(inst, INST_EV_REFUSED, "the daemon ended while it was starting");
	return 0;
}

/* Its boot has ended and is told; only commands are left. */
static int adopt_closing(struct instance *inst, struct err *err)
{
	(void)err;
	adopt_told(inst);
	adopt_rearm(inst);
	uint64_t gone_ms = adopt_gone_ms(inst);
	uint32_t left_ms = gone_ms >= inst->grace_ms ? 0 : inst->grace_ms - (uint32_t)gone_ms;
	commands_stop(inst, true, left_ms);
	commands_stop(inst, false, left_ms);
	if (!commands_live(inst))
		instance_event(inst, INST_EV_CLEARED, inst->reason);
	return 0;
}

/* When its shim is gone as well, the ports and PTYs are made anew with the next boot. */
static int adopt_backoff(struct instance *inst, struct err *err)
{
	if (boot_adopt(inst, err) < 0 && err->code != ERR_NOT_FOUND && err->code != ERR_DATA_LOSS)
		return -1;
	adopt_told(inst);
	uint64_t now = clock_wall_ns(), left_ms = inst->restart_at_ns > now ? (inst->restart_at_ns - now + 999999) / 1000000 : 0;
	uint64_t longest_ms = 2 * (uint64_t)inst->restart.max_delay_ms; /* more: somebody has set the clock back */
	timer_arm(inst->timer, left_ms < longest_ms ? left_ms : longest_ms);
	lease_adopt(inst, false);
	return 0;
}

/* The daemon died when a boot was on record and had not begun to live. */
static int adopt_unborn_boot(struct instance *inst, struct err *err)
{
	if (!inst->is_restart)
		return adopt_preparing(inst, err);
	if (boot_adopt_before(inst, err) < 0 && err->code != ERR_NOT_FOUND && err->code != ERR_DATA_LOSS)
		return -1;
	inst->restart_at_ns = clock_wall_ns();
	instance_event(inst, INST_EV_RETRY, "the daemon ended while it was starting it again");
	lease_adopt(inst, false);
	return 0;
}

static int adopt_boot(struct instance *inst, struct err *err)
{
	if (boot_adopt(inst, err) == 0) {
		adopt_told(inst);
		adopt_rearm(inst);
		if (inst->state == INST_STOPPING)
			adopt_stop(inst);
		lease_adopt(inst, false);
		return 0;
	}
	if (err->code != ERR_NOT_FOUND && err->code != ERR_DATA_LOSS)
		return -1;
	log_warn(&inst->scope, "cannot be adopted: %s", err->msg);
	if (inst->state == INST_BOOTING && err->code == ERR_NOT_FOUND)
		return adopt_unborn_boot(inst, err);
	instance_event(inst, INST_EV_EXITED, "it ended while no daemon was there");
	return 0;
}

/* How a boot that was draining ended is to be learned again, then it drains again. */
static int adopt_draining(struct instance *inst, struct err *err)
{
	inst->state = INST_STOPPING;
	return adopt_boot(inst, err);
}

static int (*const adoptions[INST_STATE_COUNT])(struct instance *inst, struct err *err) = {
	[INST_PREPARING] = adopt_preparing, [INST_ASSISTING] = adopt_preparing, [INST_CLOSING] = adopt_closing,
	[INST_FAILING] = adopt_closing,     [INST_BOOTING] = adopt_boot,        [INST_RUNNING] = adopt_boot,
	[INST_PAUSED] = adopt_boot,         [INST_STOPPING] = adopt_boot,       [INST_DRAINING] = adopt_draining,
	[INST_BACKOFF] = adopt_backoff,
};

/* It has begun nothing, and waits on in its place. */
static void adopt_queued(struct instance *inst, const char *host_boot)
{
	adopt_told(inst);
	instance_wait_turn(inst);
	lease_adopt(inst, adopt_host_rebooted(inst, host_boot));
}

static int adopt(struct instance *inst, const char *host_boot, struct err *err)
{
	inst->driver = driver_find(inst->target->emulator, err);
	if (inst->driver == NULL || channels_open_dir(inst, err) < 0)
		return -1;
	if (inst->state == INST_QUEUED) {
		adopt_queued(inst, host_boot);
		return 0;
	}
	inst->proc_end.code = -1;
	inst->proc_end.shim_died = true;
	files_assume(inst);
	if (!adopt_host_rebooted(inst, host_boot)) {
		if (commands_adopt(inst, err) < 0 || adoptions[inst->state](inst, err) < 0)
			return -1;
	} else {
		adopt_after_reboot(inst);
	}
	files_update(inst);
	return 0;
}

struct instance *instance_restore(const struct instance_env *env, Pwemu__V1__Record *record, struct err *err)
{
	struct user user;
	user_init(&user, record->uid, record->gid, record->groups, record->n_groups,
		  record->owner[0] != '\0' ? record->owner : env->own_name);
	struct instance_identity identity = {
		.id = record->id,
		.name = record->name,
		.project = record->project,
		.working_dir = record->working_dir,
		.user = &user,
		.machine = record->machine,
		.host = record->host,
	};
	struct instance *inst = instance_new(env, &identity);
	user_fini(&user);
	store_apply(inst, record);
	char host_boot[PLAN_NAME_MAX];
	snprintf(host_boot, sizeof(host_boot), "%s", record->host_boot);
	PB_FREE(record);
	if (instance_is_over(inst))
		boot_leave_group(inst); /* the daemon before may not have come to that */
	if (instance_is_over(inst) || adopt(inst, host_boot, err) == 0)
		return inst;
	err_prefix(err, "instance \"%s\" (%s) is left alone", inst->name, inst->id);
	instance_free(inst);
	return NULL;
}
