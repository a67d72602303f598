/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/service.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "config/settings.h"
#include "instance/lease.h"
#include "loop/timer.h"
#include "rpc/auth.h"
#include "rpc/remote.h"

struct services *service_of(struct rpc_call *call)
{
	return rpc_call_server_ctx(call);
}

void service_fail(struct rpc_call *call, const struct err *err)
{
	rpc_call_finish_error(call, err);
}

void service_send_instance(struct rpc_call *call, struct instance *inst, bool finish)
{
	Pwemu__V1__Instance message;
	service_describe(call, inst, &message);
	if (finish)
		rpc_call_reply(call, &message.base);
	else
		rpc_call_send(call, &message.base);
	instance_describe_fini(&message);
}

void service_describe(const struct rpc_call *call, struct instance *inst, Pwemu__V1__Instance *out)
{
	struct service_caller who;
	service_caller(call, &who);
	instance_describe(inst, out);
	out->foreign = instance_uid(inst) != who.caller.user->uid;
	out->right = (char *)(uintptr_t)right_name(instance_right(inst, &who.caller));
}

/* ---------------------------------------------------------------- who calls */

static bool caller_is_admin(const struct services *services, const struct user *user)
{
	return user->uid == 0 || (services->admin_group != (gid_t)-1 && user_is_in(user, services->admin_group));
}

void service_caller(const struct rpc_call *call, struct service_caller *out)
{
	const struct services *services = rpc_call_server_ctx((struct rpc_call *)(uintptr_t)call);
	const struct rpc_peer *peer = rpc_call_peer(call);
	out->caller.user = services->own;
	out->caller.is_admin = true;
	if (!services->is_system)
		return;
	const char *name = users_name(services->users, peer->uid);
	snprintf(out->name, sizeof(out->name), "%u", (unsigned)peer->uid);
	out->user = (struct user){
		.uid = peer->uid,
		.gid = peer->gid,
		.groups = (gid_t *)(uintptr_t)peer->groups,
		.group_count = peer->group_count,
		.name = name != NULL ? (char *)(uintptr_t)name : out->name,
		.is_named = name != NULL,
	};
	out->caller.user = &out->user;
	out->caller.is_admin = caller_is_admin(services, &out->user);
}

bool service_is_admin(struct rpc_call *call)
{
	struct service_caller who;
	struct err err = ERR_INIT;
	service_caller(call, &who);
	if (who.caller.is_admin)
		return true;
	err_set(&err, ERR_PERMISSION_DENIED, "%s is for administrators of this daemon: root%s", rpc_call_method(call)->path,
		service_of(call)->admin_group != (gid_t)-1 ? " and the members of its admin-group" : "");
	err_reason(&err, "permission");
	service_fail(call, &err);
	return false;
}

/* Names of users come as they become known: asking for them may take its time. */
void service_actor(const struct rpc_call *call, char out[SERVICE_ACTOR_MAX])
{
	const struct rpc_peer *peer = rpc_call_peer(call);
	const struct services *services = rpc_call_server_ctx((struct rpc_call *)(uintptr_t)call);
	const char *name = peer->uid == services->own->uid ? services->own->name : users_name(services->users, peer->uid);
	char user[40];
	if (name != NULL)
		snprintf(user, sizeof(user), "%s", name);
	else
		snprintf(user, sizeof(user), "user %u", (unsigned)peer->uid);
	if (peer->is_remote)
		snprintf(out, SERVICE_ACTOR_MAX, "client of %s (%s)", user, peer->address);
	else
		snprintf(out, SERVICE_ACTOR_MAX, "client of %s (process %d)", user, (int)peer->pid);
}

/* ---------------------------------------------------------------- rights */

