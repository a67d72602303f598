/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of the emulator process: its run directory <state>/run/<id> with FIFOs and sockets, its shim, the driver's link.
 *
 * A start is short because its parts overlap: while the helper looks at the images the FIFOs and sockets are made (boot_lay_out), and
 * while the emulator links its libraries the logs are opened (boot_open_logs); what it prints meanwhile waits in the FIFOs.
 */
#include "instance/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "wire/addr.h"
#include "wire/mem.h"

#define BOOT_FDS_MAX (3 * PLAN_CHANNELS_MAX + PLAN_SOCKETS_MAX)

extern char **environ;

/* The hub's two ends of a channel's FIFOs, -1: not there. */
struct boot_ends {
	int out, in;
};

/* The fds of a boot while it is being made; the process has its own copies, the hubs take theirs. */
struct boot {
	struct instance *inst;
	struct plan plan;
	struct boot_ends ends[PLAN_CHANNELS_MAX]; /* of plan.channels */
	char *run_path;
	int run_dir;
	struct proc_fd fds[BOOT_FDS_MAX];
	size_t fd_count;
	struct proc_held held[BOOT_FDS_MAX];
	char held_names[BOOT_FDS_MAX][PLAN_NAME_MAX + 8];
	size_t held_count;
	int owned[BOOT_FDS_MAX];
	size_t owned_count;
};

static void boot_init(struct boot *b, struct instance *inst)
{
	*b = (struct boot){ .inst = inst, .run_dir = -1, .run_path = instance_run_path(inst) };
	for (size_t i = 0; i < PLAN_CHANNELS_MAX; i++)
		b->ends[i] = (struct boot_ends){ -1, -1 };
	plan_init(&b->plan);
}

static void boot_close_ends(struct boot_ends *ends)
{
	if (ends->out >= 0)
		close(ends->out);
	if (ends->in >= 0)
		close(ends->in);
	*ends = (struct boot_ends){ -1, -1 };
}

static void boot_fini(struct boot *b)
{
	for (size_t i = 0; i < b->owned_count; i++)
		close(b->owned[i]);
	for (size_t i = 0; i < PLAN_CHANNELS_MAX; i++)
		boot_close_ends(&b->ends[i]);
	if (b->run_dir >= 0)
		close(b->run_dir);
	plan_fini(&b->plan);
	free(b->run_path);
}

static void boot_hold(struct boot *b, const char *name, const char *suffix, int fd)
{
	char *full = b->held_names[b->held_count];
	snprintf(full, sizeof(b->held_names[0]), "%s%s", name, suffix);
	b->held[b->held_count++] = (struct proc_held){ .name = full, .fd = fd };
}

static void boot_pass(struct boot *b, int fd, int child_fd)
{
	if (child_fd >= 0)
		b->fds[b->fd_count++] = (struct proc_fd){ .fd = fd, .child_fd = child_fd };
}

/* Opened for reading and writing: no end of file, no waiting for the other side. */
static int boot_open_fifo(int run_dir, const char *file, int *fd, struct err *err)
{
	int fifo = openat(run_dir, file, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fifo < 0)
		return err_sys(err, errno, "open FIFO \"%s\"", file);
	*fd = fifo;
	return 0;
}

