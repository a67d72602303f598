/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels of an instance. They live longer than a boot: a later boot that has a channel of the same name goes on in its log.
 * The log of an instance that has ended is opened when somebody reads it.
 */
#include "instance/priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "config/settings.h"
#include "wire/mem.h"

#define EMULATOR_TEXT_MAX 16384

struct instance_channel *channels_find(const struct instance *inst, const char *name)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		if (strcmp(inst->channels[i]->name, name) == 0)
			return inst->channels[i];
	return NULL;
}

static void channels_on_stuck(void *ctx)
{
	struct instance_channel *channel = ctx;
	if (channel->inst->link != NULL && channel->inst->driver->nudge != NULL)
		channel->inst->driver->nudge(channel->inst->link);
}

static void channels_on_trouble(void *ctx, const struct err *err)
{
	const struct instance_channel *channel = ctx;
	log_warn(&channel->inst->scope, "%s", err->msg);
	instance_tell(channel->inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, channel->name, NULL, err->msg);
}

static void channels_on_writer(void *ctx)
{
	struct instance_channel *channel = ctx;
	const char *holder = writer_holder(channel->hub);
	if (holder != NULL || channel->has_writer) /* else somebody had it for a moment */
		instance_tell(channel->inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WRITER, channel->name, holder, NULL);
	channel->has_writer = holder != NULL;
}

/* What the target says about its logs, where it does, else what the daemon's settings say. */
static void channels_limit(const struct instance *inst, struct hub_config *config)
{
	const struct settings *settings = inst->env->settings;
	const Pwemu__V1__LogPolicy *policy = inst->target != NULL ? inst->target->log : NULL;
	if (settings != NULL) {
		config->limit_bytes = settings->log_limit_bytes;
		config->drop_oldest = settings->log_drop_oldest;
	}
	if (policy != NULL && policy->limit_bytes > 0)
		config->limit_bytes = policy->limit_bytes;
	if (policy != NULL && policy->full != PWEMU__V1__LOG_FULL__LOG_FULL_UNSPECIFIED)
		config->drop_oldest = policy->full == PWEMU__V1__LOG_FULL__LOG_FULL_DROP_OLDEST;
}

int channels_open_dir(struct instance *inst, struct err *err)
{
	if (inst->log_dir >= 0)
		return 0;
	char *path = instance_data_path(inst);
	int rc = dirs_make(path, err) < 0 ? -1 : dirs_open(path, &inst->log_dir, err);
	free(path);
	if (rc == 0)
		access_let_read(inst, inst->log_dir, ".");
	return rc;
}

static void channels_bound(struct instance_channel *channel)
{
	struct hub_config bounds = { 0 };
	channels_limit(channel->inst, &bounds);
	hub_set_bounds(channel->hub, bounds.limit_bytes, bounds.drop_oldest);
}

void channels_set_bounds(struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		if (inst->channels[i]->hub != NULL)
			channels_bound(inst->channels[i]);
}

int channels_open(struct instance *inst, struct instance_channel *channel, struct err *err)
{
	if (channel->is_socket)
		return 0;
	if (channel->hub != NULL) { /* somebody reads it, perhaps since before a start with another target */
		channels_bound(channel);
		return 0;
	}
	if (channels_open_dir(inst, err) < 0)
		return -1;
	struct hub_config config = {
		.base = inst->env->base,
		.name = channel->name,
		.log_dir = inst->log_dir,
		.on_input_stuck = channels_on_stuck,
		.on_trouble = channels_on_trouble,
		.on_writer = channels_on_writer,
		.ctx = channel,
	};
	channels_limit(inst, &config);
	if (hub_open(&config, &channel->hub, err) < 0)
		return err_prefix(err, "channel \"%s\"", channel->name);
	hub_set_final(channel->hub, inst_state_row(inst->state)->is_over);
	char *log = xasprintf("%s.log", channel->name);
	access_let_read(inst, inst->log_dir, log);
	free(log);
	return 0;
}

static void channels_close(struct instance_channel *channel)
{
	parties_clear(channel);
	if (channel->hub == NULL)
		return;
	channel->offset = hub_end_offset(channel->hub);
	channel->first_offset = hub_first_offset(channel->hub);
	hub_free(channel->hub);
	channel->hub = NULL;
}

/* The channel of this name that an earlier boot had, or a new one; taken out of the old array. */
static struct instance_channel *channels_take(struct instance *inst, const char *name)
{
	for (size_t i = 0; i < inst->channel_count; i++) {
		struct instance_channel *old = inst->channels[i];
		if (old == NULL || strcmp(old->name, name) != 0)
			continue;
		inst->channels[i] = NULL;
		return old;
	}
	struct instance_channel *channel = xcalloc(1, sizeof(*channel));
	snprintf(channel->name, sizeof(channel->name), "%s", name);
	channel->inst = inst;
	channel->endpoint_fds = (struct endpoint_fds)ENDPOINT_FDS_NONE;
	return channel;
}

void channels_set(struct instance *inst, const struct plan *plan)
{
	size_t total = 0;
	struct instance_channel **fresh = xcalloc(plan->channel_count + plan->socket_count, sizeof(struct instance_channel *));
	for (size_t i = 0; i < plan->channel_count; i++) {
		const struct plan_channel *row = &plan->channels[i];
		fresh[total] = channels_take(inst, row->name);
		fresh[total]->kind = row->kind;
		fresh[total]->is_socket = false;
		fresh[total++]->has_input = row->has_input;
	}
	for (size_t i = 0; i < plan->socket_count; i++) {
		if (!plan_socket_is_channel(&plan->sockets[i]))
			continue;
		fresh[total] = channels_take(inst, plan->sockets[i].name);
		fresh[total]->kind = plan->sockets[i].kind;
		fresh[total++]->is_socket = true;
	}
	channels_free(inst);
	inst->channels = fresh;
	inst->channel_count = total;
}

