/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that must wait for an instance (Start, Stop, Remove) are kept in one list as `struct pending`; every change of an instance
 * gives each of its pending calls the chance to answer. They know their instance by id only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/pb.h"
#include "config/policy.h"
#include "instance/lease.h"
#include "instance/origin.h"
#include "config/sha256.h"
#include "loop/timer.h"
#include "rpc/ask.h"
#include "rpc/service.h"
#include "wire/mem.h"

#define START_TOKEN_MAX 64

struct pending {
	LIST_ENTRY(pending) link;
	struct rpc_call *call;
	struct services *services;
	char id[INSTANCE_ID_LEN + 1];
	/* Looks at the instance; answers the call and returns true when it is time. */
	bool (*try)(struct pending *pending, struct instance *inst);
	bool is_answered;
	bool no_wait;        /* Start */
	bool answer_queued;  /* Start */
	bool was_up;         /* Restart: it was stopped for it */
	bool remove_after;   /* Remove: it is over now, erase it */
	struct timer *again; /* Restart: to start it from the loop, not from its own change */
};

static LIST_HEAD(, pending) pendings = LIST_HEAD_INITIALIZER(pendings);
static struct registry_observer observer;

static void pending_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct pending *pending = ctx;
	LIST_REMOVE(pending, link);
	struct instance *inst = registry_by_id(pending->services->registry, pending->id);
	if (inst != NULL && instance_is_over(inst) && pending->remove_after)
		registry_remove(pending->services->registry, inst, "removed by a user");
	timer_free(pending->again);
	free(pending);
}

static void pending_try(struct pending *pending, struct instance *inst)
{
	if (!pending->is_answered && strcmp(pending->id, instance_id(inst)) == 0)
		pending->is_answered = pending->try(pending, inst);
}

static const struct rpc_call_ops pending_ops = { .on_end = pending_on_end };

static struct pending *pending_new(struct rpc_call *call, struct instance *inst,
				   bool (*try)(struct pending *pending, struct instance *inst))
{
	struct pending *pending = xcalloc(1, sizeof(*pending));
	pending->call = call;
	pending->services = service_of(call);
	pending->try = try;
	memcpy(pending->id, instance_id(inst), sizeof(pending->id));
	LIST_INSERT_HEAD(&pendings, pending, link);
	rpc_call_adopt(call, &pending_ops, pending);
	return pending;
}

static void pending_on_change(void *ctx, struct instance *inst)
{
	(void)ctx;
	struct pending *pending, *next;
	for (pending = LIST_FIRST(&pendings); pending != NULL; pending = next) {
		next = LIST_NEXT(pending, link);
		pending_try(pending, inst);
	}
}

void svc_instances_init(struct services *services)
{
	observer = (struct registry_observer){ .on_change = pending_on_change };
	registry_observe(services->registry, &observer);
	svc_watch_init(services);
}

/* ---------------------------------------------------------------- Start */

static void start_fail(struct pending *pending, struct instance *inst)
{
	struct err err = *instance_start_error(inst);
	if (!err_is_set(&err)) {
		Pwemu__V1__Instance message;
		instance_describe(inst, &message);
		err_set(&err, ERR_FAILED_PRECONDITION, "instance \"%s\": %s", instance_name(inst), message.reason);
		err_reason(&err, "emulator-refused");
		instance_describe_fini(&message);
	}
	service_fail(pending->call, &err);
}

static bool start_try(struct pending *pending, struct instance *inst)
{
	enum inst_state state = instance_state(inst);
	bool is_ready = (state == INST_RUNNING || state == INST_PAUSED) && instance_is_begun(inst);
	bool is_up = state == INST_RUNNING || state == INST_PAUSED || state == INST_STOPPING || state == INST_DRAINING;
	bool is_executed = pending->no_wait && (state == INST_BACKOFF || (state == INST_BOOTING && instance_pid(inst) != 0));
	bool refused = state == INST_FAILED || err_is_set(instance_start_error(inst));
	bool is_queued = pending->answer_queued && state == INST_QUEUED;
	if (instance_is_over(inst) && refused)
		start_fail(pending, inst);
	else if (is_queued || state == INST_ENDED || (is_up && pending->no_wait) || is_ready || is_executed)
		service_send_instance(pending->call, inst, true);
	else
		return false;
	return true;
}

