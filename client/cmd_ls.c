/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/tojson.h"
#include "client/out.h"
#include "client/say.h"
#include "client/show.h"

static const char *const columns[] = { "NAME", "ID", "TARGET", "STATE", "PID", "BOOT", "OWNER", "HOST", "PROJECT", "REASON" };
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static void add_row(struct out_table *table, const Pwemu__V1__Instance *inst, bool with_owner)
{
	char again[48];
	show_restart(inst, again, sizeof(again));
	out_cell(table, OUT_PLAIN, "%s%s%s", inst->foreign ? inst->owner : "", inst->foreign ? "/" : "", inst->name);
	out_cell(table, OUT_DIM, "%s", inst->id);
	out_cell(table, OUT_PLAIN, "%s", inst->target);
	out_cell(table, show_state_colour(inst), "%s", show_state(inst));
	if (inst->pid > 0)
		out_cell(table, OUT_PLAIN, "%d", inst->pid);
	else
		out_cell(table, OUT_PLAIN, "-");
	out_cell(table, OUT_PLAIN, "%u", inst->boot);
	out_cell(table, OUT_PLAIN, "%s", with_owner ? inst->owner : "");
	out_cell(table, OUT_PLAIN, "%s", inst->host);
	out_cell(table, OUT_PLAIN, "%s", inst->project);
	if (inst->queue_position > 0)
		out_cell(table, OUT_PLAIN, "number %u in the queue", inst->queue_position);
	else
		out_cell(table, OUT_PLAIN, "%s%s%s", show_reason(inst), again[0] != '\0' ? "; again " : "", again);
}

static void print_list(const struct cli *cli, const Pwemu__V1__ListReply *reply)
{
	if (opt_is(&cli->opts, "output", "json")) {
		tojson_array(stdout, (const ProtobufCMessage *const *)reply->instances, reply->n_instances);
		return;
	}
	bool with_owner = opt_has(&cli->opts, "all-users") || opt_has(&cli->opts, "user");
	struct out_table *table = out_table_new(columns, COLUMN_COUNT);
	for (size_t i = 0; i < reply->n_instances; i++)
		add_row(table, reply->instances[i], with_owner);
	out_table_print(table);
	if (reply->n_instances == 0 && isatty(STDOUT_FILENO))
		say_note("nothing runs%s", opt_has(&cli->opts, "all") ? " or has run" : "; `pwemu ls -a` lists what has ended");
}

int cmd_ls(struct cli *cli)
{
	Pwemu__V1__ListRequest request = PWEMU__V1__LIST_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	request.all = opt_has(&cli->opts, "all");
	request.all_users = opt_has(&cli->opts, "all-users");
	if (opt_has(&cli->opts, "user"))
		request.user = (char *)(uintptr_t)opt_text(&cli->opts, "user");
	if (cli_connect(cli, CONN_NO_CHECK) < 0)
		return EXIT_REFUSED;
	if (call_repeatable(&cli->conn, CALL_INSTANCES_LIST, &request.base, &reply, &err) < 0)
		return cli_refused(&err);
	conn_ask_version(&cli->conn);
	print_list(cli, (const Pwemu__V1__ListReply *)reply);
	protobuf_c_message_free_unpacked(reply, NULL);
	return EXIT_DONE;
}
