/* SPDX-License-Identifier: Apache-2.0 */
/* A call that waits for the answer of an instance's emulator. It lives until both that has come and the call has ended. */
#pragma once

#include <stdbool.h>

#include "rpc/service.h"

struct ask {
	struct rpc_call *call; /* NULL: it has ended */
	struct services *services;
	bool is_done;
	char id[INSTANCE_ID_LEN + 1];
};

/* The call's; ends with ask_finish(). */
struct ask *ask_new(struct rpc_call *call, const struct instance *inst);
/* The answer has come. The instance, where the call waits for a reply to be sent now; NULL: it has got its error, or has ended. */
struct instance *ask_answered(struct ask *ask, const struct err *err);
/* Last: no answer comes any more. */
void ask_finish(struct ask *ask);