/* NULL: it may not be used. To be freed. */
static Pwemu__V1__Target *start_target_config(const struct services *services, const Pwemu__V1__StartRequest *request, struct err *err)
{
	if (target_validate(request->target_config, err) < 0)
		return NULL;
	Pwemu__V1__Target *target = PB_COPY(Pwemu__V1__Target, request->target_config);
	target_infer(target, request->args, request->n_args, services->targets);
	return target;
}

static const Pwemu__V1__Target *start_target(const struct services *services, const Pwemu__V1__StartRequest *request, struct err *err)
{
	const char *name = request->target_case == PWEMU__V1__START_REQUEST__TARGET_TARGET_NAME ? request->target_name : "";
	const Pwemu__V1__Target *target = target_set_find(services->targets, name);
	if (target == NULL)
		target_not_found(services->targets, name, err);
	return target;
}

static int start_check(const Pwemu__V1__StartRequest *request, struct err *err)
{
	if (request->restart != NULL && policy_restart_check(request->restart, err) < 0)
		return -1;
	if (strlen(request->token) > START_TOKEN_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "token: at most %d bytes", START_TOKEN_MAX);
	for (size_t i = 0; i < request->n_images; i++)
		if (request->images[i]->digest[0] != '\0' && !sha256_is_hex(request->images[i]->digest))
			return err_set(err, ERR_INVALID_ARGUMENT, "digest of an image: 64 lower-case hexadecimal digits are needed");
	return request->hang != NULL ? policy_hang_check(request->hang, err) : 0;
}

static const struct driver_ops *start_driver(const Pwemu__V1__Target *target, const Pwemu__V1__StartRequest *request, struct err *err)
{
	const struct driver_ops *driver = driver_find(request->runner[0] != '\0' ? request->runner : target->emulator, err);
	if (driver != NULL && strcmp(driver->name, target->emulator) != 0) {
		err_set(err, ERR_INVALID_ARGUMENT, "target \"%s\" has no configuration for emulator \"%s\", only for \"%s\"", target->name,
			driver->name, target->emulator);
		err_reason(err, "invalid-target");
		return NULL;
	}
	return driver;
}

/* What a start needs besides its request. */
struct start_parts {
	struct lease_terms lease;
	char actor[SERVICE_ACTOR_MAX];
	const Pwemu__V1__Target *target;
	Pwemu__V1__Target *own; /* the same where it is no preset */
	const struct driver_ops *driver;
};

static void start_parts_fini(struct start_parts *parts)
{
	PB_FREE(parts->own);
}

static int start_resolve(struct rpc_call *call, const Pwemu__V1__StartRequest *request, struct start_parts *out, struct err *err)
{
	const struct services *services = service_of(call);
	struct lease_peer peer;
	service_lease_peer(call, out->actor, &peer);
	peer.is_remote |= origin_is_elsewhere(request->origin); /* its process here is one that passes on */
	if (services->is_ending) {
		err_set(err, ERR_UNAVAILABLE, "the daemon is ending and starts nothing; try again in a moment");
		return err_reason(err, "daemon-ending");
	}
	if (request->target_case == PWEMU__V1__START_REQUEST__TARGET_TARGET_CONFIG)
		out->target = out->own = start_target_config(services, request, err);
	else
		out->target = start_target(services, request, err);
	if (out->target == NULL || start_check(request, err) < 0 || lease_check(request, &peer, &out->lease, err) < 0)
		return -1;
	out->driver = start_driver(out->target, request, err);
	return out->driver != NULL ? 0 : -1;
}

