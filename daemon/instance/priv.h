/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an instance, shared by the files of this directory alone. */
#pragma once

#include "base/hash.h"
#include "base/log.h"
#include "channel/bridge.h"
#include "channel/endpoint.h"
#include "instance/access.h"
#include "instance/ends.h"
#include "instance/hang.h"
#include "instance/instance.h"
#include "instance/journal.h"
#include "instance/lease.h"
#include "instance/prepare.h"
#include "instance/restart.h"
#include "loop/timer.h"
#include "pwemu/v1/record.pb-c.h"

struct debug;
struct load;
struct command;
struct files;

/* Somebody at an endpoint, or attached to a socket of the emulator's. */
struct party {
	char *who; /* for people */
	uint64_t since_ns;
};

struct instance_channel {
	char name[PLAN_NAME_MAX];
	enum channel_kind kind;
	bool has_input;
	bool is_socket;        /* reached by NAME.sock in the run directory; has no log */
	bool is_draining;      /* its hub has not reported the end of the boot yet */
	bool has_writer;       /* as it was told last */
	struct hub *hub;       /* NULL: not opened */
	uint64_t offset;       /* end of the log while it is not opened */
	uint64_t first_offset; /* its beginning, likewise */
	struct instance *inst;

	/* Its endpoint; INST_HOLDS_ENDPOINTS. Kind and port stay after the end, so that a later start asks for the same port. */
	enum endpoint_kind endpoint_kind;
	uint16_t port;
	char pty_path[ENDPOINT_PATH_MAX];
	struct endpoint_fds endpoint_fds;
	struct endpoint *endpoint; /* NULL: not served yet */
	struct bridge *bridge;     /* of a socket of the emulator's; NULL: there is no boot */
	bool is_ending;            /* it serves what is left; its instance is over */
	bool had_party;            /* somebody came to it in the latest boot */
	struct party *parties;     /* who is there now */
	size_t party_count;
};

/* What the registry looks instances up by. */
enum instance_key { INSTANCE_ID, INSTANCE_NAME, INSTANCE_DIR, INSTANCE_TOKEN, INSTANCE_KEYS };

struct instance {
	const struct instance_env *env;
	struct log_scope scope;
	char *id, *name, *project, *working_dir;
	/* Of the registry: its place there, and in each of its tables. */
	size_t row;
	struct hash_node by[INSTANCE_KEYS];
	struct user user;     /* its owner … */
	struct shares shares; /* … and what he lets others do */
	char *machine, *host; /* of the client; "": here */
	char *home;           /* the working directory; of an instance of another machine a directory of the daemon's */

	enum inst_state state;
	uint64_t state_since_ns;
	char reason[320];
	struct timer *timer;
	struct err start_error;
	struct lease *lease; /* never NULL */
	uint64_t ticket;     /* of the queue; INST_QUEUED */

	Pwemu__V1__Target *target;
	Pwemu__V1__StartRequest *request;
	struct prepare_result *prepared;
	struct strv argv;          /* of the latest boot */
	struct strv argv_template; /* the same with its expressions; empty where there are none */
	struct strv setup;         /* of struct plan, likewise */
	struct command *commands;  /* of the latest explicit start, those before the emulator first */
	size_t command_count;
	struct timer *settle; /* armed: a required command has just begun; NULL: none was */
	struct files *files;
	char *program, *mark;

	uint32_t boot;
	uint64_t began_ns, started_ns, ended_ns; /* of the latest boot: process, guest; of the instance */
	bool was_ready, stop_requested;
	char emulator_version[64]; /* of the latest boot, in its own words; "": it has not said */
	bool has_private_network;  /* the emulator of the latest boot … */
	bool shares_network;       /* … with others of its user; false of an adopted one */
	uint64_t oom_kills;        /* in its control group, before the latest boot */
	char ending[192];          /* why the daemon ends the boot; "" when it is not the daemon … */
	bool was_refused;          /* … and whether the emulator did not take its configuration */
	char shutdown_reason[64];
	struct proc_end proc_end;
	struct ends ends;
	bool has_end; /* the latest of them is that of the latest boot */

