/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every command is on record with the name of its shim before the first one is begun, so that a daemon that dies between any two steps
 * leaves none that its successor does not find. One is begun when the one before it has its process, never when that has ended.
 */
#include "instance/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/pb.h"
#include "instance/expand.h"
#include "instance/files.h"
#include "instance/priv.h"
#include "wire/mem.h"
#include "wire/utf8.h"

static const char *command_kind(const struct command *command)
{
	return command->is_post ? "post-start" : "pre-start";
}

pid_t command_pid(const struct command *command)
{
	return command->proc != NULL ? proc_pid(command->proc) : 0;
}

/* Its suffix is none that a channel's files have. */
char *command_log_path(const struct command *command)
{
	return xasprintf("%s/data/%s/%s.out", command->inst->env->state_dir, command->inst->id, command->name);
}

/* ---------------------------------------------------------------- making */

static uint64_t command_nonce(void)
{
	uint64_t nonce = 0;
	if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != sizeof(nonce))
		nonce = clock_wall_ns();
	return nonce;
}

static void command_init(struct command *command, struct instance *inst, const Pwemu__V1__HelperCommand *from, bool is_post)
{
	unsigned long long nonce = command_nonce();
	*command = (struct command){ .inst = inst, .name = xstrdup(from->name), .is_post = is_post, .required = from->required };
	strv_init(&command->argv);
	command->proc_name = xasprintf("command-%td-%016llx", command - inst->commands, nonce);
	command->mark = xasprintf("%s:%td:%016llx", inst->id, command - inst->commands, nonce);
}

static void command_fini(struct command *command)
{
	proc_free(command->proc);
	strv_fini(&command->argv);
	PB_FREE(command->end);
	free(command->name);
	free(command->program);
	free(command->proc_name);
	free(command->mark);
}

void commands_free(struct instance *inst)
{
	for (size_t i = 0; i < inst->command_count; i++)
		command_fini(&inst->commands[i]);
	free(inst->commands);
	inst->commands = NULL;
	inst->command_count = 0;
	timer_free(inst->settle);
	inst->settle = NULL;
}

static int command_expand(struct command *command, const Pwemu__V1__HelperCommand *from, const struct expand_scope *scope, struct err *err)
{
	char where[96];
	snprintf(where, sizeof(where), "%s command \"%s\"", command_kind(command), command->name);
	for (size_t i = 0; i < from->n_argv; i++) {
		char *word = expand_text(scope, where, from->argv[i], err);
		if (word == NULL)
			return -1;
		strv_add(&command->argv, word);
		free(word);
	}
	return 0;
}

