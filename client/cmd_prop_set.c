/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli.h"
#include "client/commands.h"
#include "client/ref.h"
#include "pwemu/v1/properties.pb-c.h"

int cmd_prop_set(struct cli *cli)
{
	Pwemu__V1__SetPropertyRequest request = PWEMU__V1__SET_PROPERTY_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	request.path = (char *)(uintptr_t)cli->opts.args[0];
	request.property = (char *)(uintptr_t)cli->opts.args[1];
	request.value_case = PWEMU__V1__SET_PROPERTY_REQUEST__VALUE_TEXT;
	request.text = (char *)(uintptr_t)cli->opts.args[2];
	int code = ref_call(cli, CALL_PROPERTIES_SET, &request.base, &request.instance, &message);
	if (code != EXIT_DONE)
		return code;
	protobuf_c_message_free_unpacked(message, NULL);
	return code;
}
