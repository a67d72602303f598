/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instance a request means. Plain names are the caller's own; what is another user's is named "USER/NAME" or by its id, and is not
 * there for whom it is not shared with: neither errors nor hints tell of it.
 */
#include "instance/registry_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "instance/origin.h"
#include "wire/mem.h"

struct instance *registry_by_id(struct registry *registry, const char *id)
{
	const struct hash_node *node = NULL;
	while ((node = hash_next(&registry->by[INSTANCE_ID], hash_text(id), node)) != NULL)
		if (strcmp(instance_id(node->thing), id) == 0)
			return node->thing;
	return NULL;
}

struct instance *registry_by_dir(const struct registry *registry, uid_t uid, const char *machine, const char *dir)
{
	const struct hash_node *node = NULL;
	while ((node = hash_next(&registry->by[INSTANCE_DIR], hash_text(dir), node)) != NULL) {
		struct instance *row = node->thing;
		if (instance_uid(row) == uid && strcmp(instance_machine(row), machine) == 0 && strcmp(instance_working_dir(row), dir) == 0)
			return row;
	}
	return NULL;
}

static bool find_is_in(const struct instance *inst, const struct registry_scope *scope)
{
	return scope == NULL ||
	       (strcmp(instance_project(inst), scope->project) == 0 && strcmp(instance_machine(inst), scope->machine) == 0);
}

struct instance *registry_by_name(const struct registry *registry, uid_t uid, const char *name, const struct registry_scope *scope,
				  size_t *matches)
{
	struct instance *found = NULL;
	const struct hash_node *node = NULL;
	*matches = 0;
	while ((node = hash_next(&registry->by[INSTANCE_NAME], hash_text(name), node)) != NULL) {
		struct instance *inst = node->thing;
		if (instance_uid(inst) != uid || strcmp(instance_name(inst), name) != 0 || !find_is_in(inst, scope))
			continue;
		if (found == NULL || (instance_is_over(found) && !instance_is_over(inst))) {
			found = inst;
			*matches = 1;
		} else if (instance_is_over(found) == instance_is_over(inst)) {
			++*matches;
		}
	}
	return found;
}

/* ---------------------------------------------------------------- what is said when there is none */

/* His own that run, "a, b, c", at most what fits; scope NULL: of any. */
static void find_names(const struct registry *registry, uid_t uid, const struct registry_scope *scope, char *out, size_t size)
{
	out[0] = '\0';
	for (size_t i = 0; i < registry->count; i++) {
		const struct instance *inst = registry->rows[i];
		size_t used = strlen(out);
		bool is_meant = instance_uid(inst) == uid && find_is_in(inst, scope);
		if (used < size - 1 && is_meant && !instance_is_over(inst))
			snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", instance_name(inst));
	}
}

static struct instance *find_nothing(const struct registry *registry, const struct caller *caller, const char *name, struct err *err)
{
	const char **names = xcalloc(registry->count, sizeof(char *));
	size_t count = 0;
	char hint[256];
	for (size_t i = 0; i < registry->count; i++)
		if (instance_right(registry->rows[i], caller) != RIGHT_NONE)
			names[count++] = instance_name(registry->rows[i]);
	nearest_hint(name, names, count, hint, sizeof(hint));
	free(names);
	err_set(err, ERR_NOT_FOUND, "no instance \"%s\"%s; `pwemu ls -a` lists them", name, hint);
	err_reason(err, "no-instance");
	return NULL;
}

/* Those of the same user and name as `one`, as far as he may know of them. */
static struct instance *find_ambiguous(const struct registry *registry, const struct caller *caller, const struct instance *one,
				       struct err *err)
{
	char ids[256] = "";
	for (size_t i = 0; i < registry->count; i++) {
		const struct instance *inst = registry->rows[i];
		size_t used = strlen(ids);
		if (inst->user.uid == one->user.uid && strcmp(inst->name, one->name) == 0 && instance_right(inst, caller) != RIGHT_NONE)
			snprintf(ids + used, sizeof(ids) - used, "%s%s", used > 0 ? ", " : "", inst->id);
	}
	err_set(err, ERR_INVALID_ARGUMENT, "several instances are named \"%s\"; use an id instead: %s", one->name, ids);
	err_reason(err, "ambiguous-instance");
	return NULL;
}

/* ---------------------------------------------------------------- the ways to name one */

static struct instance *find_by_id(struct registry *registry, const struct caller *caller, const char *id)
{
	struct instance *inst = registry_by_id(registry, id);
	return inst != NULL && instance_right(inst, caller) != RIGHT_NONE ? inst : NULL;
}

