/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: Read and Attach, besides List and Expose. Both are a cursor that is pumped into a stream while the stream takes it; Attach has
 * a writer besides. Nothing is kept for a slow client: its cursor just stays behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pwemu/v1/channels.pb-c.h"
#include "rpc/service.h"
#include "wire/mem.h"

#define TAP_READ_MAX (32768 - 64) /* a message of at most 32 KiB, see rpc_call_send() */

struct tap {
	struct rpc_call *call;
	struct services *services;
	char id[INSTANCE_ID_LEN + 1];
	struct cursor *cursor;
	bool is_attach, times, is_finished;
	/* Attach only */
	char who[SERVICE_ACTOR_MAX];
	char *channel; /* NULL: it was not opened */
	bool may_write;
	struct writer *writer;
	uint8_t *input; /* what the emulator did not take yet */
	size_t input_len, input_done;
	uint64_t taken;
};

/* ---------------------------------------------------------------- output */

static void tap_send_data(struct tap *tap, const struct chunk *chunk, uint8_t *bytes)
{
	Pwemu__V1__Data data = PWEMU__V1__DATA__INIT;
	data.offset = chunk->offset;
	data.bytes = (ProtobufCBinaryData){ .len = chunk->len, .data = bytes };
	if (tap->times) {
		data.time_ns = chunk->time_ns;
		data.boot = chunk->boot;
		data.boot_time_ns = chunk->boot_time_ns;
	}
	if (tap->is_attach) {
		Pwemu__V1__AttachReply reply = PWEMU__V1__ATTACH_REPLY__INIT;
		reply.kind_case = PWEMU__V1__ATTACH_REPLY__KIND_DATA;
		reply.data = &data;
		rpc_call_send(tap->call, &reply.base);
	} else {
		Pwemu__V1__ReadReply reply = PWEMU__V1__READ_REPLY__INIT;
		reply.data = &data;
		rpc_call_send(tap->call, &reply.base);
	}
}

static void tap_finish(struct tap *tap, const struct err *err)
{
	tap->is_finished = true;
	if (err != NULL)
		service_fail(tap->call, err);
	else
		rpc_call_finish_ok(tap->call);
}

static void tap_pump(struct tap *tap)
{
	static uint8_t buf[TAP_READ_MAX]; /* packed before the next read */
	struct err err = ERR_INIT;
	struct chunk chunk;
	int rc = 1;
	while (!tap->is_finished && rpc_call_can_send(tap->call) && rc == 1) {
		rc = cursor_read(tap->cursor, buf, sizeof(buf), &chunk, &err);
		if (rc == 1)
			tap_send_data(tap, &chunk, buf);
	}
	if (rc < 0)
		tap_finish(tap, &err);
	else if (!tap->is_finished && cursor_is_at_end(tap->cursor))
		tap_finish(tap, NULL);
}

static void tap_on_readable(void *ctx)
{
	tap_pump(ctx);
}

static const struct cursor_ops tap_cursor_ops = { .on_readable = tap_on_readable };

static void tap_on_writable(struct rpc_call *call, void *ctx)
{
	(void)call;
	tap_pump(ctx);
}

static void tap_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct tap *tap = ctx;
	cursor_close(tap->cursor);
	writer_close(tap->writer);
	struct instance *inst = registry_by_id(tap->services->registry, tap->id);
	if (inst != NULL && tap->channel != NULL)
		instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_DETACH, tap->channel, tap->who, NULL);
	if (inst != NULL)
		instance_trim(inst);
	free(tap->channel);
	free(tap->input);
	free(tap);
}

static struct tap *tap_new(struct rpc_call *call, const struct instance *inst)
{
	struct tap *tap = xcalloc(1, sizeof(*tap));
	tap->call = call;
	tap->services = service_of(call);
	memcpy(tap->id, instance_id(inst), sizeof(tap->id));
	return tap;
}

/* ---------------------------------------------------------------- positions */

/* The boot that a position names, else the one in which its offset lies; 0: before all that is known. */
static uint32_t position_boot(const struct hub *hub, const Pwemu__V1__Position *from, uint64_t offset)
{
	bool is_number = from != NULL && from->at_case == PWEMU__V1__POSITION__AT_BOOT_NUMBER;
	bool is_named = is_number || (from != NULL && from->at_case == PWEMU__V1__POSITION__AT_BOOT);
	struct hub_boot boot;
	if (is_named)
		return hub_find_boot(hub, is_number ? from->boot_number : 0, &boot, NULL) == 0 ? boot.number : 0;
	for (uint32_t number = hub_last_boot(hub); number > 0; number--)
		if (hub_find_boot(hub, (int32_t)number, &boot, NULL) == 0 && boot.offset <= offset)
			return number;
	return 0;
}

