/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance: one running (or ended) target, identified by its working directory, owned by one user. It owns its channels, and
 * while it runs its process and its driver link. instance_enter() in instance.c is the only function that changes the state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/user.h"
#include "channel/bridge.h"
#include "channel/hub.h"
#include "driver/driver.h"
#include "instance/state.h"
#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

#define INSTANCE_ID_LEN 6

struct event_base;
struct instance;
struct share;
struct journal;
struct lease_terms;
struct settings;
struct Pwemu__V1__Record;

/* What an instance needs from its surroundings; outlives it. */
struct instance_env {
	struct event_base *base;
	const char *shim;      /* path of pwemu-shim */
	const char *state_dir; /* absolute */
	const char *run_dir;   /* of run directories, absolute */
	const char *own_name;  /* of the daemon's user, who owns what has no name on record; NULL: there are many users */
	bool is_system;        /* many users: what is done for an instance is done as its owner */
	const struct settings *settings;
	struct journal *journal;
	const char *host_boot;     /* boot id of the host */
	struct netshare *netshare; /* NULL: none is shared */
	struct cgroups *cgroups;   /* NULL: without settings */
	/* Something about it has changed. Must not free it. */
	void (*on_change)(void *ctx, struct instance *inst);
	/* The instance that listens on the port, with the channel's name; NULL: none does. May be NULL. */
	const struct instance *(*on_port)(void *ctx, uint16_t port, const char **channel);
	/* Whether it may begin now; else the ticket it is to wait with. NULL: always. */
	bool (*on_admit)(void *ctx, const struct instance *inst, uint64_t *ticket);
	/* Its place in the queue, from 1; 0: none. May be NULL. */
	uint32_t (*on_position)(void *ctx, const struct instance *inst);
	void *ctx;
};

/* Who and what; strings are copied. */
struct instance_identity {
	const char *id;
	const char *name;
	const char *project;
	const char *working_dir;    /* with a machine it may be "": the daemon's own place for it */
	const struct user *user;    /* its owner; copied */
	const char *machine, *host; /* of the client (origin.h); NULL, "": here */
};

struct instance *instance_new(const struct instance_env *env, const struct instance_identity *identity);
/* Brings back what a record describes (store_load) and takes over its process if it lives. Takes the record. NULL when it is not over
 * and this daemon cannot care for it (a driver it does not have): then process, record and files stay as they are. */
struct instance *instance_restore(const struct instance_env *env, struct Pwemu__V1__Record *record, struct err *err);
/* Leaves process and files as they are. */
void instance_free(struct instance *inst);

/* ---- what it is */
const char *instance_id(const struct instance *inst);
const char *instance_name(const struct instance *inst);
const char *instance_project(const struct instance *inst);
const char *instance_working_dir(const struct instance *inst);
/* Machine that its working directory is on; "": this one. */
const char *instance_machine(const struct instance *inst);
bool instance_is_remote(const struct instance *inst);
uid_t instance_uid(const struct instance *inst);
const struct user *instance_user(const struct instance *inst);
enum inst_state instance_state(const struct instance *inst);
bool instance_is_over(const struct instance *inst);
/* It is over, and its files in the working directory show it. */
bool instance_is_gone(const struct instance *inst);
/* While it is up: all its commands were begun, those that it needs have lived for a moment, and its files in the working directory are
 * there. */
bool instance_is_begun(const struct instance *inst);
uint32_t instance_boot(const struct instance *inst);
pid_t instance_pid(const struct instance *inst);
/* Why the latest start failed; ERR_OK if it did not. */
const struct err *instance_start_error(const struct instance *inst);
/* The request of its latest start; NULL before the first. */
const Pwemu__V1__StartRequest *instance_request(const struct instance *inst);
/* With which it waits in the queue; of one that does not, the last it had. */
uint64_t instance_ticket(const struct instance *inst);
/* Its turn has come. */
void instance_leave_queue(struct instance *inst);
/* When it ended for good, in nanoseconds since the Unix epoch; 0 while it lives. */
uint64_t instance_ended_ns(const struct instance *inst);
/* It got its name by itself (StartRequest.fresh). */
bool instance_is_fresh(const struct instance *inst);
/* What the logs of an ended instance take on disk; measured once. */
uint64_t instance_disk_bytes(struct instance *inst);
bool instance_has_disk_bytes(const struct instance *inst); /* it has been measured */
/* A start under another name in the same working directory. */
void instance_rename(struct instance *inst, const char *name, const char *project);
/* Its description for clients; pointers into the instance, valid until it changes. To be released with instance_describe_fini. */
void instance_describe(struct instance *inst, Pwemu__V1__Instance *out);
void instance_describe_fini(Pwemu__V1__Instance *out);

