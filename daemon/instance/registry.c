/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "base/pb.h"
#include "config/nearest.h"
#include "instance/journal.h"
#include "instance/origin.h"
#include "instance/registry_int.h"
#include "instance/queue.h"
#include "instance/retention.h"
#include "loop/cgroup.h"
#include "loop/netshare.h"
#include "wire/mem.h"

#define REGISTRY_ROWS_MAX 100000

/* Its first start was refused: whoever asked has been told, nobody else knows of it. */
static bool registry_is_unborn(const struct instance *inst)
{
	return instance_is_over(inst) && instance_boot(inst) == 0;
}

/* ---------------------------------------------------------------- rows */

static void registry_swap(struct registry *registry, size_t a, size_t b)
{
	struct instance *moved = registry->rows[a];
	registry->rows[a] = registry->rows[b];
	registry->rows[b] = moved;
	registry->rows[a]->row = a;
	registry->rows[b]->row = b;
}

/* To those that are over or to those that are not; nowhere while it is being restored. */
static void registry_place_row(struct registry *registry, const struct instance *inst)
{
	if (inst->row >= registry->count || registry->rows[inst->row] != inst)
		return;
	bool is_live = !instance_is_over(inst), was_live = inst->row < registry->live;
	if (is_live && !was_live)
		registry_swap(registry, inst->row, registry->live++);
	else if (!is_live && was_live)
		registry_swap(registry, inst->row, --registry->live);
}

static void registry_enter(struct registry *registry, struct instance *inst, enum instance_key key, uint64_t hash)
{
	hash_remove(&registry->by[key], &inst->by[key]);
	hash_add(&registry->by[key], &inst->by[key], hash, inst);
}

static void registry_enter_token(struct registry *registry, struct instance *inst, const Pwemu__V1__StartRequest *request)
{
	if (request != NULL && request->token[0] != '\0')
		registry_enter(registry, inst, INSTANCE_TOKEN, hash_text(request->token));
}

void registry_add(struct registry *registry, struct instance *inst)
{
	registry->rows = xrealloc(registry->rows, registry->count + 1, sizeof(struct instance *));
	inst->row = registry->count++;
	registry->rows[inst->row] = inst;
	registry_place_row(registry, inst);
	registry_enter(registry, inst, INSTANCE_ID, hash_text(inst->id));
	registry_enter(registry, inst, INSTANCE_NAME, hash_text(inst->name));
	registry_enter(registry, inst, INSTANCE_DIR, hash_text(inst->working_dir));
	registry_enter_token(registry, inst, inst->request);
}

static void registry_take_out(struct registry *registry, struct instance *inst)
{
	if (inst->row < registry->live)
		registry_swap(registry, inst->row, --registry->live);
	registry_swap(registry, inst->row, --registry->count);
	for (int key = 0; key < INSTANCE_KEYS; key++)
		hash_remove(&registry->by[key], &inst->by[key]);
}

void registry_remove(struct registry *registry, struct instance *inst, const char *reason)
{
	registry_take_out(registry, inst);
	if (reason != NULL)
		instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_REMOVED, NULL, NULL, reason);
	instance_erase(inst);
	instance_free(inst);
}

/* ---------------------------------------------------------------- what instances tell */

static void registry_on_change(void *ctx, struct instance *inst)
{
	struct registry *registry = ctx;
	registry_place_row(registry, inst);
	for (struct registry_observer *observer = registry->observers; observer != NULL; observer = observer->next)
		observer->on_change(observer->ctx, inst);
	if (registry_is_unborn(inst))
		timer_arm(registry->sweep, 0);
	if (instance_is_over(inst) || instance_state(inst) == INST_QUEUED)
		queue_look(registry->queue);
}

static void registry_sweep(void *ctx)
{
	struct registry *registry = ctx;
	timer_disarm(registry->sweep);
	for (size_t i = registry->count; i > 0; i--)
		if (registry_is_unborn(registry->rows[i - 1]))
			registry_remove(registry, registry->rows[i - 1], NULL);
}