static int boot_make_fifo(struct boot *b, const char *name, const char *suffix, int *fd, struct err *err)
{
	char file[PLAN_NAME_MAX + 8];
	snprintf(file, sizeof(file), "%s%s", name, suffix);
	if (unlinkat(b->run_dir, file, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove old FIFO \"%s/%s\"", b->run_path, file);
	if (mkfifoat(b->run_dir, file, 0600) < 0)
		return err_sys(err, errno, "make FIFO \"%s/%s\"", b->run_path, file);
	if (boot_open_fifo(b->run_dir, file, fd, err) < 0)
		return -1;
	boot_hold(b, name, suffix, *fd);
	return 0;
}

/* One end for the shim to hold (also the emulator's, where it inherits it), one for the hub. */
static int boot_make_end(struct boot *b, const char *name, const char *suffix, const int child_fds[2], int *hub_fd, struct err *err)
{
	int fd = -1;
	if (boot_make_fifo(b, name, suffix, &fd, err) < 0)
		return -1;
	b->owned[b->owned_count++] = fd;
	for (int i = 0; i < 2; i++) {
		if (child_fds[i] < 0)
			continue;
		/* A description of its own: the emulator must not see our O_NONBLOCK. */
		char self[32];
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		int own = open(self, O_RDWR | O_CLOEXEC);
		if (own < 0)
			return err_sys(err, errno, "open FIFO \"%s%s\" again", name, suffix);
		b->owned[b->owned_count++] = own;
		boot_pass(b, own, child_fds[i]);
	}
	char file[PLAN_NAME_MAX + 8];
	snprintf(file, sizeof(file), "%s%s", name, suffix);
	return boot_open_fifo(b->run_dir, file, hub_fd, err);
}

static int boot_make_channel(struct boot *b, const struct plan_channel *row, struct boot_ends *ends, struct err *err)
{
	if (boot_make_end(b, row->name, ".out", (const int[2]){ row->out_child_fd, row->out_child_fd2 }, &ends->out, err) < 0)
		return -1;
	return row->has_input ? boot_make_end(b, row->name, ".in", (const int[2]){ row->in_child_fd, -1 }, &ends->in, err) : 0;
}

static int boot_make_socket(struct boot *b, const struct plan_socket *row, struct err *err)
{
	char *path = xasprintf("%s/%s.sock", b->run_path, row->name);
	int fd = -1, rc;
	if (unlink(path) < 0 && errno != ENOENT)
		rc = err_sys(err, errno, "remove old socket \"%s\"", path);
	else
		rc = addr_listen_unix(path, 0600, &fd, err);
	free(path);
	if (rc < 0)
		return -1;
	b->owned[b->owned_count++] = fd;
	boot_pass(b, fd, row->child_fd);
	return 0;
}

static int boot_make_files(struct boot *b, struct err *err)
{
	for (size_t i = 0; i < b->plan.channel_count; i++)
		if (boot_make_channel(b, &b->plan.channels[i], &b->ends[i], err) < 0)
			return -1;
	for (size_t i = 0; i < b->plan.socket_count; i++)
		if (boot_make_socket(b, &b->plan.sockets[i], err) < 0)
			return -1;
	return 0;
}

/* Channels and sockets do not depend on the images, so that a plan can be made before these are known: prepared is NULL then. */
static int boot_make_plan(struct boot *b, const struct prepare_result *prepared, struct err *err)
{
	struct instance *inst = b->inst;
	struct driver_image images[PREPARE_IMAGES_MAX];
	size_t count = prepared != NULL ? prepared->image_count : 0;
	for (size_t i = 0; i < count; i++) {
		images[i].path = inst->request->images[i]->path;
		images[i].kind = prepared->images[i].kind;
		images[i].address = prepared->images[i].address;
		images[i].entry = prepared->images[i].entry;
	}
	struct driver_start start = {
		.target = inst->target,
		.request = inst->request,
		.program = prepared != NULL ? inst->program : "",
		.run_dir = b->run_path,
		.images = images,
		.image_count = count,
	};
	plan_fini(&b->plan);
	plan_init(&b->plan);
	return inst->driver->plan(&start, &b->plan, err);
}

static void boot_mark(struct instance *inst)
{
	uint64_t nonce = 0;
	if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != sizeof(nonce))
		nonce = clock_wall_ns();
	free(inst->mark);
	inst->mark = xasprintf("%s:%u:%016llx", inst->id, inst->boot, (unsigned long long)nonce);
}

