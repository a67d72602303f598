/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens for the network. */
#include <stdio.h>
#include <string.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/out.h"
#include "client/say.h"
#include "client/tojson.h"
#include "config/value.h"
#include "pwemu/v1/daemon.pb-c.h"

#define NS_PER_S UINT64_C(1000000000)

static void print_added(const Pwemu__V1__AddTokenReply *reply)
{
	char until[32];
	printf("pwemu context add %s '%s'\n", reply->context, reply->url);
	say_note("run that on the client; it is not shown again. Token %s of user %s, good until %s", reply->token->id, reply->token->user,
		 reply->token->expires_s > 0 ? out_time(reply->token->expires_s * NS_PER_S, until, sizeof(until)) : "it is removed");
	for (size_t i = 1; i < reply->n_listen; i++)
		say_note("the daemon is also at %s", reply->listen[i]);
}

int cmd_token_add(struct cli *cli)
{
	Pwemu__V1__AddTokenRequest request = PWEMU__V1__ADD_TOKEN_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	const char *note = opt_text(&cli->opts, "note"), *ttl = opt_text(&cli->opts, "ttl");
	if (cli->opts.arg_count > 0)
		request.user = (char *)(uintptr_t)cli->opts.args[0];
	if (note != NULL)
		request.note = (char *)(uintptr_t)note;
	if (ttl != NULL && value_long_duration(ttl, &request.ttl_ms, &err) < 0)
		return cli_usage(cli, "--ttl %s: %s", ttl, err.msg);
	if (ttl != NULL && request.ttl_ms == 0)
		return cli_usage(cli, "--ttl %s: such a token is good for nothing", ttl);
	if (cli_connect(cli, CONN_EXISTING) < 0)
		return EXIT_REFUSED;
	if (call_unary(&cli->conn, CALL_DAEMON_ADD_TOKEN, &request.base, 0, &reply, &err) < 0)
		return cli_refused(&err);
	if (opt_is(&cli->opts, "output", "json"))
		tojson_message(stdout, reply);
	else
		print_added((const Pwemu__V1__AddTokenReply *)reply);
	protobuf_c_message_free_unpacked(reply, NULL);
	return EXIT_DONE;
}

static void print_table(const Pwemu__V1__ListTokensReply *reply)
{
	static const char *const columns[] = { "ID", "USER", "CREATED", "EXPIRES", "NOTE" };
	struct out_table *table = out_table_new(columns, 5);
	char text[32];
	for (size_t i = 0; i < reply->n_tokens; i++) {
		const Pwemu__V1__Token *token = reply->tokens[i];
		out_cell(table, OUT_PLAIN, "%s", token->id);
		out_cell(table, OUT_PLAIN, "%s", token->user);
		out_cell(table, OUT_PLAIN, "%s", out_time(token->created_s * NS_PER_S, text, sizeof(text)));
		out_cell(table, OUT_PLAIN, "%s", out_time(token->expires_s * NS_PER_S, text, sizeof(text)));
		out_cell(table, OUT_PLAIN, "%s", token->note);
	}
	out_table_print(table);
}

int cmd_token_ls(struct cli *cli)
{
	Pwemu__V1__ListTokensRequest request = PWEMU__V1__LIST_TOKENS_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_EXISTING) < 0)
		return EXIT_REFUSED;
	if (call_unary(&cli->conn, CALL_DAEMON_LIST_TOKENS, &request.base, 0, &message, &err) < 0)
		return cli_refused(&err);
	const Pwemu__V1__ListTokensReply *reply = (const Pwemu__V1__ListTokensReply *)message;
	if (opt_is(&cli->opts, "output", "json"))
		tojson_array(stdout, (const ProtobufCMessage *const *)reply->tokens, reply->n_tokens);
	else
		print_table(reply);
	protobuf_c_message_free_unpacked(message, NULL);
	return EXIT_DONE;
}

int cmd_token_rm(struct cli *cli)
{
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_EXISTING) < 0)
		return EXIT_REFUSED;
	for (size_t i = 0; i < cli->opts.arg_count; i++) {
		Pwemu__V1__RemoveTokenRequest request = PWEMU__V1__REMOVE_TOKEN_REQUEST__INIT;
		ProtobufCMessage *reply = NULL;
		request.id = (char *)(uintptr_t)cli->opts.args[i];
		if (call_unary(&cli->conn, CALL_DAEMON_REMOVE_TOKEN, &request.base, 0, &reply, &err) < 0)
			return cli_refused(&err);
		protobuf_c_message_free_unpacked(reply, NULL);
	}
	return EXIT_DONE;
}
