/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "pwemu/v1/daemon.pb-c.h"
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
	reply.running = (uint32_t)registry_running(services->registry);
	reply.instances = (uint32_t)registry_count(services->registry);
	reply.started_ns = services->started_ns;
	reply.auto_started = services->is_auto;
	rpc_call_reply(call, &reply.base);
}

static void handle_reload(struct rpc_call *call, const ProtobufCMessage *message)
{
	(void)message;
	struct services *services = service_of(call);
	struct err err = ERR_INIT;
	struct target_set *fresh = target_set_new();
	if (target_set_load(fresh, services->targets_dir, &err) < 0) {
		target_set_free(fresh);
		service_fail(call, &err);
		return;
	}
	target_set_free(services->targets); /* instances have copies */
	services->targets = fresh;
	log_info(NULL, "%zu targets read, asked by uid %u", target_set_count(fresh), (unsigned)rpc_call_peer(call)->uid);
	Pwemu__V1__ReloadReply reply = PWEMU__V1__RELOAD_REPLY__INIT;
	size_t errors = target_set_error_count(fresh);
	reply.targets = (uint32_t)target_set_count(fresh);
	reply.errors = xcalloc(errors, sizeof(*reply.errors));
	for (size_t i = 0; i < errors; i++)
		reply.errors[reply.n_errors++] = (char *)target_set_error(fresh, i);
	rpc_call_reply(call, &reply.base);
	free(reply.errors);
}

/* ---------------------------------------------------------------- Shutdown */

/* One at a time is enough: whoever comes second gets the same end. */
static struct shutdown {
	struct rpc_call *call; /* NULL: none is under way, or its client is gone */
	struct services *services;
	struct registry_observer observer;
	bool is_observing;
	uint32_t stopped;
} shutdown_state;

static void shutdown_on_end(struct rpc_call *call, void *ctx)
{
	(void)call, (void)ctx;
	struct services *services = shutdown_state.services;
	shutdown_state.call = NULL;
	services->on_shutdown(services->ctx);
}

static const struct rpc_call_ops shutdown_ops = { .on_end = shutdown_on_end };

/* Answers when nothing that was to be stopped runs any more; the daemon ends when the answer is out. */
static void shutdown_try(bool with_instances)
{
	size_t running = registry_running(shutdown_state.services->registry);
	if (shutdown_state.call == NULL || (with_instances && running > 0))
		return;
	Pwemu__V1__ShutdownReply reply = PWEMU__V1__SHUTDOWN_REPLY__INIT;
	reply.left_running = (uint32_t)running;
	reply.stopped = shutdown_state.stopped;
	struct rpc_call *call = shutdown_state.call;
	shutdown_state.call = NULL;
	rpc_call_reply(call, &reply.base);
}

static void shutdown_on_change(void *ctx, struct instance *inst)
{
	(void)ctx, (void)inst;
	shutdown_try(true);
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
	bool with_instances = ((const Pwemu__V1__ShutdownRequest *)message)->with_instances;
	struct services *services = service_of(call);
	if (shutdown_state.call != NULL) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_UNAVAILABLE, "the daemon is ending already");
		service_fail(call, &err);
		return;
	}
	log_info(NULL, "shutdown%s, asked by uid %u", with_instances ? " with all instances" : "", (unsigned)rpc_call_peer(call)->uid);
	shutdown_state.call = call;
	shutdown_state.services = services;
	shutdown_state.stopped = 0;
	rpc_call_adopt(call, &shutdown_ops, services);
	if (with_instances && !shutdown_state.is_observing) {
		shutdown_state.is_observing = true;
		shutdown_state.observer.on_change = shutdown_on_change;
		registry_observe(services->registry, &shutdown_state.observer);
	}
	if (with_instances)
		shutdown_stop_all(services);
	shutdown_try(with_instances);
}

const struct rpc_method svc_daemon_methods[] = {
	SERVICE_METHOD("Daemon", "Info", RPC_UNARY, info_request, info_reply, 1024, RIGHT_NONE, handle_info),
	SERVICE_METHOD("Daemon", "Reload", RPC_UNARY, reload_request, reload_reply, 1024, RIGHT_NONE, handle_reload),
	SERVICE_METHOD("Daemon", "Shutdown", RPC_UNARY, shutdown_request, shutdown_reply, 1024, RIGHT_NONE, handle_shutdown),
	{ 0 },
};
