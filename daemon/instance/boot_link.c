/* SPDX-License-Identifier: Apache-2.0 */
/* A boot's link to its emulator, and what it tells. */
#include <stdio.h>

#include <unistd.h>

#include "instance/commands.h"
#include "instance/priv.h"
#include "loop/netport.h"
#include "loop/netshare.h"
#include "wire/utf8.h"

static void boot_see_network(struct instance *inst)
{
	struct netshare *share = inst->env->netshare;
	inst->has_private_network = netport_is_private(proc_pid(inst->proc));
	if (!inst->has_private_network || share == NULL)
		return;
	netshare_saw(share);
	if (inst->shares_network)
		netshare_offer(share, inst->user.uid, proc_pid(inst->proc));
}

static void boot_on_ready(void *ctx, bool paused)
{
	struct instance *inst = ctx;
	inst->was_ready = true;
	/* Earlier it may not be there yet: the process gets it just before it is executed. */
	boot_see_network(inst);
	if (!paused)
		inst->started_ns = inst->started_ns != 0 ? inst->started_ns : clock_wall_ns();
	instance_event(inst, paused ? INST_EV_RESTS : INST_EV_RUNS, paused ? "paused" : "");
	commands_follow(inst);
	debug_clean_adopted(inst);
}

void boot_guest_runs(struct instance *inst, bool runs, const char *reason)
{
	if (runs && inst->started_ns == 0)
		inst->started_ns = clock_wall_ns();
	instance_event(inst, runs ? INST_EV_RUNS : INST_EV_RESTS, reason);
	if (runs)
		debug_guest_resumed(inst);
}

static void boot_on_paused(void *ctx, const char *reason)
{
	boot_guest_runs(ctx, false, reason);
}

static void boot_on_resumed(void *ctx)
{
	boot_guest_runs(ctx, true, "");
}

static void boot_on_reset(void *ctx, bool by_guest)
{
	struct instance *inst = ctx;
	const char *reason = by_guest ? "reset by the guest" : "reset";
	log_info(&inst->scope, "%s", reason);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_RESET, NULL, NULL, reason);
}

static void boot_on_shutdown(void *ctx, const char *reason)
{
	struct instance *inst = ctx;
	snprintf(inst->shutdown_reason, sizeof(inst->shutdown_reason), "%s", reason);
}

static void boot_on_lost(void *ctx, const struct err *err)
{
	struct instance *inst = ctx;
	bool is_over = err->code == ERR_UNAVAILABLE || err->code == ERR_CANCELLED;
	log_message(is_over ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, &inst->scope, "%s", err->msg);
	boot_link_later(inst);
}

static void boot_on_refused(void *ctx, const struct err *err)
{
	struct instance *inst = ctx;
	if (inst->state != INST_BOOTING)
		return;
	inst->was_refused = true;
	inst->start_error = *err;
	snprintf(inst->ending, sizeof(inst->ending), "%.190s", err->msg);
	instance_event(inst, INST_EV_USELESS, err->msg);
}

static void boot_on_trouble(void *ctx, const char *channel, const struct err *err)
{
	struct instance *inst = ctx;
	log_warn(&inst->scope, "%s", err->msg);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, channel, NULL, err->msg);
}

static int boot_held(void *ctx, const char *name, int *fd, struct err *err)
{
	struct instance *inst = ctx;
	return proc_held_fd(inst->proc, name, fd, err);
}

static int boot_hold(void *ctx, const char *name, int fd, struct err *err)
{
	struct instance *inst = ctx;
	return proc_hold_fd(inst->proc, name, fd, err);
}

/* What the other end says of itself is shown to people. */
static void boot_on_version(void *ctx, const char *version)
{
	struct instance *inst = ctx;
	snprintf(inst->emulator_version, sizeof(inst->emulator_version), "%s", version);
	utf8_repair(inst->emulator_version);
}

static const struct driver_events boot_events = {
	.on_version = boot_on_version,
	.on_ready = boot_on_ready,
	.on_paused = boot_on_paused,
	.on_resumed = boot_on_resumed,
	.on_reset = boot_on_reset,
	.on_shutdown = boot_on_shutdown,
	.on_lost = boot_on_lost,
	.on_refused = boot_on_refused,
	.on_trouble = boot_on_trouble,
	.held = boot_held,
	.hold = boot_hold,
};

int boot_connect(struct instance *inst, int run_dir, const char *run_path, bool is_adopted, struct err *err)
{
	const struct driver_boot boot = {
		.base = inst->env->base,
		.run_dir = run_dir,
		.run_path = run_path,
		.target = inst->target,
		.request = inst->request,
		.setup = &inst->setup,
		.uid = inst->env->is_system ? inst->user.uid : geteuid(),
		.pid = proc_pid(inst->proc),
		.is_adopted = is_adopted,
		.was_ready = inst->was_ready,
	};
	boot_see_network(inst);
	if (inst->driver->connect(&boot, &boot_events, inst, &inst->link, err) < 0)
		return -1;
	inst->hang = hang_new(inst);
	return 0;
}

/* ---------------------------------------------------------------- the end */

/* Timer: who was asked to quit and does not is told by signals. */
void boot_quit_late(void *ctx)
{
	struct instance *inst = ctx;
	if (inst->proc != NULL && !proc_has_ended(inst->proc))
		proc_stop(inst->proc, inst->grace_ms - inst->grace_ms / 2);
}

void boot_stop(struct instance *inst)
{
	/* One that was not ready yet has nothing to finish, and may hear of it late. */
	if (inst->link == NULL || inst->driver->quit == NULL || !inst->was_ready || timer_is_armed(inst->quit_late)) {
		proc_stop(inst->proc, inst->grace_ms);
		return;
	}
	timer_arm(inst->quit_late, inst->grace_ms / 2);
	inst->driver->quit(inst->link);
}
