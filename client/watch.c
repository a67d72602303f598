/* SPDX-License-Identifier: Apache-2.0 */
#include "client/watch.h"

#include "client/call.h"
#include "client/conn.h"

static void on_message(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *message)
{
	(void)stream;
	struct watch *watch = ctx;
	const Pwemu__V1__Event *event = (const Pwemu__V1__Event *)message;
	conn_progress(watch->conn);
	watch->has_from = true;
	watch->from_seq = event->seq + 1;
	watch->on_event(watch->ctx, event);
}

static void on_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	struct watch *watch = ctx;
	watch->stream = NULL;
	watch->on_end(watch->ctx, status);
}

void watch_begin(struct watch *watch)
{
	static const struct rpc_stream_ops ops = { .on_message = on_message, .on_end = on_end };
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__WatchRequest request = PWEMU__V1__WATCH_REQUEST__INIT;
	if (watch->instance_id != NULL) {
		ref.id = (char *)(uintptr_t)watch->instance_id;
		request.instance = &ref;
	}
	if (watch->has_from) {
		request.from_case = PWEMU__V1__WATCH_REQUEST__FROM_FROM_SEQ;
		request.from_seq = watch->from_seq;
	}
	request.no_follow = watch->no_follow;
	request.snapshots = watch->snapshots;
	watch->stream = rpc_client_call(watch->conn->client, call_method(CALL_INSTANCES_WATCH), &request.base, 0, &ops, watch);
	rpc_stream_half_close(watch->stream);
}

void watch_pause(struct watch *watch)
{
	if (watch->stream != NULL)
		rpc_stream_pause_input(watch->stream);
}

void watch_resume(struct watch *watch)
{
	if (watch->stream != NULL)
		rpc_stream_resume_input(watch->stream);
}
