/* SPDX-License-Identifier: Apache-2.0 */
#include "client/call.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "client/conn.h"
#include "pwemu/v1/channels.pb-c.h"
#include "pwemu/v1/daemon.pb-c.h"
#include "pwemu/v1/instances.pb-c.h"
#include "pwemu/v1/properties.pb-c.h"
#include "pwemu/v1/targets.pb-c.h"
#include "wire/mem.h"

#define MAX_CUTS 10 /* of the connection under one call */

#define ROW(service, method, reply_type, timeout)                                                                                          \
	{                                                                                                                                  \
		{ "/pwemu.v1." service "/" method, &pwemu__v1__##reply_type##__descriptor }, timeout                                       \
	}

static const struct {
	struct rpc_client_method method;
	uint32_t timeout_ms;
} rows[] = {
	[CALL_INSTANCES_START] = ROW("Instances", "Start", instance, 60000),
	[CALL_INSTANCES_STOP] = ROW("Instances", "Stop", instance, 15000),
	[CALL_INSTANCES_RESTART] = ROW("Instances", "Restart", instance, 75000),
	/* the emulator has 20 s for an answer, and what then is said is to arrive */
	[CALL_INSTANCES_PAUSE] = ROW("Instances", "Pause", instance, 30000),
	[CALL_INSTANCES_RESUME] = ROW("Instances", "Resume", instance, 30000),
	[CALL_INSTANCES_RESET] = ROW("Instances", "Reset", instance, 30000),
	[CALL_INSTANCES_LOAD] = ROW("Instances", "Load", instance, 120000),
	[CALL_INSTANCES_RENEW_LEASE] = ROW("Instances", "RenewLease", instance, 10000),
	[CALL_INSTANCES_REMOVE_LEASE] = ROW("Instances", "RemoveLease", instance, 10000),
	[CALL_INSTANCES_GET] = ROW("Instances", "Get", instance, 10000),
	[CALL_INSTANCES_LIST] = ROW("Instances", "List", list_reply, 10000),
	[CALL_INSTANCES_REMOVE] = ROW("Instances", "Remove", remove_reply, 20000),
	[CALL_INSTANCES_SHARE] = ROW("Instances", "Share", instance, 20000),
	[CALL_INSTANCES_UNSHARE] = ROW("Instances", "Unshare", instance, 20000),
	[CALL_INSTANCES_WHO] = ROW("Instances", "Who", who_reply, 10000),
	[CALL_INSTANCES_WATCH] = ROW("Instances", "Watch", event, 0),
	[CALL_CHANNELS_READ] = ROW("Channels", "Read", read_reply, 0),
	[CALL_CHANNELS_ATTACH] = ROW("Channels", "Attach", attach_reply, 0),
	[CALL_CHANNELS_UPLOAD] = ROW("Channels", "Upload", upload_reply, 0),
	[CALL_PROPERTIES_LIST] = ROW("Properties", "List", list_properties_reply, 30000),
	[CALL_PROPERTIES_GET] = ROW("Properties", "Get", property_value, 30000),
	[CALL_PROPERTIES_SET] = ROW("Properties", "Set", set_property_reply, 30000),
	[CALL_TARGETS_LIST] = ROW("Targets", "List", list_targets_reply, 10000),
	[CALL_TARGETS_GET] = ROW("Targets", "Get", target, 10000),
	[CALL_TARGETS_CHECK] = ROW("Targets", "Check", check_target_reply, 10000),
	[CALL_DAEMON_INFO] = ROW("Daemon", "Info", info_reply, 10000),
	[CALL_DAEMON_RELOAD] = ROW("Daemon", "Reload", reload_reply, 10000),
	[CALL_DAEMON_SHUTDOWN] = ROW("Daemon", "Shutdown", shutdown_reply, 30000),
	[CALL_DAEMON_ADD_TOKEN] = ROW("Daemon", "AddToken", add_token_reply, 20000),
	[CALL_DAEMON_LIST_TOKENS] = ROW("Daemon", "ListTokens", list_tokens_reply, 10000),
	[CALL_DAEMON_REMOVE_TOKEN] = ROW("Daemon", "RemoveToken", remove_token_reply, 10000),
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == CALL_COUNT, "a row for every method");

const struct rpc_client_method *call_method(enum call call)
{
	return &rows[call].method;
}

uint32_t call_timeout_ms(enum call call)
{
	return rows[call].timeout_ms;
}

/* What the server says of a method that it does not know helps nobody. */
static int explain(const struct conn *conn, enum call call, struct err *err)
{
	if (err->code != ERR_UNIMPLEMENTED)
		return -1;
	return err_set(err, ERR_UNIMPLEMENTED,
		       "the daemon (%s) does not know %s, which this pwemu (%s) needs; `pwemu daemon restart` makes them the same",
		       conn->version[0] != '\0' ? conn->version : "of another version", strrchr(rows[call].method.path, '.') + 1,
		       PWEMU_VERSION);
}

int call_unary(struct conn *conn, enum call call, const ProtobufCMessage *request, uint32_t more_ms, ProtobufCMessage **reply,
	       struct err *err)
{
	uint32_t timeout_ms = rows[call].timeout_ms + more_ms;
	int rc = rpc_client_unary(conn->client, &rows[call].method, request, timeout_ms, reply, err);
	return rc < 0 ? explain(conn, call, err) : 0;
}

int call_again(struct conn *conn, enum call call, const ProtobufCMessage *request, ProtobufCMessage **reply, struct err *err)
{
	for (int i = 0; call_unary(conn, call, request, 0, reply, err) < 0; i++) {
		if (!conn->is_remote || !conn_is_lost(conn, err) || i == MAX_CUTS || conn_reopen(conn, err) < 0)
			return -1;
		*err = (struct err)ERR_INIT;
	}
	return 0;
}

int call_repeatable(struct conn *conn, enum call call, const ProtobufCMessage *request, ProtobufCMessage **reply, struct err *err)
{
	if (call_again(conn, call, request, reply, err) == 0)
		return 0;
	if (conn->is_remote || err->code != ERR_UNAVAILABLE || !rpc_client_is_closed(conn->client))
		return -1;
	conn_close(conn);
	return conn_open(conn, CONN_START, err) < 0 ? -1 : call_unary(conn, call, request, 0, reply, err);
}

/* ---------------------------------------------------------------- several at once */

struct batch {
	struct conn *conn;
	enum call call;
	size_t open;
};

struct batch_call {
	struct batch *batch;
	struct call_item *item;
};

ProtobufCMessage *call_copy(const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = xmalloc(size);
	protobuf_c_message_pack(message, bytes);
	ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
	free(bytes);
	return copy;
}

static void on_reply(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	(void)stream;
	struct batch_call *call = ctx;
	if (call->item->reply == NULL)
		call->item->reply = call_copy(reply);
}

static void on_reply_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	struct batch_call *call = ctx;
	call->item->err = *status;
	(void)explain(call->batch->conn, call->batch->call, &call->item->err);
	if (status->code == ERR_OK && call->item->reply == NULL)
		err_set(&call->item->err, ERR_INTERNAL, "the daemon sent no answer");
	if (--call->batch->open == 0)
		event_base_loopbreak(call->batch->conn->base);
}

unsigned call_many(struct conn *conn, enum call call, struct call_item *items, size_t count, uint32_t more_ms)
{
	static const struct rpc_stream_ops ops = { .on_message = on_reply, .on_end = on_reply_end };
	struct batch batch = { .conn = conn, .call = call, .open = count };
	struct batch_call *calls = xcalloc(count, sizeof(*calls));
	for (size_t i = 0; i < count; i++) {
		items[i].reply = NULL;
		calls[i] = (struct batch_call){ &batch, &items[i] };
		struct rpc_stream *stream = rpc_client_call(conn->client, &rows[call].method, items[i].request,
							    rows[call].timeout_ms + more_ms, &ops, &calls[i]);
		rpc_stream_half_close(stream);
	}
	while (batch.open > 0)
		event_base_loop(conn->base, EVLOOP_NO_EXIT_ON_EMPTY);
	free(calls);
	unsigned failed = 0;
	for (size_t i = 0; i < count; i++)
		failed += items[i].err.code != ERR_OK;
	return failed;
}
