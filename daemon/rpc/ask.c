/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ask.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

static void ask_release(struct ask *ask)
{
	if (ask->is_done && ask->call == NULL)
		free(ask);
}

static void ask_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct ask *ask = ctx;
	ask->call = NULL;
	ask_release(ask);
}

static const struct rpc_call_ops ask_ops = { .on_end = ask_on_end };

struct ask *ask_new(struct rpc_call *call, const struct instance *inst)
{
	struct ask *ask = xcalloc(1, sizeof(*ask));
	ask->call = call;
	ask->services = service_of(call);
	memcpy(ask->id, instance_id(inst), sizeof(ask->id));
	rpc_call_adopt(call, &ask_ops, ask);
	return ask;
}

struct instance *ask_answered(struct ask *ask, const struct err *err)
{
	struct instance *inst = registry_by_id(ask->services->registry, ask->id);
	bool is_lost = inst == NULL || (err != NULL && (err->code == ERR_CANCELLED || err->code == ERR_UNAVAILABLE));
	struct err lost = ERR_INIT;
	if (is_lost) {
		err_set(&lost, ERR_FAILED_PRECONDITION, "instance \"%s\" ended before it was done",
			inst != NULL ? instance_name(inst) : ask->id);
		err_reason(&lost, "not-running");
		err = &lost;
	}
	if (ask->call != NULL && err == NULL)
		return inst;
	if (ask->call != NULL)
		service_fail(ask->call, err);
	return NULL;
}

void ask_finish(struct ask *ask)
{
	ask->is_done = true;
	ask_release(ask);
}