	struct restart_policy restart;
	struct restart_history deaths;
	uint32_t restarts;      /* automatic ones since the latest explicit start */
	bool is_restart;        /* the latest boot is one */
	bool no_restart;        /* a user asked for the end */
	uint32_t grace_ms;      /* of the stop */
	bool restart_wanted;    /* by the hang policy, whatever the restart policy's mode */
	uint64_t restart_at_ns; /* in back-off */

	struct prepare *prepare;  /* INST_HOLDS_HELPER: of images, or of programs of commands */
	struct boot *layout;      /* INST_HOLDS_FIFOS, until the process has them */
	char *proc_name;          /* of the latest boot's process to its shim */
	struct proc *proc;        /* INST_HOLDS_PROC */
	struct proc *old_proc;    /* that of the boot before, until its successor holds the descriptors */
	struct driver_link *link; /* INST_HOLDS_LINK */
	struct timer *quit_late;  /* the emulator was asked to quit; then signals follow */
	struct timer *link_again; /* its emulator did not take the connection of an adoption yet, or the link was lost */
	struct hang *hang;        /* as the link */
	const struct driver_ops *driver;
	struct load *load;        /* NULL: none is under way */
	char *loaded_path;        /* image that was loaded into this boot; NULL: none */
	uint64_t loaded_entry;    /* where it begins … */
	bool loaded_has_entry;    /* … and whether that is known */
	struct debug *debug;      /* of the channel's bridge; NULL: there is no such channel */
	bool is_debugged;         /* a debugger is attached, or was to an earlier daemon … */
	bool debug_was_running;   /* … and the guest ran before, or is wanted to run after */
	int log_dir;              /* -1: not opened */
	uint64_t disk_bytes;      /* of data directory and logs … */
	uint64_t record_hash;     /* of the record on disk; 0: not written by this daemon … */
	uint64_t record_rest;     /* … and store_hash_of_rest() of what was written last */
	uint32_t disk_bytes_boot; /* … after this boot; 0: not measured */

	struct instance_channel **channels;
	size_t channel_count;
	size_t draining;
};