void channels_free(struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++) {
		if (inst->channels[i] != NULL) {
			endpoints_close(inst->channels[i]);
			channels_close(inst->channels[i]);
		}
		free(inst->channels[i]);
	}
	free(inst->channels);
	inst->channels = NULL;
	inst->channel_count = 0;
}

void channels_set_final(struct instance *inst)
{
	bool final = inst_state_row(inst->state)->is_over;
	for (size_t i = 0; i < inst->channel_count; i++)
		if (inst->channels[i]->hub != NULL)
			hub_set_final(inst->channels[i]->hub, final);
}

static bool channels_is_read(const struct instance_channel *channel)
{
	return channel->hub != NULL && (channel->endpoint != NULL || hub_cursor_count(channel->hub) > 0 || hub_has_writer(channel->hub));
}

bool instance_is_read(const struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		if (channels_is_read(inst->channels[i]))
			return true;
	return false;
}

void instance_trim(struct instance *inst)
{
	if (!instance_is_over(inst))
		return;
	for (size_t i = 0; i < inst->channel_count; i++)
		if (!channels_is_read(inst->channels[i]))
			channels_close(inst->channels[i]);
	if (!instance_is_read(inst) && inst->log_dir >= 0) { /* thousands of ended instances keep no descriptor */
		close(inst->log_dir);
		inst->log_dir = -1;
	}
}

struct instance_channel *channels_default(const struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		if (inst->channels[i]->kind == CHANNEL_SERIAL)
			return inst->channels[i];
	return NULL;
}

/* name NULL: the default one. */
static int channels_not_found(const struct instance *inst, const char *name, struct err *err)
{
	char known[512] = "";
	for (size_t i = 0; i < inst->channel_count; i++) {
		size_t used = strlen(known);
		if (!inst->channels[i]->is_socket)
			snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "", inst->channels[i]->name);
	}
	const char *list = known[0] != '\0' ? known : "none, it never ran";
	if (name == NULL && known[0] != '\0')
		err_set(err, ERR_NOT_FOUND, "target \"%s\" of instance \"%s\" has no console; name a channel; there is: %s",
			inst->target != NULL ? inst->target->name : "", inst->name, list);
	else
		err_set(err, ERR_NOT_FOUND, "instance \"%s\" has no %s%s%s; there is: %s", inst->name,
			name != NULL ? "channel \"" : "console", name != NULL ? name : "", name != NULL ? "\"" : "", list);
	return err_reason(err, "invalid-channel");
}

struct instance_channel *channels_get(const struct instance *inst, const char *name, struct err *err)
{
	bool is_default = name == NULL || name[0] == '\0';
	struct instance_channel *channel = is_default ? channels_default(inst) : channels_find(inst, name);
	if (channel == NULL)
		(void)channels_not_found(inst, is_default ? NULL : name, err);
	return channel;
}

int instance_hub(struct instance *inst, const char *name, struct hub **out, const char **channel_name, struct err *err)
{
	struct instance_channel *channel = channels_get(inst, name, err);
	if (channel == NULL)
		return -1;
	if (channel->is_socket) {
		err_set(err, ERR_FAILED_PRECONDITION, "channel \"%s\" has no log; attach to it: pwemu pipe %s", channel->name,
			channel->name);
		return err_reason(err, "invalid-channel-type");
	}
	if (channels_open(inst, channel, err) < 0)
		return -1;
	*out = channel->hub;
	*channel_name = channel->name;
	return 0;
}

bool instance_channel_takes_input(const struct instance *inst, const char *name)
{
	const struct instance_channel *channel = channels_find(inst, name);
	return channel != NULL && channel->has_input;
}

bool instance_channel_needs_control(const struct instance *inst, const char *name)
{
	const struct instance_channel *channel = channels_find(inst, name);
	return channel != NULL && channel->is_socket;
}

struct bridge *instance_bridge(const struct instance *inst, const char *name)
{
	const struct instance_channel *channel = name != NULL ? channels_find(inst, name) : NULL;
	return channel != NULL && channel->is_socket ? channel->bridge : NULL;
}

bool instance_channel_is_socket(const struct instance *inst, const char *name)
{
	const struct instance_channel *channel = name != NULL ? channels_find(inst, name) : NULL;
	return channel != NULL && channel->is_socket;
}

static void channels_ignore_readable(void *ctx)
{
	(void)ctx;
}

char *channels_emulator_text(struct instance *inst)
{
	char *text = xcalloc(1, EMULATOR_TEXT_MAX + 1);
	struct instance_channel *channel = channels_find(inst, "emulator");
	struct hub_boot boot;
	if (channel == NULL || channels_open(inst, channel, NULL) < 0 || hub_find_boot(channel->hub, 0, &boot, NULL) < 0)
		return text;
	uint64_t end = hub_end_offset(channel->hub);
	uint64_t from = end - boot.offset > EMULATOR_TEXT_MAX ? end - EMULATOR_TEXT_MAX : boot.offset;
	static const struct cursor_ops ops = { .on_readable = channels_ignore_readable };
	struct cursor *cursor;
	struct chunk chunk;
	size_t len = 0;
	if (cursor_open(channel->hub, from, end, false, &ops, NULL, &cursor, NULL) < 0)
		return text;
	while (len < EMULATOR_TEXT_MAX && cursor_read(cursor, text + len, EMULATOR_TEXT_MAX - len, &chunk, NULL) == 1)
		len += chunk.len;
	cursor_close(cursor);
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	return text;
}
