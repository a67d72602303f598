/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-start and post-start commands of an instance: programs in the background, each under a shim of its own. They belong to the
 * instance, not to a boot: an automatic restart of the emulator finds them running, so does the next daemon; one that has died is begun
 * again with the next explicit start. They end, whole trees, before the instance is over.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strv.h"
#include "pwemu/v1/instances.pb-c.h"
#include "pwemu/v1/record.pb-c.h"
#include "wire/err.h"

struct expand_scope;
struct instance;
struct proc;

#define COMMANDS_MAX 64 /* as target_validate() has it */

struct command {
	struct instance *inst;
	char *name;
	struct strv argv; /* without expressions */
	bool is_post, required;
	char *program;   /* NULL: not looked for yet, or not found */
	char *proc_name; /* to its shim; also PWEMU_INSTANCE in its environment, as a shim's tree is known by it: */
	char *mark;
	bool is_begun, is_unwanted; /* its end is asked for */
	struct proc *proc;          /* NULL: not begun, or nothing of it is left */
	uint64_t began_ns;
	Pwemu__V1__End *end; /* NULL: it runs, or was not begun */
};

/* Makes those of the target, for an explicit start; nothing runs yet. */
int commands_plan(struct instance *inst, const struct expand_scope *scope, struct err *err) __attribute__((warn_unused_result));
/* Leaves what runs as it is. */
void commands_free(struct instance *inst);

/* INST_ASSISTING: looks for the programs of all, then begins the pre-start commands; INST_EV_PREPARED follows. */
int commands_assist(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* The emulator is ready: the post-start commands that were not begun yet. instance_changed() follows where there were any. */
void commands_follow(struct instance *inst);
/* All of them were begun, or could not be. */
bool commands_are_begun(const struct instance *inst);
/* So they are, and the required ones have lived for a moment since: what ends at once fails the start that waits for this. Where none is
 * required there is nothing to wait for; those before the emulator live through its start meanwhile. instance_changed() follows. */
bool commands_are_settled(const struct instance *inst);
bool commands_live(const struct instance *inst);
/* Ends the post-start or the pre-start ones, the last first; in INST_CLOSING and INST_FAILING INST_EV_CLEARED follows with the last. */
void commands_stop(struct instance *inst, bool is_post, uint32_t grace_ms);

/* After the record was applied: what an earlier daemon left. */
int commands_adopt(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* The host was rebooted: none is left. */
void commands_forget(struct instance *inst);
/* Some ended so, and none was begun since: what comes back needs a start with all of them. */
bool commands_are_forgotten(const struct instance *inst);
/* Whether a shim of this name is one of theirs. */
bool commands_own(const struct instance *inst, const char *proc_name);

pid_t command_pid(const struct command *command);      /* 0: it does not run */
char *command_log_path(const struct command *command); /* to be freed */

/* For the record: rows point into the commands, to be released with commands_record_fini. */
void commands_record(const struct instance *inst, Pwemu__V1__Record *record);
void commands_record_fini(Pwemu__V1__Record *record);
void commands_apply(struct instance *inst, const Pwemu__V1__Record *record);
