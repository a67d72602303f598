/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/pb.h"
#include "instance/priv.h"
#include "wire/mem.h"

#define INSTANCE_GRACE_MS  5000
#define INSTANCE_KEEPER_MS 10000 /* for a client to come back after the daemon was replaced */

static void instance_on_timeout(void *ctx);

char *instance_run_path(const struct instance *inst)
{
	return xasprintf("%s/run/%s", inst->env->state_dir, inst->id);
}
char *instance_data_path(const struct instance *inst)
{
	return xasprintf("%s/data/%s", inst->env->state_dir, inst->id);
}

const char *instance_id(const struct instance *inst)
{
	return inst->id;
}
const char *instance_name(const struct instance *inst)
{
	return inst->name;
}
const char *instance_project(const struct instance *inst)
{
	return inst->project;
}
const char *instance_working_dir(const struct instance *inst)
{
	return inst->working_dir;
}
uid_t instance_uid(const struct instance *inst)
{
	return inst->uid;
}
enum inst_state instance_state(const struct instance *inst)
{
	return inst->state;
}
bool instance_is_over(const struct instance *inst)
{
	return inst_state_row(inst->state)->is_over;
}
uint32_t instance_boot(const struct instance *inst)
{
	return inst->boot;
}
pid_t instance_pid(const struct instance *inst)
{
	return inst->proc != NULL ? proc_pid(inst->proc) : 0;
}
const struct err *instance_start_error(const struct instance *inst)
{
	return &inst->start_error;
}
const Pwemu__V1__StartRequest *instance_request(const struct instance *inst)
{
	return inst->request;
}
uint64_t instance_keeper(const struct instance *inst)
{
	return inst->keeper;
}

const char *instance_eol(const struct instance *inst)
{
	return inst->target != NULL && inst->target->eol[0] != '\0' ? inst->target->eol : "cr";
}

void instance_changed(struct instance *inst)
{
	inst->env->on_change(inst->env->ctx, inst);
}

void instance_tell(struct instance *inst, Pwemu__V1__EventKind kind, const char *channel, const char *actor, const char *reason)
{
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	event.kind = kind;
	event.instance_id = inst->id;
	event.instance = inst->name;
	event.state = inst_state_row(inst->state)->shown;
	event.reason = (char *)(uintptr_t)(reason != NULL ? reason : "");
	event.boot = inst->boot;
	event.end = kind == PWEMU__V1__EVENT_KIND__EVENT_KIND_END ? &inst->end : NULL;
	event.channel = (char *)(uintptr_t)(channel != NULL ? channel : "");
	event.actor = (char *)(uintptr_t)(actor != NULL ? actor : "");
	journal_add(inst->env->journal, &event);
}

/* ---------------------------------------------------------------- identity */

static void instance_name_scope(struct instance *inst)
{
	snprintf(inst->scope.name, sizeof(inst->scope.name), "%s (%s)", inst->name, inst->id);
}

void instance_keep(struct instance *inst, uint64_t connection)
{
	inst->keeper = connection;
	if (inst->keeper_timer != NULL)
		timer_disarm(inst->keeper_timer);
}

void instance_rename(struct instance *inst, const char *name, const char *project)
{
	char *old_name = inst->name, *old_project = inst->project;
	inst->name = xstrdup(name);
	inst->project = xstrdup(project);
	free(old_name);
	free(old_project);
	instance_name_scope(inst);
}

/* ---------------------------------------------------------------- life */

struct instance *instance_new(const struct instance_env *env, const struct instance_identity *identity)
{
	struct instance *inst = xcalloc(1, sizeof(*inst));
	inst->env = env;
	inst->state = INST_ENDED;
	inst->log_dir = -1;
	inst->id = xstrdup(identity->id);
	inst->name = xstrdup(identity->name);
	inst->project = xstrdup(identity->project);
	inst->working_dir = xstrdup(identity->working_dir);
	inst->owner = xstrdup(identity->owner);
	inst->uid = identity->uid;
	inst->timer = timer_new(env->base, instance_on_timeout, inst);
	strv_init(&inst->argv);
	instance_name_scope(inst);
	return inst;
}

