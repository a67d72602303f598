/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver knows one kind of emulator. It turns a start request into a plan (a command line, channels, sockets), talks to the
 * running emulator through a link, and says why one ended. It never starts or ends a process and never sees a client; instances
 * never see what protocol a link speaks. A new emulator is a new `struct driver_ops` and a row in driver.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strv.h"
#include "loop/proc.h"
#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct event_base;
struct gdb_dialect;

/* ---------------------------------------------------------------- plan */

#define PLAN_NAME_MAX     65 /* with its NUL; names of target_validate() fit */
#define PLAN_CHANNELS_MAX 32
#define PLAN_SOCKETS_MAX  8

enum channel_kind {
	CHANNEL_SERIAL,
	CHANNEL_SEMIHOSTING,
	CHANNEL_EMULATOR,
	CHANNEL_GDB,
	CHANNEL_MONITOR,
	CHANNEL_QMP,
	CHANNEL_CONTROL, /* the daemon's own */
	CHANNEL_KIND_COUNT
};

/* Word for people and clients: "serial". */
const char *channel_kind_name(enum channel_kind kind);

/* A byte stream through FIFOs in the run directory: NAME.out, and NAME.in when it takes input. */
struct plan_channel {
	char name[PLAN_NAME_MAX];
	enum channel_kind kind;
	bool has_input;
	/* Numbers under which the emulator inherits the ends, -1: it opens the FIFOs by path. */
	int out_child_fd, out_child_fd2, in_child_fd;
};

/* A listening UNIX socket NAME.sock in the run directory that the emulator inherits; child_fd -1: there is none, whoever wants the
 * channel is connected by driver_ops.open. */
struct plan_socket {
	char name[PLAN_NAME_MAX];
	enum channel_kind kind;
	int child_fd;
};

struct plan {
	struct strv argv;
	size_t argument_count; /* of its last words: those that target and user have given as arguments */
	/* Commands for the emulator's monitor that make the board, in order; kept with the boot like argv, and done by the link. */
	struct strv setup;
	struct strv env;       /* "NAME=value", instead of what the user's environment says … */
	struct strv usual_env; /* … and where it says nothing */
	struct strv dirs;      /* made in the run directory, for the emulator's user alone: plain names */
	enum proc_network network;
	bool shares_network; /* what it is to have of its own may be others' of its user as well: it needs none */
	bool is_confined;    /* as proc_spec.is_confined */
	uint32_t nofile;     /* RLIMIT_NOFILE; 0: the daemon's */
	/* The emulator's stdin and stdout are one end of a pair of sockets; the shim keeps the other as DRIVER_CONSOLE. */
	bool has_console;
	struct plan_channel channels[PLAN_CHANNELS_MAX];
	size_t channel_count;
	struct plan_socket sockets[PLAN_SOCKETS_MAX];
	size_t socket_count;
};

void plan_init(struct plan *plan);
void plan_fini(struct plan *plan);
/* Arguments of the target or the user; nothing else comes behind them. */
void plan_add_arguments(struct plan *plan, char *const *items, size_t count);
/* Whether users see it as a channel; else it is the daemon's own. */
bool plan_socket_is_channel(const struct plan_socket *socket);
/* Both return the new row, or NULL when the plan is full. */
struct plan_channel *plan_add_channel(struct plan *plan, const char *name, enum channel_kind kind, bool has_input);
struct plan_socket *plan_add_socket(struct plan *plan, const char *name, enum channel_kind kind, int child_fd);

/* An image as the checks found it. */
struct driver_image {
	const char *path;
	enum { DRIVER_IMAGE_ELF, DRIVER_IMAGE_HEX, DRIVER_IMAGE_BIN } kind;
	uint64_t address; /* load address of a BIN */
	uint64_t entry;   /* entry point of an ELF */
};

struct driver_start {
	const Pwemu__V1__Target *target;
	const Pwemu__V1__StartRequest *request;
	const char *program; /* absolute path */
	const char *run_dir; /* absolute path */
	const char *isolate; /* "auto", "off", "required" */
	bool has_no_sandbox; /* the program was built without QEMU's -sandbox */
	const struct driver_image *images;
	size_t image_count;
};