/* Sent again since its connection ended before the answer: it waits for the same answer, and the instance lives as long as this one. */
static void start_again(struct rpc_call *call, struct instance *inst, const Pwemu__V1__StartRequest *request)
{
	char actor[SERVICE_ACTOR_MAX];
	struct lease_peer peer;
	struct pending *pending = pending_new(call, inst, start_try);
	pending->no_wait = request->no_wait;
	pending->answer_queued = request->answer_queued;
	service_lease_peer(call, actor, &peer);
	peer.is_remote |= instance_is_remote(inst);
	if (!instance_is_over(inst))
		lease_bind(inst, &peer);
	pending_try(pending, inst);
}

static void handle_start(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__StartRequest *request = (const Pwemu__V1__StartRequest *)message;
	struct services *services = service_of(call);
	struct err err = ERR_INIT;
	struct start_parts parts = { 0 };
	struct service_caller who;
	service_caller(call, &who);
	struct instance *inst = registry_by_token(services->registry, who.caller.user->uid, request->token);
	if (inst != NULL) {
		start_again(call, inst, request);
		return;
	}
	if (start_resolve(call, request, &parts, &err) == 0)
		inst = registry_claim(services->registry, request, who.caller.user, &err);
	if (inst == NULL) {
		start_parts_fini(&parts);
		service_fail(call, &err);
		return;
	}
	struct pending *pending = pending_new(call, inst, start_try);
	pending->no_wait = request->no_wait;
	pending->answer_queued = request->answer_queued;
	instance_start(inst, parts.driver, parts.target, request, &parts.lease, parts.actor);
	start_parts_fini(&parts);
	pending_try(pending, inst);
}

/* ---------------------------------------------------------------- Stop, Remove */

static bool stop_try(struct pending *pending, struct instance *inst)
{
	if (!instance_is_gone(inst))
		return false;
	service_send_instance(pending->call, inst, true);
	return true;
}

static void stop_not_running(struct rpc_call *call, struct instance *inst)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_FAILED_PRECONDITION, "instance \"%s\" is not running (%s)", instance_name(inst),
		inst_state_row(instance_state(inst))->name);
	err_reason(&err, "not-running");
	service_fail(call, &err);
}

static void stop_for(const struct rpc_call *call, struct instance *inst, uint32_t grace_ms, const char *what)
{
	char who[SERVICE_ACTOR_MAX], reason[SERVICE_ACTOR_MAX + 16];
	service_actor(call, who);
	snprintf(reason, sizeof(reason), "%s by %s", what, who);
	instance_stop(inst, grace_ms, reason);
}

static void handle_stop(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__StopRequest *request = (const Pwemu__V1__StopRequest *)message;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	if (instance_is_over(inst)) {
		stop_not_running(call, inst);
		return;
	}
	struct pending *pending = pending_new(call, inst, stop_try);
	stop_for(call, inst, request->grace_ms, "stopped");
	pending_try(pending, inst);
}

static bool remove_try(struct pending *pending, struct instance *inst)
{
	if (!instance_is_over(inst))
		return false;
	Pwemu__V1__RemoveReply reply = PWEMU__V1__REMOVE_REPLY__INIT;
	pending->remove_after = true;
	rpc_call_reply(pending->call, &reply.base);
	return true;
}

static void handle_remove(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__RemoveRequest *request = (const Pwemu__V1__RemoveRequest *)message;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	if (!instance_is_over(inst) && !request->force) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_FAILED_PRECONDITION, "instance \"%s\" runs; stop it first, or use --force", instance_name(inst));
		err_reason(&err, "already-running");
		service_fail(call, &err);
		return;
	}
	if (instance_is_over(inst)) {
		Pwemu__V1__RemoveReply reply = PWEMU__V1__REMOVE_REPLY__INIT;
		registry_remove(service_of(call)->registry, inst, "removed by a user");
		rpc_call_reply(call, &reply.base);
		return;
	}
	struct pending *pending = pending_new(call, inst, remove_try);
	stop_for(call, inst, 0, "removed");
	pending_try(pending, inst);
}

