/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watch: a reader of the journal that is pumped into a stream while the stream takes it. With snapshots a change of the instance that is
 * no event is sent as a snapshot of its own, once what was before it is sent; several of them are one. Nothing is kept for a slow
 * client but the number it has come to, and how the instance ended.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/pb.h"
#include "instance/journal.h"
#include "instance/lease.h"
#include "rpc/service.h"
#include "wire/mem.h"

#define WATCH_TURN 256        /* events looked at before others have their turn */
#define WATCH_ON   UINT64_MAX /* goes on for ever */

struct watch {
	LIST_ENTRY(watch) link;
	struct rpc_call *call;
	struct services *services;
	struct journal_reader *reader;
	char id[INSTANCE_ID_LEN + 1]; /* "": all instances, and the daemon */
	bool snapshots, is_dirty, is_finished;
	uint64_t old;               /* what was there before the call goes without a snapshot */
	uint64_t until;             /* last event that is of interest */
	uint64_t gone;              /* to be told with the next event */
	Pwemu__V1__Instance *final; /* the instance as it ended; NULL: it has not */
};

static LIST_HEAD(, watch) watches = LIST_HEAD_INITIALIZER(watches);
static struct registry_observer observer;

/* ---------------------------------------------------------------- sending */

static void watch_send(struct watch *watch, Pwemu__V1__Event *event)
{
	struct instance *inst = watch->final == NULL ? registry_by_id(watch->services->registry, watch->id) : NULL;
	Pwemu__V1__Instance message;
	event->snapshot = watch->final;
	if (inst != NULL) {
		service_describe(watch->call, inst, &message);
		event->snapshot = &message;
	}
	rpc_call_send(watch->call, &event->base);
	event->snapshot = NULL;
	watch->is_dirty = false;
	if (inst != NULL)
		instance_describe_fini(&message);
}

static void watch_send_snapshot(struct watch *watch)
{
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	event.kind = PWEMU__V1__EVENT_KIND__EVENT_KIND_SNAPSHOT;
	event.seq = journal_reader_next(watch->reader) - 1;
	event.instance_id = watch->id;
	watch_send(watch, &event);
}

/* Of many users each sees what is about his own instances and those shared with him; what is removed is its owner's still. Of the daemon
 * itself everybody sees that it begins and ends, its troubles are the administrators'. */
static bool watch_may_see(const struct watch *watch, const Pwemu__V1__Event *event)
{
	struct service_caller who;
	service_caller(watch->call, &who);
	if (who.caller.is_admin)
		return true;
	if (event->instance_id[0] == '\0')
		return event->kind == PWEMU__V1__EVENT_KIND__EVENT_KIND_DAEMON;
	const struct instance *inst = registry_by_id(watch->services->registry, event->instance_id);
	return event->uid == who.caller.user->uid || (inst != NULL && instance_right(inst, &who.caller) != RIGHT_NONE);
}

static void watch_take(struct watch *watch, Pwemu__V1__Event *event)
{
	watch->gone += event->gone;
	if (watch->id[0] == '\0' && !watch_may_see(watch, event))
		return;
	if (event->seq > watch->until || (watch->id[0] != '\0' && strcmp(event->instance_id, watch->id) != 0))
		return;
	event->gone = watch->gone;
	watch->gone = 0;
	if (watch->snapshots && event->seq > watch->old)
		watch_send(watch, event);
	else
		rpc_call_send(watch->call, &event->base);
}

/* Who sees the end of the stream finds no handles.json of what has ended. */
static bool watch_is_early(const struct watch *watch)
{
	const struct instance *inst = watch->final == NULL ? NULL : registry_by_id(watch->services->registry, watch->id);
	return inst != NULL && instance_boot(inst) > 0 && instance_is_over(inst) && !instance_is_gone(inst);
}

/* While it waits, events that mean nothing to it wake it: its removal is one. */
static bool watch_has_interest(const struct watch *watch)
{
	return journal_reader_next(watch->reader) <= watch->until || watch_is_early(watch);
}

/* Sends what there is and may be sent, then ends what is to be ended. */
static void watch_pump(struct watch *watch)
{
	Pwemu__V1__Event *event;
	bool is_behind = true;
	for (int n = 0; n < WATCH_TURN && is_behind && !watch->is_finished && rpc_call_can_send(watch->call); n++) {
		is_behind = watch_has_interest(watch) && journal_read(watch->reader, &event);
		if (!is_behind)
			break;
		watch_take(watch, event);
		pwemu__v1__event__free_unpacked(event, NULL);
	}
	if (watch->is_finished || !rpc_call_can_send(watch->call))
		return; /* on_writable follows */
	if (is_behind) {
		journal_reader_again(watch->reader);
		return;
	}
	if (watch->snapshots && watch->is_dirty)
		watch_send_snapshot(watch);
	if (watch->until == WATCH_ON || watch_is_early(watch))
		return;
	watch->is_finished = true;
	rpc_call_finish_ok(watch->call);
}