int commands_plan(struct instance *inst, const struct expand_scope *scope, struct err *err)
{
	const Pwemu__V1__Target *target = inst->target;
	commands_free(inst);
	inst->commands = xcalloc(target->n_pre_start + target->n_post_start, sizeof(*inst->commands));
	for (size_t i = 0; i < target->n_pre_start + target->n_post_start; i++) {
		bool is_post = i >= target->n_pre_start;
		const Pwemu__V1__HelperCommand *from = is_post ? target->post_start[i - target->n_pre_start] : target->pre_start[i];
		struct command *command = &inst->commands[inst->command_count++];
		command_init(command, inst, from, is_post);
		if (command_expand(command, from, scope, err) < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- ends */

/* That it was executed does not yet say that a required command works: most that do not end at once. A start waits so long for that. */
#define COMMANDS_SETTLE_MS 200

static void commands_on_settled(void *ctx)
{
	instance_changed(ctx); /* whoever waits for the start */
}

/* A required one runs from now on. */
static void commands_settle(struct instance *inst)
{
	if (inst->settle == NULL)
		inst->settle = timer_new(inst->env->base, commands_on_settled, inst);
	timer_arm(inst->settle, COMMANDS_SETTLE_MS);
}

bool commands_are_settled(const struct instance *inst)
{
	return commands_are_begun(inst) && (inst->settle == NULL || !timer_is_armed(inst->settle));
}

bool commands_live(const struct instance *inst)
{
	for (size_t i = 0; i < inst->command_count; i++)
		if (inst->commands[i].proc != NULL)
			return true;
	return false;
}

bool commands_are_begun(const struct instance *inst)
{
	for (size_t i = 0; i < inst->command_count; i++)
		if (inst->commands[i].end == NULL && command_pid(&inst->commands[i]) == 0)
			return false;
	return true;
}

/* Whoever waits for the start is told why it failed; who has had his answer finds it in the reason. */
static void commands_forsake(struct instance *inst, const struct err *err)
{
	char reason[sizeof(inst->reason)];
	inst->no_restart = true;
	if (!err_is_set(&inst->start_error))
		inst->start_error = *err;
	if (inst->ending[0] == '\0')
		snprintf(inst->ending, sizeof(inst->ending), "%.190s", err->msg);
	snprintf(reason, sizeof(reason), "%.300s", err->msg);
	instance_event(inst, INST_EV_FORSAKEN, reason);
}

static void command_note(struct command *command, const struct proc_end *proc_end, const char *message)
{
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	end.cause = command->is_unwanted        ? PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED
		    : proc_end->exec_errno != 0 ? PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG
		    : proc_end->code >= 0       ? PWEMU__V1__END_CAUSE__END_CAUSE_FINISHED
		    : proc_end->shim_died       ? PWEMU__V1__END_CAUSE__END_CAUSE_UNKNOWN
						: PWEMU__V1__END_CAUSE__END_CAUSE_KILLED;
	end.code = proc_end->code;
	end.signal = proc_end->signal;
	end.exec_errno = proc_end->exec_errno;
	end.time_ns = proc_end->time_ns != 0 ? proc_end->time_ns : clock_wall_ns();
	end.began_ns = command->began_ns;
	end.boot = command->inst->boot;
	end.message = (char *)(uintptr_t)message;
	PB_FREE(command->end);
	command->end = PB_COPY(Pwemu__V1__End, &end);
}

static void commands_continue(struct instance *inst, bool is_post);

/* It has ended, or could not be begun, as `err` says. The record has it before the shim forgets it. */
static void command_report(struct command *command, const struct proc_end *end, const struct err *err)
{
	struct instance *inst = command->inst;
	char message[256];
	snprintf(message, sizeof(message), "%.250s", command->is_unwanted ? "stopped with the instance" : err->msg);
	utf8_repair(message);
	command_note(command, end, message);
	if (command->is_unwanted)
		return;
	log_warn(&inst->scope, "%s", err->msg);
	store_save(inst);
	instance_tell_process(inst, command->name, message);
}

static void command_end(struct command *command, const struct proc_end *end, const struct err *err)
{
	struct instance *inst = command->inst;
	command_report(command, end, err);
	boot_release(&command->proc);
	files_update(inst);
	if (!command->is_unwanted && command->required)
		commands_forsake(inst, err);
	else if (!command->is_unwanted)
		commands_continue(inst, command->is_post);
	if ((inst->state == INST_CLOSING || inst->state == INST_FAILING) && !commands_live(inst))
		instance_event(inst, INST_EV_CLEARED, inst->reason);
}

static void command_cannot_run(struct command *command, int sys, struct err *err)
{
	const char *word = command->argv.items[0];
	if (sys == ENOENT)
		err_set(err, ERR_NOT_FOUND,
			"%s command \"%s\": \"%s\" not found; install it, or correct PATH or the command in target \"%s\"",
			command_kind(command), command->name, word, command->inst->target->name);
	else
		err_sys(err, sys, "%s command \"%s\": \"%s\" cannot be executed; correct the command in target \"%s\"",
			command_kind(command), command->name, word, command->inst->target->name);
	err_reason(err, "command-failed");
}

static void command_describe_end(struct command *command, const struct proc_end *end, struct err *err)
{
	const char *kind = command_kind(command), *name = command->name;
	if (end->exec_errno != 0)
		command_cannot_run(command, end->exec_errno, err);
	else if (end->signal != 0)
		err_set(err, ERR_FAILED_PRECONDITION, "%s command \"%s\" was ended by signal %d (%s); its output is in %s.log", kind, name,
			end->signal, strsignal(end->signal), name);
	else if (end->shim_died)
		err_set(err, ERR_FAILED_PRECONDITION, "%s command \"%s\" is gone, and nobody knows how it ended", kind, name);
	else
		err_set(err, ERR_FAILED_PRECONDITION, "%s command \"%s\" has ended with code %d; its output is in %s.log", kind, name,
			end->code, name);
	err_reason(err, "command-failed");
}

static void command_on_ended(void *ctx, const struct proc_end *end)
{
	struct command *command = ctx;
	struct err err = ERR_INIT;
	command_describe_end(command, end, &err);
	command_end(command, end, &err);
}

/* ---------------------------------------------------------------- beginning */

static void command_on_started(void *ctx, pid_t pid)
{
	struct command *command = ctx;
	log_debug(&command->inst->scope, "%s command %s is process %d", command_kind(command), command->name, (int)pid);
	if (command->began_ns == 0) { /* else it was adopted */
		command->began_ns = clock_wall_ns();
		if (command->required)
			commands_settle(command->inst);
	}
	files_update(command->inst);
	commands_continue(command->inst, command->is_post);
}

static const struct proc_ops command_ops = { .on_started = command_on_started, .on_ended = command_on_ended };

static int command_launch(struct command *command, int run_dir, int log, struct err *err)
{
	struct instance *inst = command->inst;
	const struct proc_fd fds[] = { { log, STDOUT_FILENO }, { log, STDERR_FILENO } };
	struct strv env;
	boot_environment(inst, command->mark, &env);
	struct proc_spec spec = {
		.run_dir = run_dir,
		.name = command->proc_name,
		.program = command->program,
		.argv = (const char *const *)command->argv.items,
		.envp = (const char *const *)env.items,
		.cwd = boot_cwd(inst),
		.umask = boot_umask(inst),
		.user = instance_as(inst),
		.fds = fds,
		.fd_count = 2,
	};
	int rc = boot_spawn_in_group(inst, &spec, &command_ops, command, &command->proc, err);
	strv_fini(&env);
	return rc;
}

static int command_begin(struct command *command, struct err *err)
{
	char *run_path = instance_run_path(command->inst), *log_path = command_log_path(command);
	int run_dir = -1, rc = dirs_open(run_path, &run_dir, err);
	int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (rc == 0 && log < 0)
		rc = err_sys(err, errno, "open \"%s\"", log_path);
	if (rc == 0)
		access_let_read(command->inst, AT_FDCWD, log_path);
	if (rc == 0)
		rc = command_launch(command, run_dir, log, err);
	if (run_dir >= 0)
		close(run_dir);
	if (log >= 0)
		close(log);
	free(run_path);
	free(log_path);
	command->is_begun = rc == 0;
	return rc < 0 ? err_prefix(err, "%s command \"%s\" cannot be started", command_kind(command), command->name) : 0;
}

/* When they are begun. */
static bool commands_may_begin(const struct instance *inst, bool is_post)
{
	return is_post ? inst->state == INST_RUNNING || inst->state == INST_PAUSED : inst->state == INST_ASSISTING;
}

static void commands_begun(struct instance *inst, bool is_post)
{
	if (!is_post) {
		instance_event(inst, INST_EV_PREPARED, "the emulator is starting"); /* with its own record */
	} else if (commands_are_begun(inst)) {
		store_save(inst);
		instance_changed(inst); /* whoever waits for the start */
	}
}

/* The next one. It goes on when that has its process, or at once when it cannot be begun. */
static void commands_continue(struct instance *inst, bool is_post)
{
	struct err err = ERR_INIT;
	if (!commands_may_begin(inst, is_post))
		return;
	for (size_t i = 0; i < inst->command_count; i++) {
		struct command *command = &inst->commands[i];
		if (command->is_post != is_post || command->is_begun || command->end != NULL)
			continue;
		if (command_begin(command, &err) < 0)
			command_end(command, &(struct proc_end){ .code = -1 }, &err); /* goes on from there */
		return;
	}
	commands_begun(inst, is_post);
}

static void commands_take_programs(struct instance *inst, const struct prepare_program *rows)
{
	struct err lacking = ERR_INIT;
	for (size_t i = 0; i < inst->command_count; i++) {
		struct command *command = &inst->commands[i];
		struct err err = ERR_INIT;
		if (rows[i].sys == 0) {
			command->program = xstrdup(rows[i].path);
			continue;
		}
		command_cannot_run(command, rows[i].sys, &err);
		command_report(command, &(struct proc_end){ .code = -1, .exec_errno = rows[i].sys }, &err);
		if (command->required && !err_is_set(&lacking))
			lacking = err;
	}
	if (err_is_set(&lacking))
		commands_forsake(inst, &lacking);
	else
		commands_continue(inst, false);
}

static void commands_on_programs(void *ctx, const struct prepare_program *rows, const struct err *err)
{
	struct instance *inst = ctx;
	inst->prepare = NULL;
	if (err == NULL) {
		commands_take_programs(inst, rows);
		return;
	}
	inst->start_error = *err;
	instance_event(inst, INST_EV_REFUSED, err->msg);
}

int commands_assist(struct instance *inst, struct err *err)
{
	const char *names[COMMANDS_MAX];
	for (size_t i = 0; i < inst->command_count; i++)
		names[i] = inst->commands[i].argv.items[0];
	if (store_put(inst, err) < 0)
		return -1;
	return prepare_programs(inst->env->base, instance_as(inst), prepare_environment(inst->request), inst->home, names,
				inst->command_count, commands_on_programs, inst, &inst->prepare, err);
}

void commands_follow(struct instance *inst)
{
	if (!commands_are_begun(inst))
		commands_continue(inst, true);
}

void commands_stop(struct instance *inst, bool is_post, uint32_t grace_ms)
{
	for (size_t i = inst->command_count; i > 0; i--) {
		struct command *command = &inst->commands[i - 1];
		if (command->proc == NULL || command->is_post != is_post)
			continue;
		command->is_unwanted = true;
		proc_stop(command->proc, grace_ms);
	}
}

/* ---------------------------------------------------------------- adoption */

bool commands_own(const struct instance *inst, const char *proc_name)
{
	for (size_t i = 0; i < inst->command_count; i++)
		if (inst->commands[i].proc != NULL && strcmp(inst->commands[i].proc_name, proc_name) == 0)
			return true;
	return false;
}

/* The run directory, or its files, may be gone; then what carries the mark is ended. `spare_dir` takes the place of that directory. */
static int command_adopt(struct command *command, int run_dir, int spare_dir, struct err *err)
{
	struct event_base *base = command->inst->env->base;
	int rc = -1;
	if (run_dir >= 0)
		rc = proc_adopt(base, run_dir, command->proc_name, &command_ops, command, &command->proc, err);
	else
		err->code = ERR_NOT_FOUND;
	command->is_begun |= rc == 0;
	if (rc == 0 || (err->code != ERR_NOT_FOUND && err->code != ERR_DATA_LOSS))
		return rc;
	if (!command->is_begun)
		return 0; /* it is still to come */
	return proc_adopt_lost(base, spare_dir, command->proc_name, command->mark, command->inst->user.uid, &command_ops, command,
			       &command->proc, err);
}

int commands_adopt(struct instance *inst, struct err *err)
{
	char *run_path = instance_run_path(inst);
	int run_dir = -1, rc = inst->command_count > 0 ? dirs_open(run_path, &run_dir, err) : 0;
	if (rc < 0 && err->code == ERR_NOT_FOUND)
		rc = 0;
	for (size_t i = 0; i < inst->command_count && rc == 0; i++)
		if (inst->commands[i].end == NULL)
			rc = command_adopt(&inst->commands[i], run_dir, inst->log_dir, err);
	if (run_dir >= 0)
		close(run_dir);
	free(run_path);
	return rc;
}

void commands_forget(struct instance *inst)
{
	for (size_t i = 0; i < inst->command_count; i++) {
		struct command *command = &inst->commands[i];
		if (command->end != NULL || !command->is_begun)
			continue;
		command_note(command, &(struct proc_end){ .code = -1, .shim_died = true }, "the host was rebooted");
		command->end->cause = PWEMU__V1__END_CAUSE__END_CAUSE_HOST_REBOOTED;
	}
}

bool commands_are_forgotten(const struct instance *inst)
{
	for (size_t i = 0; i < inst->command_count; i++)
		if (inst->commands[i].end != NULL && inst->commands[i].end->cause == PWEMU__V1__END_CAUSE__END_CAUSE_HOST_REBOOTED)
			return true;
	return false;
}

/* ---------------------------------------------------------------- the record */

void commands_record(const struct instance *inst, Pwemu__V1__Record *record)
{
	record->commands = xcalloc(inst->command_count, sizeof(*record->commands));
	for (size_t i = 0; i < inst->command_count; i++) {
		const struct command *command = &inst->commands[i];
		Pwemu__V1__RecordCommand *row = xcalloc(1, sizeof(*row));
		pwemu__v1__record_command__init(row);
		row->name = command->name;
		row->argv = command->argv.items;
		row->n_argv = command->argv.count;
		row->program = command->program != NULL ? command->program : (char *)"";
		row->is_post = command->is_post;
		row->required = command->required;
		row->proc = command->proc_name;
		row->mark = command->mark;
		row->begun = command->is_begun;
		row->end = command->end;
		row->began_ns = command->began_ns;
		record->commands[record->n_commands++] = row;
	}
}

void commands_record_fini(Pwemu__V1__Record *record)
{
	for (size_t i = 0; i < record->n_commands; i++)
		free(record->commands[i]);
	free(record->commands);
}

void commands_apply(struct instance *inst, const Pwemu__V1__Record *record)
{
	inst->commands = xcalloc(record->n_commands, sizeof(*inst->commands));
	for (size_t i = 0; i < record->n_commands; i++) {
		const Pwemu__V1__RecordCommand *row = record->commands[i];
		struct command *command = &inst->commands[inst->command_count++];
		*command = (struct command){ .inst = inst, .is_post = row->is_post, .required = row->required, .is_begun = row->begun };
		command->name = xstrdup(row->name);
		strv_init(&command->argv);
		strv_add_all(&command->argv, row->argv, row->n_argv);
		command->program = row->program[0] != '\0' ? xstrdup(row->program) : NULL;
		command->proc_name = xstrdup(row->proc);
		command->mark = xstrdup(row->mark);
		command->began_ns = row->began_ns;
		command->end = PB_COPY(Pwemu__V1__End, row->end);
	}
}
