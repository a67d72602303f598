/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as each message that a client may send; the first byte says which. What can be read must be written as something that is
 * read as the same, and goes through the checks that come before anything is done for it.
 */
#include "base/pb.h"
#include "config/policy.h"
#include "rpc/svc_targets.c"
#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"
#include "wire/mem.h"

static const struct rpc_method *method_at(unsigned number)
{
	static const struct rpc_method *const tables[] = { svc_instances_methods, svc_channels_methods, svc_properties_methods,
							   svc_targets_methods, svc_daemon_methods };
	for (size_t i = 0;; i = (i + 1) % (sizeof(tables) / sizeof(tables[0])))
		for (const struct rpc_method *row = tables[i]; row->path != NULL; row++)
			if (number-- == 0)
				return row;
}

static void write_again(const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = xmalloc(len + 1);
	if (protobuf_c_message_pack(message, bytes) != len)
		abort();
	ProtobufCMessage *again = protobuf_c_message_unpack(message->descriptor, NULL, len, bytes);
	if (again == NULL || protobuf_c_message_get_packed_size(again) != len)
		abort();
	protobuf_c_message_free_unpacked(again, NULL);
	free(bytes);
}

static void check_policies(const Pwemu__V1__Target *target)
{
	char text[POLICY_TEXT_MAX];
	struct err err = ERR_INIT;
	if (target->restart != NULL && policy_restart_check(target->restart, &err) == 0)
		policy_restart_text(target->restart, text, sizeof(text));
	if (target->hang != NULL && policy_hang_check(target->hang, &err) == 0)
		policy_hang_text(target->hang, text, sizeof(text));
	if (target->log != NULL && policy_log_check(target->log, &err) == 0)
		policy_log_text(target->log, text, sizeof(text));
}

static void check_start(const Pwemu__V1__StartRequest *request)
{
	struct err err = ERR_INIT;
	if (request->target_case != PWEMU__V1__START_REQUEST__TARGET_TARGET_CONFIG || request->target_config == NULL)
		return;
	check_policies(request->target_config);
	fuzz_must_say(target_validate(request->target_config, &err), &err);
}

/* As the method does it, images left out: their paths are the file system's. */
static void check_check(Pwemu__V1__CheckTargetRequest *request)
{
	static struct services services;
	struct err err = ERR_INIT;
	struct plan plan;
	if (services.targets == NULL) {
		services.targets = target_set_new();
		fuzz_must_say(target_set_load(services.targets, "config/targets", &err), &err);
	}
	size_t images = request->n_images;
	request->n_images = 0;
	Pwemu__V1__Target *target = check_target(&services, request, &err);
	plan_init(&plan);
	if (target == NULL || check_plan(target, request, &plan, &err) < 0)
		fuzz_must_say(-1, &err);
	plan_fini(&plan);
	PB_FREE(target);
	request->n_images = images;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rpc_method *method = method_at(fuzz_choose(&data, &size, 64));
	ProtobufCMessage *request = msg_unpack(method->request, data, size);
	if (request == NULL)
		return 0;
	write_again(request);
	if (method->request == &pwemu__v1__start_request__descriptor)
		check_start((const Pwemu__V1__StartRequest *)request);
	else if (method->request == &pwemu__v1__check_target_request__descriptor)
		check_check((Pwemu__V1__CheckTargetRequest *)request);
	protobuf_c_message_free_unpacked(request, NULL);
	return 0;
}
