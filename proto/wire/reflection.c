/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server reflection, v1 and v1alpha: the two differ in their package alone, so one set of messages serves both. Answers come from
 * the FileDescriptorSet of the server's configuration (descset.c).
 */
#include "wire/server_int.h"

#include <stdlib.h>
#include <string.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "wire/descset.h"
#include "wire/mem.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

#define SERVICES_MAX 64

static void reflection_fail(struct rpc_call *call, reflection_response *response, enum err_code code, char *text)
{
	Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
	error.error_code = (int32_t)code;
	error.error_message = text;
	response->message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
	response->error_response = &error;
	rpc_call_send(call, &response->base);
	response->error_response = NULL; /* ours ends here */
}

static void reflection_send_files(struct rpc_call *call, reflection_response *response, const struct descset_slice *found)
{
	const struct rpc_server_config *config = &call->conn->server->config;
	struct descset_slice files[DESCSET_CLOSURE_MAX];
	ProtobufCBinaryData data[DESCSET_CLOSURE_MAX];
	if (found == NULL) {
		reflection_fail(call, response, ERR_NOT_FOUND, "not found");
		return;
	}
	size_t count = descset_closure(config->descriptors, config->descriptors_len, found, files);
	for (size_t i = 0; i < count; i++)
		data[i] = (ProtobufCBinaryData){ .len = files[i].len, .data = (uint8_t *)(uintptr_t)files[i].data };
	Grpc__Reflection__V1__FileDescriptorResponse reply = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
	reply.n_file_descriptor_proto = count;
	reply.file_descriptor_proto = data;
	response->message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
	response->file_descriptor_response = &reply;
	rpc_call_send(call, &response->base);
	response->file_descriptor_response = NULL; /* ours ends here */
}

/* The methods are sorted by path, so those of one service are neighbours. */
static void reflection_send_services(struct rpc_call *call, reflection_response *response)
{
	const struct rpc_server *server = call->conn->server;
	Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX];
	Grpc__Reflection__V1__ServiceResponse *pointers[SERVICES_MAX];
	Grpc__Reflection__V1__ListServiceResponse list = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
	size_t count = 0;
	for (size_t i = 0; i < server->method_count && count < SERVICES_MAX; i++) {
		const char *name = server->methods[i].row->path + 1;
		size_t len = strcspn(name, "/");
		if (count > 0 && strlen(services[count - 1].name) == len && memcmp(services[count - 1].name, name, len) == 0)
			continue;
		services[count] = (Grpc__Reflection__V1__ServiceResponse)GRPC__REFLECTION__V1__SERVICE_RESPONSE__INIT;
		services[count].name = xasprintf("%.*s", (int)len, name);
		pointers[count] = &services[count];
		count++;
	}
	list.n_service = count;
	list.service = pointers;
	response->message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
	response->list_services_response = &list;
	rpc_call_send(call, &response->base);
	response->list_services_response = NULL; /* ours ends here */
	for (size_t i = 0; i < count; i++)
		free(services[i].name);
}

/* Nothing of ours has extensions; a type that exists has none of them. */
static void reflection_send_extensions(struct rpc_call *call, reflection_response *response, char *type)
{
	const struct rpc_server_config *config = &call->conn->server->config;
	struct descset_slice file;
	if (!descset_find_symbol(config->descriptors, config->descriptors_len, type, &file)) {
		reflection_fail(call, response, ERR_NOT_FOUND, "not found");
		return;
	}
	Grpc__Reflection__V1__ExtensionNumberResponse reply = GRPC__REFLECTION__V1__EXTENSION_NUMBER_RESPONSE__INIT;
	reply.base_type_name = type;
	response->message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
	response->all_extension_numbers_response = &reply;
	rpc_call_send(call, &response->base);
	response->all_extension_numbers_response = NULL; /* ours ends here */
}

static void reflection_answer(struct rpc_call *call, const reflection_request *request)
{
	const struct rpc_server_config *config = &call->conn->server->config;
	reflection_response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
	struct descset_slice file;
	bool is_found;
	response.valid_host = request->host;
	response.original_request = (reflection_request *)(uintptr_t)request;
	switch (request->message_request_case) {
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
		is_found = descset_find_file(config->descriptors, config->descriptors_len, request->file_by_filename, &file);
		reflection_send_files(call, &response, is_found ? &file : NULL);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
		is_found = descset_find_symbol(config->descriptors, config->descriptors_len, request->file_containing_symbol, &file);
		reflection_send_files(call, &response, is_found ? &file : NULL);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
		reflection_send_files(call, &response, NULL);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
		reflection_send_extensions(call, &response, request->all_extension_numbers_of_type);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
		reflection_send_services(call, &response);
		break;
	default:
		reflection_fail(call, &response, ERR_INVALID_ARGUMENT, "the request asks for nothing");
		break;
	}
	if (!rpc_call_can_send(call))
		rpc_call_pause_input(call);
}

static void reflection_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *request)
{
	(void)ctx;
	reflection_answer(call, (const reflection_request *)request);
}

static void reflection_on_writable(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_resume_input(call);
}

static void reflection_on_half_close(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_finish_ok(call);
}

static void reflection_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	(void)ctx;
}

static void svc_reflection_info(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = {
		.on_message = reflection_on_message,
		.on_half_close = reflection_on_half_close,
		.on_writable = reflection_on_writable,
		.on_end = reflection_on_end,
	};
	rpc_call_adopt(call, &ops, NULL);
	reflection_answer(call, (const reflection_request *)request);
}

#define REFLECTION_METHOD(version)                                                                                                         \
	{                                                                                                                                  \
		.path = "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo", .kind = RPC_BIDI,                            \
		.request = &grpc__reflection__v1__server_reflection_request__descriptor,                                                   \
		.reply = &grpc__reflection__v1__server_reflection_response__descriptor, .request_max_bytes = 4096,                         \
		.handle = svc_reflection_info,                                                                                             \
	}

const struct rpc_method reflection_methods[] = {
	REFLECTION_METHOD("v1"),
	REFLECTION_METHOD("v1alpha"),
	{ .path = NULL },
};
