/* SPDX-License-Identifier: Apache-2.0 */
/* Share, Unshare, Who: what an owner lets others do, and who is there. The name of the other is looked up by a helper. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/timer.h"
#include "rpc/ask.h"
#include "rpc/service.h"
#include "wire/mem.h"

struct sharing {
	struct ask *ask;
	enum right right; /* RIGHT_NONE: taken away */
};

static int sharing_apply(struct sharing *sharing, struct instance *inst, const struct share *share, struct err *err)
{
	char who[SERVICE_ACTOR_MAX];
	service_actor(sharing->ask->call, who);
	if (instance_share(inst, share, who, err) < 0)
		return -1;
	service_review(sharing->ask->services, inst);
	return 0;
}

static void sharing_on_found(void *ctx, const struct users_found *found, const struct err *err)
{
	struct sharing *sharing = ctx;
	struct err trouble = ERR_INIT;
	struct instance *inst = ask_answered(sharing->ask, err);
	if (inst != NULL) {
		struct share share = {
			.is_group = found->is_group,
			.id = found->is_group ? found->user.gid : found->user.uid,
			.name = found->user.name,
			.right = sharing->right,
			.since_ns = clock_wall_ns(),
			.members = found->is_group ? found->user.groups : NULL,
			.member_count = found->is_group ? found->user.group_count : 0,
		};
		if (sharing_apply(sharing, inst, &share, &trouble) < 0)
			service_fail(sharing->ask->call, &trouble);
		else
			service_send_instance(sharing->ask->call, inst, true);
	}
	ask_finish(sharing->ask);
	free(sharing);
}

static void sharing_begin(struct rpc_call *call, struct instance *inst, const char *with, bool is_group, enum right right)
{
	struct sharing *sharing = xcalloc(1, sizeof(*sharing));
	sharing->ask = ask_new(call, inst);
	sharing->right = right;
	users_find(service_of(call)->users, with, is_group, sharing_on_found, sharing);
}

/* What control allows is not that others get it from who was given it. */
static struct instance *sharing_find(struct rpc_call *call, const Pwemu__V1__InstanceRef *ref)
{
	struct instance *inst = service_find(call, ref);
	struct service_caller who;
	struct err err = ERR_INIT;
	service_caller(call, &who);
	if (inst == NULL || who.caller.is_admin || who.caller.user->uid == instance_uid(inst))
		return inst;
	err_set(&err, ERR_PERMISSION_DENIED, "instance \"%s\" belongs to %s, who alone can share it", instance_name(inst),
		instance_user(inst)->name);
	err_reason(&err, "permission");
	service_fail(call, &err);
	return NULL;
}

static int sharing_check(const struct rpc_call *call, const char *with, bool may_be_empty, struct err *err)
{
	const struct services *services = service_of((struct rpc_call *)(uintptr_t)call);
	if (!services->is_system)
		return err_set(err, ERR_FAILED_PRECONDITION,
			       "this daemon serves %s alone; instances are shared on a daemon of all users (pwemud --system)",
			       services->own->name);
	if (strlen(with) >= 64 || (with[0] == '\0' && !may_be_empty))
		return err_set(err, ERR_INVALID_ARGUMENT, "\"%.64s\" is no name of a user or group", with);
	return 0;
}

void svc_share_handle(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__ShareRequest *request = (const Pwemu__V1__ShareRequest *)message;
	struct err err = ERR_INIT;
	enum right right = RIGHT_NONE;
	if (sharing_check(call, request->with, false, &err) == 0 && !right_parse(request->right, &right)) {
		err_set(&err, ERR_INVALID_ARGUMENT, "\"%.40s\" is no right: view, write or control", request->right);
		err_reason(&err, "invalid-right");
	}
	if (err_is_set(&err)) {
		service_fail(call, &err);
		return;
	}
	struct instance *inst = sharing_find(call, request->instance);
	if (inst != NULL)
		sharing_begin(call, inst, request->with, request->group, right);
}

