/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an instance, shared by the files of this directory alone. */
#pragma once

#include "base/log.h"
#include "instance/instance.h"
#include "instance/journal.h"
#include "instance/prepare.h"
#include "loop/timer.h"
#include "pwemu/v1/record.pb-c.h"

#define BOOT_PROC "emulator" /* name of the process to its shim */

struct instance_channel {
	char name[PLAN_NAME_MAX];
	enum channel_kind kind;
	bool has_input;
	bool is_socket;        /* reached by NAME.sock in the run directory; has no log */
	bool is_draining;      /* its hub has not reported the end of the boot yet */
	struct hub *hub;       /* NULL: not opened */
	uint64_t offset;       /* end of the log while it is not opened */
	uint64_t first_offset; /* its beginning, likewise */
	struct instance *inst;
};

struct instance {
	const struct instance_env *env;
	struct log_scope scope;
	char *id, *name, *project, *working_dir, *owner;
	uid_t uid;

	enum inst_state state;
	char reason[256];
	struct timer *timer;
	struct err start_error;
	uint64_t keeper;
	struct timer *keeper_timer; /* NULL: not adopted, or its keeper has come back */

	Pwemu__V1__Target *target;
	Pwemu__V1__StartRequest *request;
	struct prepare_result *prepared;
	struct strv argv; /* of the latest boot */
	char *program, *mark;

	uint32_t boot;
	uint64_t started_ns, ended_ns;
	bool was_ready, stop_requested;
	char shutdown_reason[64];
	bool has_end;
	struct proc_end proc_end;
	Pwemu__V1__End end;
	char end_message[256];

	struct prepare *prepare;  /* INST_HOLDS_HELPER */
	struct boot *layout;      /* INST_HOLDS_FIFOS, until the process has them */
	struct proc *proc;        /* INST_HOLDS_PROC */
	struct driver_link *link; /* INST_HOLDS_LINK */
	const struct driver_ops *driver;
	int log_dir;              /* -1: not opened */
	uint64_t disk_bytes;      /* of data directory and logs … */
	uint32_t disk_bytes_boot; /* … after this boot; 0: not measured */

	struct instance_channel **channels;
	size_t channel_count;
	size_t draining;
};

/* ---- instance.c */
/* Puts down that something happened: an event about this instance as it is now. channel and actor may be NULL. */
void instance_tell(struct instance *inst, Pwemu__V1__EventKind kind, const char *channel, const char *actor, const char *reason);
/* Feeds an event to the table; true when it led to another state. */
bool instance_event(struct instance *inst, enum inst_event event, const char *reason);
void instance_changed(struct instance *inst);
char *instance_run_path(const struct instance *inst);  /* to be freed */
char *instance_data_path(const struct instance *inst); /* to be freed */

/* ---- boot.c */
/* Makes the run directory with FIFOs and sockets for the start that is being prepared. */
int boot_lay_out(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
void boot_discard_layout(struct instance *inst);
/* Starts the process in what was laid out, begins the boot on every channel. */
int boot_begin(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* Takes over a boot of an earlier daemon. */
int boot_adopt(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* The process is dead: what the FIFOs hold goes to the logs; INST_EV_DRAINED or _SPOILED follows. */
void boot_drain(struct instance *inst);
/* What the FIFOs still hold cannot be moved: gives it up, says how the boot ended. */
void boot_give_up(struct instance *inst);
void boot_remove_files(struct instance *inst);

/* ---- channels.c */
struct instance_channel *channels_find(const struct instance *inst, const char *name);
void channels_set(struct instance *inst, const struct plan *plan);
void channels_free(struct instance *inst);
/* The directory of logs and record; open while the instance is not over and while a log is. */
int channels_open_dir(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
int channels_open(struct instance *inst, struct instance_channel *channel, struct err *err) __attribute__((warn_unused_result));
void channels_set_final(struct instance *inst);
/* Tail of the emulator's own messages in this boot; to be freed. */
char *channels_emulator_text(struct instance *inst);

/* ---- store.c */
/* Writes the record. Where nothing of the instance is on disk yet it does nothing. */
int store_put(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* As store_put where it must go on without: a failure is logged. */
void store_save(struct instance *inst);
Pwemu__V1__Record *store_load(const char *path, struct err *err);
void store_apply(struct instance *inst, const Pwemu__V1__Record *record);
