/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli.h"
#include "client/commands.h"
#include "client/each.h"
#include "wire/mem.h"

static ProtobufCMessage *make_request(struct cli *cli, Pwemu__V1__InstanceRef *ref)
{
	(void)cli;
	Pwemu__V1__ResumeRequest *request = xmalloc(sizeof(*request));
	pwemu__v1__resume_request__init(request);
	request->instance = ref;
	return &request->base;
}

int cmd_resume(struct cli *cli)
{
	return each_run(cli, CALL_INSTANCES_RESUME, make_request);
}