/* ---------------------------------------------------------------- Restart */

/* The request of its latest start, without the client that it was leased to. NULL: it was never started. */
static Pwemu__V1__StartRequest *restart_request(const struct instance *inst, struct err *err)
{
	Pwemu__V1__StartRequest *request = PB_COPY(Pwemu__V1__StartRequest, instance_request(inst));
	if (request == NULL) {
		err_set(err, ERR_FAILED_PRECONDITION, "instance \"%s\" was never started", instance_name(inst));
		return NULL;
	}
	request->stop_on_disconnect = request->no_wait = false;
	if (request->lease != NULL && request->lease->kind == PWEMU__V1__LEASE_KIND__LEASE_KIND_CLIENT) {
		PB_FREE(request->lease);
		request->lease = NULL;
	}
	return request;
}

static int restart_begin(struct pending *pending, struct instance *inst, struct err *err)
{
	struct start_parts parts = { 0 };
	if (!instance_is_over(inst)) {
		err_set(err, ERR_ALREADY_EXISTS, "instance \"%s\" was started by somebody else meanwhile", instance_name(inst));
		return err_reason(err, "already-running");
	}
	if (registry_may_restart(pending->services->registry, inst, pending->was_up, err) < 0)
		return -1;
	Pwemu__V1__StartRequest *request = restart_request(inst, err);
	int rc = request != NULL ? start_resolve(pending->call, request, &parts, err) : -1;
	if (rc == 0) {
		pending->try = start_try;
		pending->answer_queued = request->answer_queued;
		instance_start(inst, parts.driver, parts.target, request, &parts.lease, parts.actor);
	}
	start_parts_fini(&parts);
	PB_FREE(request);
	return rc;
}

static void restart_on_timer(void *ctx)
{
	struct pending *pending = ctx;
	struct instance *inst = registry_by_id(pending->services->registry, pending->id);
	struct err err = ERR_INIT;
	int rc = inst != NULL ? restart_begin(pending, inst, &err) : err_set(&err, ERR_NOT_FOUND, "instance %s was removed", pending->id);
	pending->is_answered = rc < 0;
	if (rc < 0)
		service_fail(pending->call, &err);
	else
		pending_try(pending, inst);
}

static bool restart_try(struct pending *pending, struct instance *inst)
{
	if (instance_is_over(inst))
		timer_arm(pending->again, 0);
	return false;
}

/* What would fail afterwards is to fail before it is stopped. */
static void handle_restart(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__RestartRequest *request = (const Pwemu__V1__RestartRequest *)message;
	struct services *services = service_of(call);
	struct instance *inst = service_find(call, request->instance);
	struct start_parts parts = { 0 };
	struct err err = ERR_INIT;
	if (inst == NULL)
		return;
	Pwemu__V1__StartRequest *again = restart_request(inst, &err);
	int rc = again != NULL ? start_resolve(call, again, &parts, &err) : -1;
	PB_FREE(again);
	start_parts_fini(&parts);
	if (rc < 0) {
		service_fail(call, &err);
		return;
	}
	struct pending *pending = pending_new(call, inst, restart_try);
	pending->again = timer_new(services->base, restart_on_timer, pending);
	pending->was_up = !instance_is_over(inst);
	if (pending->was_up)
		instance_stop(inst, request->grace_ms, "stopped to be started again");
	pending_try(pending, inst);
}

/* ---------------------------------------------------------------- Pause, Resume, Reset, Load */

static void action_on_done(void *ctx, const struct err *err)
{
	struct ask *ask = ctx;
	struct instance *inst = ask_answered(ask, err);
	if (inst != NULL)
		service_send_instance(ask->call, inst, true);
	ask_finish(ask);
}