/* First byte after that boot. A boot that printed nothing begins where the next one does, and some have left no mark. */
static uint64_t position_boot_end(const struct hub *hub, uint32_t number)
{
	uint64_t limit = UINT64_MAX;
	struct hub_boot boot;
	for (uint32_t later = hub_last_boot(hub); later > number; later--)
		if (hub_find_boot(hub, (int32_t)later, &boot, NULL) == 0)
			limit = boot.offset;
	return limit;
}

static int position_of_boot(const struct hub *hub, int32_t number, uint64_t *out, struct err *err)
{
	struct hub_boot boot;
	if (hub_find_boot(hub, number, &boot, err) < 0)
		return -1;
	*out = boot.offset;
	return 0;
}

static int position_resolve(const struct hub *hub, const Pwemu__V1__Position *from, uint64_t *out, struct err *err)
{
	uint64_t end = hub_end_offset(hub);
	switch (from != NULL ? from->at_case : PWEMU__V1__POSITION__AT__NOT_SET) {
	case PWEMU__V1__POSITION__AT_OFFSET:
		*out = from->offset;
		return 0;
	case PWEMU__V1__POSITION__AT_TAIL:
		*out = from->tail < end ? end - from->tail : 0;
		return 0;
	case PWEMU__V1__POSITION__AT_NOW:
		*out = end;
		return 0;
	case PWEMU__V1__POSITION__AT_BOOT:
		return position_of_boot(hub, 0, out, err);
	case PWEMU__V1__POSITION__AT_BOOT_NUMBER:
		return position_of_boot(hub, from->boot_number, out, err);
	default:
		*out = hub_start_offset(hub);
		return 0;
	}
}

/* ---------------------------------------------------------------- Read */

static const struct rpc_call_ops read_ops = { .on_writable = tap_on_writable, .on_end = tap_on_end };

static int read_open(struct tap *tap, struct hub *hub, const Pwemu__V1__ReadRequest *request, struct err *err)
{
	uint64_t from, limit = request->follow ? UINT64_MAX : hub_end_offset(hub);
	if (position_resolve(hub, request->from, &from, err) < 0)
		return -1;
	if (from < hub_first_offset(hub))
		from = hub_first_offset(hub); /* the boot that is read is the one of the first byte that is left */
	if (request->one_boot) {
		uint64_t boot_end = position_boot_end(hub, position_boot(hub, request->from, from));
		limit = boot_end < limit ? boot_end : limit;
	}
	tap->times = request->times;
	return cursor_open(hub, from, limit, request->times, &tap_cursor_ops, tap, &tap->cursor, err);
}

static void handle_read(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__ReadRequest *request = (const Pwemu__V1__ReadRequest *)message;
	struct err err = ERR_INIT;
	struct hub *hub;
	const char *name;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	if (instance_hub(inst, request->channel, &hub, &name, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	snprintf(rpc_call_label(call)->part, sizeof(rpc_call_label(call)->part), "%s", name);
	struct tap *tap = tap_new(call, inst);
	rpc_call_adopt(call, &read_ops, tap);
	if (read_open(tap, hub, request, &err) < 0)
		tap_finish(tap, &err);
	else
		tap_pump(tap);
}

/* ---------------------------------------------------------------- Attach: input */

static void attach_send_taken(struct tap *tap)
{
	Pwemu__V1__AttachReply reply = PWEMU__V1__ATTACH_REPLY__INIT;
	reply.kind_case = PWEMU__V1__ATTACH_REPLY__KIND_INPUT_TAKEN;
	reply.input_taken = tap->taken;
	rpc_call_send(tap->call, &reply.base);
}

static void attach_drop_input(struct tap *tap)
{
	free(tap->input);
	tap->input = NULL;
	tap->input_len = tap->input_done = 0;
	rpc_call_resume_input(tap->call);
}

static void attach_write_input(struct tap *tap)
{
	ssize_t n = writer_write(tap->writer, tap->input + tap->input_done, tap->input_len - tap->input_done);
	if (n > 0) {
		tap->input_done += (size_t)n;
		tap->taken += (uint64_t)n;
		attach_send_taken(tap);
	}
	if (n < 0 || tap->input_done == tap->input_len)
		attach_drop_input(tap);
}

/* Nothing is left to write, but a text may be over. */
static void attach_end_text(struct tap *tap)
{
	writer_set_more(tap->writer, false);
	(void)writer_write(tap->writer, "", 0);
}

static void attach_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *message)
{
	const Pwemu__V1__AttachRequest *request = (const Pwemu__V1__AttachRequest *)message;
	struct tap *tap = ctx;
	if (tap->is_finished || request->kind_case != PWEMU__V1__ATTACH_REQUEST__KIND_INPUT)
		return;
	if (!tap->may_write) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_PERMISSION_DENIED, "input is not taken here: the channel is read-only, or AttachOpen.write was not set");
		tap_finish(tap, &err);
		return;
	}
	if (tap->writer == NULL || !writer_has_role(tap->writer))
		return;
	if (request->input.len == 0) {
		attach_end_text(tap);
		return;
	}
	writer_set_more(tap->writer, request->more);
	tap->input = xmalloc(request->input.len);
	memcpy(tap->input, request->input.data, request->input.len);
	tap->input_len = request->input.len;
	tap->input_done = 0;
	rpc_call_pause_input(call);
	attach_write_input(tap);
}

