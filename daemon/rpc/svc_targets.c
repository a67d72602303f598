/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "rpc/service.h"
#include "wire/mem.h"

static void handle_list(struct rpc_call *call, const ProtobufCMessage *message)
{
	(void)message;
	const struct target_set *targets = service_of(call)->targets;
	Pwemu__V1__ListTargetsReply reply = PWEMU__V1__LIST_TARGETS_REPLY__INIT;
	size_t count = target_set_count(targets), errors = target_set_error_count(targets);
	reply.targets = xcalloc(count, sizeof(*reply.targets));
	reply.errors = xcalloc(errors, sizeof(*reply.errors));
	for (size_t i = 0; i < count; i++)
		reply.targets[reply.n_targets++] = (Pwemu__V1__Target *)target_set_at(targets, i);
	for (size_t i = 0; i < errors; i++)
		reply.errors[reply.n_errors++] = (char *)target_set_error(targets, i);
	rpc_call_reply(call, &reply.base);
	free(reply.targets);
	free(reply.errors);
}

static void handle_get(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__GetTargetRequest *request = (const Pwemu__V1__GetTargetRequest *)message;
	const struct target_set *targets = service_of(call)->targets;
	const Pwemu__V1__Target *target = target_set_find(targets, request->name);
	if (target != NULL) {
		rpc_call_reply(call, &target->base);
		return;
	}
	struct err err = ERR_INIT;
	target_not_found(targets, request->name, &err);
	service_fail(call, &err);
}

const struct rpc_method svc_targets_methods[] = {
	SERVICE_METHOD("Targets", "List", RPC_UNARY, list_targets_request, list_targets_reply, 1024, RIGHT_NONE, handle_list),
	SERVICE_METHOD("Targets", "Get", RPC_UNARY, get_target_request, target, 4096, RIGHT_NONE, handle_get),
	{ 0 },
};
