/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/out.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/tojson.h"

static const char *const columns[] = { "CHANNEL", "HOW", "WRITER", "SINCE", "WHO" };

static void print_parties(const Pwemu__V1__WhoReply *reply)
{
	char since[32];
	struct out_table *table = out_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < reply->n_parties; i++) {
		const Pwemu__V1__Party *party = reply->parties[i];
		out_cell(table, OUT_PLAIN, "%s", party->channel[0] != '\0' ? party->channel : "-");
		out_cell(table, OUT_PLAIN, "%s", party->kind);
		out_cell(table, party->writer ? OUT_GREEN : OUT_PLAIN, "%s", party->writer ? "yes" : "-");
		out_cell(table, OUT_PLAIN, "%s", out_time(party->since_ns, since, sizeof(since)));
		out_cell(table, OUT_PLAIN, "%s", party->who);
	}
	out_table_print(table);
	if (reply->n_parties == 0 && isatty(STDOUT_FILENO))
		say_note("nobody is attached to %s", reply->instance);
}

int cmd_who(struct cli *cli)
{
	Pwemu__V1__WhoRequest request = PWEMU__V1__WHO_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	int code = ref_call(cli, CALL_INSTANCES_WHO, &request.base, &request.instance, &reply);
	if (code != EXIT_DONE)
		return code;
	if (opt_is(&cli->opts, "output", "json"))
		tojson_message(stdout, reply);
	else
		print_parties((const Pwemu__V1__WhoReply *)reply);
	protobuf_c_message_free_unpacked(reply, NULL);
	return EXIT_DONE;
}
