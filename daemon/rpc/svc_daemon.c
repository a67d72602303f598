/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "instance/journal.h"
#include "pwemu/v1/daemon.pb-c.h"
#include "rpc/remote.h"
#include "rpc/service.h"
#include "wire/mem.h"

static void handle_info(struct rpc_call *call, const ProtobufCMessage *message)
{
	(void)message;
	const struct services *services = service_of(call);
	Pwemu__V1__InfoReply reply = PWEMU__V1__INFO_REPLY__INIT;
	reply.pid = (int32_t)getpid();
	reply.version = (char *)PWEMU_VERSION;
	reply.socket = (char *)services->socket;
	reply.state_dir = (char *)services->state_dir;
	reply.targets_dir = (char *)services->targets_dir;
	reply.log = (char *)services->log;
	reply.settings = (char *)services->settings_path;
	reply.running = (uint32_t)registry_running(services->registry);
	reply.instances = (uint32_t)registry_count(services->registry);
	reply.started_ns = services->started_ns;
	reply.auto_started = services->is_auto;
	reply.is_system = services->is_system;
	reply.last_event = journal_last(services->journal);
	reply.ca_pin = (char *)(uintptr_t)remote_pin(services->remote);
	size_t count = remote_address_count(services->remote);
	reply.listen = xcalloc(count + 1, sizeof(*reply.listen));
	for (size_t i = 0; i < count; i++)
		reply.listen[reply.n_listen++] = (char *)(uintptr_t)remote_address(services->remote, i);
	rpc_call_reply(call, &reply.base);
	free(reply.listen);
}

static void handle_reload(struct rpc_call *call, const ProtobufCMessage *message)
{
	(void)message;
	struct services *services = service_of(call);
	struct err err = ERR_INIT, settings_err = ERR_INIT;
	char who[SERVICE_ACTOR_MAX];
	if (!service_is_admin(call))
		return;
	service_actor(call, who);
	int settings = service_reload_settings(services, who, &settings_err);
	if (service_reload_targets(services, who, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	const struct target_set *fresh = services->targets;
	Pwemu__V1__ReloadReply reply = PWEMU__V1__RELOAD_REPLY__INIT;
	size_t errors = target_set_error_count(fresh);
	reply.targets = (uint32_t)target_set_count(fresh);
	reply.errors = xcalloc(errors + 1, sizeof(*reply.errors));
	if (settings < 0)
		reply.errors[reply.n_errors++] = settings_err.msg;
	for (size_t i = 0; i < errors; i++)
		reply.errors[reply.n_errors++] = (char *)target_set_error(fresh, i);
	rpc_call_reply(call, &reply.base);
	free(reply.errors);
}

/* ---------------------------------------------------------------- Shutdown */

/* One at a time is enough: whoever comes second gets the same end. */
static struct shutdown {
	struct services *services; /* NULL: none is under way */
	struct rpc_call *call;     /* NULL: answered, or its client is gone; what it asked for is done all the same */
	struct registry_observer observer;
	bool with_instances;
	uint32_t stopped;
} shutdown_state;

static bool shutdown_must_wait(void)
{
	return shutdown_state.with_instances && registry_running(shutdown_state.services->registry) > 0;
}

/* The daemon ends when the answer is out. */
static void shutdown_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct services *services = ctx;
	shutdown_state.call = NULL;
	if (!shutdown_must_wait())
		services->on_shutdown(services->ctx);
}

static const struct rpc_call_ops shutdown_ops = { .on_end = shutdown_on_end };

static void shutdown_answer(struct rpc_call *call)
{
	Pwemu__V1__ShutdownReply reply = PWEMU__V1__SHUTDOWN_REPLY__INIT;
	reply.left_running = (uint32_t)registry_running(shutdown_state.services->registry);
	reply.stopped = shutdown_state.stopped;
	rpc_call_reply(call, &reply.base);
}

static void shutdown_on_change(void *ctx, struct instance *inst)
{
	(void)inst;
	struct services *services = ctx;
	struct rpc_call *call = shutdown_state.call;
	if (shutdown_must_wait())
		return;
	shutdown_state.call = NULL;
	if (call != NULL)
		shutdown_answer(call);
	else
		services->on_shutdown(services->ctx);
}

static void shutdown_stop_all(struct services *services)
{
	size_t count;
	struct instance **rows = registry_list(services->registry, &count);
	for (size_t i = 0; i < count; i++) {
		if (instance_is_over(rows[i]))
			continue;
		shutdown_state.stopped++;
		instance_stop(rows[i], 0, "stopped with the daemon");
	}
	free(rows);
}

static void handle_shutdown(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__ShutdownRequest *request = (const Pwemu__V1__ShutdownRequest *)message;
	bool with_instances = request->with_instances;
	struct services *services = service_of(call);
	char who[SERVICE_ACTOR_MAX];
	if (!service_is_admin(call))
		return;
	if (shutdown_state.services != NULL) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_UNAVAILABLE, "the daemon is ending already");
		service_fail(call, &err);
		return;
	}
	service_actor(call, who);
	log_message_by(LOG_LEVEL_INFO, NULL, who, "%s%s, asked by %s", request->restart ? "restart" : "shutdown",
		       with_instances ? " with all instances" : "", who);
	services->is_ending = true;
	services->must_restart = request->restart;
	shutdown_state.services = services;
	shutdown_state.call = call;
	shutdown_state.with_instances = with_instances;
	rpc_call_adopt(call, &shutdown_ops, services);
	if (with_instances) {
		shutdown_state.observer = (struct registry_observer){ .on_change = shutdown_on_change, .ctx = services };
		registry_observe(services->registry, &shutdown_state.observer);
		shutdown_stop_all(services);
	}
	if (shutdown_state.call != NULL && !shutdown_must_wait()) {
		shutdown_state.call = NULL;
		shutdown_answer(call);
	}
}

const struct rpc_method svc_daemon_methods[] = {
	SERVICE_METHOD("Daemon", "Info", RPC_UNARY, info_request, info_reply, 1024, RIGHT_NONE, handle_info),
	SERVICE_METHOD("Daemon", "Reload", RPC_UNARY, reload_request, reload_reply, 1024, RIGHT_NONE, handle_reload),
	SERVICE_METHOD("Daemon", "Shutdown", RPC_UNARY, shutdown_request, shutdown_reply, 1024, RIGHT_NONE, handle_shutdown),
	{ 0 },
};
