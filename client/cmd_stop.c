/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli.h"
#include "client/commands.h"
#include "client/each.h"
#include "client/say.h"
#include "client/show.h"
#include "wire/mem.h"

static ProtobufCMessage *make_request(struct cli *cli, Pwemu__V1__InstanceRef *ref)
{
	Pwemu__V1__StopRequest *request = xmalloc(sizeof(*request));
	pwemu__v1__stop_request__init(request);
	request->instance = ref;
	request->grace_ms = (uint32_t)opt_duration_ms(&cli->opts, "grace", 0);
	if (opt_has(&cli->opts, "grace") && request->grace_ms == 0)
		request->grace_ms = 1; /* 0 is the default of 5 s */
	return &request->base;
}

static int is_running(const Pwemu__V1__Instance *inst)
{
	return show_is_running(inst);
}

int cmd_stop(struct cli *cli)
{
	struct each each = { 0 };
	bool all = opt_has(&cli->opts, "all");
	if (all && opt_has(&cli->opts, "instance"))
		return cli_usage(cli, "--all and -i exclude each other");
	if (cli_connect(cli, CONN_START) < 0 || (all && each_listed(&each, cli, is_running) < 0))
		return EXIT_REFUSED;
	if (!all)
		each_named(&each, cli);
	else if (each.count == 0)
		say_note("nothing runs");
	int code = each_call(&each, cli, CALL_INSTANCES_STOP, make_request, (uint32_t)opt_duration_ms(&cli->opts, "grace", 0));
	each_fini(&each);
	return code;
}
