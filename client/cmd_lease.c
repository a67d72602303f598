/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/lease.h"
#include "client/out.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "client/tojson.h"
#include "config/value.h"

static const char *const columns[] = { "NAME", "ID", "STATE", "LEASE", "OF", "LEFT" };
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static void add_row(struct out_table *table, const Pwemu__V1__Instance *inst)
{
	char left[48];
	lease_remaining(inst, left, sizeof(left));
	out_cell(table, OUT_PLAIN, "%s", inst->name);
	out_cell(table, OUT_DIM, "%s", inst->id);
	out_cell(table, show_state_colour(inst), "%s", show_state(inst));
	out_cell(table, OUT_PLAIN, "%s", tojson_word(&pwemu__v1__lease_kind__descriptor, (int)inst->lease->kind));
	out_cell(table, OUT_PLAIN, "%s", lease_owner(inst));
	out_cell(table, OUT_PLAIN, "%s", left[0] != '\0' ? left : "-");
}

/* Those that have one. */
static void keep_leased(Pwemu__V1__ListReply *reply)
{
	size_t kept = 0;
	for (size_t i = 0; i < reply->n_instances; i++) {
		if (reply->instances[i]->lease != NULL)
			reply->instances[kept++] = reply->instances[i];
		else
			pwemu__v1__instance__free_unpacked(reply->instances[i], NULL);
	}
	reply->n_instances = kept;
}

int cmd_lease_ls(struct cli *cli)
{
	Pwemu__V1__ListRequest request = PWEMU__V1__LIST_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	if (call_repeatable(&cli->conn, CALL_INSTANCES_LIST, &request.base, &message, &err) < 0)
		return cli_refused(&err);
	Pwemu__V1__ListReply *reply = (Pwemu__V1__ListReply *)message;
	keep_leased(reply);
	if (opt_is(&cli->opts, "output", "json")) {
		tojson_array(stdout, (const ProtobufCMessage *const *)reply->instances, reply->n_instances);
	} else {
		struct out_table *table = out_table_new(columns, COLUMN_COUNT);
		for (size_t i = 0; i < reply->n_instances; i++)
			add_row(table, reply->instances[i]);
		out_table_print(table);
	}
	protobuf_c_message_free_unpacked(message, NULL);
	return EXIT_DONE;
}

static void say_lease(const ProtobufCMessage *reply)
{
	const Pwemu__V1__Instance *inst = (const Pwemu__V1__Instance *)reply;
	char left[48];
	if (inst->lease == NULL)
		say_note("%s: lives on without a lease", inst->name);
	else
		say_note("%s: stopped in %s, unless the lease is renewed", inst->name, lease_remaining(inst, left, sizeof(left)));
}

int cmd_lease_renew(struct cli *cli)
{
	Pwemu__V1__RenewLeaseRequest request = PWEMU__V1__RENEW_LEASE_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	if (cli->opts.arg_count > 0 && value_long_duration(cli->opts.args[0], &request.ttl_ms, &err) < 0)
		return cli_usage(cli, "%s", err.msg);
	if (cli->opts.arg_count > 0 && request.ttl_ms == 0)
		return cli_usage(cli, "'%s': the lease would be over at once; `pwemu stop` does that", cli->opts.args[0]);
	int code = ref_call(cli, CALL_INSTANCES_RENEW_LEASE, &request.base, &request.instance, &reply);
	if (code != EXIT_DONE)
		return code;
	say_lease(reply);
	protobuf_c_message_free_unpacked(reply, NULL);
	return EXIT_DONE;
}

int cmd_lease_rm(struct cli *cli)
{
	Pwemu__V1__RemoveLeaseRequest request = PWEMU__V1__REMOVE_LEASE_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	int code = ref_call(cli, CALL_INSTANCES_REMOVE_LEASE, &request.base, &request.instance, &reply);
	if (code != EXIT_DONE)
		return code;
	say_lease(reply);
	protobuf_c_message_free_unpacked(reply, NULL);
	return EXIT_DONE;
}
