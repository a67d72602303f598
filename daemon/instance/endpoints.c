/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of an instance's channels: which there are to be, making them, serving them, having them back from the shim. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
#include "instance/priv.h"
#include "loop/ports.h"
#include "wire/mem.h"

bool endpoints_has_fds(const struct instance_channel *channel)
{
	return channel->endpoint_fds.listener >= 0 || channel->endpoint_fds.master >= 0;
}

/* ---------------------------------------------------------------- what is wanted */

static const Pwemu__V1__Endpoint *endpoints_asked(const struct instance *inst, const char *channel)
{
	for (size_t i = inst->request->n_endpoints; i > 0; i--) /* the last word counts */
		if (strcmp(inst->request->endpoints[i - 1]->channel, channel) == 0)
			return inst->request->endpoints[i - 1];
	return NULL;
}

/* What the target says; "" and 0 where it says nothing. */
static const char *endpoints_of_target(const struct instance *inst, const char *channel, uint32_t *port)
{
	const Pwemu__V1__Target *target = inst->target;
	*port = 0;
	for (size_t i = 0; i < target->n_channels; i++) {
		if (strcmp(target->channels[i]->name, channel) != 0)
			continue;
		*port = target->channels[i]->port;
		return target->channels[i]->type;
	}
	for (size_t i = 0; i < target->n_controls; i++) {
		if (strcmp(target->controls[i]->channel, channel) != 0)
			continue;
		*port = target->controls[i]->port;
		return target->controls[i]->type;
	}
	return "";
}

/* Type and fixed port (0: none) that were asked for: the request's word beats the target's. */
static const char *endpoints_asked_type(const struct instance *inst, const char *channel, uint32_t *port)
{
	const Pwemu__V1__Endpoint *asked = endpoints_asked(inst, channel);
	const char *type = endpoints_of_target(inst, channel, port);
	if (asked == NULL)
		return type;
	if (asked->port != 0 || strcmp(asked->type, type) != 0)
		*port = asked->port;
	return asked->type;
}

static int endpoints_bad_type(const char *channel, const char *type, struct err *err)
{
	err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\": endpoint type \"%.40s\" is unknown; there is: tcp, pty, none", channel, type);
	return err_reason(err, "invalid-channel-type");
}

int endpoints_parse_kind(const char *channel, const char *type, enum endpoint_kind *kind, struct err *err)
{
	return endpoint_kind_parse(type, kind) ? 0 : endpoints_bad_type(channel, type, err);
}

int endpoints_want(const struct instance *inst, const char *channel, enum endpoint_kind *kind, uint16_t *port, struct err *err)
{
	uint32_t wanted;
	const char *type = endpoints_asked_type(inst, channel, &wanted);
	const struct instance_channel *before = channels_find(inst, channel);
	if (endpoints_parse_kind(channel, type, kind, err) < 0)
		return -1;
	if (wanted > UINT16_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\": port %u is not 1 to 65535", channel, wanted);
	*port = (uint16_t)wanted;
	if (*port == 0 && before != NULL && before->endpoint_kind == *kind)
		*port = before->port; /* asked for again; another one will do */
	return 0;
}

static void endpoints_add_name(char *known, size_t size, const char *name)
{
	size_t used = strlen(known);
	snprintf(known + used, size - used, "%s%s", used > 0 ? ", " : "", name);
}

/* Names of all that can have an endpoint, "a, b, c"; whether `wanted` is one of them. */
static bool endpoints_is_known(const struct plan *plan, const char *wanted, char *known, size_t size)
{
	bool is_known = false;
	known[0] = '\0';
	for (size_t i = 0; i < plan->channel_count; i++) {
		endpoints_add_name(known, size, plan->channels[i].name);
		is_known = is_known || strcmp(plan->channels[i].name, wanted) == 0;
	}
	for (size_t i = 0; i < plan->socket_count; i++) {
		if (!plan_socket_is_channel(&plan->sockets[i]))
			continue;
		endpoints_add_name(known, size, plan->sockets[i].name);
		is_known = is_known || strcmp(plan->sockets[i].name, wanted) == 0;
	}
	return is_known;
}