/* Whether the emulator is to be kept from what it does not need. */
bool driver_is_sandboxed(const Pwemu__V1__Target *target);

/* ---------------------------------------------------------------- link */

struct driver_link;

#define DRIVER_CONSOLE "console" /* under this name the shim keeps the daemon's end of plan.has_console */

/* What a link tells, and asks of its instance. None of them may free the link from inside, save through driver_ops.disconnect, which
 * defers. */
struct driver_events {
	void (*on_ready)(void *ctx, bool paused);           /* the emulator answers; once per link */
	void (*on_version)(void *ctx, const char *version); /* the emulator's own, before it is ready; not every one tells */
	void (*on_paused)(void *ctx, const char *reason);
	void (*on_resumed)(void *ctx);
	void (*on_reset)(void *ctx, bool by_guest);
	void (*on_shutdown)(void *ctx, const char *reason); /* "guest-reset", "host-qmp-quit"; valid during the call */
	void (*on_lost)(void *ctx, const struct err *err);  /* the link broke; the process may live on */
	/* The emulator does not take its configuration, in its own words: the boot is ended for it. */
	void (*on_refused)(void *ctx, const struct err *err);
	/* Something of a channel to be known; NULL: of the instance. */
	void (*on_trouble)(void *ctx, const char *channel, const struct err *err);
	/* A descriptor that the emulator's shim holds under this name; a new fd. NOT_FOUND: it has none. */
	int (*held)(void *ctx, const char *name, int *fd, struct err *err);
	/* Has the shim hold one more; the caller keeps his. */
	int (*hold)(void *ctx, const char *name, int fd, struct err *err);
};

/* A boot as its link finds it. */
struct driver_boot {
	struct event_base *base;
	int run_dir; /* of the call alone */
	const char *run_path;
	/* These outlive the link. */
	const Pwemu__V1__Target *target;
	const Pwemu__V1__StartRequest *request;
	const struct strv *setup;
	pid_t pid;       /* of the emulator */
	uid_t uid;       /* of its user */
	bool is_adopted; /* it may have been set up by an earlier daemon */
	bool was_ready;  /* on_ready has come before, perhaps in an earlier daemon */
};

typedef void (*driver_done_fn)(void *ctx, const struct err *err); /* err NULL: done */
/* err NULL: a connected, non-blocking stream socket that is the callee's. */
typedef void (*driver_open_fn)(void *ctx, int fd, const struct err *err);

/* A property of a device. */
struct driver_property {
	const char *name, *type;       /* in the emulator's words */
	bool is_readable, is_writable; /* neither: the emulator does not tell */
};

/* err NULL: `rows`, valid during the call. A path that leads nowhere: NOT_FOUND (invalid-property-path). */
typedef void (*driver_properties_fn)(void *ctx, const struct driver_property *rows, size_t count, const struct err *err);
/* err NULL: the value as JSON, and its type; valid during the call. Also NOT_FOUND (invalid-property). */
typedef void (*driver_value_fn)(void *ctx, const char *json, const char *type, const struct err *err);

/* What is loaded into a running board: a file of pieces, each followed by its bytes. */
struct driver_piece {
	uint64_t address, len;
};

struct driver_load {
	int fd;                          /* stands at the first piece; the driver takes it */
	const Pwemu__V1__Target *target; /* the caller's, outlives it */
	bool has_entry;
	uint64_t entry;      /* where it begins */
	bool has_boot_image; /* the board has something to boot from beside it */
	bool run;            /* else the guest is left paused before its first instruction */
};

enum driver_action { DRIVER_PAUSE, DRIVER_RESUME, DRIVER_RESET, DRIVER_ACTION_COUNT };

/* ---------------------------------------------------------------- end */

