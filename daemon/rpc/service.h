/* SPDX-License-Identifier: Apache-2.0 */
/* What the services of the daemon share. Each svc_*.c exports a table of methods that rpc/server.c serves. */
#pragma once

#include <stdint.h>

#include "config/target.h"
#include "instance/registry.h"
#include "wire/rpc.h"

/* Right that a method needs on the instance it is about. In a one-user daemon its user and root have all. */
enum right { RIGHT_NONE, RIGHT_VIEW, RIGHT_WRITE, RIGHT_CONTROL };

struct services {
	struct event_base *base;
	struct registry *registry;
	struct target_set *targets;
	struct settings *settings;
	struct journal *journal;
	const char *socket, *state_dir, *targets_dir, *log;
	const char *settings_path;  /* "": there can be none */
	bool settings_are_required; /* a file that is not there is an error */
	uid_t uid;
	const char *owner; /* name of uid */
	bool is_auto;
	bool is_ending;    /* nothing is started any more */
	bool must_restart; /* … and then the installed program replaces this one */
	uint64_t started_ns;
	void (*on_shutdown)(void *ctx); /* somebody asked the daemon to end */
	void *ctx;
};

extern const struct rpc_method svc_instances_methods[], svc_channels_methods[], svc_properties_methods[], svc_targets_methods[],
	svc_daemon_methods[];

/* Before the first call. What it registers with the registry stays until that is freed. */
void svc_instances_init(struct services *services);
void svc_watch_init(struct services *services);
/* Instances.Watch */
void svc_watch_handle(struct rpc_call *call, const ProtobufCMessage *message);

/* Ends the call with the error. */
void service_fail(struct rpc_call *call, const struct err *err);
/* Sends the description of an instance; with finish it is the call's only reply. */
void service_send_instance(struct rpc_call *call, struct instance *inst, bool finish);
/* The instance a request names, or NULL after the call was ended with the error. */
struct instance *service_find(struct rpc_call *call, const Pwemu__V1__InstanceRef *ref);
struct services *service_of(struct rpc_call *call);
/* Who calls, for people: "client of alice (process 12)". */
#define SERVICE_ACTOR_MAX 96
void service_actor(const struct rpc_call *call, char out[SERVICE_ACTOR_MAX]);
/* Reads the targets again; when that fails the old ones stay. `who`: for the log. */
int service_reload_targets(struct services *services, const char *who, struct err *err) __attribute__((warn_unused_result));

/* The same with its settings. */
int service_reload_settings(struct services *services, const char *who, struct err *err) __attribute__((warn_unused_result));

/* A row of a method table. */
#define SERVICE_METHOD(service, method, kind_, request_type, reply_type, max, right_, handler)                                             \
	{                                                                                                                                  \
		.path = "/pwemu.v1." service "/" method, .kind = kind_, .request = &pwemu__v1__##request_type##__descriptor,               \
		.reply = &pwemu__v1__##reply_type##__descriptor, .request_max_bytes = max, .right = right_, .handle = handler              \
	}