int endpoints_check(const struct instance *inst, const struct plan *plan, struct err *err)
{
	char known[512];
	for (size_t i = 0; i < inst->request->n_endpoints; i++) {
		const char *name = inst->request->endpoints[i]->channel;
		if (endpoints_is_known(plan, name, known, sizeof(known)))
			continue;
		err_set(err, ERR_INVALID_ARGUMENT, "target \"%s\" has no channel \"%.64s\" for an endpoint; there is: %s",
			inst->target->name, name, known);
		return err_reason(err, "invalid-channel");
	}
	return 0;
}

/* ---------------------------------------------------------------- making */

bool instance_port_channel(const struct instance *inst, uint16_t port, const char **channel)
{
	for (size_t i = 0; i < inst->channel_count; i++) {
		if (inst->channels[i]->endpoint_fds.listener < 0 || inst->channels[i]->port != port)
			continue;
		*channel = inst->channels[i]->name;
		return true;
	}
	return false;
}

/* Of many users none gets from the daemon's being root what he would not get himself, be it a port or a look at others' processes. */
static bool endpoints_is_for_user(const struct instance *inst)
{
	return inst->env->is_system && inst->user.uid != 0;
}

static int endpoints_port_reserved(uint16_t port, struct err *err)
{
	err_set(err, ERR_PERMISSION_DENIED, "port %u is reserved for root's services: choose one above, or none to be given one", port);
	return err_reason(err, "permission");
}

static int endpoints_port_taken(const struct instance *inst, uint16_t port, struct err *err)
{
	char holder[PORTS_HOLDER_MAX];
	const char *channel = NULL;
	const struct instance *other = inst->env->on_port != NULL ? inst->env->on_port(inst->env->ctx, port, &channel) : NULL;
	if (endpoints_is_for_user(inst) && (other == NULL || other->user.uid != inst->user.uid))
		return -1; /* that it is taken is said already */
	if (other != NULL) {
		err_set(err, ERR_ALREADY_EXISTS, "port %u is taken by channel \"%s\" of instance \"%s\" (%s): choose another one", port,
			channel, other->name, other->id);
		return err_reason(err, "port-taken");
	}
	ports_holder(port, holder);
	if (holder[0] == '\0')
		return -1;
	err_set(err, ERR_ALREADY_EXISTS, "port %u of 127.0.0.1 is taken by %s: choose another one, or none to be given one", port, holder);
	return err_reason(err, "port-taken");
}

/* is_must: this port or none; else another one will do. */
static int endpoints_make_tcp(const struct instance *inst, uint16_t port, bool is_must, struct endpoint_fds *fds, uint16_t *got,
			      struct err *err)
{
	const struct settings *settings = inst->env->settings;
	if (port != 0 && endpoints_is_for_user(inst) && ports_is_reserved(port))
		return endpoints_port_reserved(port, err);
	if (endpoint_make_tcp(port, settings->port_first, settings->port_last, fds, got, err) == 0)
		return 0;
	if (is_must && err->code == ERR_ALREADY_EXISTS)
		return endpoints_port_taken(inst, port, err);
	if (is_must || port == 0 || err->code != ERR_ALREADY_EXISTS)
		return -1;
	return endpoint_make_tcp(0, settings->port_first, settings->port_last, fds, got, err);
}

int endpoints_make_port(const struct instance *inst, const char *channel, uint16_t port, struct endpoint_fds *fds, uint16_t *got_port,
			struct err *err)
{
	return endpoints_make_tcp(inst, port, port != 0, fds, got_port, err) < 0 ? err_prefix(err, "channel \"%s\"", channel) : 0;
}

int endpoints_make(const struct instance *inst, const char *channel, bool is_socket, enum endpoint_kind kind, uint16_t port,
		   struct endpoint_fds *fds, uint16_t *got_port, char path[ENDPOINT_PATH_MAX], struct err *err)
{
	uint32_t asked;
	int rc = 0;
	path[0] = '\0';
	*got_port = 0;
	(void)endpoints_asked_type(inst, channel, &asked);
	if (kind == ENDPOINT_TCP)
		rc = endpoints_make_tcp(inst, port, asked != 0, fds, got_port, err);
	else if (kind == ENDPOINT_PTY)
		rc = endpoint_make_pty(is_socket ? -1 : inst->log_dir, channel, inst->user.uid, fds, path, err);
	return rc < 0 ? err_prefix(err, "channel \"%s\"", channel) : 0;
}

