/* SPDX-License-Identifier: Apache-2.0 */
/* An instance as clients see it. */
#include <stdlib.h>
#include <string.h>

#include "driver/qemu.h"
#include "instance/commands.h"
#include "instance/priv.h"
#include "wire/mem.h"

static char *describe_log_path(const struct instance *inst, const struct instance_channel *channel)
{
	return channel->is_socket ? xstrdup("") : xasprintf("%s/data/%s/%s.log", inst->env->state_dir, inst->id, channel->name);
}

/* Whether the emulator has a UNIX socket for a channel of that kind; else the driver opens it. */
static bool describe_has_socket(const struct instance *inst)
{
	return inst->driver != NULL && inst->driver->open == NULL;
}

static char *describe_socket_path(const struct instance *inst, const struct instance_channel *channel)
{
	bool is_there = channel->is_socket && inst->proc != NULL && describe_has_socket(inst);
	return is_there ? xasprintf("%s/%s/%s.sock", inst->env->run_dir, inst->id, channel->name) : xstrdup("");
}

static void describe_endpoint(const struct instance_channel *channel, Pwemu__V1__Channel *out)
{
	out->type = (char *)(uintptr_t)endpoint_kind_name(channel->endpoint_kind);
	out->port = channel->port;
	if (channel->endpoint_kind == ENDPOINT_TCP && endpoints_has_fds(channel))
		out->host = (char *)"127.0.0.1";
}

static Pwemu__V1__Channel *describe_channel(const struct instance *inst, struct instance_channel *channel)
{
	Pwemu__V1__Channel *out = xcalloc(1, sizeof(*out));
	pwemu__v1__channel__init(out);
	out->name = channel->name;
	describe_endpoint(channel, out);
	if (channel->is_socket && channel->endpoint_kind == ENDPOINT_NONE && describe_has_socket(inst))
		out->type = (char *)"unix";
	out->kind = (char *)channel_kind_name(channel->kind);
	out->log = describe_log_path(inst, channel);
	out->path = channel->endpoint_kind == ENDPOINT_PTY ? xstrdup(channel->pty_path) : describe_socket_path(inst, channel);
	out->offset = channel->hub != NULL ? hub_end_offset(channel->hub) : channel->offset;
	out->first_offset = channel->hub != NULL ? hub_first_offset(channel->hub) : channel->first_offset;
	out->writable = channel->is_socket ? inst->proc != NULL : channel->hub != NULL && hub_is_writable(channel->hub);
	const char *holder = channel->bridge != NULL ? bridge_holder(channel->bridge) : NULL;
	if (channel->hub != NULL && hub_has_writer(channel->hub))
		holder = writer_holder(channel->hub);
	out->has_writer = holder != NULL;
	out->writer = (char *)(uintptr_t)(holder != NULL ? holder : "");
	out->readers = channel->hub != NULL ? hub_cursor_count(channel->hub) : 0;
	return out;
}

static void describe_channels(struct instance *inst, Pwemu__V1__Instance *out)
{
	out->channels = xcalloc(inst->channel_count, sizeof(*out->channels));
	for (size_t i = 0; i < inst->channel_count; i++) {
		struct instance_channel *channel = inst->channels[i];
		out->channels[out->n_channels++] = describe_channel(inst, channel);
		if (out->console[0] == '\0' && channel->kind == CHANNEL_SERIAL)
			out->console = channel->name;
	}
}

/* Takes the path. */
static void describe_process(Pwemu__V1__Instance *out, const char *name, pid_t pid, char *log, Pwemu__V1__End *end)
{
	Pwemu__V1__Process *row = xcalloc(1, sizeof(*row));
	pwemu__v1__process__init(row);
	row->name = (char *)(uintptr_t)name;
	row->pid = (int32_t)pid;
	row->log = log;
	row->end = end;
	out->processes[out->n_processes++] = row;
}

static void describe_commands(const struct instance *inst, Pwemu__V1__Instance *out, bool is_post)
{
	for (size_t i = 0; i < inst->command_count; i++) {
		const struct command *command = &inst->commands[i];
		if (command->is_post == is_post)
			describe_process(out, command->name, command_pid(command), command_log_path(command), command->end);
	}
}

static void describe_processes(const struct instance *inst, Pwemu__V1__Instance *out)
{
	char *log = xasprintf("%s/data/%s/emulator.log", inst->env->state_dir, inst->id);
	out->processes = xcalloc(inst->command_count + 1, sizeof(*out->processes));
	describe_commands(inst, out, false);
	describe_process(out, inst->target->emulator, instance_pid(inst), log, instance_end(inst));
	describe_commands(inst, out, true);
}

