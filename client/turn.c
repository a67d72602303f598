/* SPDX-License-Identifier: Apache-2.0 */
#include "client/turn.h"

#include <event2/event.h>
#include <stdio.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/say.h"
#include "client/show.h"
#include "client/watch.h"

#define STATE(name) PWEMU__V1__STATE__STATE_##name

void turn_note(const Pwemu__V1__Instance *inst)
{
	say_note("%s: queued, number %u; it starts when its turn comes", inst->name, inst->queue_position);
}

bool turn_has_come(const Pwemu__V1__Instance *inst)
{
	return inst->state != STATE(QUEUED) && (inst->state != STATE(STARTING) || inst->pid != 0);
}

bool turn_was_refused(const Pwemu__V1__Instance *inst, struct err *err)
{
	if (inst->state != STATE(FAILED) || inst->end != NULL)
		return false;
	err_set(err, ERR_FAILED_PRECONDITION, "%s", show_reason(inst)[0] != '\0' ? show_reason(inst) : "it did not start");
	err_reason(err, inst->refusal);
	return true;
}

struct turn {
	struct cli *cli;
	Pwemu__V1__Instance **inst;
	struct err status;
	bool is_done, is_lost;
};

/* Ready, as an answer to Start would have it. */
static void on_event(void *ctx, const Pwemu__V1__Event *event)
{
	struct turn *turn = ctx;
	if (event->snapshot == NULL || turn->is_done)
		return;
	pwemu__v1__instance__free_unpacked(*turn->inst, NULL);
	*turn->inst = (Pwemu__V1__Instance *)call_copy(&event->snapshot->base);
	turn->is_done = event->snapshot->state != STATE(QUEUED) && event->snapshot->state != STATE(STARTING);
	if (turn->is_done)
		event_base_loopbreak(turn->cli->conn.base);
}

static void on_end(void *ctx, const struct err *status)
{
	struct turn *turn = ctx;
	if (turn->is_done)
		return;
	turn->is_lost = conn_is_lost(&turn->cli->conn, status);
	turn->is_done = !turn->is_lost;
	turn->status = *status;
	event_base_loopbreak(turn->cli->conn.base);
}

int turn_await(struct cli *cli, Pwemu__V1__Instance **inst, struct err *err)
{
	struct turn turn = { .cli = cli, .inst = inst };
	char id[64];
	snprintf(id, sizeof(id), "%s", (*inst)->id);
	struct watch watch = {
		.conn = &cli->conn, .instance_id = id, .snapshots = true, .on_event = on_event, .on_end = on_end, .ctx = &turn
	};
	watch_begin(&watch);
	while (!turn.is_done) {
		event_base_loop(cli->conn.base, EVLOOP_NO_EXIT_ON_EMPTY);
		if (!turn.is_lost)
			continue;
		turn.is_lost = false;
		if (conn_reopen(&cli->conn, err) < 0)
			return -1;
		watch.has_from = false;
		watch_begin(&watch);
	}
	if (watch.stream != NULL) /* the watch is on our stack: nothing of it may come later */
		rpc_stream_cancel(watch.stream);
	while (watch.stream != NULL)
		event_base_loop(cli->conn.base, EVLOOP_ONCE);
	if (turn.status.code != ERR_OK) {
		*err = turn.status;
		return -1;
	}
	return 0;
}