static const struct instance *registry_on_port(void *ctx, uint16_t port, const char **channel)
{
	const struct registry *registry = ctx;
	for (size_t i = 0; i < registry->count; i++)
		if (instance_port_channel(registry->rows[i], port, channel))
			return registry->rows[i];
	return NULL;
}

static bool registry_on_admit(void *ctx, const struct instance *inst, uint64_t *ticket)
{
	return queue_admits(((struct registry *)ctx)->queue, inst, ticket);
}

static uint32_t registry_on_position(void *ctx, const struct instance *inst)
{
	return queue_position(((struct registry *)ctx)->queue, inst);
}

struct registry *registry_new(const struct registry_config *config)
{
	struct registry *registry = xcalloc(1, sizeof(*registry));
	registry->config = *config;
	registry->netshare = netshare_new(config->base);
	registry->cgroups = cgroups_new(config->base);
	registry->env = (struct instance_env){
		.base = config->base,
		.shim = config->shim,
		.state_dir = config->state_dir,
		.run_dir = config->run_dir,
		.is_system = config->is_system,
		.own_name = config->own_name,
		.settings = config->settings,
		.journal = config->journal,
		.host_boot = proc_host_boot(),
		.netshare = registry->netshare,
		.cgroups = registry->cgroups,
		.on_change = registry_on_change,
		.on_port = registry_on_port,
		.on_admit = registry_on_admit,
		.on_position = registry_on_position,
		.ctx = registry,
	};
	registry->sweep = timer_new(config->base, registry_sweep, registry);
	struct queue_config queue = { config->base, registry, config->settings };
	registry->queue = queue_new(&queue);
	struct retention_config retention = { config->base, registry, config->settings };
	if (config->settings != NULL)
		registry->retention = retention_new(&retention);
	return registry;
}

void registry_free(struct registry *registry)
{
	if (registry == NULL)
		return;
	registry->observers = NULL;
	retention_free(registry->retention);
	while (registry->count > 0) { /* what a pending request of one finds must not be one that is gone */
		struct instance *inst = registry->rows[registry->count - 1];
		registry_take_out(registry, inst);
		instance_free(inst);
	}
	for (int key = 0; key < INSTANCE_KEYS; key++)
		hash_table_fini(&registry->by[key]);
	queue_free(registry->queue);
	netshare_free(registry->netshare);
	cgroups_free(registry->cgroups);
	timer_free(registry->sweep);
	free(registry->rows);
	free(registry);
}

void registry_observe(struct registry *registry, struct registry_observer *observer)
{
	observer->next = registry->observers;
	registry->observers = observer;
}

void registry_settle(struct registry *registry)
{
	if (timer_is_armed(registry->sweep))
		registry_sweep(registry);
}

/* ---------------------------------------------------------------- making */

