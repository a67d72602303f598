/* SPDX-License-Identifier: Apache-2.0 */
/* On a terminal a table; elsewhere JSON in the form that pw_emu prints. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/out.h"
#include "client/ref.h"
#include "client/tojson.h"
#include "pwemu/v1/properties.pb-c.h"

static void print_member(const char *name, const char *text, const char *end)
{
	printf("        \"%s\": ", name);
	tojson_string(stdout, text, strlen(text));
	fputs(end, stdout);
}

static const char *word(bool is_true)
{
	return is_true ? "true" : "false";
}

/* Whether the emulator tells what can be got and set. */
static bool has_access(const Pwemu__V1__Property *property)
{
	return property->readable || property->writable;
}

/* json.dumps(list, indent=4) */
static void print_json(const Pwemu__V1__ListPropertiesReply *reply)
{
	fputs("[", stdout);
	for (size_t i = 0; i < reply->n_properties; i++) {
		fputs(i > 0 ? ",\n    {\n" : "\n    {\n", stdout);
		print_member("name", reply->properties[i]->name, ",\n");
		const Pwemu__V1__Property *property = reply->properties[i];
		print_member("type", property->type, has_access(property) ? ",\n" : "\n    }");
		if (has_access(property))
			printf("        \"readable\": %s,\n        \"writable\": %s\n    }", word(property->readable),
			       word(property->writable));
	}
	fputs(reply->n_properties > 0 ? "\n]\n" : "]\n", stdout);
}

static void print_table(const Pwemu__V1__ListPropertiesReply *reply)
{
	static const char *const columns[] = { "NAME", "TYPE", "ACCESS" };
	bool is_told = reply->n_properties > 0 && has_access(reply->properties[0]);
	struct out_table *table = out_table_new(columns, is_told ? 3 : 2);
	for (size_t i = 0; i < reply->n_properties; i++) {
		out_cell(table, OUT_PLAIN, "%s", reply->properties[i]->name);
		out_cell(table, OUT_PLAIN, "%s", reply->properties[i]->type);
		if (is_told)
			out_cell(table, OUT_PLAIN, "%s%s", reply->properties[i]->readable ? "r" : "",
				 reply->properties[i]->writable ? "w" : "");
	}
	out_table_print(table);
}

static bool wants_table(const struct cli *cli)
{
	return opt_is(&cli->opts, "output", "table") || (!opt_has(&cli->opts, "output") && isatty(STDOUT_FILENO));
}

int cmd_prop_ls(struct cli *cli)
{
	Pwemu__V1__ListPropertiesRequest request = PWEMU__V1__LIST_PROPERTIES_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	request.path = (char *)(uintptr_t)cli->opts.args[0];
	int code = ref_call(cli, CALL_PROPERTIES_LIST, &request.base, &request.instance, &message);
	if (code != EXIT_DONE)
		return code;
	(wants_table(cli) ? print_table : print_json)((const Pwemu__V1__ListPropertiesReply *)message);
	protobuf_c_message_free_unpacked(message, NULL);
	return code;
}
