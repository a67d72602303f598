/* SPDX-License-Identifier: Apache-2.0 */
/* share and unshare: what others may do with an instance. */
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/ref.h"
#include "client/say.h"

/* Says with whom it is shared now. */
static void say_shares(const Pwemu__V1__Instance *inst)
{
	if (inst->n_shares == 0)
		say_note("%s: shared with nobody", inst->name);
	for (size_t i = 0; i < inst->n_shares; i++)
		say_note("%s: shared with %s%s: %s", inst->name, inst->shares[i]->group ? "group " : "", inst->shares[i]->name,
			 inst->shares[i]->right);
}

static int share_call(struct cli *cli, enum call call, const ProtobufCMessage *request, Pwemu__V1__InstanceRef **instance)
{
	ProtobufCMessage *reply = NULL;
	int code = ref_call(cli, call, request, instance, &reply);
	if (code != EXIT_DONE)
		return code;
	say_shares((const Pwemu__V1__Instance *)reply);
	protobuf_c_message_free_unpacked(reply, NULL);
	return EXIT_DONE;
}

int cmd_share(struct cli *cli)
{
	Pwemu__V1__ShareRequest request = PWEMU__V1__SHARE_REQUEST__INIT;
	if (!opt_has(&cli->opts, "with"))
		return cli_usage(cli, "with whom? --with USER or --with GROUP");
	request.with = (char *)(uintptr_t)opt_text(&cli->opts, "with");
	request.group = opt_has(&cli->opts, "group");
	request.right = (char *)(uintptr_t)cli->opts.args[0];
	return share_call(cli, CALL_INSTANCES_SHARE, &request.base, &request.instance);
}

int cmd_unshare(struct cli *cli)
{
	Pwemu__V1__UnshareRequest request = PWEMU__V1__UNSHARE_REQUEST__INIT;
	if (opt_has(&cli->opts, "with"))
		request.with = (char *)(uintptr_t)opt_text(&cli->opts, "with");
	request.group = opt_has(&cli->opts, "group");
	return share_call(cli, CALL_INSTANCES_UNSHARE, &request.base, &request.instance);
}
