/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "driver/driver.h"
#include "rpc/service.h"
#include "wire/mem.h"

static void handle_list(struct rpc_call *call, const ProtobufCMessage *message)
{
	(void)message;
	const struct target_set *targets = service_of(call)->targets;
	Pwemu__V1__ListTargetsReply reply = PWEMU__V1__LIST_TARGETS_REPLY__INIT;
	size_t count = target_set_count(targets), errors = target_set_error_count(targets);
	reply.targets = xcalloc(count, sizeof(*reply.targets));
	reply.errors = xcalloc(errors, sizeof(*reply.errors));
	for (size_t i = 0; i < count; i++)
		reply.targets[reply.n_targets++] = (Pwemu__V1__Target *)target_set_at(targets, i);
	for (size_t i = 0; i < errors; i++)
		reply.errors[reply.n_errors++] = (char *)target_set_error(targets, i);
	rpc_call_reply(call, &reply.base);
	free(reply.targets);
	free(reply.errors);
}

static void handle_get(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__GetTargetRequest *request = (const Pwemu__V1__GetTargetRequest *)message;
	const struct target_set *targets = service_of(call)->targets;
	const Pwemu__V1__Target *target = target_set_find(targets, request->name);
	if (target != NULL) {
		rpc_call_reply(call, &target->base);
		return;
	}
	struct err err = ERR_INIT;
	target_not_found(targets, request->name, &err);
	service_fail(call, &err);
}

/* ---------------------------------------------------------------- check */

#define CHECK_RUN_DIR   "RUN"
#define CHECK_MAX_BYTES (1u << 20)

static int check_image(const Pwemu__V1__CheckImage *image, struct driver_image *out, struct err *err)
{
	static const char *const kinds[] = { [DRIVER_IMAGE_ELF] = "elf", [DRIVER_IMAGE_HEX] = "hex", [DRIVER_IMAGE_BIN] = "bin" };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i], image->kind) != 0)
			continue;
		*out = (struct driver_image){ .path = image->path, .address = image->address, .entry = image->entry };
		out->kind = i;
		return 0;
	}
	return err_set(err, ERR_INVALID_ARGUMENT, "image \"%.200s\": kind \"%.20s\" is not elf, hex or bin", image->path, image->kind);
}

static int check_images(const Pwemu__V1__CheckTargetRequest *request, struct driver_image *images, struct err *err)
{
	for (size_t i = 0; i < request->n_images; i++)
		if (check_image(request->images[i], &images[i], err) < 0)
			return -1;
	return 0;
}

/* To be freed. */
static Pwemu__V1__Target *check_target(const struct services *services, const Pwemu__V1__CheckTargetRequest *request, struct err *err)
{
	const Pwemu__V1__Target *preset = NULL;
	if (request->target_case == PWEMU__V1__CHECK_TARGET_REQUEST__TARGET_TARGET_CONFIG) {
		if (target_validate(request->target_config, err) < 0)
			return NULL;
		Pwemu__V1__Target *target = PB_COPY(Pwemu__V1__Target, request->target_config);
		target_infer(target, request->args, request->n_args, services->targets);
		return target;
	}
	if (request->target_case == PWEMU__V1__CHECK_TARGET_REQUEST__TARGET_TARGET_NAME)
		preset = target_set_find(services->targets, request->target_name);
	if (preset == NULL)
		target_not_found(services->targets,
				 request->target_case == PWEMU__V1__CHECK_TARGET_REQUEST__TARGET_TARGET_NAME ? request->target_name : "",
				 err);
	return PB_COPY(Pwemu__V1__Target, preset);
}

static int check_plan(const Pwemu__V1__Target *target, const Pwemu__V1__CheckTargetRequest *request, struct plan *plan, struct err *err)
{
	Pwemu__V1__StartRequest start = PWEMU__V1__START_REQUEST__INIT;
	const struct driver_ops *driver = driver_find(target->emulator, err);
	const char *program = driver != NULL ? driver->executable(target, err) : NULL;
	if (program == NULL)
		return -1;
	start.args = request->args;
	start.n_args = request->n_args;
	start.pause = request->pause;
	start.debug = request->debug;
	start.semihosting = request->semihosting;
	start.firmware_args = request->firmware_args;
	start.n_firmware_args = request->n_firmware_args;
	struct driver_image *images = xcalloc(request->n_images, sizeof(*images));
	struct driver_start spec = {
		.target = target,
		.request = &start,
		.program = program,
		.run_dir = CHECK_RUN_DIR,
		.isolate = "auto",
		.images = images,
		.image_count = request->n_images,
	};
	int rc = check_images(request, images, err);
	if (rc == 0)
		rc = driver->plan(&spec, plan, err);
	free(images);
	return rc;
}

static void handle_check(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__CheckTargetRequest *request = (const Pwemu__V1__CheckTargetRequest *)message;
	Pwemu__V1__CheckTargetReply reply = PWEMU__V1__CHECK_TARGET_REPLY__INIT;
	struct err err = ERR_INIT;
	struct plan plan;
	Pwemu__V1__Target *target = check_target(service_of(call), request, &err);
	plan_init(&plan);
	if (target != NULL && check_plan(target, request, &plan, &err) == 0) {
		reply.argv = plan.argv.items;
		reply.n_argv = plan.argv.count;
		reply.setup = plan.setup.items;
		reply.n_setup = plan.setup.count;
		reply.target = target;
		rpc_call_reply(call, &reply.base);
	} else {
		service_fail(call, &err);
	}
	plan_fini(&plan);
	PB_FREE(target);
}

const struct rpc_method svc_targets_methods[] = {
	SERVICE_METHOD("Targets", "List", RPC_UNARY, list_targets_request, list_targets_reply, 1024, RIGHT_NONE, handle_list),
	SERVICE_METHOD("Targets", "Get", RPC_UNARY, get_target_request, target, 4096, RIGHT_NONE, handle_get),
	SERVICE_METHOD("Targets", "Check", RPC_UNARY, check_target_request, check_target_reply, CHECK_MAX_BYTES, RIGHT_NONE, handle_check),
	{ 0 },
};
