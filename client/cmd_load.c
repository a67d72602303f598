/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/image.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "client/upload.h"
#include "config/value.h"

static int load_call(struct cli *cli, Pwemu__V1__LoadRequest *request, ProtobufCMessage **reply, struct err *err)
{
	struct ref ref;
	ref_init(&ref, cli, 0);
	request->instance = &ref.message;
	int rc = cli->conn.is_elsewhere ? upload_image(&cli->conn, request->image, err) : 0;
	if (rc == 0)
		rc = call_repeatable(&cli->conn, CALL_INSTANCES_LOAD, &request->base, reply, err);
	if (rc < 0 && strcmp(err->reason, "image-elsewhere") == 0) {
		*err = (struct err)ERR_INIT;
		rc = upload_image(&cli->conn, request->image, err);
		if (rc == 0)
			rc = call_repeatable(&cli->conn, CALL_INSTANCES_LOAD, &request->base, reply, err);
	}
	request->instance = NULL;
	ref_fini(&ref);
	return rc;
}

static int load_send(struct cli *cli, Pwemu__V1__LoadRequest *request)
{
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_NO_CHECK) < 0)
		return EXIT_REFUSED;
	if (load_call(cli, request, &reply, &err) < 0)
		return cli_refused(&err);
	const Pwemu__V1__Instance *inst = (const Pwemu__V1__Instance *)reply;
	if (inst != NULL)
		say_note("%s: %s loaded, %s", inst->name, request->image->path, show_state(inst));
	protobuf_c_message_free_unpacked(reply, NULL);
	return EXIT_DONE;
}

int cmd_load(struct cli *cli)
{
	Pwemu__V1__LoadRequest request = PWEMU__V1__LOAD_REQUEST__INIT;
	Pwemu__V1__Image image;
	const char *offset = opt_text(&cli->opts, "offset");
	struct err err = ERR_INIT;
	if (offset != NULL && value_size(offset, &request.offset, &err) < 0)
		return cli_usage(cli, "--offset: %s", err.msg);
	if (offset != NULL)
		request.shift_case = PWEMU__V1__LOAD_REQUEST__SHIFT_OFFSET;
	if (image_from_argument(cli->opts.args[0], &image, &err) < 0)
		return cli_refused(&err);
	request.image = &image;
	request.pause = opt_has(&cli->opts, "pause");
	int code = load_send(cli, &request);
	free(image.path);
	upload_forget(&image);
	return code;
}
