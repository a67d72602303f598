/* SPDX-License-Identifier: Apache-2.0 */
/* Attach to a channel that is a socket of the emulator's (gdb, monitor, qmp): bytes both ways, offsets from 0, no log, one party. */
#include <stdlib.h>
#include <string.h>

#include "channel/bridge.h"
#include "rpc/service.h"
#include "wire/mem.h"

#define DUCT_READ_MAX (32768 - 64) /* a message of at most 32 KiB, see rpc_call_send() */

struct duct {
	struct rpc_call *call;
	struct bridge_party *party; /* NULL: it is over */
	bool may_write;
	uint8_t *input; /* what was not taken yet */
	size_t input_len, input_done;
	uint64_t offset, taken;
};

/* ---------------------------------------------------------------- output */

static void duct_send_data(struct duct *duct, uint8_t *bytes, size_t len)
{
	Pwemu__V1__Data data = PWEMU__V1__DATA__INIT;
	data.offset = duct->offset;
	data.bytes = (ProtobufCBinaryData){ .len = len, .data = bytes };
	Pwemu__V1__AttachReply reply = PWEMU__V1__ATTACH_REPLY__INIT;
	reply.kind_case = PWEMU__V1__ATTACH_REPLY__KIND_DATA;
	reply.data = &data;
	duct->offset += len;
	rpc_call_send(duct->call, &reply.base);
}

static void duct_on_output(void *ctx)
{
	static uint8_t buf[DUCT_READ_MAX]; /* packed before the next read */
	struct duct *duct = ctx;
	while (duct->party != NULL && rpc_call_can_send(duct->call)) {
		size_t n = bridge_read(duct->party, buf, sizeof(buf));
		if (n == 0)
			return;
		duct_send_data(duct, buf, n);
	}
}

static void duct_on_writable(struct rpc_call *call, void *ctx)
{
	(void)call;
	duct_on_output(ctx);
}

/* ---------------------------------------------------------------- input */

static void duct_write(struct duct *duct)
{
	size_t n = bridge_write(duct->party, duct->input + duct->input_done, duct->input_len - duct->input_done);
	if (n == 0)
		return;
	duct->input_done += n;
	duct->taken += n;
	Pwemu__V1__AttachReply reply = PWEMU__V1__ATTACH_REPLY__INIT;
	reply.kind_case = PWEMU__V1__ATTACH_REPLY__KIND_INPUT_TAKEN;
	reply.input_taken = duct->taken;
	rpc_call_send(duct->call, &reply.base);
	if (duct->input_done < duct->input_len)
		return;
	free(duct->input);
	duct->input = NULL;
	rpc_call_resume_input(duct->call);
}

static void duct_on_room(void *ctx)
{
	struct duct *duct = ctx;
	if (duct->input != NULL)
		duct_write(duct);
}

static void duct_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *message)
{
	const Pwemu__V1__AttachRequest *request = (const Pwemu__V1__AttachRequest *)message;
	struct duct *duct = ctx;
	if (duct->party == NULL || request->kind_case != PWEMU__V1__ATTACH_REQUEST__KIND_INPUT || request->input.len == 0)
		return;
	if (!duct->may_write) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_PERMISSION_DENIED, "input is not taken here: AttachOpen.write was not set");
		bridge_leave(duct->party);
		duct->party = NULL;
		service_fail(call, &err);
		return;
	}
	duct->input = xmalloc(request->input.len);
	memcpy(duct->input, request->input.data, request->input.len);
	duct->input_len = request->input.len;
	duct->input_done = 0;
	rpc_call_pause_input(call);
	duct_write(duct);
}

/* ---------------------------------------------------------------- begin and end */

static void duct_on_end(void *ctx, const struct err *err)
{
	struct duct *duct = ctx;
	duct->party = NULL;
	if (err != NULL)
		service_fail(duct->call, err);
	else
		rpc_call_finish_ok(duct->call);
}

static void duct_on_call_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct duct *duct = ctx;
	bridge_leave(duct->party);
	free(duct->input);
	free(duct);
}

static const struct bridge_party_ops duct_party_ops = { .on_output = duct_on_output, .on_room = duct_on_room, .on_end = duct_on_end };
static const struct rpc_call_ops duct_ops = { .on_message = duct_on_message, .on_writable = duct_on_writable, .on_end = duct_on_call_end };

static void duct_send_opened(struct duct *duct, struct instance *inst, const char *channel)
{
	Pwemu__V1__AttachOpened opened = PWEMU__V1__ATTACH_OPENED__INIT;
	opened.writer = duct->may_write;
	opened.instance = (char *)(uintptr_t)instance_name(inst);
	opened.instance_id = (char *)(uintptr_t)instance_id(inst);
	opened.channel = (char *)(uintptr_t)channel;
	opened.eol = (char *)(uintptr_t)instance_eol(inst);
	Pwemu__V1__AttachReply reply = PWEMU__V1__ATTACH_REPLY__INIT;
	reply.kind_case = PWEMU__V1__ATTACH_REPLY__KIND_OPENED;
	reply.opened = &opened;
	rpc_call_send(duct->call, &reply.base);
}

static int duct_join(struct duct *duct, struct instance *inst, const Pwemu__V1__AttachOpen *open, struct err *err)
{
	struct bridge *bridge = instance_bridge(inst, open->channel);
	if (bridge == NULL) {
		err_set(err, ERR_FAILED_PRECONDITION, "instance \"%s\" is not running", instance_name(inst));
		return err_reason(err, "not-running");
	}
	if (bridge_join(bridge, rpc_call_label(duct->call)->who, &duct_party_ops, duct, &duct->party, err) == 0)
		return 0;
	duct->party = NULL;
	return err_prefix(err, "channel \"%s\" of instance \"%s\"", open->channel, instance_name(inst));
}

void svc_duct_open(struct rpc_call *call, struct instance *inst, const Pwemu__V1__AttachOpen *open)
{
	struct err err = ERR_INIT;
	struct duct *duct = xcalloc(1, sizeof(*duct));
	duct->call = call;
	duct->may_write = open->write || open->beside; /* there is one party: nobody else writes */
	rpc_call_adopt(call, &duct_ops, duct);
	if (duct_join(duct, inst, open, &err) < 0)
		service_fail(call, &err);
	else
		duct_send_opened(duct, inst, open->channel);
}
