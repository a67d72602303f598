/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli.h"
#include "client/commands.h"
#include "client/each.h"
#include "client/say.h"
#include "client/show.h"
#include "wire/mem.h"

static ProtobufCMessage *make_request(struct cli *cli, Pwemu__V1__InstanceRef *ref)
{
	Pwemu__V1__RemoveRequest *request = xmalloc(sizeof(*request));
	pwemu__v1__remove_request__init(request);
	request->instance = ref;
	request->force = opt_has(&cli->opts, "force");
	return &request->base;
}

static int has_ended(const Pwemu__V1__Instance *inst)
{
	return !show_is_running(inst);
}

int cmd_rm(struct cli *cli)
{
	struct each each = { 0 };
	bool ended = opt_has(&cli->opts, "ended");
	if (ended && opt_has(&cli->opts, "instance"))
		return cli_usage(cli, "--ended and -i exclude each other");
	if (cli_connect(cli, CONN_START) < 0 || (ended && each_listed(&each, cli, has_ended) < 0))
		return EXIT_REFUSED;
	if (!ended)
		each_named(&each, cli);
	else if (each.count == 0)
		say_note("none has ended");
	int code = each_call(&each, cli, CALL_INSTANCES_REMOVE, make_request, 0);
	each_fini(&each);
	return code;
}
