/* SPDX-License-Identifier: Apache-2.0 */
/* Channels.Upload: the pieces go to the store as they come; a client that sends nothing for a while is given up. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/sha256.h"
#include "instance/uploads.h"
#include "loop/timer.h"
#include "rpc/service.h"
#include "wire/mem.h"

#define RECEIPT_IDLE_MS   30000
#define RECEIPT_PIECE_MAX (64u << 10)

struct receipt {
	struct rpc_call *call;
	struct services *services;
	struct upload *upload; /* NULL: nothing has come yet */
	struct timer *idle;
	char digest[SHA256_HEX];
	uint64_t size;
	bool is_over;
};

static void receipt_fail(struct receipt *receipt, const struct err *err)
{
	receipt->is_over = true;
	upload_free(receipt->upload); /* at once: the end of the call may wait for the client */
	receipt->upload = NULL;
	timer_disarm(receipt->idle);
	service_fail(receipt->call, err);
}

static void receipt_reply(struct rpc_call *call, const char *digest, bool present, uint64_t received)
{
	Pwemu__V1__UploadReply reply = PWEMU__V1__UPLOAD_REPLY__INIT;
	reply.sha256 = (char *)(uintptr_t)digest;
	reply.present = present;
	reply.received = received;
	rpc_call_reply(call, &reply.base);
}

static void receipt_on_idle(void *ctx)
{
	struct receipt *receipt = ctx;
	struct err err = ERR_INIT;
	err_set(&err, ERR_DEADLINE_EXCEEDED, "nothing of the image has come for %d s", RECEIPT_IDLE_MS / 1000);
	receipt_fail(receipt, &err);
}

static int receipt_take(struct receipt *receipt, const ProtobufCBinaryData *data, struct err *err)
{
	if (data->len > RECEIPT_PIECE_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "a piece has %zu bytes; at most %u are taken", data->len, RECEIPT_PIECE_MAX);
	if (receipt->upload == NULL)
		receipt->upload =
			upload_new(receipt->services->uploads, rpc_call_peer(receipt->call)->uid, receipt->digest, receipt->size, err);
	return receipt->upload != NULL ? upload_add(receipt->upload, data->data, data->len, err) : -1;
}

static void receipt_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *message)
{
	(void)call;
	const Pwemu__V1__UploadRequest *request = (const Pwemu__V1__UploadRequest *)message;
	struct receipt *receipt = ctx;
	struct err err = ERR_INIT;
	if (receipt->is_over)
		return;
	int rc;
	if (request->kind_case != PWEMU__V1__UPLOAD_REQUEST__KIND_DATA)
		rc = err_set(&err, ERR_INVALID_ARGUMENT, "after the first message of Upload there is only `data`");
	else
		rc = receipt_take(receipt, &request->data, &err);
	if (rc < 0)
		receipt_fail(receipt, &err);
	else
		timer_arm(receipt->idle, RECEIPT_IDLE_MS);
}

static void receipt_on_half_close(struct rpc_call *call, void *ctx)
{
	struct receipt *receipt = ctx;
	struct err err = ERR_INIT;
	if (receipt->is_over)
		return;
	if (receipt->upload != NULL && upload_finish(receipt->upload, &err) < 0) {
		receipt_fail(receipt, &err);
		return;
	}
	receipt->is_over = true;
	timer_disarm(receipt->idle);
	uint64_t received = receipt->upload != NULL ? upload_received(receipt->upload) : 0;
	receipt_reply(call, receipt->digest, receipt->upload != NULL, received);
}

static void receipt_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct receipt *receipt = ctx;
	upload_free(receipt->upload);
	timer_free(receipt->idle);
	free(receipt);
}

static int receipt_check(const struct services *services, const Pwemu__V1__UploadRequest *request, struct err *err)
{
	const Pwemu__V1__UploadBegin *begin = request->kind_case == PWEMU__V1__UPLOAD_REQUEST__KIND_BEGIN ? request->begin : NULL;
	if (begin == NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "the first message of Upload must be `begin`");
	if (!sha256_is_hex(begin->sha256))
		return err_set(err, ERR_INVALID_ARGUMENT, "begin.sha256: 64 lower-case hexadecimal digits are needed");
	if (begin->size == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "the image is empty; did the build fail?");
	return uploads_check(services->uploads, begin->size, err);
}

void svc_upload_handle(struct rpc_call *call, const ProtobufCMessage *message)
{
	static const struct rpc_call_ops ops = { .on_message = receipt_on_message,
						 .on_half_close = receipt_on_half_close,
						 .on_end = receipt_on_end };
	const Pwemu__V1__UploadRequest *request = (const Pwemu__V1__UploadRequest *)message;
	struct services *services = service_of(call);
	struct err err = ERR_INIT;
	if (receipt_check(services, request, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	if (uploads_has(services->uploads, rpc_call_peer(call)->uid, request->begin->sha256, request->begin->size)) {
		receipt_reply(call, request->begin->sha256, true, 0);
		return;
	}
	struct receipt *receipt = xcalloc(1, sizeof(*receipt));
	receipt->call = call;
	receipt->services = services;
	receipt->size = request->begin->size;
	memcpy(receipt->digest, request->begin->sha256, sizeof(receipt->digest));
	receipt->idle = timer_new(services->base, receipt_on_idle, receipt);
	timer_arm(receipt->idle, RECEIPT_IDLE_MS);
	rpc_call_adopt(call, &ops, receipt);
}
