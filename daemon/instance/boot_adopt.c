/* SPDX-License-Identifier: Apache-2.0 */
/* A boot that an earlier daemon began: its FIFOs, its shim with what that holds, its emulator. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/dirs.h"
#include "instance/fifo.h"
#include "instance/leftover.h"
#include "instance/priv.h"
#include "wire/mem.h"

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
	if (hub_resume_boot(channel->hub, t->inst->boot, ends.out, ends.in, err) == 0)
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

static int takeover_proc(struct takeover *t, const char *name, struct err *err)
{
	struct instance *inst = t->inst;
	if (proc_adopt(inst->env->base, t->run_dir, name, &boot_proc_ops, inst, &inst->proc, err) < 0)
		return -1;
	endpoints_fetch(inst, inst->proc);
	endpoints_serve_all(inst, true);
	return 0;
}

static void takeover_link(struct takeover *t)
{
	struct instance *inst = t->inst;
	struct err err = ERR_INIT;
	if (proc_has_ended(inst->proc))
		return;
	if (inst->driver->connect(inst->env->base, t->run_dir, t->run_path, &boot_events, inst, &inst->link, &err) == 0)
		inst->hang = hang_new(inst);
	else
		log_warn(&inst->scope, "no control of the adopted emulator: %s", err.msg);
}

/* Shims of earlier boots whose successor was born while their daemon died, or of one that was not on record yet. */
static void takeover_release_others(struct takeover *t)
{
	leftover_release(t->inst->env->base, t->run_dir, t->inst->proc_name);
}

static int takeover_all(struct takeover *t, struct err *err)
{
	bool is_up = t->inst->state != INST_BACKOFF;
	if (is_up)
		takeover_channels(t);
	if (takeover_proc(t, t->inst->proc_name, err) < 0)
		return -1;
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
	err_set(err, ERR_NOT_FOUND, "what is needed to reach the emulator was removed from \"%s\"; it is ended", t->run_path);
	log_error(&inst->scope, "%s", err->msg);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, NULL, NULL, err->msg);
	if (t->run_dir < 0 && (dirs_make(t->run_path, err) < 0 || dirs_open(t->run_path, &t->run_dir, err) < 0))
		return -1;
	takeover_release_others(t);
	return proc_adopt_lost(inst->env->base, t->run_dir, inst->proc_name, inst->mark, inst->uid, &boot_proc_ops, inst, &inst->proc, err);
}

int boot_adopt(struct instance *inst, struct err *err)
{
	struct takeover t;
	int rc = takeover_begin(&t, inst, err);
	if (rc == 0)
		rc = takeover_all(&t, err);
	if (rc < 0 && err->code == ERR_NOT_FOUND)
		rc = takeover_lost(&t, err);
	return takeover_end(&t, rc);
}

int boot_adopt_before(struct instance *inst, struct err *err)
{
	struct takeover t;
	free(inst->proc_name);
	inst->proc_name = xasprintf("boot-%u", inst->boot - 1);
	return takeover_end(&t, takeover_begin(&t, inst, err) == 0 ? takeover_proc(&t, inst->proc_name, err) : -1);
}
