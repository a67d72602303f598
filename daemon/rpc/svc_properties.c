/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "pwemu/v1/properties.pb-c.h"
#include "rpc/ask.h"
#include "rpc/service.h"
#include "wire/mem.h"

/* Messages are of char *, and only packed. */
static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* ---------------------------------------------------------------- List */

static void list_reply(struct rpc_call *call, const struct driver_property *rows, size_t count)
{
	Pwemu__V1__ListPropertiesReply reply = PWEMU__V1__LIST_PROPERTIES_REPLY__INIT;
	Pwemu__V1__Property *messages = xcalloc(count, sizeof(*messages));
	reply.properties = xcalloc(count, sizeof(*reply.properties));
	for (size_t i = 0; i < count; i++) {
		pwemu__v1__property__init(&messages[i]);
		messages[i].name = text_of(rows[i].name);
		messages[i].type = text_of(rows[i].type);
		messages[i].readable = rows[i].is_readable;
		messages[i].writable = rows[i].is_writable;
		reply.properties[reply.n_properties++] = &messages[i];
	}
	rpc_call_reply(call, &reply.base);
	free(reply.properties);
	free(messages);
}

static void list_on_done(void *ctx, const struct driver_property *rows, size_t count, const struct err *err)
{
	struct ask *ask = ctx;
	if (ask_answered(ask, err) != NULL)
		list_reply(ask->call, rows, count);
	ask_finish(ask);
}

static void handle_list(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__ListPropertiesRequest *request = (const Pwemu__V1__ListPropertiesRequest *)message;
	struct err err = ERR_INIT;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	struct ask *ask = ask_new(call, inst);
	if (instance_list_properties(inst, request->path, list_on_done, ask, &err) < 0)
		list_on_done(ask, NULL, 0, &err);
}

/* ---------------------------------------------------------------- Get */

static void get_on_done(void *ctx, const char *json, const char *type, const struct err *err)
{
	struct ask *ask = ctx;
	if (ask_answered(ask, err) != NULL) {
		Pwemu__V1__PropertyValue reply = PWEMU__V1__PROPERTY_VALUE__INIT;
		reply.json = text_of(json);
		reply.type = text_of(type);
		rpc_call_reply(ask->call, &reply.base);
	}
	ask_finish(ask);
}

static void handle_get(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__GetPropertyRequest *request = (const Pwemu__V1__GetPropertyRequest *)message;
	struct err err = ERR_INIT;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	struct ask *ask = ask_new(call, inst);
	if (instance_get_property(inst, request->path, request->property, get_on_done, ask, &err) < 0)
		get_on_done(ask, NULL, NULL, &err);
}

/* ---------------------------------------------------------------- Set */

static void set_on_done(void *ctx, const struct err *err)
{
	struct ask *ask = ctx;
	if (ask_answered(ask, err) != NULL) {
		Pwemu__V1__SetPropertyReply reply = PWEMU__V1__SET_PROPERTY_REPLY__INIT;
		rpc_call_reply(ask->call, &reply.base);
	}
	ask_finish(ask);
}

static void handle_set(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__SetPropertyRequest *request = (const Pwemu__V1__SetPropertyRequest *)message;
	bool is_json = request->value_case == PWEMU__V1__SET_PROPERTY_REQUEST__VALUE_JSON;
	const char *value = is_json ? request->json : request->text;
	struct err err = ERR_INIT;
	struct instance *inst = service_find(call, request->instance);
	if (inst == NULL)
		return;
	if (request->value_case == PWEMU__V1__SET_PROPERTY_REQUEST__VALUE__NOT_SET) {
		err_set(&err, ERR_INVALID_ARGUMENT, "property \"%.64s\" needs a value: `text` or `json`", request->property);
		err_reason(&err, "invalid-value");
		service_fail(call, &err);
		return;
	}
	struct ask *ask = ask_new(call, inst);
	if (instance_set_property(inst, request->path, request->property, value, is_json, set_on_done, ask, &err) < 0)
		set_on_done(ask, &err);
}

#define PROPERTY_MAX (64u << 10)

const struct rpc_method svc_properties_methods[] = {
	SERVICE_METHOD("Properties", "List", RPC_UNARY, list_properties_request, list_properties_reply, PROPERTY_MAX, RIGHT_VIEW,
		       handle_list),
	SERVICE_METHOD("Properties", "Get", RPC_UNARY, get_property_request, property_value, PROPERTY_MAX, RIGHT_VIEW, handle_get),
	SERVICE_METHOD("Properties", "Set", RPC_UNARY, set_property_request, set_property_reply, PROPERTY_MAX, RIGHT_CONTROL, handle_set),
	{ 0 },
};