/* The user's environment, or the daemon's own where a client sent none, with our mark. */
static void boot_environment(const struct instance *inst, struct strv *env)
{
	const Pwemu__V1__Environment *given = inst->request->environment;
	strv_init(env);
	if (given != NULL && given->n_variables > 0) {
		for (size_t i = 0; i < given->n_variables; i++)
			if (strncmp(given->variables[i], "PWEMU_INSTANCE=", 15) != 0)
				strv_add(env, given->variables[i]);
	} else {
		for (char **var = environ; *var != NULL; var++)
			strv_add(env, *var);
	}
	strv_addf(env, "PWEMU_INSTANCE=%s", inst->mark);
}

static void boot_on_ready(void *ctx, bool paused)
{
	struct instance *inst = ctx;
	inst->was_ready = true;
	if (!paused)
		inst->started_ns = inst->started_ns != 0 ? inst->started_ns : clock_wall_ns();
	instance_event(inst, paused ? INST_EV_RESTS : INST_EV_RUNS, paused ? "paused" : "");
}

static void boot_on_paused(void *ctx, const char *reason)
{
	instance_event(ctx, INST_EV_RESTS, reason);
}

static void boot_on_resumed(void *ctx)
{
	struct instance *inst = ctx;
	if (inst->started_ns == 0)
		inst->started_ns = clock_wall_ns();
	instance_event(inst, INST_EV_RUNS, "");
}

static void boot_on_reset(void *ctx, bool by_guest)
{
	struct instance *inst = ctx;
	log_info(&inst->scope, "reset%s", by_guest ? " by the guest" : "");
}

static void boot_on_shutdown(void *ctx, const char *reason)
{
	struct instance *inst = ctx;
	snprintf(inst->shutdown_reason, sizeof(inst->shutdown_reason), "%s", reason);
}

static void boot_on_lost(void *ctx, const struct err *err)
{
	struct instance *inst = ctx;
	log_debug(&inst->scope, "%s", err->msg);
}

static const struct driver_events boot_events = {
	.on_ready = boot_on_ready,
	.on_paused = boot_on_paused,
	.on_resumed = boot_on_resumed,
	.on_reset = boot_on_reset,
	.on_shutdown = boot_on_shutdown,
	.on_lost = boot_on_lost,
};

static int boot_connect(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	return inst->driver->connect(inst->env->base, b->run_dir, b->run_path, &boot_events, inst, &inst->link, err);
}

static int boot_open_run_dir(struct boot *b, bool make, struct err *err)
{
	if (make && dirs_make(b->run_path, err) < 0)
		return -1;
	return dirs_open(b->run_path, &b->run_dir, err);
}

int boot_lay_out(struct instance *inst, struct err *err)
{
	struct boot *b = xmalloc(sizeof(*b));
	boot_init(b, inst);
	inst->layout = b;
	if (boot_open_run_dir(b, true, err) < 0 || boot_make_plan(b, NULL, err) < 0)
		return -1;
	return boot_make_files(b, err);
}

void boot_discard_layout(struct instance *inst)
{
	if (inst->layout == NULL)
		return;
	boot_fini(inst->layout);
	free(inst->layout);
	inst->layout = NULL;
}

/* The emulator is on its way already (its shim had the disk for itself until then); a log that cannot be written ends it again. */
static int boot_open_logs(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	for (size_t i = 0; i < b->plan.channel_count; i++) {
		struct instance_channel *channel = channels_find(inst, b->plan.channels[i].name);
		struct boot_ends *ends = &b->ends[i];
		if (channels_open(inst, channel, err) < 0 || hub_begin_boot(channel->hub, inst->boot, true, ends->out, ends->in, err) < 0)
			return -1;
		*ends = (struct boot_ends){ -1, -1 }; /* they are the hub's now */
	}
	return 0;
}

static void boot_on_started(void *ctx, pid_t pid)
{
	struct instance *inst = ctx;
	struct err err = ERR_INIT;
	log_debug(&inst->scope, "emulator is process %d", (int)pid);
	if (inst->layout != NULL && (boot_connect(inst->layout, &err) < 0 || boot_open_logs(inst->layout, &err) < 0)) {
		inst->start_error = err;
		instance_stop(inst, 0, err.msg);
	}
	boot_discard_layout(inst);
	instance_changed(inst);
}

