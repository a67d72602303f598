/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a server sends to a client that has calls of each kind open; the first byte says in pieces of which size, and whether
 * SETTINGS come before them. Every call must end, and who fails says why.
 */
#include "client/call.h"
#include "pwemu/v1/channels.pb-c.h"
#include "pwemu/v1/instances.pb-c.h"
#include "tests/fuzz/fuzz.h"
#include "wire/mem.h"

static unsigned open_calls;

static void on_message(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	(void)stream;
	if (reply->descriptor != ((const struct rpc_client_method *)ctx)->reply)
		abort();
}

static void on_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	(void)ctx;
	if (memchr(status->msg, '\0', sizeof(status->msg)) == NULL || memchr(status->reason, '\0', sizeof(status->reason)) == NULL)
		abort();
	open_calls--;
}

static struct rpc_stream *begin(struct rpc_client *client, enum call call, const ProtobufCMessage *request)
{
	static const struct rpc_stream_ops ops = { .on_message = on_message, .on_end = on_end };
	const struct rpc_client_method *method = call_method(call);
	open_calls++;
	return rpc_client_call(client, method, request, 60000, &ops, (void *)(uintptr_t)method);
}

static void begin_all(struct rpc_client *client)
{
	Pwemu__V1__ListRequest list = PWEMU__V1__LIST_REQUEST__INIT;
	Pwemu__V1__WatchRequest watch = PWEMU__V1__WATCH_REQUEST__INIT;
	Pwemu__V1__AttachRequest attach = PWEMU__V1__ATTACH_REQUEST__INIT;
	Pwemu__V1__AttachOpen opening = PWEMU__V1__ATTACH_OPEN__INIT;
	attach.kind_case = PWEMU__V1__ATTACH_REQUEST__KIND_OPEN;
	attach.open = &opening;
	rpc_stream_half_close(begin(client, CALL_INSTANCES_LIST, &list.base));
	rpc_stream_half_close(begin(client, CALL_INSTANCES_WATCH, &watch.base));
	begin(client, CALL_CHANNELS_ATTACH, &attach.base);
	rpc_stream_half_close(begin(client, CALL_INSTANCES_GET, NULL));
}

static void feed(struct event_base *base, int fd, const uint8_t *data, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece) {
		if (send(fd, data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		fuzz_turns(base, 3);
		fuzz_drain(fd);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t settings[9] = { 0, 0, 0, 4 };
	static struct event_base *base;
	int pair[2];
	if (base == NULL)
		base = event_base_new();
	unsigned how = fuzz_choose(&data, &size, 256);
	fuzz_pair(pair);
	struct rpc_client *client = rpc_client_new(base, pair[0], NULL, NULL);
	begin_all(client);
	fuzz_turns(base, 3);
	if (how % 2)
		feed(base, pair[1], settings, sizeof(settings), sizeof(settings));
	feed(base, pair[1], data, size, how / 2 > 0 ? 29 * (size_t)(how / 2) * (how / 2) : 65536);
	fuzz_turns(base, 3);
	close(pair[1]);
	fuzz_turns(base, 5);
	if (open_calls != 0)
		abort();
	rpc_client_free(client);
	fuzz_turns(base, 1);
	return 0;
}