/* ---------------------------------------------------------------- serving */

static void endpoints_on_party(void *ctx, bool attached, const char *who)
{
	struct instance_channel *channel = ctx;
	parties_note(channel, attached, who);
	instance_tell(channel->inst, attached ? PWEMU__V1__EVENT_KIND__EVENT_KIND_ATTACH : PWEMU__V1__EVENT_KIND__EVENT_KIND_DETACH,
		      channel->name, who, NULL);
	if (!attached || channel->had_party)
		return;
	channel->had_party = true;
	store_save(channel->inst); /* the next daemon must not begin at the boot's first byte again */
}

void endpoints_on_trouble(void *ctx, const struct err *err)
{
	const struct instance_channel *channel = ctx;
	log_warn(&channel->inst->scope, "channel %s: %s", channel->name, err->msg);
	instance_tell(channel->inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, channel->name, NULL, err->msg);
}

static void endpoints_serve_log(struct instance_channel *channel, bool adopted)
{
	struct err err = ERR_INIT;
	if (channel->endpoint != NULL) {
		endpoint_begin_boot(channel->endpoint);
		return;
	}
	struct endpoint_config config = {
		.base = channel->inst->env->base,
		.hub = channel->hub,
		.kind = channel->endpoint_kind,
		.fds = &channel->endpoint_fds,
		.path = channel->pty_path,
		.list = { channel->inst->user.uid, parties_may_connect, channel },
		.had_party = channel->had_party,
		.on_party = endpoints_on_party,
		.on_trouble = endpoints_on_trouble,
		.ctx = channel,
	};
	if (endpoint_open(&config, adopted, &channel->endpoint, &err) < 0)
		endpoints_on_trouble(channel, &err);
}

static void endpoints_on_opened(void *ctx, int fd, const struct err *err)
{
	struct instance_channel *channel = ctx;
	bridge_opened(channel->bridge, fd, err);
}

static void endpoints_open(void *ctx)
{
	struct instance_channel *channel = ctx;
	struct instance *inst = channel->inst;
	struct err err = ERR_INIT;
	if (instance_check_up(inst, &err) < 0)
		endpoints_on_opened(channel, -1, &err);
	else
		inst->driver->open(inst->link, channel->kind, endpoints_on_opened, channel);
}

static void endpoints_close_driver(void *ctx)
{
	const struct instance_channel *channel = ctx;
	if (channel->inst->link != NULL)
		channel->inst->driver->close(channel->inst->link, channel->kind);
}

/* Of sockets users come and go by the call Attach too, so there is a bridge with or without an endpoint. */
static void endpoints_bridge(struct instance_channel *channel)
{
	struct instance *inst = channel->inst;
	if (channel->bridge != NULL)
		return;
	char *run = instance_run_path(inst), *path = xasprintf("%s/%s.sock", run, channel->name);
	bool has_own = inst->driver->open == NULL; /* a socket that the emulator inherited */
	struct bridge_config config = {
		.base = inst->env->base,
		.list = { inst->user.uid, parties_may_connect, channel },
		.path = has_own ? path : NULL,
		.open = has_own ? NULL : endpoints_open,
		.close = has_own ? NULL : endpoints_close_driver,
		.on_party = endpoints_on_party,
		.on_trouble = endpoints_on_trouble,
		.ctx = channel,
	};
	if (channel->kind == CHANNEL_GDB && inst->debug == NULL)
		debug_serve(inst, &config, &channel->bridge);
	else
		channel->bridge = bridge_new(&config);
	free(path);
	free(run);
}

static void endpoints_serve_socket(struct instance_channel *channel)
{
	struct err err = ERR_INIT;
	endpoints_bridge(channel);
	if (endpoints_has_fds(channel) && !bridge_is_served(channel->bridge) &&
	    bridge_serve(channel->bridge, &channel->endpoint_fds, channel->pty_path, &err) < 0)
		endpoints_on_trouble(channel, &err);
}