static void attach_on_writable(void *ctx)
{
	struct tap *tap = ctx;
	if (tap->input != NULL && !tap->is_finished)
		attach_write_input(tap);
}

static void attach_on_role(void *ctx, bool has_role, const char *reason)
{
	struct tap *tap = ctx;
	if (tap->is_finished)
		return;
	Pwemu__V1__WriterChange change = PWEMU__V1__WRITER_CHANGE__INIT;
	change.writer = has_role;
	change.reason = (char *)reason;
	Pwemu__V1__AttachReply reply = PWEMU__V1__ATTACH_REPLY__INIT;
	reply.kind_case = PWEMU__V1__ATTACH_REPLY__KIND_WRITER;
	reply.writer = &change;
	rpc_call_send(tap->call, &reply.base);
	if (!has_role && tap->input != NULL)
		attach_drop_input(tap);
}

static const struct writer_ops attach_writer_ops = { .on_writable = attach_on_writable, .on_role = attach_on_role };

/* ---------------------------------------------------------------- Attach: opening */

static const struct rpc_call_ops attach_ops = { .on_message = attach_on_message, .on_writable = tap_on_writable, .on_end = tap_on_end };

static void attach_send_opened(struct tap *tap, struct instance *inst, struct hub *hub, const char *channel, const char *reason)
{
	Pwemu__V1__AttachOpened opened = PWEMU__V1__ATTACH_OPENED__INIT;
	opened.writer = tap->writer != NULL && writer_has_role(tap->writer);
	opened.instance = (char *)instance_name(inst);
	opened.instance_id = (char *)instance_id(inst);
	opened.channel = (char *)channel;
	opened.offset = cursor_offset(tap->cursor);
	opened.end = hub_end_offset(hub);
	opened.reason = opened.writer ? (char *)"" : (char *)reason;
	opened.eol = (char *)instance_eol(inst);
	Pwemu__V1__AttachReply reply = PWEMU__V1__ATTACH_REPLY__INIT;
	reply.kind_case = PWEMU__V1__ATTACH_REPLY__KIND_OPENED;
	reply.opened = &opened;
	rpc_call_send(tap->call, &reply.base);
}

/* Asks for the writer role. That there is none to be had (the channel is read-only, its boot is ending) is no error: it is read. */
static void attach_open_writer(struct tap *tap, struct hub *hub, const Pwemu__V1__AttachOpen *open, char *reason, size_t size)
{
	struct err err = ERR_INIT;
	int rc = open->beside ? writer_open_beside(hub, tap->who, &attach_writer_ops, tap, &tap->writer, &err)
			      : writer_open(hub, tap->who, open->steal, &attach_writer_ops, tap, &tap->writer, &err);
	if (rc < 0) {
		snprintf(reason, size, "%.120s", err.msg);
		return;
	}
	const char *holder = writer_holder(hub);
	snprintf(reason, size, "%s has the writer role", holder != NULL ? holder : "another");
}

