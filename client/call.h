/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of pwemu.v1 as the client calls them: one table of paths, reply types and deadlines. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "wire/err.h"
#include "wire/rpc.h"

struct conn;

enum call {
	CALL_INSTANCES_START,
	CALL_INSTANCES_STOP,
	CALL_INSTANCES_RESTART,
	CALL_INSTANCES_PAUSE,
	CALL_INSTANCES_RESUME,
	CALL_INSTANCES_RESET,
	CALL_INSTANCES_LOAD,
	CALL_INSTANCES_RENEW_LEASE,
	CALL_INSTANCES_REMOVE_LEASE,
	CALL_INSTANCES_GET,
	CALL_INSTANCES_LIST,
	CALL_INSTANCES_REMOVE,
	CALL_INSTANCES_SHARE,
	CALL_INSTANCES_UNSHARE,
	CALL_INSTANCES_WHO,
	CALL_INSTANCES_WATCH,
	CALL_CHANNELS_READ,
	CALL_CHANNELS_ATTACH,
	CALL_CHANNELS_UPLOAD,
	CALL_PROPERTIES_LIST,
	CALL_PROPERTIES_GET,
	CALL_PROPERTIES_SET,
	CALL_TARGETS_LIST,
	CALL_TARGETS_GET,
	CALL_TARGETS_CHECK,
	CALL_DAEMON_INFO,
	CALL_DAEMON_RELOAD,
	CALL_DAEMON_SHUTDOWN,
	CALL_DAEMON_ADD_TOKEN,
	CALL_DAEMON_LIST_TOKENS,
	CALL_DAEMON_REMOVE_TOKEN,
	CALL_COUNT
};

const struct rpc_client_method *call_method(enum call call);
uint32_t call_timeout_ms(enum call call); /* 0 for streams */

/* One request, one reply. more_ms is added to the method's deadline. *reply is freed with protobuf_c_message_free_unpacked. */
int call_unary(struct conn *conn, enum call call, const ProtobufCMessage *request, uint32_t more_ms, ProtobufCMessage **reply,
	       struct err *err) __attribute__((warn_unused_result));

/* The same for a call that may be sent twice: again when a remote connection was cut under it. */
int call_again(struct conn *conn, enum call call, const ProtobufCMessage *request, ProtobufCMessage **reply, struct err *err)
	__attribute__((warn_unused_result));

/* … and local ones, too: when an idle daemon has left under it, another is started and asked. */
int call_repeatable(struct conn *conn, enum call call, const ProtobufCMessage *request, ProtobufCMessage **reply, struct err *err)
	__attribute__((warn_unused_result));

/* A copy of a message that belongs to the call layer. */
ProtobufCMessage *call_copy(const ProtobufCMessage *message);

/* One of several calls that run at the same time. */
struct call_item {
	const ProtobufCMessage *request;
	ProtobufCMessage *reply; /* NULL when it failed */
	struct err err;
};

/* All of them at once; returns when the last is done, with the number that failed. */
unsigned call_many(struct conn *conn, enum call call, struct call_item *items, size_t count, uint32_t more_ms);
