/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the Renode driver share. */
#pragma once

#include "driver/monitor.h"
#include "driver/renode.h"

struct ferry;
struct tail;
struct renode_gdb;
struct renode_load;
struct renode_user;

#define RENODE_COMMAND_TIMEOUT_MS 20000        /* Mono compiles what it runs the first time */
#define RENODE_SETUP_TIMEOUT_MS   55000        /* a platform is silent for seconds */
#define RENODE_DIR                "renode"     /* in the run directory: what Renode makes itself, log and terminals */
#define RENODE_LOG                "renode.log" /* in there, and the name under which the shim holds it */
#define RENODE_UARTS_MAX          PLAN_CHANNELS_MAX

/* Words of on_shutdown: it was paused, all that the guest had printed was taken, then it was told to quit. */
#define RENODE_QUIT      "quit"
#define RENODE_USER_QUIT "monitor-quit"
/* It ended in its set-up: no guest has printed anything. */
#define RENODE_NEVER_RAN "never-ran"

struct renode_uart {
	struct driver_link *link;
	const char *channel; /* the target's */
	struct ferry *ferry; /* NULL: not there yet */
};

struct driver_link {
	struct monitor *monitor;
	const struct driver_events *events;
	void *ctx;
	struct event_base *base;
	char *run_path;
	int run_dir, own_dir; /* and RENODE_DIR in it, where the emulator's user writes */
	uid_t uid;            /* his */
	const Pwemu__V1__Target *target;
	const Pwemu__V1__StartRequest *request;
	const struct strv *setup;
	pid_t pid;
	size_t step;      /* of setup that is being done */
	char *cpu;        /* path of the first processor; NULL: not known yet */
	bool was_ready;   /* in this boot, before this link */
	bool is_ready;    /* on_ready was told */
	bool is_started;  /* the emulation, as it was last heard of */
	bool is_quitting; /* it was told to quit */
	struct renode_uart uarts[RENODE_UARTS_MAX];
	size_t uart_count;
	struct tail *log;         /* NULL: not there yet */
	struct renode_gdb *gdb;   /* NULL: nobody debugs */
	struct renode_user *user; /* NULL: nobody is at the monitor channel */
	unsigned users_commands;  /* under way, also of users who have left */
	struct renode_load *load; /* NULL: none is under way */
};

/* ---- renode_plan.c */
/* In a command of the set-up: the path of the first processor, which only the board knows. No path can have it in it. */
#define RENODE_FIRST_CPU "#cpu#"
/* Path or name as an argument in the monitor: "@/my\ dir/x"; to be freed. INVALID_ARGUMENT: it cannot be written there. */
char *renode_path(const char *path, struct err *err);
/* Name under which the monitor knows the machine. */
const char *renode_machine_name(const Pwemu__V1__Target *target);
/* Path of the link to a channel's terminal; to be freed. */
char *renode_terminal_path(const char *run_path, const char *channel);

/* ---- renode_link.c */
/* Asks whether the emulation is started, and tells of a change that nobody here has made. */
void renode_look(struct driver_link *link);
/* It runs or rests from now on; the instance hears of it. */
void renode_set_started(struct driver_link *link, bool is_started);
/* Pauses, takes the last output, quits. why: RENODE_QUIT, RENODE_USER_QUIT. */
void renode_quit_for(struct driver_link *link, const char *why);

/* ---- renode_uart.c */
int renode_uarts_open(struct driver_link *link, bool is_adopted, struct err *err) __attribute__((warn_unused_result));
/* True: all that the guests have printed so far is in the FIFOs. */
bool renode_uarts_drain(struct driver_link *link);
void renode_uarts_close(struct driver_link *link);

/* ---- renode_gdb.c */
void renode_gdb_open(struct driver_link *link, driver_open_fn done, void *ctx);
void renode_gdb_close(struct driver_link *link);
void renode_gdb_follow(struct driver_link *link, bool runs, bool rests);
/* What a debugger of an earlier daemon has left goes. */
void renode_gdb_clean(struct driver_link *link);
void renode_gdb_cancel(struct driver_link *link); /* the link is about to go */

/* ---- renode_user.c */
void renode_user_open(struct driver_link *link, driver_open_fn done, void *ctx);
void renode_user_close(struct driver_link *link);
/* The machine that a prompt names is what commands mean from now on; NULL: the instance's. */
void renode_select(struct driver_link *link, const char *prompt);

/* ---- renode_props.c */
void renode_list_properties(struct driver_link *link, const char *path, driver_properties_fn done, void *ctx);
void renode_get_property(struct driver_link *link, const char *path, const char *property, driver_value_fn done, void *ctx);
void renode_set_property(struct driver_link *link, const char *path, const char *property, const char *value, bool is_json,
			 driver_done_fn done, void *ctx);

/* ---- renode_load.c */
void renode_load_begin(struct driver_link *link, const struct driver_load *what, driver_done_fn done, void *ctx);
void renode_load_cancel(struct driver_link *link); /* the link is about to go */