/* All that is known of a boot that ended. */
struct driver_death {
	const struct proc_end *end;
	bool was_ready;      /* the emulator answered in this boot */
	bool stop_requested; /* a user asked for it */
	bool is_restart;     /* an automatic one: its configuration was good before */
	bool semihosting;
	const Pwemu__V1__Target *target;
	const struct strv *argv;           /* its command line */
	const char *shutdown_reason;       /* last on_shutdown; "" if none */
	const char *text;                  /* tail of the emulator's own messages */
	const uint32_t *semihosting_calls; /* addresses of semihosting calls in the images */
	size_t semihosting_call_count;
};

#define DRIVER_DETAILS_MAX 4096

struct driver_verdict {
	Pwemu__V1__EndCause cause;
	char message[256];
	char details[DRIVER_DETAILS_MAX]; /* several lines; "" when there is no more to say */
	bool tail_unknown;                /* what the guest printed last may not have left the emulator */
};

/* ---------------------------------------------------------------- operations */

struct driver_ops {
	const char *name;    /* "qemu" */
	const char *install; /* where its program comes from, for people */
	/* How its gdb stub is spoken to; channels of the kind CHANNEL_GDB. */
	const struct gdb_dialect *gdb;
	/* Program to look up in the user's PATH; NULL with err when the target names none. */
	const char *(*executable)(const Pwemu__V1__Target *target, struct err *err);
	int (*plan)(const struct driver_start *start, struct plan *plan, struct err *err);
	/* Connects to a boot that was just started or is adopted; answers come through events. */
	int (*connect)(const struct driver_boot *boot, const struct driver_events *events, void *ctx, struct driver_link **out,
		       struct err *err);
	/* Handles what has arrived but was not read yet; called before classify. */
	void (*drain)(struct driver_link *link);
	void (*disconnect)(struct driver_link *link); /* takes NULL */
	/* done comes from the loop, or with an error when the link goes. */
	void (*act)(struct driver_link *link, enum driver_action action, driver_done_fn done, void *ctx);
	/* Asks whether the emulator still answers: DEADLINE_EXCEEDED when it has not within the time. done as in act. */
	void (*ping)(struct driver_link *link, uint32_t timeout_ms, driver_done_fn done, void *ctx);
	/* Writes it into the guest's memory, resets the board and begins there. One at a time, and nobody else at the gdb stub. After an
	 * error the guest may be left paused, with a part of it. */
	void (*load)(struct driver_link *link, const struct driver_load *load, driver_done_fn done, void *ctx);
	/* Properties of devices; done as in act. Strings are copied. Errors are the emulator's, with the names that may have been meant. */
	void (*list_properties)(struct driver_link *link, const char *path, driver_properties_fn done, void *ctx);
	void (*get_property)(struct driver_link *link, const char *path, const char *property, driver_value_fn done, void *ctx);
	/* value: JSON, or text that is given the property's own type. Also INVALID_ARGUMENT (invalid-value) and FAILED_PRECONDITION
	 * (read-only-property). */
	void (*set_property)(struct driver_link *link, const char *path, const char *property, const char *value, bool is_json,
			     driver_done_fn done, void *ctx);
	/* Makes the emulator look at its input; NULL: it needs none. */
	void (*nudge)(struct driver_link *link);
	/* Ends the emulator in good order; NULL: SIGTERM does. It may not succeed: signals follow. */
	void (*quit)(struct driver_link *link);
	/* A debugger lets the guest go on, or has stopped it; it is to rest when that has left (rests) or to run. NULL: the stub sees to
	 * it. */
	void (*follow)(struct driver_link *link, bool runs, bool rests);
	/* Connects to a channel of the plan's sockets that has no socket of its own (child_fd -1), one party at a time. done as in act;
	 * NULL: there are none such. close: the connection was given up, by either side, or is not wanted any more. */
	void (*open)(struct driver_link *link, enum channel_kind kind, driver_open_fn done, void *ctx);
	void (*close)(struct driver_link *link, enum channel_kind kind);
	void (*classify)(const struct driver_death *death, struct driver_verdict *out);
};

/* The driver of this name; NOT_FOUND names those there are. */
const struct driver_ops *driver_find(const char *name, struct err *err);
