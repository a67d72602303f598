/* SPDX-License-Identifier: Apache-2.0 */
/* Starting an instance and leaving it: what `start` and `restart` share. */
#pragma once

#include "pwemu/v1/instances.pb-c.h"

struct cli;

/* What is to be done once the request is made and the daemon reached, before it is sent. -1: refused, said. */
typedef int (*start_before_fn)(struct cli *cli, const Pwemu__V1__StartRequest *request);

/* Starts what the command line says. `before` may be NULL. Returns the exit code. */
int start_command(struct cli *cli, start_before_fn before);

/* Waits for its turn where the daemon has put it into the queue, and says what has become of a start. Takes the answer. Returns the exit
 * code. */
int start_finish(struct cli *cli, Pwemu__V1__Instance *inst);