/* ---------------------------------------------------------------- callbacks */

static void watch_on_event(void *ctx)
{
	watch_pump(ctx);
}

static void watch_on_writable(struct rpc_call *call, void *ctx)
{
	(void)call;
	watch_pump(ctx);
}

static void watch_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct watch *watch = ctx;
	LIST_REMOVE(watch, link);
	journal_reader_free(watch->reader);
	PB_FREE(watch->final);
	free(watch);
}

static const struct rpc_call_ops watch_ops = { .on_writable = watch_on_writable, .on_end = watch_on_end };

/* It has ended for good: what comes later belongs to another start, and may come before a slow client has learned of this end. */
static void watch_set_final(struct watch *watch, struct instance *inst)
{
	Pwemu__V1__Instance message;
	if (watch->until == WATCH_ON)
		watch->until = journal_last(watch->services->journal);
	service_describe(watch->call, inst, &message);
	watch->final = PB_COPY(Pwemu__V1__Instance, &message);
	instance_describe_fini(&message);
}

static void watch_on_change(void *ctx, struct instance *inst)
{
	(void)ctx;
	struct watch *watch;
	LIST_FOREACH (watch, &watches, link) {
		if (watch->is_finished || strcmp(watch->id, instance_id(inst)) != 0)
			continue;
		watch->is_dirty = watch->final == NULL;
		if (instance_is_over(inst) && watch->final == NULL)
			watch_set_final(watch, inst);
		watch_pump(watch);
	}
}

void svc_watch_init(struct services *services)
{
	observer = (struct registry_observer){ .on_change = watch_on_change };
	registry_observe(services->registry, &observer);
}

/* ---------------------------------------------------------------- the call */

static int watch_check(const Pwemu__V1__WatchRequest *request, uint64_t last, struct err *err)
{
	bool has_from = request->from_case == PWEMU__V1__WATCH_REQUEST__FROM_FROM_SEQ;
	if (has_from && request->from_seq > last + 1)
		return err_set(err, ERR_OUT_OF_RANGE, "event %llu has not been yet; the newest is %llu",
			       (unsigned long long)request->from_seq, (unsigned long long)last);
	if (request->instance == NULL && (request->snapshots || request->stop_on_disconnect))
		return err_set(err, ERR_INVALID_ARGUMENT, "snapshots and stop_on_disconnect need `instance`");
	return 0;
}

static struct watch *watch_new(struct rpc_call *call, const Pwemu__V1__WatchRequest *request, struct instance *inst)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));
	watch->call = call;
	watch->services = service_of(call);
	watch->old = journal_last(watch->services->journal);
	watch->snapshots = request->snapshots;
	watch->until = request->no_follow ? watch->old : WATCH_ON;
	if (inst != NULL)
		memcpy(watch->id, instance_id(inst), sizeof(watch->id));
	if (inst != NULL && instance_is_over(inst))
		watch_set_final(watch, inst);
	LIST_INSERT_HEAD(&watches, watch, link);
	return watch;
}

/* Who does so answers for it from now on. */
static void watch_bind_lease(struct rpc_call *call, struct instance *inst)
{
	char actor[SERVICE_ACTOR_MAX];
	struct lease_peer who;
	service_lease_peer(call, actor, &who);
	who.is_remote |= instance_is_remote(inst);
	lease_bind(inst, &who);
}

void svc_watch_handle(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__WatchRequest *request = (const Pwemu__V1__WatchRequest *)message;
	struct services *services = service_of(call);
	uint64_t last = journal_last(services->journal);
	bool has_from = request->from_case == PWEMU__V1__WATCH_REQUEST__FROM_FROM_SEQ;
	struct instance *inst = NULL;
	struct err err = ERR_INIT;
	if (watch_check(request, last, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	if (request->instance != NULL && (inst = service_find(call, request->instance)) == NULL)
		return;
	if (request->stop_on_disconnect && !service_need(call, inst, RIGHT_CONTROL))
		return;
	if (request->stop_on_disconnect && !instance_is_over(inst))
		watch_bind_lease(call, inst);
	struct watch *watch = watch_new(call, request, inst);
	watch->reader = journal_reader_new(services->journal, has_from ? request->from_seq : last + 1, watch_on_event, watch);
	if (watch->id[0] != '\0')
		journal_reader_only(watch->reader, watch->id);
	rpc_call_adopt(call, &watch_ops, watch);
	if (watch->snapshots)
		watch_send_snapshot(watch);
	watch_pump(watch);
}
