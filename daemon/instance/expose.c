/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An endpoint for a channel of an instance that runs. From then on it is like one that was there from the start: it is in the record, the
 * shim holds its descriptors, the next boot takes them over, and it goes with the instance.
 */
#include <stdio.h>
#include <string.h>

#include "instance/files.h"
#include "instance/priv.h"

static int expose_not_running(const struct instance *inst, struct err *err)
{
	err_set(err, ERR_FAILED_PRECONDITION, "instance \"%s\" is not running (%s): an endpoint lives as long as its instance", inst->name,
		inst_state_row(inst->state)->name);
	return err_reason(err, "not-running");
}

static int expose_choose(const struct instance_channel *channel, const char *type, uint32_t port, enum endpoint_kind *kind, struct err *err)
{
	if (type[0] == '\0')
		type = endpoint_kind_name(channel->endpoint_kind != ENDPOINT_NONE ? channel->endpoint_kind : ENDPOINT_TCP);
	if (endpoints_parse_kind(channel->name, type, kind, err) < 0)
		return -1;
	if (*kind == ENDPOINT_NONE) {
		err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\": an endpoint is tcp or pty", channel->name);
		return err_reason(err, "invalid-channel-type");
	}
	if (port > UINT16_MAX || (port != 0 && *kind != ENDPOINT_TCP))
		return err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\": port %u is not 1 to 65535 of a tcp endpoint", channel->name,
			       port);
	return 0;
}

/* What it has already. */
static int expose_again(const struct instance_channel *channel, enum endpoint_kind kind, struct err *err)
{
	if (channel->endpoint_kind == kind)
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION, "channel \"%s\" has a %s endpoint already and can have no %s one beside it", channel->name,
		endpoint_kind_name(channel->endpoint_kind), endpoint_kind_name(kind));
	return err_reason(err, "invalid-channel-type");
}

static int expose_make(struct instance_channel *channel, enum endpoint_kind kind, uint16_t port, struct err *err)
{
	const struct instance *inst = channel->inst;
	char path[ENDPOINT_PATH_MAX] = "";
	uint16_t got = 0;
	int rc;
	if (kind == ENDPOINT_PTY)
		rc = endpoints_make(inst, channel->name, channel->is_socket, kind, 0, &channel->endpoint_fds, &got, path, err);
	else
		rc = endpoints_make_port(inst, channel->name, port, &channel->endpoint_fds, &got, err);
	if (rc < 0)
		return -1;
	channel->endpoint_kind = kind;
	channel->port = got;
	snprintf(channel->pty_path, sizeof(channel->pty_path), "%s", path);
	return 0;
}

static int expose_hold_one(const struct instance_channel *channel, const char *suffix, int fd, struct err *err)
{
	char name[PLAN_NAME_MAX + 8];
	snprintf(name, sizeof(name), "%s%s", channel->name, suffix);
	return fd >= 0 ? proc_hold_fd(channel->inst->proc, name, fd, err) : 0;
}

/* It works without, as long as this daemon lives, or until the next boot, whose shim gets all there is. */
static void expose_hold(struct instance_channel *channel)
{
	const struct endpoint_fds *fds = &channel->endpoint_fds;
	struct err err = ERR_INIT;
	if (expose_hold_one(channel, ENDPOINT_LISTENER, fds->listener, &err) == 0 &&
	    expose_hold_one(channel, ENDPOINT_MASTER, fds->master, &err) == 0 &&
	    expose_hold_one(channel, ENDPOINT_SLAVE, fds->slave, &err) == 0 &&
	    expose_hold_one(channel, ENDPOINT_CURSOR, fds->cursor, &err) == 0)
		return;
	err_prefix(&err,
		   "its %s endpoint ends with the daemon or with the emulator, since the shim cannot hold it (it may be of an earlier "
		   "version)",
		   endpoint_kind_name(channel->endpoint_kind));
	endpoints_on_trouble(channel, &err);
}

int instance_expose(struct instance *inst, const char *name, const char *type, uint32_t port, const char **channel_name, struct err *err)
{
	enum endpoint_kind kind;
	struct instance_channel *channel = channels_get(inst, name, err);
	if (channel == NULL || expose_choose(channel, type, port, &kind, err) < 0)
		return -1;
	if ((inst->state != INST_RUNNING && inst->state != INST_PAUSED) || inst->proc == NULL)
		return expose_not_running(inst, err);
	*channel_name = channel->name;
	if (endpoints_has_fds(channel))
		return expose_again(channel, kind, err);
	if (expose_make(channel, kind, (uint16_t)port, err) < 0)
		return -1;
	store_save(inst); /* before the shim has it: whoever adopts asks for what stands there */
	expose_hold(channel);
	endpoints_serve(channel, false);
	files_update(inst);
	log_info(&inst->scope, "channel %s has a %s endpoint now", channel->name, endpoint_kind_name(kind));
	instance_changed(inst);
	return 0;
}
