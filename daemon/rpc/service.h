/* SPDX-License-Identifier: Apache-2.0 */
/* What the services of the daemon share. Each svc_*.c exports a table of methods that rpc/server.c serves. */
#pragma once

#include <stdint.h>

#include "config/target.h"
#include "instance/registry.h"
#include "rpc/users.h"
#include "pwemu/v1/channels.pb-c.h"
#include "wire/rpc.h"

struct services {
	struct event_base *base;
	struct registry *registry;
	struct target_set *targets;
	struct settings *settings;
	struct journal *journal;
	struct uploads *uploads;
	const char *socket, *state_dir, *targets_dir, *log;
	const char *settings_path;  /* "": there can be none */
	bool settings_are_required; /* a file that is not there is an error */
	const struct user *own;     /* the daemon's user: in a one-user daemon everybody who is let in acts as him */
	bool is_system;             /* many users */
	struct users *users;
	gid_t admin_group; /* (gid_t)-1: none */
	struct auth *auth;
	struct rpc_server *server; /* NULL before it serves */
	struct remote *remote;     /* the network; never NULL once it serves */
	bool is_auto;
	bool is_ending;    /* nothing is started any more */
	bool must_restart; /* … and then the installed program replaces this one */
	uint64_t started_ns;
	void (*on_shutdown)(void *ctx); /* somebody asked the daemon to end */
	void *ctx;
};

extern const struct rpc_method svc_instances_methods[], svc_channels_methods[], svc_properties_methods[], svc_targets_methods[],
	svc_daemon_methods[], svc_tokens_methods[];

/* Instances.Share, Unshare, Who */
void svc_share_handle(struct rpc_call *call, const ProtobufCMessage *message);
void svc_unshare_handle(struct rpc_call *call, const ProtobufCMessage *message);
void svc_who_handle(struct rpc_call *call, const ProtobufCMessage *message);

/* Before the first call. What it registers with the registry stays until that is freed. */
void svc_instances_init(struct services *services);
void svc_watch_init(struct services *services);
/* Instances.Watch */
void svc_watch_handle(struct rpc_call *call, const ProtobufCMessage *message);

/* Channels.Attach to a channel without a log; ends the call itself where it fails. */
void svc_duct_open(struct rpc_call *call, struct instance *inst, const Pwemu__V1__AttachOpen *open);

/* Channels.Upload */
void svc_upload_handle(struct rpc_call *call, const ProtobufCMessage *message);

/* Ends the call with the error. */
void service_fail(struct rpc_call *call, const struct err *err);
/* As instance_describe, for this caller. */
void service_describe(const struct rpc_call *call, struct instance *inst, Pwemu__V1__Instance *out);
/* Sends the description of an instance; with finish it is the call's only reply. */
void service_send_instance(struct rpc_call *call, struct instance *inst, bool finish);
/* Who calls. */
struct service_caller {
	struct caller caller;
	struct user user; /* what `caller` points to; its memory is the connection's */
	char name[24];
};
void service_caller(const struct rpc_call *call, struct service_caller *out);
/* The instance a request names, or NULL after the call was ended with the error: it is not there, or the method needs a right on it that
 * the caller does not have. */
struct instance *service_find(struct rpc_call *call, const Pwemu__V1__InstanceRef *ref);
struct services *service_of(struct rpc_call *call);
/* The call needs more than its method does. False: it was ended with the error. */
bool service_need(struct rpc_call *call, struct instance *inst, enum right right);
/* Rights on it have changed: calls that go on without theirs are ended. */
void service_review(struct services *services, struct instance *inst);
/* For what is the administrator's: false after the call was ended with the error. */
bool service_is_admin(struct rpc_call *call);
/* Who calls, for people: "client of alice (process 12)". */
#define SERVICE_ACTOR_MAX sizeof(((struct rpc_label *)0)->who)
void service_actor(const struct rpc_call *call, char out[SERVICE_ACTOR_MAX]);
/* The same as a lease wants to know it; `actor` is a part of it. */
struct lease_peer;
void service_lease_peer(const struct rpc_call *call, char actor[SERVICE_ACTOR_MAX], struct lease_peer *out);
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