/* A guest that was done before the emulator could say that it runs has run. */
static void resume_on_done(void *ctx, const struct err *err)
{
	struct ask *ask = ctx;
	const struct instance *inst = registry_by_id(ask->services->registry, ask->id);
	enum inst_state state = inst != NULL ? instance_state(inst) : INST_FAILED;
	bool is_lost = err != NULL && (err->code == ERR_CANCELLED || err->code == ERR_UNAVAILABLE);
	bool has_run = state == INST_RUNNING || state == INST_DRAINING || state == INST_CLOSING || state == INST_ENDED;
	action_on_done(ctx, is_lost && has_run ? NULL : err);
}

static void handle_action(struct rpc_call *call, const Pwemu__V1__InstanceRef *ref, enum driver_action what)
{
	driver_done_fn done = what == DRIVER_RESUME ? resume_on_done : action_on_done;
	struct err err = ERR_INIT;
	struct instance *inst = service_find(call, ref);
	if (inst == NULL)
		return;
	struct ask *ask = ask_new(call, inst);
	if (instance_act(inst, what, done, ask, &err) < 0)
		action_on_done(ask, &err);
}

static void handle_pause(struct rpc_call *call, const ProtobufCMessage *message)
{
	handle_action(call, ((const Pwemu__V1__PauseRequest *)message)->instance, DRIVER_PAUSE);
}

static void handle_resume(struct rpc_call *call, const ProtobufCMessage *message)
{
	handle_action(call, ((const Pwemu__V1__ResumeRequest *)message)->instance, DRIVER_RESUME);
}

static void handle_reset(struct rpc_call *call, const ProtobufCMessage *message)
{
	handle_action(call, ((const Pwemu__V1__ResetRequest *)message)->instance, DRIVER_RESET);
}

static void handle_load(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__LoadRequest *request = (const Pwemu__V1__LoadRequest *)message;
	struct err err = ERR_INIT;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	struct service_caller who;
	service_caller(call, &who);
	struct ask *ask = ask_new(call, inst);
	if (instance_load(inst, request, who.caller.user, action_on_done, ask, &err) < 0)
		action_on_done(ask, &err);
}

/* ---------------------------------------------------------------- RenewLease, RemoveLease */

static void lease_answer(struct rpc_call *call, struct instance *inst, int rc, const struct err *err)
{
	if (rc < 0)
		service_fail(call, err);
	else
		service_send_instance(call, inst, true);
}

static void handle_renew_lease(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__RenewLeaseRequest *request = (const Pwemu__V1__RenewLeaseRequest *)message;
	struct instance *inst = service_find(call, request->instance);
	char actor[SERVICE_ACTOR_MAX];
	struct err err = ERR_INIT;
	if (inst == NULL)
		return;
	service_actor(call, actor);
	lease_answer(call, inst, lease_renew(inst, request->ttl_ms, actor, &err), &err);
}

static void handle_remove_lease(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct instance *inst = service_find(call, ((const Pwemu__V1__RemoveLeaseRequest *)message)->instance);
	char actor[SERVICE_ACTOR_MAX];
	struct err err = ERR_INIT;
	if (inst == NULL)
		return;
	service_actor(call, actor);
	lease_answer(call, inst, lease_remove(inst, actor, &err), &err);
}

/* ---------------------------------------------------------------- Get, List */

static void handle_get(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct instance *inst = service_find(call, ((const Pwemu__V1__GetRequest *)message)->instance);
	if (inst != NULL)
		service_send_instance(call, inst, true);
}

/* An administrator's list is his own and what is shared with him, too, unless he asks for more. */
static bool list_is_wanted(const struct instance *inst, const Pwemu__V1__ListRequest *request, const struct caller *caller)
{
	const struct caller plain = { caller->user, false };
	bool wants_more = request->all_users || request->user[0] != '\0';
	if ((!request->all && instance_is_over(inst)) || instance_right(inst, wants_more ? caller : &plain) == RIGHT_NONE)
		return false;
	return request->user[0] == '\0' || user_is_called(instance_user(inst), request->user, strlen(request->user));
}

