/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the registry: all instances (registry.c), finding one (registry_find.c), those of earlier daemons
 * (registry_adopt.c). */
#pragma once

#include "instance/priv.h"
#include "instance/registry.h"

struct queue;

struct registry {
	struct registry_config config;
	struct instance_env env;
	/* Those that were not over when they told of a change last come first; so a walk that may end some goes backwards. */
	struct instance **rows;
	size_t count, live;
	struct hash_table by[INSTANCE_KEYS];
	unsigned last_fresh;
	struct timer *sweep; /* deferred: an observer may look at the instance still */
	struct registry_observer *observers;
	struct retention *retention; /* NULL: no settings */
	struct queue *queue;
	struct netshare *netshare;
	struct cgroups *cgroups;
};

/* It is the registry's from now on. */
void registry_add(struct registry *registry, struct instance *inst);
/* For requests from outside, which may come before the timer does: who was refused does not see the instance any more. */
void registry_settle(struct registry *registry);
/* limits.c: whether he may start one more; with_logs: also by what his logs take. RESOURCE_EXHAUSTED (limit-reached) says which limit it
 * is, and what to do. */
int limits_check(const struct registry *registry, const struct user *user, bool with_logs, struct err *err)
	__attribute__((warn_unused_result));
/* machine: as in instance_machine(). */
struct instance *registry_by_dir(const struct registry *registry, uid_t uid, const char *machine, const char *dir);
/* Where names belong: a project on a machine. */
struct registry_scope {
	const char *project, *machine;
};
/* A user's instances of this name; scope NULL: of any. One that runs beats one that is over. */
struct instance *registry_by_name(const struct registry *registry, uid_t uid, const char *name, const struct registry_scope *scope,
				  size_t *matches);