static void boot_on_ended(void *ctx, const struct proc_end *end)
{
	struct instance *inst = ctx;
	inst->proc_end = *end;
	if (inst->link != NULL)
		inst->driver->drain(inst->link);
	instance_event(inst, INST_EV_EXITED, "the emulator has ended");
}

static const struct proc_ops boot_proc_ops = { .on_started = boot_on_started, .on_ended = boot_on_ended };

static int boot_spawn(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	const Pwemu__V1__Environment *environment = inst->request->environment;
	struct strv env;
	boot_environment(inst, &env);
	bool has_cwd = environment != NULL && environment->cwd[0] == '/';
	struct proc_spec spec = {
		.run_dir = b->run_dir,
		.name = BOOT_PROC,
		.program = inst->program,
		.argv = (const char *const *)b->plan.argv.items,
		.envp = (const char *const *)env.items,
		.cwd = has_cwd ? environment->cwd : inst->working_dir,
		.umask = environment != NULL ? environment->umask & 0777 : 077,
		.uid = (uid_t)-1,
		.fds = b->fds,
		.fd_count = b->fd_count,
		.held = b->held,
		.held_count = b->held_count,
	};
	int rc = proc_spawn(inst->env->base, inst->env->shim, &spec, &boot_proc_ops, inst, &inst->proc, err);
	strv_fini(&env);
	return rc;
}

int boot_begin(struct instance *inst, struct err *err)
{
	struct boot *b = inst->layout;
	if (boot_make_plan(b, inst->prepared, err) < 0)
		return -1;
	channels_set(inst, &b->plan);
	boot_mark(inst);
	strv_fini(&inst->argv);
	strv_init(&inst->argv);
	strv_add_all(&inst->argv, b->plan.argv.items, b->plan.argv.count);
	/* What a daemon that dies from here on leaves is found by its successor. */
	if (store_put(inst, err) < 0 || boot_spawn(b, err) < 0)
		return -1;
	return 0;
}

/* ---------------------------------------------------------------- adoption */

static int boot_resume_channel(struct boot *b, struct instance_channel *channel, struct err *err)
{
	char out[PLAN_NAME_MAX + 8], in[PLAN_NAME_MAX + 8];
	struct boot_ends ends = { -1, -1 };
	snprintf(out, sizeof(out), "%s.out", channel->name);
	snprintf(in, sizeof(in), "%s.in", channel->name);
	if (channels_open(b->inst, channel, err) < 0 || boot_open_fifo(b->run_dir, out, &ends.out, err) < 0 ||
	    (channel->has_input && boot_open_fifo(b->run_dir, in, &ends.in, err) < 0) ||
	    hub_resume_boot(channel->hub, b->inst->boot, ends.out, ends.in, err) < 0) {
		boot_close_ends(&ends);
		return -1;
	}
	return 0;
}

/* Drains first; a channel that cannot be resumed must not cost the emulator its life. */
static void boot_resume_channels(struct boot *b)
{
	for (size_t i = 0; i < b->inst->channel_count; i++) {
		struct err err = ERR_INIT;
		struct instance_channel *channel = b->inst->channels[i];
		if (!channel->is_socket && boot_resume_channel(b, channel, &err) < 0)
			log_error(&b->inst->scope, "cannot go on with channel %s: %s", channel->name, err.msg);
	}
}

/* Without files a boot that was only beginning never ran. */
static bool boot_may_be_lost(const struct boot *b, const struct err *err)
{
	return err->code == ERR_NOT_FOUND && b->inst->state != INST_BOOTING && b->inst->mark != NULL && b->inst->mark[0] != '\0';
}

/* Somebody has removed the run directory, or what was in it. What the emulator prints can be had no more, so it is not left alone. */
static int boot_end_lost(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	log_error(&inst->scope, "what is needed to reach the emulator was removed from \"%s\"; it is ended", b->run_path);
	if (b->run_dir < 0 && boot_open_run_dir(b, true, err) < 0)
		return -1;
	return proc_adopt_lost(inst->env->base, b->run_dir, BOOT_PROC, inst->mark, inst->uid, &boot_proc_ops, inst, &inst->proc, err);
}

