/* SPDX-License-Identifier: Apache-2.0 */
#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/ref.h"
#include "pwemu/v1/properties.pb-c.h"

int cmd_prop_set(struct cli *cli)
{
	Pwemu__V1__SetPropertyRequest request = PWEMU__V1__SET_PROPERTY_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct err err = ERR_INIT;
	struct ref ref;
	if (cli_connect(cli, CONN_NO_CHECK) < 0)
		return EXIT_REFUSED;
	ref_init(&ref, cli, 0);
	request.instance = &ref.message;
	request.path = (char *)(uintptr_t)cli->opts.args[0];
	request.property = (char *)(uintptr_t)cli->opts.args[1];
	request.value_case = PWEMU__V1__SET_PROPERTY_REQUEST__VALUE_TEXT;
	request.text = (char *)(uintptr_t)cli->opts.args[2];
	int rc = call_repeatable(&cli->conn, CALL_PROPERTIES_SET, &request.base, &message, &err);
	ref_fini(&ref);
	if (rc < 0)
		return cli_refused(&err);
	protobuf_c_message_free_unpacked(message, NULL);
	return EXIT_DONE;
}
