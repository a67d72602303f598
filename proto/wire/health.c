/* SPDX-License-Identifier: Apache-2.0 */
/* grpc.health.v1: every service of the tables is served until the server drains. */
#include "wire/server_int.h"

#include <stdlib.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "wire/mem.h"

struct watch {
	struct rpc_call *call;
	LIST_ENTRY(watch) link;
};

struct health {
	struct rpc_server *server;
	LIST_HEAD(, watch) watches;
};

static bool health_knows(const struct rpc_server *server, const char *service)
{
	size_t len = strlen(service);
	if (len == 0)
		return true;
	for (size_t i = 0; i < server->method_count; i++) {
		const char *path = server->methods[i].row->path + 1;
		if (strncmp(path, service, len) == 0 && path[len] == '/')
			return true;
	}
	return false;
}

static Grpc__Health__V1__HealthCheckResponse health_response(const struct rpc_server *server, const char *service)
{
	Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
	reply.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	if (!health_knows(server, service))
		reply.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
	else if (server->is_draining)
		reply.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
	return reply;
}

static void svc_health_check(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Grpc__Health__V1__HealthCheckRequest *request = (const Grpc__Health__V1__HealthCheckRequest *)message;
	struct err err;
	if (!health_knows(call->conn->server, request->service)) {
		err_set(&err, ERR_NOT_FOUND, "unknown service \"%s\"", request->service);
		rpc_call_finish_error(call, &err);
		return;
	}
	Grpc__Health__V1__HealthCheckResponse reply = health_response(call->conn->server, request->service);
	rpc_call_reply(call, &reply.base);
}

static void watch_on_end(struct rpc_call *call, void *ctx)
{
	struct watch *watch = ctx;
	(void)call;
	LIST_REMOVE(watch, link);
	free(watch);
}

static void svc_health_watch(struct rpc_call *call, const ProtobufCMessage *message)
{
	static const struct rpc_call_ops ops = { .on_end = watch_on_end };
	const Grpc__Health__V1__HealthCheckRequest *request = (const Grpc__Health__V1__HealthCheckRequest *)message;
	struct watch *watch = xcalloc(1, sizeof(*watch));
	watch->call = call;
	LIST_INSERT_HEAD(&call->conn->server->health->watches, watch, link);
	rpc_call_adopt(call, &ops, watch);
	Grpc__Health__V1__HealthCheckResponse reply = health_response(call->conn->server, request->service);
	rpc_call_send(call, &reply.base);
}

const struct rpc_method health_methods[] = {
	{
		.path = "/grpc.health.v1.Health/Check",
		.kind = RPC_UNARY,
		.request = &grpc__health__v1__health_check_request__descriptor,
		.reply = &grpc__health__v1__health_check_response__descriptor,
		.request_max_bytes = 4096,
		.handle = svc_health_check,
	},
	{
		.path = "/grpc.health.v1.Health/Watch",
		.kind = RPC_SERVER_STREAM,
		.request = &grpc__health__v1__health_check_request__descriptor,
		.reply = &grpc__health__v1__health_check_response__descriptor,
		.request_max_bytes = 4096,
		.handle = svc_health_watch,
	},
	{ .path = NULL },
};

struct health *health_new(struct rpc_server *server)
{
	struct health *health = xcalloc(1, sizeof(*health));
	health->server = server;
	LIST_INIT(&health->watches);
	return health;
}

/* The calls have ended before. */
void health_free(struct health *health)
{
	free(health);
}

void health_shutdown(struct health *health)
{
	struct watch *watch;
	struct err err;
	Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
	reply.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
	err_set(&err, ERR_UNAVAILABLE, "the server is shutting down");
	LIST_FOREACH (watch, &health->watches, link) {
		rpc_call_send(watch->call, &reply.base);
		rpc_call_finish_error(watch->call, &err);
	}
}