void svc_unshare_handle(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__UnshareRequest *request = (const Pwemu__V1__UnshareRequest *)message;
	struct err err = ERR_INIT;
	char who[SERVICE_ACTOR_MAX];
	if (sharing_check(call, request->with, true, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	struct instance *inst = sharing_find(call, request->instance);
	if (inst == NULL)
		return;
	if (request->with[0] != '\0') {
		sharing_begin(call, inst, request->with, request->group, RIGHT_NONE);
		return;
	}
	service_actor(call, who);
	if (instance_share(inst, NULL, who, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	service_review(service_of(call), inst);
	service_send_instance(call, inst, true);
}

/* ---------------------------------------------------------------- Who */

struct who {
	struct instance *inst;
	Pwemu__V1__Party **rows;
	size_t count;
	char (*users)[64]; /* of calls: their names */
	size_t user_count;
};

static const char *who_kind(const struct rpc_call *call)
{
	static const struct {
		const char *method, *kind;
	} kinds[] = { { "Attach", "attach" }, { "Read", "read" }, { "Watch", "watch" } };
	const char *method = strrchr(rpc_call_method(call)->path, '/') + 1;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].method, method) == 0)
			return kinds[i].kind;
	return NULL;
}

static bool who_is_meant(const struct who *who, const struct rpc_call *call, const struct rpc_label *label)
{
	bool is_party = instance_channel_is_socket(who->inst, label->part) && label->part[0] != '\0'; /* then it is one of its parties */
	return strcmp(label->object, instance_id(who->inst)) == 0 && who_kind(call) != NULL && !is_party;
}

static void who_count(void *ctx, struct rpc_call *call, const struct rpc_label *label)
{
	struct who *who = ctx;
	who->user_count += who_is_meant(who, call, label);
}

static void who_add(void *ctx, struct rpc_call *call, const struct rpc_label *label)
{
	struct who *who = ctx;
	if (!who_is_meant(who, call, label))
		return;
	char *user = who->users[who->user_count++];
	struct service_caller caller;
	service_caller(call, &caller);
	snprintf(user, sizeof(who->users[0]), "%s", caller.caller.user->name);
	const char *writer = instance_writer(who->inst, label->part);
	Pwemu__V1__Party *row = xmalloc(sizeof(*row));
	pwemu__v1__party__init(row);
	row->user = user;
	row->who = (char *)(uintptr_t)label->who;
	row->channel = (char *)(uintptr_t)label->part;
	row->kind = (char *)(uintptr_t)who_kind(call);
	row->writer = strcmp(row->kind, "attach") == 0 && writer != NULL && strcmp(writer, label->who) == 0;
	row->since_ns = label->since_ns;
	who->rows = xrealloc(who->rows, who->count + 1, sizeof(*who->rows));
	who->rows[who->count++] = row;
}

static int who_compare(const void *a, const void *b)
{
	const Pwemu__V1__Party *one = *(Pwemu__V1__Party *const *)a, *two = *(Pwemu__V1__Party *const *)b;
	int order = strcmp(one->channel, two->channel);
	if (order != 0)
		return order;
	return one->since_ns < two->since_ns ? -1 : one->since_ns > two->since_ns;
}

void svc_who_handle(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct services *services = service_of(call);
	struct who who = { .inst = service_find(call, ((const Pwemu__V1__WhoRequest *)message)->instance) };
	if (who.inst == NULL)
		return;
	who.count = instance_parties(who.inst, &who.rows);
	rpc_server_each(services->server, who_count, &who);
	who.users = xcalloc(who.user_count + 1, sizeof(*who.users));
	who.user_count = 0;
	rpc_server_each(services->server, who_add, &who);
	if (who.count > 0)
		qsort(who.rows, who.count, sizeof(*who.rows), who_compare);
	Pwemu__V1__WhoReply reply = PWEMU__V1__WHO_REPLY__INIT;
	reply.instance = (char *)(uintptr_t)instance_name(who.inst);
	reply.owner = instance_user(who.inst)->name;
	reply.parties = who.rows;
	reply.n_parties = who.count;
	rpc_call_reply(call, &reply.base);
	parties_free(who.rows, who.count);
	free(who.users);
}
