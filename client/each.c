/* SPDX-License-Identifier: Apache-2.0 */
#include "client/each.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/ref.h"
#include "client/say.h"
#include "wire/mem.h"

static bool is_there(const struct each *each, const char *id)
{
	for (size_t i = 0; i < each->count; i++)
		if (strcmp(each->ids[i], id) == 0)
			return true;
	return false;
}

static void add(struct each *each, const Pwemu__V1__Instance *inst)
{
	if (is_there(each, inst->id))
		return;
	each->ids = xrealloc(each->ids, each->count + 1, sizeof(*each->ids));
	each->names = xrealloc(each->names, each->count + 1, sizeof(*each->names));
	each->ids[each->count] = xstrdup(inst->id);
	each->names[each->count++] = xstrdup(inst->name);
}

void each_named(struct each *each, struct cli *cli)
{
	for (unsigned i = 0; i < ref_count(cli); i++) {
		Pwemu__V1__Instance *inst = NULL;
		struct err err = ERR_INIT;
		if (ref_get(cli, i, &inst, &err) < 0) {
			say_err(&err);
			each->failed++;
			continue;
		}
		add(each, inst);
		pwemu__v1__instance__free_unpacked(inst, NULL);
	}
}

int each_listed(struct each *each, struct cli *cli, int (*wanted)(const Pwemu__V1__Instance *inst))
{
	Pwemu__V1__ListRequest request = PWEMU__V1__LIST_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct err err = ERR_INIT;
	request.all = 1;
	if (call_unary(&cli->conn, CALL_INSTANCES_LIST, &request.base, 0, &message, &err) < 0) {
		say_err(&err);
		return -1;
	}
	const Pwemu__V1__ListReply *reply = (const Pwemu__V1__ListReply *)message;
	for (size_t i = 0; i < reply->n_instances; i++)
		if (wanted(reply->instances[i]))
			add(each, reply->instances[i]);
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

void each_fini(struct each *each)
{
	for (size_t i = 0; i < each->count; i++) {
		free(each->ids[i]);
		free(each->names[i]);
	}
	free(each->ids);
	free(each->names);
}

static void say_failure(const char *name, const struct err *err)
{
	if (strstr(err->msg, name) != NULL) /* the daemon has named it */
		say_err(err);
	else
		say_error("%s: %s", name, err->msg);
}

int each_call(struct each *each, struct cli *cli, enum call call, ProtobufCMessage *(*make)(struct cli *cli, Pwemu__V1__InstanceRef *ref),
	      uint32_t more_ms)
{
	struct call_item *items = xcalloc(each->count, sizeof(*items));
	Pwemu__V1__InstanceRef *refs = xcalloc(each->count, sizeof(*refs));
	ProtobufCMessage **requests = xcalloc(each->count, sizeof(void *));
	for (size_t i = 0; i < each->count; i++) {
		pwemu__v1__instance_ref__init(&refs[i]);
		refs[i].id = each->ids[i];
		items[i].request = requests[i] = make(cli, &refs[i]);
	}
	unsigned failed = call_many(&cli->conn, call, items, each->count, more_ms) + each->failed;
	for (size_t i = 0; i < each->count; i++) {
		if (items[i].reply == NULL)
			say_failure(each->names[i], &items[i].err);
		else
			protobuf_c_message_free_unpacked(items[i].reply, NULL);
		free(requests[i]);
	}
	free(requests);
	free(refs);
	free(items);
	return failed > 0 ? EXIT_REFUSED : EXIT_DONE;
}

int each_run(struct cli *cli, enum call call, ProtobufCMessage *(*make)(struct cli *cli, Pwemu__V1__InstanceRef *ref))
{
	struct each each = { 0 };
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	each_named(&each, cli);
	int code = each_call(&each, cli, call, make, 0);
	each_fini(&each);
	return code;
}
