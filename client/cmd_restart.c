/* SPDX-License-Identifier: Apache-2.0 */
/* With a TARGET a start like any other, after a stop of what runs there; without one the daemon knows how it was started. */
#include <string.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "client/start.h"

/* The instance that the request would start, and no other that a name finds. */
static bool is_meant(const struct cli *cli, const Pwemu__V1__StartRequest *request, const Pwemu__V1__Instance *inst)
{
	if (strcmp(inst->machine, cli->conn.is_elsewhere ? request->origin->machine : "") != 0)
		return false;
	if (request->working_dir[0] != '\0')
		return strcmp(request->working_dir, inst->working_dir) == 0;
	return strcmp(request->name[0] != '\0' ? request->name : "default", inst->name) == 0 &&
	       strcmp(request->project, inst->project) == 0;
}

static int stop_by_id(struct cli *cli, char *id, struct err *err)
{
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__StopRequest request = PWEMU__V1__STOP_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	ref.id = id;
	request.instance = &ref;
	int rc = call_unary(&cli->conn, CALL_INSTANCES_STOP, &request.base, 0, &reply, err);
	if (rc == 0)
		protobuf_c_message_free_unpacked(reply, NULL);
	return rc < 0 && strcmp(err->reason, "not-running") != 0 ? -1 : 0;
}

static int stop_what_runs(struct cli *cli, const Pwemu__V1__StartRequest *request)
{
	Pwemu__V1__ListRequest list = PWEMU__V1__LIST_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct err err = ERR_INIT;
	int rc = call_unary(&cli->conn, CALL_INSTANCES_LIST, &list.base, 0, &message, &err);
	const Pwemu__V1__ListReply *reply = (const Pwemu__V1__ListReply *)message;
	for (size_t i = 0; rc == 0 && i < reply->n_instances; i++)
		if (is_meant(cli, request, reply->instances[i]) && show_is_running(reply->instances[i]))
			rc = stop_by_id(cli, reply->instances[i]->id, &err);
	if (message != NULL)
		protobuf_c_message_free_unpacked(message, NULL);
	if (rc < 0)
		say_err(&err);
	return rc;
}

static int restart_same(struct cli *cli)
{
	Pwemu__V1__RestartRequest request = PWEMU__V1__RESTART_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	struct ref ref;
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	ref_init(&ref, cli, 0);
	request.instance = &ref.message;
	int rc = call_unary(&cli->conn, CALL_INSTANCES_RESTART, &request.base, 0, &reply, &err);
	ref_fini(&ref);
	if (rc < 0)
		return cli_refused(&err);
	return start_finish(cli, (Pwemu__V1__Instance *)reply);
}

/* Options say how to start what TARGET names. */
static const char *option_of_start(const struct cli *cli)
{
	for (const struct opt_spec *spec = cli->command->options; spec->name != NULL; spec++)
		if (opt_has(&cli->opts, spec->name))
			return spec->name;
	return cli->opts.rest_count > 0 ? "" : NULL;
}

int cmd_restart(struct cli *cli)
{
	const char *option = option_of_start(cli);
	if (cli->opts.arg_count > 0)
		return start_command(cli, stop_what_runs);
	if (option != NULL)
		return cli_usage(cli, "--%s needs a TARGET; without one it is started as it was", option);
	return restart_same(cli);
}