/* "USER/NAME": of those that he may know of, one that runs beats those that are over. */
static struct instance *find_foreign(struct registry *registry, const struct caller *caller, const char *text, struct err *err)
{
	size_t len = strcspn(text, "/"), matches = 0;
	struct instance *found = NULL;
	for (size_t i = 0; i < registry->count; i++) {
		struct instance *inst = registry->rows[i];
		if (!user_is_called(&inst->user, text, len) || strcmp(inst->name, text + len + 1) != 0 ||
		    instance_right(inst, caller) == RIGHT_NONE)
			continue;
		bool is_better = found == NULL || (instance_is_over(found) && !instance_is_over(inst));
		matches = is_better ? 1 : matches + (instance_is_over(found) == instance_is_over(inst));
		found = is_better ? inst : found;
	}
	if (found == NULL)
		return find_nothing(registry, caller, text, err);
	return matches == 1 ? found : find_ambiguous(registry, caller, found, err);
}

static struct instance *find_named(struct registry *registry, const struct caller *caller, const char *name,
				   const struct registry_scope *scope, struct err *err)
{
	size_t matches;
	uid_t uid = caller->user->uid;
	struct instance *inst = registry_by_name(registry, uid, name, scope, &matches);
	if (inst == NULL)
		inst = find_by_id(registry, caller, name);
	if (inst != NULL && matches <= 1)
		return inst;
	if (inst == NULL)
		inst = registry_by_name(registry, uid, name, NULL, &matches);
	if (inst == NULL)
		return find_nothing(registry, caller, name, err);
	return matches == 1 ? inst : find_ambiguous(registry, caller, inst, err);
}

/* Nothing was named: "default", else the only one that runs. */
static struct instance *find_implied(struct registry *registry, const struct caller *caller, const struct registry_scope *scope,
				     struct err *err)
{
	uid_t uid = caller->user->uid;
	size_t matches, running = 0;
	struct instance *inst = registry_by_name(registry, uid, "default", scope, &matches), *only = NULL;
	if (inst != NULL)
		return matches == 1 ? inst : find_ambiguous(registry, caller, inst, err);
	for (size_t i = 0; i < registry->live; i++) {
		struct instance *row = registry->rows[i];
		if (instance_uid(row) == uid && !instance_is_over(row) && find_is_in(row, scope)) {
			only = row;
			running++;
		}
	}
	if (running == 1)
		return only;
	char names[512];
	find_names(registry, uid, running == 0 ? NULL : scope, names, sizeof(names));
	if (running == 0)
		err_set(err, ERR_NOT_FOUND, "no instance runs here%s%s; name one with -i, or start one with: pwemu start TARGET -f FILE",
			names[0] != '\0' ? ", elsewhere: " : "", names);
	else
		err_set(err, ERR_INVALID_ARGUMENT, "several instances run, name one with -i: %s", names);
	err_reason(err, running == 0 ? "no-instance" : "ambiguous-instance");
	return NULL;
}

/* One that asks without knowing that it is elsewhere (a private mount) finds what it started when it knew. */
static struct instance *find_in_dir(struct registry *registry, const struct caller *caller, const Pwemu__V1__Origin *origin,
				    const char *dir, struct err *err)
{
	struct instance *inst = registry_by_dir(registry, caller->user->uid, origin_machine(origin), dir);
	if (inst == NULL && origin != NULL && origin->machine[0] != '\0')
		inst = registry_by_dir(registry, caller->user->uid, origin->machine, dir);
	if (inst == NULL) {
		err_set(err, ERR_NOT_FOUND, "no instance has the working directory \"%s\"; `pwemu ls -a -o json` shows them", dir);
		err_reason(err, "no-instance");
	}
	return inst;
}

static struct instance *find_any(struct registry *registry, const Pwemu__V1__InstanceRef *ref, const struct caller *caller, struct err *err)
{
	const struct registry_scope here = { "", "" };
	if (ref == NULL)
		return find_implied(registry, caller, &here, err);
	if (ref->id[0] != '\0') {
		struct instance *inst = find_by_id(registry, caller, ref->id);
		return inst != NULL ? inst : find_nothing(registry, caller, ref->id, err);
	}
	if (ref->working_dir[0] != '\0')
		return find_in_dir(registry, caller, ref->origin, ref->working_dir, err);
	if (strchr(ref->name, '/') != NULL)
		return find_foreign(registry, caller, ref->name, err);
	const struct registry_scope scope = { ref->project, origin_machine(ref->origin) };
	if (ref->name[0] != '\0')
		return find_named(registry, caller, ref->name, &scope, err);
	return find_implied(registry, caller, &scope, err);
}

struct instance *registry_find(struct registry *registry, const Pwemu__V1__InstanceRef *ref, const struct caller *caller, enum right right,
			       struct err *err)
{
	registry_settle(registry);
	struct instance *inst = find_any(registry, ref, caller, err);
	return inst != NULL && access_check(inst, caller, right, err) == 0 ? inst : NULL;
}
