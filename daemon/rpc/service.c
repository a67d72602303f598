/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/service.h"

#include <stdio.h>

#include "base/log.h"
#include "config/settings.h"

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
	instance_describe(inst, &message);
	if (finish)
		rpc_call_reply(call, &message.base);
	else
		rpc_call_send(call, &message.base);
	instance_describe_fini(&message);
}

struct instance *service_find(struct rpc_call *call, const Pwemu__V1__InstanceRef *ref)
{
	struct err err = ERR_INIT;
	struct instance *inst = registry_find(service_of(call)->registry, ref, &err);
	if (inst == NULL)
		service_fail(call, &err);
	return inst;
}

/* Of users only the daemon's own is known by name: asking for others may take its time. */
void service_actor(const struct rpc_call *call, char out[SERVICE_ACTOR_MAX])
{
	const struct rpc_peer *peer = rpc_call_peer(call);
	const struct services *services = rpc_call_server_ctx(call);
	char user[40];
	if (peer->uid == services->uid)
		snprintf(user, sizeof(user), "%s", services->owner);
	else if (peer->uid == 0)
		snprintf(user, sizeof(user), "root");
	else
		snprintf(user, sizeof(user), "user %u", (unsigned)peer->uid);
	snprintf(out, SERVICE_ACTOR_MAX, "client of %s (process %d)", user, (int)peer->pid);
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
	log_info(NULL, "%zu targets read, asked by %s", target_set_count(fresh), who);
	return 0;
}

int service_reload_settings(struct services *services, const char *who, struct err *err)
{
	if (services->settings_path[0] == '\0')
		return 0;
	if (settings_load(services->settings_path, services->settings_are_required, services->settings, err) < 0)
		return err_prefix(err, "the settings stay as they were");
	log_info(NULL, "settings read, asked by %s", who);
	registry_settings_changed(services->registry);
	return 0;
}