static void endpoints_unbridge(struct instance_channel *channel)
{
	bridge_free(channel->bridge);
	channel->bridge = NULL;
	if (channel->kind != CHANNEL_GDB)
		return;
	debug_free(channel->inst->debug);
	channel->inst->debug = NULL;
}

/* A channel of a boot that has ended has a hub without FIFOs. */
void endpoints_serve(struct instance_channel *channel, bool adopted)
{
	struct err err = ERR_INIT;
	if (channel->is_socket)
		endpoints_serve_socket(channel);
	else if (channels_open(channel->inst, channel, &err) == 0)
		endpoints_serve_log(channel, adopted);
	else
		endpoints_on_trouble(channel, &err);
}

void endpoints_serve_all(struct instance *inst, bool adopted)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		if (inst->channels[i]->is_socket || endpoints_has_fds(inst->channels[i]))
			endpoints_serve(inst->channels[i], adopted);
}

/* ---------------------------------------------------------------- adoption and end */

static int endpoints_fetch_one(struct instance_channel *channel, struct proc *proc, const char *suffix, int *fd, struct err *err)
{
	char name[PLAN_NAME_MAX + 8];
	snprintf(name, sizeof(name), "%s%s", channel->name, suffix);
	return proc_held_fd(proc, name, fd, err);
}

static int endpoints_fetch_channel(struct instance_channel *channel, struct proc *proc, struct err *err)
{
	struct endpoint_fds *fds = &channel->endpoint_fds;
	if (channel->endpoint_kind == ENDPOINT_TCP)
		return endpoints_fetch_one(channel, proc, ENDPOINT_LISTENER, &fds->listener, err);
	if (endpoints_fetch_one(channel, proc, ENDPOINT_MASTER, &fds->master, err) == 0 &&
	    endpoints_fetch_one(channel, proc, ENDPOINT_SLAVE, &fds->slave, err) == 0 &&
	    (channel->is_socket || endpoints_fetch_one(channel, proc, ENDPOINT_CURSOR, &fds->cursor, err) == 0))
		return 0;
	endpoint_fds_close(fds);
	return -1;
}

void endpoints_fetch(struct instance *inst, struct proc *proc)
{
	for (size_t i = 0; i < inst->channel_count; i++) {
		struct instance_channel *channel = inst->channels[i];
		struct err err = ERR_INIT;
		if (channel->endpoint_kind == ENDPOINT_NONE || endpoints_has_fds(channel) ||
		    endpoints_fetch_channel(channel, proc, &err) == 0)
			continue;
		err_prefix(&err, "its %s is lost until the next boot", endpoint_kind_name(channel->endpoint_kind));
		endpoints_on_trouble(channel, &err);
		if (err.code == ERR_DEADLINE_EXCEEDED)
			return; /* it will not answer the next question either */
	}
}

void endpoints_close(struct instance_channel *channel)
{
	endpoint_free(channel->endpoint);
	channel->endpoint = NULL;
	endpoints_unbridge(channel);
	channel->is_ending = false;
	endpoint_fds_close(&channel->endpoint_fds);
	channel->pty_path[0] = '\0';
}

static void endpoints_on_ended(void *ctx)
{
	struct instance_channel *channel = ctx;
	endpoints_close(channel);
	instance_trim(channel->inst);
}

/* The port is free at once; who is there gets the last words. */
static void endpoints_end(struct instance_channel *channel)
{
	if (channel->endpoint == NULL || channel->hub == NULL) {
		endpoints_close(channel);
		return;
	}
	channel->is_ending = true;
	endpoint_end(channel->endpoint, endpoints_on_ended);
	if (channel->endpoint_fds.listener >= 0)
		close(channel->endpoint_fds.listener);
	channel->endpoint_fds.listener = -1;
}

void endpoints_end_all(struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		if (!inst->channels[i]->is_ending)
			endpoints_end(inst->channels[i]);
}

void endpoints_close_all(struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++)
		endpoints_close(inst->channels[i]);
}