static void describe_images(const struct instance *inst, Pwemu__V1__Instance *out)
{
	out->images = xcalloc(inst->request->n_images + 1, sizeof(*out->images));
	if (inst->loaded_path != NULL)
		out->images[out->n_images++] = inst->loaded_path;
	for (size_t i = 0; i < inst->request->n_images; i++)
		if (inst->loaded_path == NULL || strcmp(inst->loaded_path, inst->request->images[i]->path) != 0)
			out->images[out->n_images++] = inst->request->images[i]->path;
}

/* The policy in force, with its defaults filled in. */
Pwemu__V1__RestartPolicy *instance_describe_restart(const struct instance *inst)
{
	const struct restart_policy *policy = &inst->restart;
	Pwemu__V1__RestartPolicy *out = xcalloc(1, sizeof(*out));
	pwemu__v1__restart_policy__init(out);
	out->mode = policy->mode;
	out->delay_case = PWEMU__V1__RESTART_POLICY__DELAY_DELAY_MS;
	out->delay_ms = policy->delay_ms;
	out->factor_percent = policy->factor_percent;
	out->max_delay_ms = policy->max_delay_ms;
	out->jitter_case = PWEMU__V1__RESTART_POLICY__JITTER_JITTER_PERCENT;
	out->jitter_percent = policy->jitter_percent;
	out->max_deaths = policy->max_deaths;
	out->window_ms = policy->window_ms;
	out->stable_ms = policy->stable_ms;
	return out;
}

static const char *describe_sandbox(const struct instance *inst)
{
	bool is_there = false;
	for (size_t i = 0; i < inst->argv.count; i++)
		is_there = is_there || strcmp(inst->argv.items[i], QEMU_SANDBOX) == 0;
	return !driver_is_sandboxed(inst->target) ? "off" : is_there ? "on" : "none";
}

void instance_describe(struct instance *inst, Pwemu__V1__Instance *out)
{
	pwemu__v1__instance__init(out);
	out->name = inst->name;
	out->id = inst->id;
	out->working_dir = inst->working_dir;
	out->owner = inst->user.name;
	out->uid = inst->user.uid;
	out->shares = shares_messages(&inst->shares);
	out->n_shares = inst->shares.count;
	out->machine = inst->machine;
	out->host = inst->host;
	out->project = inst->project;
	out->state = inst_state_row(inst->state)->shown;
	out->reason = inst->reason;
	out->pid = (int32_t)instance_pid(inst);
	out->boot = inst->boot;
	out->end = instance_end(inst);
	out->ends = inst->ends.rows;
	out->n_ends = inst->ends.count;
	out->restart_at_ns = inst->state == INST_BACKOFF ? inst->restart_at_ns : 0;
	out->restarts = inst->restarts;
	out->state_since_ns = inst->state_since_ns;
	out->started_ns = inst->started_ns;
	out->eol = (char *)instance_eol(inst);
	out->argv = inst->argv.items;
	out->n_argv = inst->argv.count;
	out->lease = lease_describe(inst);
	if (inst->env->on_position != NULL)
		out->queue_position = inst->env->on_position(inst->env->ctx, inst);
	out->emulator_version = inst->emulator_version;
	if (instance_is_over(inst))
		out->refusal = inst->start_error.reason;
	describe_channels(inst, out);
	if (inst->target == NULL)
		return;
	out->restart = instance_describe_restart(inst);
	out->target = inst->target->name;
	out->emulator = inst->target->emulator;
	out->private_network = inst->has_private_network && inst->proc != NULL;
	out->sandbox = (char *)describe_sandbox(inst);
	out->semihosting = inst->request->semihosting || inst->request->n_firmware_args > 0;
	out->gdb = inst->target->gdb;
	out->n_gdb = inst->target->n_gdb;
	out->config = inst->target->config;
	if (inst->target->defaults != NULL)
		out->from = inst->target->defaults->from;
	describe_images(inst, out);
	describe_processes(inst, out);
}

void instance_describe_fini(Pwemu__V1__Instance *out)
{
	for (size_t i = 0; i < out->n_channels; i++) {
		free(out->channels[i]->log);
		free(out->channels[i]->path);
		free(out->channels[i]);
	}
	free(out->channels);
	for (size_t i = 0; i < out->n_processes; i++) {
		free(out->processes[i]->log);
		free(out->processes[i]);
	}
	free(out->processes);
	free(out->images);
	free(out->restart);
	shares_free_messages(out->shares, out->n_shares);
	free(out->lease);
}
