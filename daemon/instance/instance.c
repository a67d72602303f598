/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/pb.h"
#include "instance/commands.h"
#include "instance/files.h"
#include "instance/priv.h"
#include "wire/mem.h"
#include "wire/utf8.h"

#define INSTANCE_GRACE_MS     5000
#define INSTANCE_STOP_MORE_MS 10000 /* beyond the grace of a stop, which ends in a SIGKILL */

static void instance_on_timeout(void *ctx);

char *instance_run_path(const struct instance *inst)
{
	return xasprintf("%s/%s", inst->env->run_dir, inst->id);
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

const char *instance_machine(const struct instance *inst)
{
	return inst->machine;
}

bool instance_is_remote(const struct instance *inst)
{
	return inst->machine[0] != '\0';
}
uid_t instance_uid(const struct instance *inst)
{
	return inst->user.uid;
}
const struct user *instance_user(const struct instance *inst)
{
	return &inst->user;
}
const struct user *instance_as(const struct instance *inst)
{
	return inst->env->is_system ? &inst->user : NULL;
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
uint64_t instance_ticket(const struct instance *inst)
{
	return inst->ticket;
}

Pwemu__V1__End *instance_end(const struct instance *inst)
{
	return inst->has_end ? ends_last(&inst->ends) : NULL;
}

uint64_t instance_ended_ns(const struct instance *inst)
{
	return inst->ended_ns;
}
bool instance_is_fresh(const struct instance *inst)
{
	return inst->request != NULL && inst->request->fresh;
}

bool instance_is_begun(const struct instance *inst)
{
	return commands_are_settled(inst) && files_are_settled(inst);
}

bool instance_is_gone(const struct instance *inst)
{
	return instance_is_over(inst) && files_are_settled(inst);
}

bool instance_has_disk_bytes(const struct instance *inst)
{
	return inst->disk_bytes_boot == inst->boot;
}

uint64_t instance_disk_bytes(struct instance *inst)
{
	if (!instance_has_disk_bytes(inst)) {
		char *path = instance_data_path(inst);
		inst->disk_bytes = dirs_disk_bytes(path);
		inst->disk_bytes_boot = inst->boot;
		free(path);
	}
	return inst->disk_bytes;
}

const char *instance_eol(const struct instance *inst)
{
	return inst->target != NULL && inst->target->eol[0] != '\0' ? inst->target->eol : "cr";
}

void instance_changed(struct instance *inst)
{
	inst->env->on_change(inst->env->ctx, inst);
}

static void instance_put_down(struct instance *inst, Pwemu__V1__Event *event, const char *reason)
{
	event->instance_id = inst->id;
	event->instance = inst->name;
	event->uid = inst->user.uid;
	event->state = inst_state_row(inst->state)->shown;
	event->reason = (char *)(uintptr_t)(reason != NULL ? reason : "");
	event->boot = inst->boot;
	journal_add(inst->env->journal, event);
}

void instance_tell(struct instance *inst, Pwemu__V1__EventKind kind, const char *channel, const char *actor, const char *reason)
{
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	event.kind = kind;
	event.end = kind == PWEMU__V1__EVENT_KIND__EVENT_KIND_END ? instance_end(inst) : NULL;
	event.channel = (char *)(uintptr_t)(channel != NULL ? channel : "");
	event.actor = (char *)(uintptr_t)(actor != NULL ? actor : "");
	instance_put_down(inst, &event, reason);
}

void instance_tell_process(struct instance *inst, const char *process, const char *reason)
{
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	event.kind = PWEMU__V1__EVENT_KIND__EVENT_KIND_PROCESS;
	event.process = (char *)(uintptr_t)process;
	instance_put_down(inst, &event, reason);
}

/* ---------------------------------------------------------------- identity */

static void instance_name_scope(struct instance *inst)
{
	snprintf(inst->scope.name, sizeof(inst->scope.name), "%s (%s)", inst->name, inst->id);
	snprintf(inst->scope.instance, sizeof(inst->scope.instance), "%s", inst->name);
	snprintf(inst->scope.id, sizeof(inst->scope.id), "%s", inst->id);
	snprintf(inst->scope.user, sizeof(inst->scope.user), "%s", inst->user.name);
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

/* Of one of another machine the daemon has a directory instead, which is also the working directory where the client named none. */
static void instance_set_place(struct instance *inst, const struct instance_identity *identity)
{
	const char *machine = identity->machine != NULL ? identity->machine : "";
	inst->machine = xstrdup(machine);
	inst->host = xstrdup(identity->host != NULL ? identity->host : "");
	if (machine[0] == '\0')
		inst->home = xstrdup(identity->working_dir);
	else if (inst->env->is_system)
		inst->home = xasprintf("%s/instances/%u/@%s", inst->env->state_dir, (unsigned)inst->user.uid, inst->id);
	else
		inst->home = xasprintf("%s/instances/@%s", inst->env->state_dir, inst->id);
	inst->working_dir = xstrdup(identity->working_dir[0] != '\0' ? identity->working_dir : inst->home);
}

struct instance *instance_new(const struct instance_env *env, const struct instance_identity *identity)
{
	struct instance *inst = xcalloc(1, sizeof(*inst));
	inst->env = env;
	inst->state = INST_ENDED;
	inst->log_dir = -1;
	inst->id = xstrdup(identity->id);
	inst->name = xstrdup(identity->name);
	inst->project = xstrdup(identity->project);
	user_set(&inst->user, identity->user);
	instance_set_place(inst, identity);
	inst->timer = timer_new(env->base, instance_on_timeout, inst);
	inst->link_again = timer_new(env->base, boot_link_again, inst);
	inst->quit_late = timer_new(env->base, boot_quit_late, inst);
	inst->files = files_new(inst);
	inst->lease = lease_new(inst);
	strv_init(&inst->argv);
	strv_init(&inst->argv_template);
	strv_init(&inst->setup);
	instance_name_scope(inst);
	return inst;
}

void instance_free(struct instance *inst)
{
	if (inst == NULL)
		return;
	prepare_cancel(inst->prepare);
	boot_discard_layout(inst);
	load_cancel(inst);
	if (inst->link != NULL)
		inst->driver->disconnect(inst->link);
	hang_free(inst->hang);
	proc_free(inst->proc);
	proc_free(inst->old_proc);
	commands_free(inst);
	files_free(inst->files);
	channels_free(inst);
	timer_free(inst->timer);
	lease_free(inst->lease);
	timer_free(inst->link_again);
	timer_free(inst->quit_late);
	if (inst->log_dir >= 0)
		close(inst->log_dir);
	PB_FREE(inst->target);
	PB_FREE(inst->request);
	free(inst->prepared);
	strv_fini(&inst->argv);
	strv_fini(&inst->argv_template);
	strv_fini(&inst->setup);
	ends_clear(&inst->ends);
	user_fini(&inst->user);
	shares_fini(&inst->shares);
	char *const texts[] = { inst->id,        inst->name,        inst->project, inst->working_dir, inst->program, inst->mark,
				inst->proc_name, inst->loaded_path, inst->machine, inst->host,        inst->home };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	free(inst);
}

/* ---------------------------------------------------------------- states */

/* The hang is told that its question is void before it goes. */
void instance_disconnect(struct instance *inst)
{
	load_cancel(inst);
	if (inst->link != NULL)
		inst->driver->disconnect(inst->link);
	inst->link = NULL;
	timer_disarm(inst->link_again);
	hang_free(inst->hang);
	inst->hang = NULL;
}

/* What the new state may not hold goes. */
static void instance_drop(struct instance *inst, unsigned holds)
{
	if (!(holds & INST_HOLDS_HELPER)) {
		prepare_cancel(inst->prepare);
		inst->prepare = NULL;
	}
	if (!(holds & INST_HOLDS_LINK))
		instance_disconnect(inst);
	if (!(holds & INST_HOLDS_ENDPOINTS))
		endpoints_end_all(inst);
	if (!(holds & INST_HOLDS_PROC)) {
		boot_release(&inst->proc);
		boot_release(&inst->old_proc);
	}
	if (!(holds & INST_HOLDS_FIFOS))
		boot_remove_files(inst);
}

static void instance_on_prepared(void *ctx, const struct prepare_result *result)
{
	struct instance *inst = ctx;
	inst->prepare = NULL;
	if (result->user[0] != '\0') {
		user_set_name(&inst->user, result->user);
		instance_name_scope(inst);
	}
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
	if (inst->command_count > 0)
		instance_event(inst, INST_EV_ASSIST, "its commands are starting");
	else
		instance_event(inst, INST_EV_PREPARED, "the emulator is starting");
}

static void instance_refuse(struct instance *inst, const struct err *err)
{
	char reason[sizeof(inst->reason)];
	inst->start_error = *err;
	boot_discard_layout(inst);
	enum inst_event event = boot_refused(inst, err, reason, sizeof(reason));
	instance_event(inst, event, reason);
}

void instance_wait_turn(struct instance *inst)
{
	uint64_t now = clock_wall_ns(), wait_ms = inst->request->queue_timeout_ms, gone_ms = 0;
	if (now > inst->state_since_ns)
		gone_ms = (now - inst->state_since_ns) / 1000000;
	if (wait_ms > 0)
		timer_arm(inst->timer, wait_ms > gone_ms ? wait_ms - gone_ms : 0);
}

static void enter_preparing(struct instance *inst)
{
	struct err err = ERR_INIT;
	endpoints_close_all(inst); /* of the life before */
	struct prepare_spec spec = {
		.target = inst->target,
		.request = inst->request,
		.executable = inst->driver->executable(inst->target, &err),
		.install = inst->driver->install,
		.working_dir = inst->home,
		.user = instance_as(inst),
		.state_dir = inst->env->state_dir,
		.uid = inst->user.uid,
	};
	int rc = spec.executable == NULL ? -1 : prepare_begin(inst->env->base, &spec, instance_on_prepared, inst, &inst->prepare, &err);
	if (rc < 0 || channels_open_dir(inst, &err) < 0 || boot_lay_out(inst, &err) < 0 || boot_plan_commands(inst, &err) < 0)
		instance_refuse(inst, &err);
}

static void enter_assisting(struct instance *inst)
{
	struct err err = ERR_INIT;
	if (commands_assist(inst, &err) < 0)
		instance_refuse(inst, &err);
}

static void enter_booting(struct instance *inst)
{
	struct err err = ERR_INIT;
	inst->is_restart = inst->restart_at_ns != 0;
	inst->restart_at_ns = 0;
	inst->restarts += inst->is_restart;
	inst->boot++;
	load_forget(inst);
	inst->emulator_version[0] = '\0';
	inst->was_ready = inst->stop_requested = inst->no_restart = inst->restart_wanted = false;
	inst->shutdown_reason[0] = inst->ending[0] = '\0';
	inst->was_refused = false;
	inst->has_end = inst->is_debugged = false;
	inst->began_ns = inst->started_ns = inst->ended_ns = 0;
	memset(&inst->proc_end, 0, sizeof(inst->proc_end));
	inst->proc_end.code = -1;
	if (boot_begin(inst, &err) < 0)
		instance_refuse(inst, &err);
}

/* After that SIGKILL is sent again, and it is said. */
static void enter_stopping(struct instance *inst)
{
	if (inst->stop_requested)
		timer_arm(inst->timer, (uint64_t)inst->grace_ms + INSTANCE_STOP_MORE_MS);
}

/* The same for commands that are left. */
static void enter_closing(struct instance *inst)
{
	timer_arm(inst->timer, (uint64_t)inst->grace_ms + INSTANCE_STOP_MORE_MS);
	commands_stop(inst, true, inst->grace_ms);
	commands_stop(inst, false, inst->grace_ms);
}

static void enter_backoff(struct instance *inst)
{
	uint64_t now = clock_wall_ns(), left_ns = inst->restart_at_ns > now ? inst->restart_at_ns - now : 0;
	timer_arm(inst->timer, (left_ns + 999999) / 1000000);
}

/* A boot that was given up without having been looked at is over all the same. */
static void enter_over(struct instance *inst)
{
	inst->restart_at_ns = 0;
	lease_drop(inst);
	channels_set_final(inst);
	boot_leave_group(inst);
	instance_trim(inst);
}

static void (*const enter_actions[INST_STATE_COUNT])(struct instance *inst) = {
	[INST_QUEUED] = instance_wait_turn, [INST_PREPARING] = enter_preparing, [INST_ASSISTING] = enter_assisting,
	[INST_CLOSING] = enter_closing,     [INST_FAILING] = enter_closing,     [INST_BOOTING] = enter_booting,
	[INST_DRAINING] = boot_drain,       [INST_STOPPING] = enter_stopping,   [INST_BACKOFF] = enter_backoff,
};

/* A back-off that ends at once: the boot that follows writes the record, and who dies in between finds the boot that has ended. */
static bool instance_is_due(const struct instance *inst)
{
	return inst->state == INST_BACKOFF && inst->restart_at_ns <= inst->state_since_ns;
}

/* The only place where the state changes. */
static void instance_enter(struct instance *inst, enum inst_state state, const char *reason)
{
	const struct inst_state_row *row = inst_state_row(state);
	inst->state = state;
	inst->state_since_ns = clock_wall_ns();
	snprintf(inst->reason, sizeof(inst->reason), "%s", reason);
	utf8_repair(inst->reason);
	log_info(&inst->scope, "%s%s%s", row->name, reason[0] != '\0' ? ": " : "", reason);
	timer_disarm(inst->timer);
	if (row->is_over)
		inst->ended_ns = inst->state_since_ns;
	if (row->is_saved && !instance_is_due(inst))
		store_save(inst); /* before anything goes: whoever dies in between leaves too much, never too little */
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_STATE, NULL, NULL, reason);
	instance_drop(inst, row->holds);
	hang_state_changed(inst->hang);
	if (row->timeout_ms > 0)
		timer_arm(inst->timer, row->timeout_ms);
	if (row->is_over)
		enter_over(inst);
	files_state_changed(inst);
	if (enter_actions[state] != NULL)
		enter_actions[state](inst); /* may lead to the next state at once */
	if (inst->state == state)
		instance_changed(inst);
}

/* ---------------------------------------------------------------- actions */

/* In the reverse order of their start, all at once. */
static void do_stop(struct instance *inst)
{
	commands_stop(inst, true, inst->grace_ms);
	if (inst->proc != NULL && !proc_has_ended(inst->proc))
		boot_stop(inst);
	commands_stop(inst, false, inst->grace_ms);
}

static void do_clear(struct instance *inst)
{
	commands_stop(inst, true, 0);
	commands_stop(inst, false, 0);
}

static void do_kill(struct instance *inst)
{
	if (inst->proc != NULL && !proc_has_ended(inst->proc))
		proc_stop(inst->proc, 0);
}

/* The words for a state that lasts too long. */
static void do_note_timeout(struct instance *inst)
{
	const struct inst_state_row *row = inst_state_row(inst->state);
	err_set(&inst->start_error, ERR_DEADLINE_EXCEEDED, "instance \"%s\" was %s for longer than %u s", inst->name, row->name,
		row->timeout_ms / 1000);
}

static void do_time_out(struct instance *inst)
{
	do_note_timeout(inst);
	snprintf(inst->ending, sizeof(inst->ending), "the emulator did not answer within %u s",
		 inst_state_row(inst->state)->timeout_ms / 1000);
}

static void do_fail_turn(struct instance *inst)
{
	err_set(&inst->start_error, ERR_DEADLINE_EXCEEDED, "instance \"%s\" has waited in the queue for %g s, and its turn did not come",
		inst->name, (double)inst->request->queue_timeout_ms / 1000);
	err_reason(&inst->start_error, "queue-timeout");
}

static void do_abort(struct instance *inst)
{
	err_set(&inst->start_error, ERR_ABORTED, "instance \"%s\" was stopped before it ran", inst->name);
}

static void do_give_up(struct instance *inst)
{
	static const char words[] = "its logs could not be completed in time; what it printed last is given up";
	log_error(&inst->scope, "%s", words);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, NULL, NULL, words);
	boot_give_up(inst);
}

/* What is to be known is noted before the state changes, processes are ended once it is on record that they are to be. */
static const struct {
	void (*before)(struct instance *inst);
	void (*after)(struct instance *inst);
} actions[INST_ACTION_COUNT] = {
	[INST_DO_STOP] = { NULL, do_stop },
	[INST_DO_KILL] = { NULL, do_kill },
	[INST_DO_CLEAR] = { NULL, do_clear },
	[INST_DO_TIME_OUT] = { do_time_out, do_kill },
	[INST_DO_FAIL_TIME] = { do_note_timeout, NULL },
	[INST_DO_FAIL_TURN] = { do_fail_turn, NULL },
	[INST_DO_ABORT] = { do_abort, NULL },
	[INST_DO_GIVE_UP] = { NULL, do_give_up },
};

bool instance_event(struct instance *inst, enum inst_event event, const char *reason)
{
	struct inst_step step;
	if (!inst_state_step(inst->state, event, &step)) {
		log_debug(&inst->scope, "%s changes nothing in state %s", inst_event_name(event), inst_state_row(inst->state)->name);
		return false;
	}
	if (step.moves && commands_live(inst))
		step.next = inst_state_by_way_of(step.next);
	char text[sizeof(inst->reason)]; /* reason may be inst->reason */
	snprintf(text, sizeof(text), "%s", reason);
	if (actions[step.action].before != NULL)
		actions[step.action].before(inst);
	if (step.moves)
		instance_enter(inst, step.next, text);
	if (actions[step.action].after != NULL)
		actions[step.action].after(inst);
	return step.moves;
}

/* Its commands are gone with the host: they begin before and after it as at the start that a user asked for. */
static void instance_start_again(struct instance *inst)
{
	inst->restart_at_ns = 0; /* no boot that goes on from the one before */
	inst->restarts++;
	instance_event(inst, INST_EV_START, "started again with its commands");
}

static void instance_on_timeout(void *ctx)
{
	struct instance *inst = ctx;
	char reason[160];
	if (inst->state == INST_BACKOFF && commands_are_forgotten(inst)) {
		instance_start_again(inst);
		return;
	}
	const struct inst_state_row *row = inst_state_row(inst->state);
	if (inst->state == INST_QUEUED)
		snprintf(reason, sizeof(reason), "waited in the queue for longer than %g s",
			 (double)inst->request->queue_timeout_ms / 1000);
	else if (inst->state == INST_BACKOFF)
		snprintf(reason, sizeof(reason), "restart %u", inst->restarts + 1);
	else
		snprintf(reason, sizeof(reason), "%s for longer than %u s", row->name, row->timeout_ms / 1000);
	instance_event(inst, INST_EV_TIMEOUT, reason);
}

/* ---------------------------------------------------------------- what users ask for */

/* Who waits for its end wants to know of it; everybody else wants it to go on. */
static void instance_choose_restart(struct instance *inst)
{
	const Pwemu__V1__RestartPolicy *policy = inst->request->restart != NULL ? inst->request->restart : inst->target->restart;
	bool is_client_s = inst->request->lease != NULL && inst->request->lease->kind == PWEMU__V1__LEASE_KIND__LEASE_KIND_CLIENT;
	bool is_tied = inst->request->stop_on_disconnect || inst->request->attended || is_client_s;
	restart_policy_fill(policy, is_tied ? PWEMU__V1__RESTART_MODE__RESTART_MODE_NO : PWEMU__V1__RESTART_MODE__RESTART_MODE_ON_FAILURE,
			    &inst->restart);
}

/* The record keeps the request, and is to keep no token of its client's. */
static void instance_strip_environment(Pwemu__V1__StartRequest *request)
{
	Pwemu__V1__Environment *given = request->environment;
	size_t kept = 0;
	for (size_t i = 0; given != NULL && i < given->n_variables; i++) {
		if (boot_is_clients_own(given->variables[i]))
			free(given->variables[i]);
		else
			given->variables[kept++] = given->variables[i];
	}
	if (given != NULL)
		given->n_variables = kept;
}

void instance_start(struct instance *inst, const struct driver_ops *driver, const Pwemu__V1__Target *target,
		    const Pwemu__V1__StartRequest *request, const struct lease_terms *lease, const char *actor)
{
	PB_FREE(inst->target);
	PB_FREE(inst->request);
	inst->target = PB_COPY(Pwemu__V1__Target, target);
	inst->request = PB_COPY(Pwemu__V1__StartRequest, request);
	instance_strip_environment(inst->request);
	inst->began_ns = inst->started_ns = inst->ended_ns = 0; /* they are the latest boot's */
	inst->start_error = (struct err)ERR_INIT;
	inst->driver = driver;
	inst->restarts = 0;
	inst->deaths.count = 0;
	inst->has_end = false; /* what ended was another start's */
	inst->grace_ms = INSTANCE_GRACE_MS;
	instance_choose_restart(inst);
	lease_take(inst, lease, actor);
	struct err err = ERR_INIT;
	bool may_begin = inst->env->on_admit == NULL || inst->env->on_admit(inst->env->ctx, inst, &inst->ticket);
	if (may_begin || channels_open_dir(inst, &err) < 0) /* without a record it cannot wait, nor begin: it is refused at once */
		instance_leave_queue(inst);
	else
		instance_event(inst, INST_EV_QUEUE, "waits for its turn: no more may run at once");
}

void instance_leave_queue(struct instance *inst)
{
	inst->ticket = 0;
	instance_event(inst, INST_EV_START, "looking at images and emulator");
}

/* Whoever wants it stopped does not want it again, however the boot that is ending has ended. */
void instance_stop(struct instance *inst, uint32_t grace_ms, const char *reason)
{
	bool is_up = inst->state == INST_BOOTING || inst->state == INST_RUNNING || inst->state == INST_PAUSED;
	inst->no_restart = true;
	inst->grace_ms = grace_ms > 0 ? grace_ms : INSTANCE_GRACE_MS;
	if (is_up)
		inst->stop_requested = true; /* else it ends or has ended already, and not for this */
	if (!instance_event(inst, INST_EV_STOP, reason) && !instance_is_over(inst))
		store_save(inst); /* the next daemon must know */
}

void instance_hung(struct instance *inst, Pwemu__V1__HangAction action, const char *reason)
{
	if (action != PWEMU__V1__HANG_ACTION__HANG_ACTION_RESTART && action != PWEMU__V1__HANG_ACTION__HANG_ACTION_STOP)
		return;
	snprintf(inst->ending, sizeof(inst->ending), "%s", reason);
	inst->restart_wanted = action == PWEMU__V1__HANG_ACTION__HANG_ACTION_RESTART;
	inst->no_restart = !inst->restart_wanted;
	instance_event(inst, INST_EV_USELESS, reason);
}

static void instance_remove_dir(struct instance *inst, char *path)
{
	struct err err = ERR_INIT;
	if (dirs_remove(path, &err) < 0)
		log_warn(&inst->scope, "%s", err.msg);
	free(path);
}

/* The record goes last: a daemon that dies in between begins again. */
void instance_erase(struct instance *inst)
{
	channels_free(inst);
	boot_leave_group(inst);
	files_erase(inst);
	instance_remove_dir(inst, instance_run_path(inst));
	instance_remove_dir(inst, instance_data_path(inst));
}
