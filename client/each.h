/* SPDX-License-Identifier: Apache-2.0 */
/* The same call for every instance of the command line (-i may be repeated), all at once. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/call.h"
#include "pwemu/v1/instances.pb-c.h"

struct cli;

/* The instances a command is about; ids are owned. */
struct each {
	char **ids, **names;
	size_t count;
	unsigned failed; /* could not be found; said */
};

/* Those of the command line. The connection is open. */
void each_named(struct each *each, struct cli *cli);
/* Those of the daemon's list that `wanted` takes. -1: refused, said. */
int each_listed(struct each *each, struct cli *cli, int (*wanted)(const Pwemu__V1__Instance *inst)) __attribute__((warn_unused_result));
void each_fini(struct each *each);

/* Sends the requests; make() fills one in. Says what failed, with the instance's name. Returns the exit code. */
int each_call(struct each *each, struct cli *cli, enum call call, ProtobufCMessage *(*make)(struct cli *cli, Pwemu__V1__InstanceRef *ref),
	      uint32_t more_ms);

/* Connects, takes the named instances, calls: the whole of a simple command. */
int each_run(struct cli *cli, enum call call, ProtobufCMessage *(*make)(struct cli *cli, Pwemu__V1__InstanceRef *ref));