static int attach_open(struct tap *tap, struct instance *inst, const Pwemu__V1__AttachOpen *open, struct err *err)
{
	struct hub *hub;
	const char *channel;
	uint64_t from;
	char reason[160] = "";
	if (instance_hub(inst, open->channel, &hub, &channel, err) < 0 || position_resolve(hub, open->from, &from, err) < 0 ||
	    cursor_open(hub, from, UINT64_MAX, false, &tap_cursor_ops, tap, &tap->cursor, err) < 0)
		return -1;
	memcpy(tap->who, rpc_call_label(tap->call)->who, sizeof(tap->who));
	tap->channel = xstrdup(channel);
	snprintf(rpc_call_label(tap->call)->part, sizeof(rpc_call_label(tap->call)->part), "%s", channel);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_ATTACH, channel, tap->who, NULL);
	if (open->write || open->beside)
		attach_open_writer(tap, hub, open, reason, sizeof(reason));
	tap->may_write = (open->write || open->beside) && instance_channel_takes_input(inst, channel);
	attach_send_opened(tap, inst, hub, channel, reason);
	return 0;
}

static enum right attach_right(const struct instance *inst, const Pwemu__V1__AttachOpen *open)
{
	if (instance_channel_needs_control(inst, open->channel))
		return RIGHT_CONTROL;
	return open->write || open->beside ? RIGHT_WRITE : RIGHT_VIEW;
}

static void handle_attach(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__AttachRequest *request = (const Pwemu__V1__AttachRequest *)message;
	struct err err = ERR_INIT;
	if (request->kind_case != PWEMU__V1__ATTACH_REQUEST__KIND_OPEN) {
		err_set(&err, ERR_INVALID_ARGUMENT, "the first message of Attach must be `open`");
		service_fail(call, &err);
		return;
	}
	struct instance *inst = service_find(call, request->open->instance);
	if (inst == NULL)
		return;
	if (!service_need(call, inst, attach_right(inst, request->open)))
		return;
	snprintf(rpc_call_label(call)->part, sizeof(rpc_call_label(call)->part), "%s", request->open->channel);
	if (instance_channel_is_socket(inst, request->open->channel)) {
		svc_duct_open(call, inst, request->open);
		return;
	}
	struct tap *tap = tap_new(call, inst);
	tap->is_attach = true;
	rpc_call_adopt(call, &attach_ops, tap);
	if (attach_open(tap, inst, request->open, &err) < 0)
		tap_finish(tap, &err);
	else
		tap_pump(tap);
}

/* ---------------------------------------------------------------- List, Expose */

static void handle_list(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct instance *inst = service_find(call, ((const Pwemu__V1__ListChannelsRequest *)message)->instance);
	if (inst == NULL)
		return;
	Pwemu__V1__Instance described;
	Pwemu__V1__ListChannelsReply reply = PWEMU__V1__LIST_CHANNELS_REPLY__INIT;
	instance_describe(inst, &described);
	reply.channels = described.channels;
	reply.n_channels = described.n_channels;
	rpc_call_reply(call, &reply.base);
	instance_describe_fini(&described);
}

static void expose_reply(struct rpc_call *call, struct instance *inst, const char *name)
{
	Pwemu__V1__Instance described;
	const Pwemu__V1__Channel *channel = NULL;
	instance_describe(inst, &described);
	for (size_t i = 0; i < described.n_channels; i++)
		if (strcmp(described.channels[i]->name, name) == 0)
			channel = described.channels[i];
	if (channel != NULL)
		rpc_call_reply(call, &channel->base);
	instance_describe_fini(&described);
}

static void handle_expose(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__ExposeRequest *request = (const Pwemu__V1__ExposeRequest *)message;
	struct err err = ERR_INIT;
	const char *name;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	if (instance_expose(inst, request->channel, request->type, request->port, &name, &err) < 0)
		service_fail(call, &err);
	else
		expose_reply(call, inst, name);
}

#define READ_MAX   16384
#define ATTACH_MAX (256u << 10)
#define UPLOAD_MAX ((64u << 10) + 64)

const struct rpc_method svc_channels_methods[] = {
	SERVICE_METHOD("Channels", "List", RPC_UNARY, list_channels_request, list_channels_reply, READ_MAX, RIGHT_VIEW, handle_list),
	SERVICE_METHOD("Channels", "Expose", RPC_UNARY, expose_request, channel, READ_MAX, RIGHT_CONTROL, handle_expose),
	SERVICE_METHOD("Channels", "Read", RPC_SERVER_STREAM, read_request, read_reply, READ_MAX, RIGHT_VIEW, handle_read),
	SERVICE_METHOD("Channels", "Attach", RPC_BIDI, attach_request, attach_reply, ATTACH_MAX, RIGHT_VIEW, handle_attach),
	SERVICE_METHOD("Channels", "Upload", RPC_CLIENT_STREAM, upload_request, upload_reply, UPLOAD_MAX, RIGHT_NONE, svc_upload_handle),
	{ 0 },
};