static int boot_take_over(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	if (boot_open_run_dir(b, false, err) < 0)
		return boot_may_be_lost(b, err) ? boot_end_lost(b, err) : -1;
	boot_resume_channels(b);
	if (proc_adopt(inst->env->base, b->run_dir, BOOT_PROC, &boot_proc_ops, inst, &inst->proc, err) < 0)
		return boot_may_be_lost(b, err) ? boot_end_lost(b, err) : -1;
	struct err link_err = ERR_INIT;
	if (!proc_has_ended(inst->proc) && boot_connect(b, &link_err) < 0)
		log_warn(&inst->scope, "no control of the adopted emulator: %s", link_err.msg);
	return 0;
}

int boot_adopt(struct instance *inst, struct err *err)
{
	struct boot b;
	boot_init(&b, inst);
	int rc = boot_take_over(&b, err);
	boot_fini(&b);
	return rc;
}

/* ---------------------------------------------------------------- end */

static void boot_classify(struct instance *inst)
{
	struct driver_verdict verdict = { 0 };
	char *text = channels_emulator_text(inst);
	struct driver_death death = {
		.end = &inst->proc_end,
		.was_ready = inst->was_ready,
		.stop_requested = inst->stop_requested,
		.semihosting = inst->request->semihosting || inst->request->n_firmware_args > 0,
		.shutdown_reason = inst->shutdown_reason,
		.text = text,
		.semihosting_calls = inst->prepared != NULL ? inst->prepared->calls : NULL,
		.semihosting_call_count = inst->prepared != NULL ? inst->prepared->call_count : 0,
	};
	inst->driver->classify(&death, &verdict);
	free(text);
	snprintf(inst->end_message, sizeof(inst->end_message), "%s", verdict.message);
	pwemu__v1__end__init(&inst->end);
	inst->end.cause = verdict.cause;
	inst->end.code = inst->proc_end.code;
	inst->end.signal = inst->proc_end.signal;
	inst->end.exec_errno = inst->proc_end.exec_errno;
	inst->end.time_ns = inst->proc_end.time_ns != 0 ? inst->proc_end.time_ns : clock_wall_ns();
	inst->end.boot = inst->boot;
	inst->end.message = inst->end_message;
	inst->has_end = true;
}

static void boot_finish(struct instance *inst)
{
	if (inst->state != INST_DRAINING)
		return; /* a start that failed half-way */
	boot_classify(inst);
	bool spoiled = inst->end.cause == PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG;
	instance_event(inst, spoiled ? INST_EV_SPOILED : INST_EV_DRAINED, inst->end_message);
}

static void boot_on_drained(void *ctx)
{
	struct instance_channel *channel = ctx;
	struct instance *inst = channel->inst;
	if (!channel->is_draining)
		return;
	channel->is_draining = false;
	if (--inst->draining == 0)
		boot_finish(inst);
}

void boot_drain(struct instance *inst)
{
	inst->draining = 1;
	for (size_t i = 0; i < inst->channel_count; i++) {
		struct instance_channel *channel = inst->channels[i];
		if (channel->hub == NULL)
			continue;
		channel->is_draining = true;
		inst->draining++;
		hub_end_boot(channel->hub, boot_on_drained, channel);
	}
	if (--inst->draining == 0)
		boot_finish(inst);
}

void boot_give_up(struct instance *inst)
{
	inst->draining = 0;
	for (size_t i = 0; i < inst->channel_count; i++) {
		if (inst->channels[i]->is_draining)
			hub_drop_boot(inst->channels[i]->hub);
		inst->channels[i]->is_draining = false;
	}
	boot_classify(inst);
}

void boot_remove_files(struct instance *inst)
{
	char *path = instance_run_path(inst);
	struct err err = ERR_INIT;
	boot_discard_layout(inst);
	if (dirs_remove(path, &err) < 0)
		log_warn(&inst->scope, "%s", err.msg);
	free(path);
}