void instance_free(struct instance *inst)
{
	if (inst == NULL)
		return;
	prepare_cancel(inst->prepare);
	boot_discard_layout(inst);
	if (inst->link != NULL)
		inst->driver->disconnect(inst->link);
	proc_free(inst->proc);
	channels_free(inst);
	timer_free(inst->timer);
	timer_free(inst->keeper_timer);
	if (inst->log_dir >= 0)
		close(inst->log_dir);
	PB_FREE(inst->target);
	PB_FREE(inst->request);
	free(inst->prepared);
	strv_fini(&inst->argv);
	char *const texts[] = { inst->id, inst->name, inst->project, inst->working_dir, inst->owner, inst->program, inst->mark };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	free(inst);
}

/* ---------------------------------------------------------------- states */

/* What the new state may not hold goes. */
static void instance_drop(struct instance *inst, unsigned holds)
{
	if (!(holds & INST_HOLDS_HELPER)) {
		prepare_cancel(inst->prepare);
		inst->prepare = NULL;
	}
	if (!(holds & INST_HOLDS_LINK) && inst->link != NULL) {
		inst->driver->disconnect(inst->link);
		inst->link = NULL;
	}
	if (!(holds & INST_HOLDS_PROC) && inst->proc != NULL) {
		proc_release(inst->proc);
		proc_free(inst->proc);
		inst->proc = NULL;
	}
	if (!(holds & INST_HOLDS_FIFOS))
		boot_remove_files(inst);
}

static void instance_on_prepared(void *ctx, const struct prepare_result *result)
{
	struct instance *inst = ctx;
	inst->prepare = NULL;
	if (err_is_set(&result->err)) {
		inst->start_error = result->err;
		instance_event(inst, INST_EV_REFUSED, result->err.msg);
		return;
	}
	if (inst->prepared == NULL)
		inst->prepared = xcalloc(1, sizeof(*inst->prepared));
	*inst->prepared = *result;
	free(inst->program);
	inst->program = xstrdup(result->program);
	instance_event(inst, INST_EV_PREPARED, "the emulator is starting");
}

static void instance_refuse(struct instance *inst, const struct err *err)
{
	inst->start_error = *err;
	instance_event(inst, INST_EV_REFUSED, err->msg);
}

static void instance_place(const struct instance *inst, struct prepare_place *place)
{
	char *own = xasprintf("%s/instances/", inst->env->state_dir);
	place->dir = inst->working_dir;
	place->is_ours = strncmp(inst->working_dir, own, strlen(own)) == 0;
	place->link = xasprintf("%s/%s.log", inst->working_dir, inst->target->emulator);
	place->log = xasprintf("%s/data/%s/emulator.log", inst->env->state_dir, inst->id);
	free(own);
}

static void instance_place_fini(struct prepare_place *place)
{
	free(place->link);
	free(place->log);
}

static void enter_preparing(struct instance *inst)
{
	struct err err = ERR_INIT;
	struct prepare_spec spec = {
		.target = inst->target,
		.request = inst->request,
		.executable = inst->driver->executable(inst->target, &err),
	};
	instance_place(inst, &spec.place);
	int rc = spec.executable == NULL ? -1 : prepare_begin(inst->env->base, &spec, instance_on_prepared, inst, &inst->prepare, &err);
	instance_place_fini(&spec.place);
	if (rc < 0 || channels_open_dir(inst, &err) < 0 || boot_lay_out(inst, &err) < 0)
		instance_refuse(inst, &err);
}

static void enter_booting(struct instance *inst)
{
	struct err err = ERR_INIT;
	inst->boot++;
	inst->was_ready = false;
	inst->stop_requested = false;
	inst->shutdown_reason[0] = '\0';
	inst->has_end = false;
	inst->started_ns = 0;
	inst->ended_ns = 0;
	memset(&inst->proc_end, 0, sizeof(inst->proc_end));
	inst->proc_end.code = -1;
	if (boot_begin(inst, &err) < 0)
		instance_refuse(inst, &err);
}