/* Of many users it is put down who did what. */
static void service_audit(struct rpc_call *call, struct instance *inst)
{
	char who[SERVICE_ACTOR_MAX];
	const char *method = strrchr(rpc_call_method(call)->path, '/') + 1;
	service_actor(call, who);
	struct log_scope scope = { .name = "pwemud" };
	snprintf(scope.instance, sizeof(scope.instance), "%s", instance_name(inst));
	snprintf(scope.id, sizeof(scope.id), "%s", instance_id(inst));
	snprintf(scope.user, sizeof(scope.user), "%s", instance_user(inst)->name);
	log_message_by(LOG_LEVEL_INFO, &scope, who, "%s asks for %s of instance %s (%s) of %s", who, method, instance_name(inst),
		       instance_id(inst), instance_user(inst)->name);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_REQUEST, NULL, who, method);
}

bool service_need(struct rpc_call *call, struct instance *inst, enum right right)
{
	struct service_caller who;
	struct err err = ERR_INIT;
	service_caller(call, &who);
	if (access_check(inst, &who.caller, right, &err) < 0) {
		service_fail(call, &err);
		return false;
	}
	rpc_call_label(call)->right = right;
	return true;
}

struct instance *service_find(struct rpc_call *call, const Pwemu__V1__InstanceRef *ref)
{
	enum right right = (enum right)rpc_call_method(call)->right;
	struct services *services = service_of(call);
	struct service_caller who;
	struct err err = ERR_INIT;
	service_caller(call, &who);
	struct instance *inst = registry_find(services->registry, ref, &who.caller, right, &err);
	if (inst == NULL) {
		service_fail(call, &err);
		return NULL;
	}
	struct rpc_label *label = rpc_call_label(call);
	snprintf(label->object, sizeof(label->object), "%s", instance_id(inst));
	service_actor(call, label->who); /* as he is called elsewhere, too, from now on */
	label->right = right;
	label->since_ns = clock_wall_ns();
	if (services->is_system && right > RIGHT_VIEW)
		service_audit(call, inst);
	return inst;
}

static void review_call(void *ctx, struct rpc_call *call, const struct rpc_label *label)
{
	struct instance *inst = ctx;
	struct service_caller who;
	struct err err = ERR_INIT;
	service_caller(call, &who);
	if (strcmp(label->object, instance_id(inst)) != 0 || instance_right(inst, &who.caller) >= (enum right)label->right)
		return;
	err_set(&err, ERR_PERMISSION_DENIED, "%s does not share instance \"%s\" with you any more", instance_user(inst)->name,
		instance_name(inst));
	err_reason(&err, "permission");
	service_fail(call, &err);
}

void service_review(struct services *services, struct instance *inst)
{
	rpc_server_each(services->server, review_call, inst);
	instance_review_parties(inst);
}

int service_reload_targets(struct services *services, const char *who, struct err *err)
{
	struct target_set *fresh = target_set_new();
	if (target_set_load(fresh, services->targets_dir, err) < 0) {
		target_set_free(fresh);
		return err_prefix(err, "targets are not read again");
	}
	target_set_free(services->targets); /* instances have copies */
	services->targets = fresh;
	log_message_by(LOG_LEVEL_INFO, NULL, who, "%zu targets read, asked by %s", target_set_count(fresh), who);
	return 0;
}

int service_reload_settings(struct services *services, const char *who, struct err *err)
{
	if (services->settings_path[0] != '\0' &&
	    settings_load(services->settings_path, services->settings_are_required, services->settings, err) < 0)
		return err_prefix(err, "the settings stay as they were");
	log_message_by(LOG_LEVEL_INFO, NULL, who, "settings read, asked by %s", who);
	registry_settings_changed(services->registry);
	auth_init(services);
	return remote_reload(services->remote, err);
}

void service_lease_peer(const struct rpc_call *call, char actor[SERVICE_ACTOR_MAX], struct lease_peer *out)
{
	const struct rpc_peer *peer = rpc_call_peer(call);
	service_actor(call, actor);
	*out = (struct lease_peer){ .connection = peer->connection,
				    .uid = peer->is_alien && peer->uid == 0 ? (uid_t)-1 : peer->uid,
				    .pid = peer->pid,
				    .is_remote = peer->is_remote,
				    .actor = actor };
}
