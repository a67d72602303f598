/* SPDX-License-Identifier: Apache-2.0 */
/* All instances of the daemon: finds, makes and forgets them; brings them back from their records at start-up. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "instance/access.h"
#include "instance/instance.h"
#include "pwemu/v1/common.pb-c.h"

struct registry;
struct journal;
struct settings;

/* Told after every change of an instance, from wherever it happened; must not free the instance. */
struct registry_observer {
	void (*on_change)(void *ctx, struct instance *inst);
	void *ctx;
	struct registry_observer *next;
};

struct registry_config {
	struct event_base *base;
	const char *shim;
	const char *state_dir;
	const char *run_dir;             /* of run directories */
	bool is_system;                  /* instances of many users; the daemon is root's */
	const char *own_name;            /* of the daemon's user, where he is the only one; else NULL */
	const struct settings *settings; /* outlives the registry, as the journal */
	struct journal *journal;
};

struct registry *registry_new(const struct registry_config *config);
void registry_free(struct registry *registry);
void registry_observe(struct registry *registry, struct registry_observer *observer); /* the caller's storage */

/* Adopts what earlier daemons left. A record that cannot be used is set aside and reported; nothing stops the start-up. Retention begins
 * with it (where there are settings). */
void registry_adopt(struct registry *registry);

/* See InstanceRef in common.proto. NOT_FOUND (no-instance) names what there is, of what the caller may know of. PERMISSION_DENIED: he may,
 * but not this. Not from an observer; nor registry_list. */
struct instance *registry_find(struct registry *registry, const Pwemu__V1__InstanceRef *ref, const struct caller *caller, enum right right,
			       struct err *err);
struct instance *registry_by_id(struct registry *registry, const char *id);

/* The instance that a user's start request means, made if need be, to be started at once: one whose first start fails is forgotten, soon,
 * from the loop. ALREADY_EXISTS (already-running) when it is not over. */
struct instance *registry_claim(struct registry *registry, const Pwemu__V1__StartRequest *request, const struct user *user,
				struct err *err);
/* Whether an instance that is over may be started again: it counts like a new one of its owner's. was_up: it ran until it was stopped for
 * that, so his logs have the size they had. RESOURCE_EXHAUSTED (limit-reached). */
int registry_may_restart(const struct registry *registry, const struct instance *inst, bool was_up, struct err *err)
	__attribute__((warn_unused_result));
/* The user's instance whose latest start had this token; NULL: there is none, or the token is "". */
struct instance *registry_by_token(struct registry *registry, uid_t uid, const char *token);
/* Erases an instance that is over, logs and all. reason: for the event; NULL: nobody knew of it. Not from an observer. */
void registry_remove(struct registry *registry, struct instance *inst, const char *reason);

/* Sorted by project, then name; the array belongs to the caller. */
struct instance **registry_list(struct registry *registry, size_t *count);
size_t registry_count(const struct registry *registry);
/* The first so many rows are all that are not over, and perhaps one that has just ended. */
size_t registry_live(const struct registry *registry);
/* One of them, by a number below registry_count(); in no order, and only until one is made, ends or is removed. */
struct instance *registry_row(const struct registry *registry, size_t i);
size_t registry_running(const struct registry *registry);

/* The settings have changed. */
void registry_settings_changed(struct registry *registry);

/* The leases that depend on this connection wait for their client, or have lost it. */
void registry_connection_lost(struct registry *registry, uint64_t connection);
/* Whether there is such a thing. */
bool registry_connection_is_needed(const struct registry *registry, uint64_t connection);