/* A boot that was given up without having been looked at is over all the same. */
static void enter_over(struct instance *inst)
{
	instance_keep(inst, 0);
	channels_set_final(inst);
	instance_trim(inst);
}

static void (*const enter_actions[INST_STATE_COUNT])(struct instance *inst) = {
	[INST_PREPARING] = enter_preparing,
	[INST_BOOTING] = enter_booting,
	[INST_DRAINING] = boot_drain,
};

/* The only place where the state changes. */
static void instance_enter(struct instance *inst, enum inst_state state, const char *reason)
{
	const struct inst_state_row *row = inst_state_row(state);
	inst->state = state;
	snprintf(inst->reason, sizeof(inst->reason), "%s", reason);
	log_info(&inst->scope, "%s%s%s", row->name, reason[0] != '\0' ? ": " : "", reason);
	timer_disarm(inst->timer);
	if (row->is_over)
		inst->ended_ns = clock_wall_ns();
	if (row->is_saved)
		store_save(inst); /* before anything goes: whoever dies in between leaves too much, never too little */
	instance_drop(inst, row->holds);
	if (row->timeout_ms > 0)
		timer_arm(inst->timer, row->timeout_ms);
	if (row->is_over)
		enter_over(inst);
	if (enter_actions[state] != NULL)
		enter_actions[state](inst); /* may lead to the next state at once */
	if (inst->state == state)
		instance_changed(inst);
}

bool instance_event(struct instance *inst, enum inst_event event, const char *reason)
{
	enum inst_state next;
	if (!inst_state_next(inst->state, event, &next)) {
		log_debug(&inst->scope, "%s changes nothing in state %s", inst_event_name(event), inst_state_row(inst->state)->name);
		return false;
	}
	char text[sizeof(inst->reason)]; /* reason may be inst->reason */
	snprintf(text, sizeof(text), "%s", reason);
	instance_enter(inst, next, text);
	return true;
}

static void instance_on_timeout(void *ctx)
{
	struct instance *inst = ctx;
	char reason[128];
	const struct inst_state_row *row = inst_state_row(inst->state);
	snprintf(reason, sizeof(reason), "%s for longer than %u s", row->name, row->timeout_ms / 1000);
	if (inst->state == INST_DRAINING) { /* it did run; how it ended is not to be lost with its last words */
		log_error(&inst->scope, "%s; what it printed last is given up", reason);
		boot_give_up(inst);
		instance_event(inst, INST_EV_TIMEOUT, inst->end_message);
		return;
	}
	err_set(&inst->start_error, ERR_DEADLINE_EXCEEDED, "instance \"%s\" was %s", inst->name, reason);
	inst->stop_requested = true; /* by us */
	instance_event(inst, INST_EV_TIMEOUT, reason);
	if (inst->state == INST_STOPPING && inst->proc != NULL)
		proc_stop(inst->proc, 0);
}

/* ---------------------------------------------------------------- what users ask for */

void instance_start(struct instance *inst, const struct driver_ops *driver, const Pwemu__V1__Target *target,
		    const Pwemu__V1__StartRequest *request, uint64_t keeper)
{
	PB_FREE(inst->target);
	PB_FREE(inst->request);
	inst->target = PB_COPY(Pwemu__V1__Target, target);
	inst->request = PB_COPY(Pwemu__V1__StartRequest, request);
	inst->keeper = keeper;
	inst->start_error = (struct err)ERR_INIT;
	inst->driver = driver;
	instance_event(inst, INST_EV_START, "looking at images and emulator");
}

void instance_stop(struct instance *inst, uint32_t grace_ms, const char *reason)
{
	enum inst_state next;
	if (inst_state_next(inst->state, INST_EV_STOP, &next))
		inst->stop_requested = true; /* else it ends or has ended already, and not for this */
	if (inst->state == INST_PREPARING)
		err_set(&inst->start_error, ERR_ABORTED, "instance \"%s\": %s before it ran", inst->name, reason);
	instance_event(inst, INST_EV_STOP, reason);
	if (inst->state == INST_STOPPING && inst->proc != NULL)
		proc_stop(inst->proc, grace_ms > 0 ? grace_ms : INSTANCE_GRACE_MS);
}