static void handle_list(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__ListRequest *request = (const Pwemu__V1__ListRequest *)message;
	struct service_caller who;
	size_t count;
	service_caller(call, &who);
	struct instance **rows = registry_list(service_of(call)->registry, &count);
	Pwemu__V1__ListReply reply = PWEMU__V1__LIST_REPLY__INIT;
	Pwemu__V1__Instance *messages = xcalloc(count, sizeof(*messages));
	reply.instances = xcalloc(count, sizeof(*reply.instances));
	for (size_t i = 0; i < count; i++) {
		if (!list_is_wanted(rows[i], request, &who.caller))
			continue;
		service_describe(call, rows[i], &messages[reply.n_instances]);
		reply.instances[reply.n_instances] = &messages[reply.n_instances];
		reply.n_instances++;
	}
	rpc_call_reply(call, &reply.base);
	for (size_t i = 0; i < reply.n_instances; i++)
		instance_describe_fini(&messages[i]);
	free(reply.instances);
	free(messages);
	free(rows);
}

#define START_MAX (2u << 20) /* environments are large */
#define REF_MAX   16384

const struct rpc_method svc_instances_methods[] = {
	SERVICE_METHOD("Instances", "Start", RPC_UNARY, start_request, instance, START_MAX, RIGHT_NONE, handle_start),
	SERVICE_METHOD("Instances", "Stop", RPC_UNARY, stop_request, instance, REF_MAX, RIGHT_CONTROL, handle_stop),
	SERVICE_METHOD("Instances", "Restart", RPC_UNARY, restart_request, instance, REF_MAX, RIGHT_CONTROL, handle_restart),
	SERVICE_METHOD("Instances", "Pause", RPC_UNARY, pause_request, instance, REF_MAX, RIGHT_CONTROL, handle_pause),
	SERVICE_METHOD("Instances", "Resume", RPC_UNARY, resume_request, instance, REF_MAX, RIGHT_CONTROL, handle_resume),
	SERVICE_METHOD("Instances", "Reset", RPC_UNARY, reset_request, instance, REF_MAX, RIGHT_CONTROL, handle_reset),
	SERVICE_METHOD("Instances", "Load", RPC_UNARY, load_request, instance, REF_MAX, RIGHT_CONTROL, handle_load),
	SERVICE_METHOD("Instances", "RenewLease", RPC_UNARY, renew_lease_request, instance, REF_MAX, RIGHT_CONTROL, handle_renew_lease),
	SERVICE_METHOD("Instances", "RemoveLease", RPC_UNARY, remove_lease_request, instance, REF_MAX, RIGHT_CONTROL, handle_remove_lease),
	SERVICE_METHOD("Instances", "Get", RPC_UNARY, get_request, instance, REF_MAX, RIGHT_VIEW, handle_get),
	SERVICE_METHOD("Instances", "List", RPC_UNARY, list_request, list_reply, REF_MAX, RIGHT_NONE, handle_list),
	SERVICE_METHOD("Instances", "Remove", RPC_UNARY, remove_request, remove_reply, REF_MAX, RIGHT_CONTROL, handle_remove),
	SERVICE_METHOD("Instances", "Share", RPC_UNARY, share_request, instance, REF_MAX, RIGHT_CONTROL, svc_share_handle),
	SERVICE_METHOD("Instances", "Unshare", RPC_UNARY, unshare_request, instance, REF_MAX, RIGHT_CONTROL, svc_unshare_handle),
	SERVICE_METHOD("Instances", "Who", RPC_UNARY, who_request, who_reply, REF_MAX, RIGHT_VIEW, svc_who_handle),
	SERVICE_METHOD("Instances", "Watch", RPC_SERVER_STREAM, watch_request, event, REF_MAX, RIGHT_VIEW, svc_watch_handle),
	{ 0 },
};