/* ---- what can be done with it */
/* Begins a start, or has it wait in the queue; the instance must be over. Copies both messages. lease: on whose behalf (lease_check), at
 * the request of actor. */
void instance_start(struct instance *inst, const struct driver_ops *driver, const Pwemu__V1__Target *target,
		    const Pwemu__V1__StartRequest *request, const struct lease_terms *lease, const char *actor);
/* Begins to end the whole process tree. */
void instance_stop(struct instance *inst, uint32_t grace_ms, const char *reason);
/* FAILED_PRECONDITION at once when it does not run; else done comes later. */
int instance_act(struct instance *inst, enum driver_action action, driver_done_fn done, void *ctx, struct err *err)
	__attribute__((warn_unused_result));
/* The same for an image into the running board, read as `user`, who asks; copies the request. Also FAILED_PRECONDITION (busy): a debugger,
 * another load. */
int instance_load(struct instance *inst, const Pwemu__V1__LoadRequest *request, const struct user *user, driver_done_fn done, void *ctx,
		  struct err *err) __attribute__((warn_unused_result));
/* The same for the properties of its devices; see driver_ops. */
int instance_list_properties(struct instance *inst, const char *path, driver_properties_fn done, void *ctx, struct err *err)
	__attribute__((warn_unused_result));
int instance_get_property(struct instance *inst, const char *path, const char *property, driver_value_fn done, void *ctx, struct err *err)
	__attribute__((warn_unused_result));
int instance_set_property(struct instance *inst, const char *path, const char *property, const char *value, bool is_json,
			  driver_done_fn done, void *ctx, struct err *err) __attribute__((warn_unused_result));
/* Deletes logs, record and run directory. It must be over. */
void instance_erase(struct instance *inst);

/* Puts down that something happened: an event about this instance as it is now. channel, actor and reason may be NULL. */
void instance_tell(struct instance *inst, Pwemu__V1__EventKind kind, const char *channel, const char *actor, const char *reason);

/* ---- channels */
/* The hub of a channel; name NULL or "": the default channel. NOT_FOUND (invalid-channel) names those there are. */
int instance_hub(struct instance *inst, const char *name, struct hub **out, const char **channel_name, struct err *err)
	__attribute__((warn_unused_result));
/* Gives a channel an endpoint for the life of the instance; one that it has already stays. type "": what it has, else tcp; port 0: any.
 * *channel_name: as in instance_hub. FAILED_PRECONDITION (not-running, invalid-channel-type), ALREADY_EXISTS (port-taken). */
int instance_expose(struct instance *inst, const char *name, const char *type, uint32_t port, const char **channel_name, struct err *err)
	__attribute__((warn_unused_result));
/* Whether one of its channels listens on the port. */
bool instance_port_channel(const struct instance *inst, uint16_t port, const char **channel);
const char *instance_eol(const struct instance *inst);
bool instance_channel_takes_input(const struct instance *inst, const char *name);
/* Whether it is a socket of the emulator's, which has no log. */
bool instance_channel_is_socket(const struct instance *inst, const char *name);
/* The bridge of such a channel; NULL: there is none, the emulator does not run. */
struct bridge *instance_bridge(const struct instance *inst, const char *name);
bool instance_channel_needs_control(const struct instance *inst, const char *name);
/* Rights on it have changed: whoever is at an endpoint and may not be any more is sent away. */
void instance_review_parties(struct instance *inst);
/* Gives or takes (RIGHT_NONE) a right on it, or everybody's (who NULL); puts it down. `members`: of a group, as far as they are known.
 * RESOURCE_EXHAUSTED: there are too many. NOT_FOUND: there is none to be taken. */
int instance_share(struct instance *inst, const struct share *who, const char *actor, struct err *err) __attribute__((warn_unused_result));
/* Who is at its endpoints and sockets; *rows, and what is in it, to be freed with parties_free. */
size_t instance_parties(const struct instance *inst, Pwemu__V1__Party ***rows);
void parties_free(Pwemu__V1__Party **rows, size_t count);
/* Who has the writer role of a channel, by the name it gave; NULL: nobody. */
const char *instance_writer(const struct instance *inst, const char *channel);
/* Somebody reads one of its logs. */
bool instance_is_read(const struct instance *inst);
/* Closes the logs of an ended instance that nobody reads. */
void instance_trim(struct instance *inst);