int instance_act(struct instance *inst, enum driver_action action, driver_done_fn done, void *ctx, struct err *err)
{
	bool is_up = inst->state == INST_RUNNING || inst->state == INST_PAUSED;
	if (!is_up || inst->link == NULL) {
		err_set(err, ERR_FAILED_PRECONDITION, "instance \"%s\" is not running (%s)", inst->name, inst_state_row(inst->state)->name);
		return err_reason(err, "not-running");
	}
	inst->driver->act(inst->link, action, done, ctx);
	return 0;
}

static void instance_remove_dir(struct instance *inst, char *path)
{
	struct err err = ERR_INIT;
	if (dirs_remove(path, &err) < 0)
		log_warn(&inst->scope, "%s", err.msg);
	free(path);
}

/* What a start has put into the working directory; a directory of ours goes too, unless somebody has left something there. */
static void instance_leave_working_dir(struct instance *inst)
{
	struct err err = ERR_INIT;
	struct prepare_place place;
	if (inst->target == NULL || inst->boot == 0)
		return;
	instance_place(inst, &place);
	if (prepare_undo(inst->env->base, &place, &err) < 0)
		log_warn(&inst->scope, "%s", err.msg);
	instance_place_fini(&place);
}

/* The record goes last: a daemon that dies in between begins again. */
void instance_erase(struct instance *inst)
{
	channels_free(inst);
	instance_leave_working_dir(inst);
	instance_remove_dir(inst, instance_run_path(inst));
	instance_remove_dir(inst, instance_data_path(inst));
}

/* ---------------------------------------------------------------- adoption */

static void instance_on_keeper_timeout(void *ctx)
{
	instance_stop(ctx, 0, "its client was lost with the daemon");
}

static void instance_await_keeper(struct instance *inst)
{
	inst->keeper_timer = timer_new(inst->env->base, instance_on_keeper_timeout, inst);
	timer_arm(inst->keeper_timer, INSTANCE_KEEPER_MS);
}

static void instance_after_adoption(struct instance *inst)
{
	struct err err = ERR_INIT;
	inst->proc_end.code = -1;
	inst->proc_end.shim_died = true;
	if (inst->state == INST_DRAINING)
		inst->state = INST_STOPPING; /* how it ended is to be learned again, then it drains */
	if (inst->state == INST_PREPARING) {
		instance_event(inst, INST_EV_REFUSED, "the daemon ended while it was starting");
	} else if (boot_adopt(inst, &err) < 0) {
		log_warn(&inst->scope, "cannot be adopted: %s", err.msg);
		if (inst->state == INST_BOOTING && err.code == ERR_NOT_FOUND)
			instance_event(inst, INST_EV_REFUSED, "the daemon ended while it was starting");
		else
			instance_event(inst, INST_EV_EXITED, "it ended while no daemon was there");
	} else {
		uint32_t timeout_ms = inst_state_row(inst->state)->timeout_ms;
		log_info(&inst->scope, "adopted (%s)", inst_state_row(inst->state)->name);
		if (timeout_ms > 0)
			timer_arm(inst->timer, timeout_ms);
		if (inst->stop_requested)
			proc_stop(inst->proc, INSTANCE_GRACE_MS);
		else if (inst->request->stop_on_disconnect)
			instance_await_keeper(inst);
	}
}

struct instance *instance_restore(const struct instance_env *env, const char *owner, Pwemu__V1__Record *record, struct err *err)
{
	struct instance_identity identity = {
		.id = record->id,
		.name = record->name,
		.project = record->project,
		.working_dir = record->working_dir,
		.uid = record->uid,
		.owner = owner,
	};
	struct instance *inst = instance_new(env, &identity);
	store_apply(inst, record);
	PB_FREE(record);
	if (instance_is_over(inst))
		return inst;
	inst->driver = driver_find(inst->target->emulator, err);
	if (inst->driver == NULL || channels_open_dir(inst, err) < 0) {
		err_prefix(err, "instance \"%s\" (%s) is left alone", inst->name, inst->id);
		instance_free(inst);
		return NULL;
	}
	instance_after_adoption(inst);
	return inst;
}