static void registry_new_id(struct registry *registry, char id[INSTANCE_ID_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	do {
		uint8_t random[INSTANCE_ID_LEN];
		ssize_t n;
		do
			n = getrandom(random, sizeof(random), 0);
		while (n < 0 && errno == EINTR);
		if (n != (ssize_t)sizeof(random))
			abort();
		for (size_t i = 0; i < INSTANCE_ID_LEN; i++)
			id[i] = digits[random[i] % 16];
		id[0] = digits[10 + random[0] % 6]; /* a letter: never taken for a number */
		id[INSTANCE_ID_LEN] = '\0';
	} while (registry_by_id(registry, id) != NULL);
}

static int registry_check_name(const char *name, struct err *err)
{
	size_t len = strlen(name);
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
	if (len > 0 && len <= 64 && strspn(name, plain) == len && name[0] != '-' && name[0] != '.')
		return 0;
	err_set(err, ERR_INVALID_ARGUMENT,
		"\"%.80s\" is no name for an instance: 1 to 64 of letters, digits and . _ + -, not beginning with . or -", name);
	return err_reason(err, "invalid-name");
}

static int registry_check_dir(const char *dir, struct err *err)
{
	if (dir[0] == '\0' || (dir[0] == '/' && strlen(dir) < 3000))
		return 0;
	return err_set(err, ERR_INVALID_ARGUMENT, "working directory \"%.100s\": an absolute path of less than 3000 bytes is needed", dir);
}

/* dir "": the daemon's place for an instance of another machine. */
static struct instance *registry_make(struct registry *registry, const struct user *user, const char *name,
				      const Pwemu__V1__StartRequest *request, const char *dir)
{
	char id[INSTANCE_ID_LEN + 1];
	registry_new_id(registry, id);
	struct instance_identity identity = {
		.id = id,
		.name = name,
		.project = request->project,
		.working_dir = dir,
		.user = user,
		.machine = origin_machine(request->origin),
		.host = origin_host(request->origin),
	};
	struct instance *inst = instance_new(&registry->env, &identity);
	registry_add(registry, inst);
	return inst;
}

/* The daemon's own place for instances; of many users each has one, which is his. */
static char *registry_own_dir(const struct registry *registry, const struct user *user)
{
	const char *state_dir = registry->config.state_dir;
	if (!registry->config.is_system)
		return xasprintf("%s/instances", state_dir);
	char *dir = xasprintf("%s/instances/%u", state_dir, (unsigned)user->uid);
	struct err err = ERR_INIT;
	if (access(dir, F_OK) != 0 && (dirs_make(dir, &err) < 0 || dirs_give(dir, user->uid, user->gid, &err) < 0))
		log_warn(NULL, "%s", err.msg);
	return dir;
}

/* <parent>/run-<n>, or the daemon's own place. */
static char *registry_default_dir(const struct registry *registry, const struct user *user, const char *parent, const char *machine,
				  const char *name)
{
	if (parent[0] != '\0')
		return xasprintf("%s/%s", parent, name);
	char *own = registry_own_dir(registry, user), *dir = machine[0] != '\0' ? xstrdup("") : xasprintf("%s/%s", own, name);
	free(own);
	return dir;
}

static struct instance *registry_claim_fresh(struct registry *registry, const Pwemu__V1__StartRequest *request, const struct user *user)
{
	const char *machine = origin_machine(request->origin);
	char name[32], *dir = NULL;
	size_t matches;
	do {
		free(dir);
		snprintf(name, sizeof(name), "run-%u", ++registry->last_fresh);
		dir = registry_default_dir(registry, user, request->working_dir, machine, name);
	} while (registry_by_name(registry, user->uid, name, NULL, &matches) != NULL ||
		 registry_by_dir(registry, user->uid, machine, dir) != NULL);
	struct instance *inst = registry_make(registry, user, name, request, dir);
	free(dir);
	return inst;
}

/* Where an instance without a given working directory is: where it was before, else at the daemon's place for its name, or beside
 * that when another project has an instance of the same name there. */
static char *registry_place(struct registry *registry, const struct user *user, const char *name, const struct registry_scope *scope)
{
	size_t matches;
	struct instance *before = registry_by_name(registry, user->uid, name, scope, &matches);
	if (before != NULL)
		return xstrdup(instance_working_dir(before));
	char *first = registry_default_dir(registry, user, "", scope->machine, name), *dir = xstrdup(first);
	for (unsigned n = 2; registry_by_dir(registry, user->uid, scope->machine, dir) != NULL; n++) {
		free(dir);
		dir = xasprintf("%s~%u", first, n);
	}
	free(first);
	return dir;
}

static struct instance *registry_already_running(struct instance *inst, struct err *err)
{
	const char *name = instance_name(inst);
	err_set(err, ERR_ALREADY_EXISTS, "instance \"%s\" is already running in \"%s\"; stop it with: pwemu stop -i %s", name,
		instance_working_dir(inst), name);
	err_reason(err, "already-running");
	return NULL;
}

static void registry_rename(struct registry *registry, struct instance *inst, const char *name, const char *project)
{
	instance_rename(inst, name, project);
	registry_enter(registry, inst, INSTANCE_NAME, hash_text(inst->name));
}

static struct instance *registry_claim_named(struct registry *registry, const Pwemu__V1__StartRequest *request, const struct user *user,
					     struct err *err)
{
	const struct registry_scope scope = { request->project, origin_machine(request->origin) };
	const char *name = request->name[0] != '\0' ? request->name : "default";
	bool has_dir = request->working_dir[0] != '\0';
	char *dir = has_dir ? xstrdup(request->working_dir) : registry_place(registry, user, name, &scope);
	struct instance *inst = registry_by_dir(registry, user->uid, scope.machine, dir);
	if (inst == NULL)
		inst = registry_make(registry, user, name, request, dir);
	else if (!instance_is_over(inst))
		inst = registry_already_running(inst, err);
	else
		registry_rename(registry, inst, name, request->project);
	free(dir);
	return inst;
}

struct instance *registry_by_token(struct registry *registry, uid_t uid, const char *token)
{
	registry_settle(registry);
	const struct hash_node *node = NULL;
	while (token[0] != '\0' && (node = hash_next(&registry->by[INSTANCE_TOKEN], hash_text(token), node)) != NULL) {
		struct instance *inst = node->thing;
		const Pwemu__V1__StartRequest *request = instance_request(inst);
		if (request != NULL && instance_uid(inst) == uid && strcmp(request->token, token) == 0)
			return inst;
	}
	return NULL;
}

struct instance *registry_claim(struct registry *registry, const Pwemu__V1__StartRequest *request, const struct user *user, struct err *err)
{
	if ((request->name[0] != '\0' && registry_check_name(request->name, err) < 0) ||
	    registry_check_dir(request->working_dir, err) < 0 || origin_check(request->origin, err) < 0)
		return NULL;
	if (registry->count >= REGISTRY_ROWS_MAX) {
		err_set(err, ERR_RESOURCE_EXHAUSTED, "there are %zu instances; remove ended ones with: pwemu rm", registry->count);
		return NULL;
	}
	if (limits_check(registry, user, true, err) < 0)
		return NULL;
	struct instance *inst =
		request->fresh ? registry_claim_fresh(registry, request, user) : registry_claim_named(registry, request, user, err);
	if (inst == NULL)
		return NULL;
	user_set(&inst->user, user); /* his groups are those that he has now */
	registry_enter_token(registry, inst, request);
	return inst;
}

int registry_may_restart(const struct registry *registry, const struct instance *inst, bool was_up, struct err *err)
{
	return limits_check(registry, instance_user(inst), !was_up, err);
}

/* ---------------------------------------------------------------- the rest */

static int registry_compare(const void *a, const void *b)
{
	const struct instance *one = *(struct instance *const *)a, *two = *(struct instance *const *)b;
	int order = strcmp(instance_project(one), instance_project(two));
	return order != 0 ? order : strverscmp(instance_name(one), instance_name(two));
}

struct instance **registry_list(struct registry *registry, size_t *count)
{
	registry_settle(registry);
	struct instance **rows = xcalloc(registry->count, sizeof(*rows));
	if (registry->count > 0)
		memcpy(rows, registry->rows, registry->count * sizeof(*rows));
	qsort(rows, registry->count, sizeof(*rows), registry_compare);
	*count = registry->count;
	return rows;
}

size_t registry_count(const struct registry *registry)
{
	return registry->count;
}

size_t registry_live(const struct registry *registry)
{
	return registry->live;
}

struct instance *registry_row(const struct registry *registry, size_t i)
{
	return registry->rows[i];
}

size_t registry_running(const struct registry *registry)
{
	size_t running = 0;
	for (size_t i = 0; i < registry->live; i++)
		running += !instance_is_over(registry->rows[i]);
	return running;
}

void registry_settings_changed(struct registry *registry)
{
	for (size_t i = 0; i < registry->count; i++)
		channels_set_bounds(registry->rows[i]);
	retention_look(registry->retention);
	queue_look(registry->queue);
}

void registry_connection_lost(struct registry *registry, uint64_t connection)
{
	for (size_t i = registry->live; i-- > 0;)
		lease_connection_lost(registry->rows[i], connection);
}

bool registry_connection_is_needed(const struct registry *registry, uint64_t connection)
{
	for (size_t i = 0; i < registry->live; i++)
		if (lease_needs(registry->rows[i], connection) && !instance_is_over(registry->rows[i]))
			return true;
	return false;
}
