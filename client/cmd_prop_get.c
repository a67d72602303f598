/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/out.h"
#include "client/ref.h"
#include "config/json.h"
#include "pwemu/v1/properties.pb-c.h"
#include "wire/mem.h"

/* It may be the guest's words. */
static void print_line(const char *text)
{
	char *shown = xstrdup(text);
	if (isatty(STDOUT_FILENO))
		out_make_harmless(shown);
	puts(shown);
	free(shown);
}

/* A string without its quotes; everything else is JSON anyway. */
static void print_plain(const char *value)
{
	char *text = xasprintf("{\"value\": %s}", value);
	const char *plain = value;
	struct json_file file;
	struct json_at root, at;
	bool is_parsed = json_parse("value", text, strlen(text), &file, NULL) == 0;
	if (is_parsed) {
		root = json_root(&file);
		if (json_member(&root, "value", &at) && json_get_string(&at, JSON_MAX_BYTES, &plain, NULL) < 0)
			plain = value;
	}
	print_line(plain);
	if (is_parsed)
		json_fini(&file);
	free(text);
}

int cmd_prop_get(struct cli *cli)
{
	Pwemu__V1__GetPropertyRequest request = PWEMU__V1__GET_PROPERTY_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	request.path = (char *)(uintptr_t)cli->opts.args[0];
	request.property = (char *)(uintptr_t)cli->opts.args[1];
	int code = ref_call(cli, CALL_PROPERTIES_GET, &request.base, &request.instance, &message);
	if (code != EXIT_DONE)
		return code;
	const char *json = ((const Pwemu__V1__PropertyValue *)message)->json;
	if (opt_is(&cli->opts, "output", "json"))
		print_line(json);
	else
		print_plain(json);
	protobuf_c_message_free_unpacked(message, NULL);
	return code;
}