/* ---- instance.c */
/* Feeds an event to the table; true when it led to another state. */
bool instance_event(struct instance *inst, enum inst_event event, const char *reason);
void instance_changed(struct instance *inst);
/* It is queued: arms what ends that. */
void instance_wait_turn(struct instance *inst);
/* FAILED_PRECONDITION (not-running) unless its emulator can be asked. */
int instance_check_up(const struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* Ends the link and what goes with it, lost or not. */
void instance_disconnect(struct instance *inst);
/* It hangs: what the policy wants. */
void instance_hung(struct instance *inst, Pwemu__V1__HangAction action, const char *reason);
/* How the latest boot ended; NULL while it lives. */
Pwemu__V1__End *instance_end(const struct instance *inst);
/* What its processes and helpers become; NULL: they keep the daemon's identity. */
const struct user *instance_as(const struct instance *inst);
char *instance_run_path(const struct instance *inst);  /* to be freed */
char *instance_data_path(const struct instance *inst); /* to be freed */
/* As instance_tell, of a pre-start or post-start command. */
void instance_tell_process(struct instance *inst, const char *process, const char *reason);

/* ---- boot.c */
/* Makes the run directory with FIFOs, sockets and endpoints for a boot that is to come. */
int boot_lay_out(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* For an explicit start: the commands, which may name what was laid out, as may the emulator's arguments. */
int boot_plan_commands(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
void boot_discard_layout(struct instance *inst);
/* Starts the process in what was laid out, begins the boot on every channel. A restart lays out itself, and repeats the command line. */
int boot_begin(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
void boot_release(struct proc **proc); /* takes pointers to NULL */
/* A variable that tells a client which daemon to use, perhaps with a token, or the mark of another process: no matter of an emulator's. */
bool boot_is_clients_own(const char *variable);
/* What processes of the instance run with. The environment: the user's, or where a client sent none, or is elsewhere, a plain one (of a
 * daemon of one user: its own), with the mark. */
void boot_environment(const struct instance *inst, const char *mark, struct strv *env);
/* proc_spawn() in the instance's control group, where the settings name a place for groups: then its memory is limited there. */
int boot_spawn_in_group(const struct instance *inst, struct proc_spec *spec, const struct proc_ops *ops, void *ctx, struct proc **out,
			struct err *err) __attribute__((warn_unused_result));
/* What the kernel has ended in that group for want of memory, since it was made. */
uint64_t boot_oom_kills(const struct instance *inst);
void boot_leave_group(const struct instance *inst);
const char *boot_cwd(const struct instance *inst);
mode_t boot_umask(const struct instance *inst);
void boot_remove_files(struct instance *inst);
extern const struct proc_ops boot_proc_ops;

/* ---- boot_link.c */
/* The guest goes on, or has stopped. */
void boot_guest_runs(struct instance *inst, bool runs, const char *reason);
/* The link to the emulator of a boot that was just started, or of an earlier daemon or link (is_adopted). */
int boot_connect(struct instance *inst, int run_dir, const char *run_path, bool is_adopted, struct err *err)
	__attribute__((warn_unused_result));
/* Ends the process tree within grace_ms, in the emulator's good order if it has one. Again: by signals. */
void boot_stop(struct instance *inst);
void boot_quit_late(void *ctx); /* timer */

/* ---- boot_adopt.c */
/* Takes over a boot of an earlier daemon, or in back-off what its shim holds. NOT_FOUND: there is nothing. */
int boot_adopt(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* Takes over the descriptors that the shim of the boot before holds, when its successor never came to life. */
int boot_adopt_before(struct instance *inst, struct err *err) __attribute__((warn_unused_result));

/* The link was lost: another one if the emulator lives on. */
void boot_link_later(struct instance *inst);
/* Timer: the connection to an emulator that was too busy for it, or whose link was lost. */
void boot_link_again(void *ctx);

/* ---- boot_end.c */
/* The process is dead: what the FIFOs hold goes to the logs; then how it ended, and whether it is started again. */
void boot_drain(struct instance *inst);
/* What the FIFOs still hold cannot be moved: as boot_drain without it. */
void boot_give_up(struct instance *inst);
/* It could not even be begun, or not again: the event that this leads to, and its reason. */
enum inst_event boot_refused(struct instance *inst, const struct err *err, char *reason, size_t size);

/* ---- endpoints.c */
/* Suffixes of the names under which a shim holds an endpoint's descriptors. */
#define ENDPOINT_LISTENER ".tcp"
#define ENDPOINT_MASTER   ".pty"
#define ENDPOINT_SLAVE    ".tty"
#define ENDPOINT_CURSOR   ".cur"
bool endpoints_has_fds(const struct instance_channel *channel);
/* What the start wants for the channel: the request's word beats the target's. */
int endpoints_want(const struct instance *inst, const char *channel, enum endpoint_kind *kind, uint16_t *port, struct err *err)
	__attribute__((warn_unused_result));
/* For a start. port: wanted, 0 for any. */
int endpoints_make(const struct instance *inst, const char *channel, bool is_socket, enum endpoint_kind kind, uint16_t port,
		   struct endpoint_fds *fds, uint16_t *got_port, char path[ENDPOINT_PATH_MAX], struct err *err)
	__attribute__((warn_unused_result));
/* A TCP endpoint on this very port (0: on any), for a channel that had none. ALREADY_EXISTS (port-taken) says who has it. */
int endpoints_make_port(const struct instance *inst, const char *channel, uint16_t port, struct endpoint_fds *fds, uint16_t *got_port,
			struct err *err) __attribute__((warn_unused_result));
/* What a type means for a channel; "" is none. INVALID_ARGUMENT (invalid-channel-type). */
int endpoints_parse_kind(const char *channel, const char *type, enum endpoint_kind *kind, struct err *err)
	__attribute__((warn_unused_result));
/* Every channel that the request names must be there. */
int endpoints_check(const struct instance *inst, const struct plan *plan, struct err *err) __attribute__((warn_unused_result));
void endpoints_serve(struct instance_channel *channel, bool adopted);
/* Something about its endpoint to be known. ctx: the channel. */
void endpoints_on_trouble(void *ctx, const struct err *err);
/* Serves those that there are; a boot has begun (adopted: is gone on with, or has ended and another will come). */
void endpoints_serve_all(struct instance *inst, bool adopted);
/* Takes the descriptors from the shim. */
void endpoints_fetch(struct instance *inst, struct proc *proc);
void endpoints_close(struct instance_channel *channel);
void endpoints_close_all(struct instance *inst); /* at once, also those that are ending */
void endpoints_end_all(struct instance *inst);   /* who is there gets what is left */

/* ---- access.c */
/* What is the daemon's and in a directory of its own can be read by the instance's owner; "." is the directory. Where that cannot be it is
 * logged: he has it through the daemon. */
void access_let_read(const struct instance *inst, int dir, const char *file);

/* ---- parties.c */
void parties_note(struct instance_channel *channel, bool attached, const char *who);
void parties_clear(struct instance_channel *channel);
bool parties_may_connect(void *ctx, uid_t uid); /* ctx: the channel */

/* ---- debug.c */
/* Makes the bridge of the gdb channel; config lacks the filter alone. */
void debug_serve(struct instance *inst, struct bridge_config *config, struct bridge **out);
void debug_free(struct debug *debug); /* after its bridge; takes NULL */
/* The link of an adopted boot is ready: what the debugger of an earlier daemon has left goes. */
void debug_clean_adopted(struct instance *inst);
/* A user pauses or resumes while there is a debugger. True: it is done here, and `done` will be called. */
bool debug_acts(struct instance *inst, enum driver_action action, driver_done_fn done, void *ctx);
void debug_guest_resumed(struct instance *inst);

/* ---- load.c */
/* FAILED_PRECONDITION (busy) while a load is under way. */
int load_check_idle(const struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* A reset where something was loaded. False: none of its business. */
bool load_resets(struct instance *inst, driver_done_fn done, void *ctx);
void load_cancel(struct instance *inst); /* before the link goes */
void load_forget(struct instance *inst); /* another boot begins */

/* ---- channels.c */
struct instance_channel *channels_default(const struct instance *inst);
struct instance_channel *channels_find(const struct instance *inst, const char *name);
/* By name; NULL or "": the default one. NULL with NOT_FOUND (invalid-channel), which names those there are. */
struct instance_channel *channels_get(const struct instance *inst, const char *name, struct err *err);
void channels_set(struct instance *inst, const struct plan *plan);
void channels_free(struct instance *inst);
/* The directory of logs and record; open while the instance is not over and while a log is. */
int channels_open_dir(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
int channels_open(struct instance *inst, struct instance_channel *channel, struct err *err) __attribute__((warn_unused_result));
void channels_set_final(struct instance *inst);
void channels_set_bounds(struct instance *inst); /* the settings have changed */
/* Tail of the emulator's own messages in this boot; to be freed. */
char *channels_emulator_text(struct instance *inst);

/* ---- describe.c */
/* The policy in force with its defaults filled in; to be freed. */
Pwemu__V1__RestartPolicy *instance_describe_restart(const struct instance *inst);

/* ---- store.c */
/* Writes the record. Where nothing of the instance is on disk yet it does nothing. */
int store_put(struct instance *inst, struct err *err) __attribute__((warn_unused_result));
/* As store_put where it must go on without: a failure is logged. */
void store_save(struct instance *inst);
Pwemu__V1__Record *store_load(const char *path, struct err *err);
void store_apply(struct instance *inst, const Pwemu__V1__Record *record);
