/* SPDX-License-Identifier: Apache-2.0 */
/* A boot that is under way and not ours: an earlier daemon's, with its FIFOs, its shim and what that holds; an emulator whose link was
 * lost. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "instance/commands.h"
#include "instance/fifo.h"
#include "instance/leftover.h"
#include "instance/priv.h"
#include "wire/mem.h"

#define LINK_AGAIN_MS 1000

struct takeover {
	struct instance *inst;
	char *run_path;
	int run_dir;
};

static int takeover_begin(struct takeover *t, struct instance *inst, struct err *err)
{
	*t = (struct takeover){ .inst = inst, .run_path = instance_run_path(inst), .run_dir = -1 };
	return dirs_open(t->run_path, &t->run_dir, err);
}

static int takeover_end(struct takeover *t, int rc)
{
	if (t->run_dir >= 0)
		close(t->run_dir);
	free(t->run_path);
	return rc;
}

static int takeover_channel(struct takeover *t, struct instance_channel *channel, struct err *err)
{
	struct fifo_ends ends;
	if (channels_open(t->inst, channel, err) < 0 || fifo_open_ends(t->run_dir, channel->name, channel->has_input, &ends, err) < 0)
		return -1;
	if (hub_resume_boot(channel->hub, t->inst->boot, !t->inst->is_restart, ends.out, ends.in, err) == 0)
		return 0;
	fifo_close_ends(&ends);
	return -1;
}

/* Drains first; a channel that cannot be resumed must not cost the emulator its life. */
static void takeover_channels(struct takeover *t)
{
	for (size_t i = 0; i < t->inst->channel_count; i++) {
		struct err err = ERR_INIT;
		struct instance_channel *channel = t->inst->channels[i];
		if (channel->is_socket || takeover_channel(t, channel, &err) == 0)
			continue;
		log_error(&t->inst->scope, "cannot go on with channel %s: %s", channel->name, err.msg);
		instance_tell(t->inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, channel->name, NULL, err.msg);
	}
}

/* Of a boot that has ended nothing is news. */
static void held_on_started(void *ctx, pid_t pid)
{
	(void)ctx, (void)pid;
}

static void held_on_ended(void *ctx, const struct proc_end *end)
{
	(void)ctx, (void)end;
}

static const struct proc_ops held_ops = { .on_started = held_on_started, .on_ended = held_on_ended };

static void takeover_endpoints(struct instance *inst)
{
	endpoints_fetch(inst, inst->proc);
	endpoints_serve_all(inst, true);
}

static void takeover_link(struct takeover *t)
{
	struct instance *inst = t->inst;
	struct err err = ERR_INIT;
	if (proc_has_ended(inst->proc))
		return;
	if (boot_connect(inst, t->run_dir, t->run_path, true, &err) == 0)
		return;
	if (err.sys == EAGAIN)
		timer_arm(inst->link_again, LINK_AGAIN_MS);
	else
		log_warn(&inst->scope, "no control of the emulator: %s", err.msg);
}

static bool takeover_keeps(const void *ctx, const char *name)
{
	const struct instance *inst = ctx;
	return strcmp(name, inst->proc_name) == 0 || commands_own(inst, name);
}

/* Shims of earlier boots whose successor was born while their daemon died, or of one that was not on record yet. */
static void takeover_release_others(struct takeover *t)
{
	leftover_release(t->inst->env->base, t->run_dir, takeover_keeps, t->inst);
}

static int takeover_all(struct takeover *t, struct err *err)
{
	bool is_up = t->inst->state != INST_BACKOFF;
	const struct proc_ops *ops = is_up ? &boot_proc_ops : &held_ops;
	if (proc_adopt(t->inst->env->base, t->run_dir, t->inst->proc_name, ops, t->inst, &t->inst->proc, err) < 0)
		return -1;
	if (is_up)
		takeover_channels(t);
	takeover_endpoints(t->inst);
	if (is_up)
		takeover_link(t);
	takeover_release_others(t);
	return 0;
}

/* Somebody has removed the run directory, or what was in it. What the emulator prints can be had no more, so it is not left alone. */
static int takeover_lost(struct takeover *t, struct err *err)
{
	struct instance *inst = t->inst;
	if (inst->state == INST_BACKOFF || inst->state == INST_BOOTING || inst->mark[0] == '\0')
		return -1; /* without files a boot that was only beginning never ran */
	if (t->run_dir >= 0)
		takeover_channels(t);
	err_set(err, ERR_NOT_FOUND, "what is needed to reach the emulator is not in \"%s\" any more; it is ended", t->run_path);
	log_error(&inst->scope, "%s", err->msg);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, NULL, NULL, err->msg);
	if (t->run_dir < 0 && (dirs_make(t->run_path, err) < 0 || dirs_open(t->run_path, &t->run_dir, err) < 0))
		return -1;
	takeover_release_others(t);
	return proc_adopt_lost(inst->env->base, t->run_dir, inst->proc_name, inst->mark, inst->user.uid, &boot_proc_ops, inst, &inst->proc,
			       err);
}

int boot_adopt(struct instance *inst, struct err *err)
{
	struct takeover t;
	int rc = takeover_begin(&t, inst, err);
	if (rc == 0)
		rc = takeover_all(&t, err);
	if (rc < 0 && (err->code == ERR_NOT_FOUND || err->code == ERR_DATA_LOSS))
		rc = takeover_lost(&t, err);
	return takeover_end(&t, rc);
}

/* The latest that there is: several boots in a row may not have come to life. */
int boot_adopt_before(struct instance *inst, struct err *err)
{
	struct takeover t;
	int rc = takeover_begin(&t, inst, err);
	for (uint32_t boot = inst->boot; rc == 0 && inst->proc == NULL && --boot > 0;) {
		free(inst->proc_name);
		inst->proc_name = xasprintf("boot-%u", boot);
		if (proc_adopt(inst->env->base, t.run_dir, inst->proc_name, &held_ops, inst, &inst->proc, err) < 0 &&
		    err->code != ERR_NOT_FOUND)
			rc = -1;
	}
	if (inst->proc != NULL) {
		takeover_endpoints(inst);
		takeover_release_others(&t);
	}
	return takeover_end(&t, inst->proc != NULL ? 0 : -1);
}

/* Mostly it is the emulator that ends, which is heard of within that time; one that is being ended needs no link. */
void boot_link_later(struct instance *inst)
{
	if (inst->state != INST_STOPPING && !timer_is_armed(inst->link_again))
		timer_arm(inst->link_again, LINK_AGAIN_MS);
}

void boot_link_again(void *ctx)
{
	struct instance *inst = ctx;
	struct takeover t;
	struct err err = ERR_INIT;
	if (inst->link != NULL)
		log_warn(&inst->scope, "the emulator has hung up; connecting to it again");
	instance_disconnect(inst);
	if (inst->proc != NULL && takeover_begin(&t, inst, &err) == 0) {
		takeover_link(&t);
		(void)takeover_end(&t, 0);
	}
}
