/* SPDX-License-Identifier: Apache-2.0 */
/* The registry at start-up: what earlier daemons have left. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "base/pb.h"
#include "instance/journal.h"
#include "instance/leftover.h"
#include "instance/queue.h"
#include "instance/registry_int.h"
#include "instance/retention.h"
#include "wire/mem.h"

#define REGISTRY_ADOPT_ROUNDS 3

/* Trouble that is no instance's, since there is none. */
static void registry_report(const struct registry *registry, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void registry_report(const struct registry *registry, const char *fmt, ...)
{
	char text[ERR_MSG_MAX + 256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error(NULL, "%s", text);
	journal_tell(registry->config.journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, "%s", text);
}

static void registry_set_aside(const struct registry *registry, const char *dir, const char *id, const struct err *err)
{
	char *from = xasprintf("%s/%s", dir, id), *to = xasprintf("%s/%s.broken", dir, id);
	registry_report(registry, "instance %s is set aside as \"%s\": %s", id, to, err->msg);
	if (rename(from, to) < 0)
		registry_report(registry, "rename \"%s\": %s", from, strerror(errno));
	free(from);
	free(to);
}

/* A start that came no further than its directory: the record is written before anything runs. */
static void registry_remove_unborn(const char *dir, const char *id)
{
	struct err err = ERR_INIT;
	char *path = xasprintf("%s/%s", dir, id);
	if (dirs_remove(path, &err) < 0)
		log_warn(NULL, "%s", err.msg);
	free(path);
}

/* Also when that cannot be found out: what is not known is left alone. */
static bool registry_may_exist(const char *path)
{
	return access(path, F_OK) == 0 || errno != ENOENT;
}

/* Every run directory belongs to an instance that is not over, or to a record that this daemon cannot use and leaves alone. */
static bool registry_has_run_dir(struct registry *registry, const char *run, const char *id)
{
	const struct instance *inst = registry_by_id(registry, id);
	char *data = xasprintf("%s/data/%s", registry->config.state_dir, id), *aside = xasprintf("%s.broken", data);
	bool is_left_alone = inst == NULL && (registry_may_exist(data) || registry_may_exist(aside));
	free(data);
	free(aside);
	if (is_left_alone)
		(void)leftover_report(run, id);
	return is_left_alone || (inst != NULL && !instance_is_over(inst));
}

/* Of many users the control socket is in the same directory. */
static bool registry_is_run_dir(const char *name)
{
	return strspn(name, "0123456789abcdef") >= INSTANCE_ID_LEN;
}

/* What a daemon left that died in the middle of a start or an end. */
static void registry_clear_run_dirs(struct registry *registry)
{
	const char *run = registry->config.run_dir;
	DIR *dir = opendir(run);
	for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir))
		if (registry_is_run_dir(entry->d_name) && !registry_has_run_dir(registry, run, entry->d_name))
			leftover_clear(registry->config.base, run, entry->d_name);
	if (dir != NULL)
		closedir(dir);
}

static bool registry_is_alive(const struct registry *registry, const char *id)
{
	return leftover_report(registry->config.run_dir, id);
}

static bool registry_is_lack(const struct err *err)
{
	return err->code == ERR_RESOURCE_EXHAUSTED || err->code == ERR_INTERNAL;
}

/* False: for lack of something that may be there the next time. */
static bool registry_adopt_one(struct registry *registry, const char *dir, const char *id)
{
	struct err err = ERR_INIT;
	struct instance *inst = NULL;
	char *path = xasprintf("%s/%s/record", dir, id);
	Pwemu__V1__Record *record = store_load(path, &err);
	if (record != NULL && strcmp(record->id, id) != 0) {
		err_set(&err, ERR_DATA_LOSS, "record \"%s\" is a copy of another instance's, %.32s", path, record->id);
		PB_FREE(record);
	} else if (record != NULL) {
		inst = instance_restore(&registry->env, record, &err);
	}
	free(path);
	if (inst != NULL)
		registry_add(registry, inst);
	else if (err.sys == ENOENT && record == NULL && !registry_is_alive(registry, id))
		registry_remove_unborn(dir, id);
	else if (err.code == ERR_DATA_LOSS || err.sys == ENOENT || err.sys == ENOTDIR)
		registry_set_aside(registry, dir, id, &err);
	else
		registry_report(registry, "%s", err.msg);
	return inst != NULL || !registry_is_lack(&err);
}

static bool registry_is_id(const char *name)
{
	return strlen(name) == INSTANCE_ID_LEN && strspn(name, "0123456789abcdef") == INSTANCE_ID_LEN;
}

/* Whether it is worth no other try. */
static bool registry_adopt_all(struct registry *registry, const char *path)
{
	bool is_done = true;
	DIR *dir = opendir(path);
	if (dir == NULL && errno == ENOENT)
		return true;
	if (dir == NULL) {
		registry_report(registry, "open directory \"%s\": %s; instances of earlier daemons are not adopted", path, strerror(errno));
		return false;
	}
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		if (registry_is_id(entry->d_name) && registry_by_id(registry, entry->d_name) == NULL)
			is_done = registry_adopt_one(registry, path, entry->d_name) && is_done;
	closedir(dir);
	return is_done;
}

static void registry_make_dir(char *path)
{
	struct err err = ERR_INIT;
	if (dirs_make_spread(path, &err) < 0)
		log_warn(NULL, "%s", err.msg); /* the start that needs it says so again */
	free(path);
}

static void registry_make_dirs(const struct registry *registry)
{
	registry_make_dir(xstrdup(registry->config.run_dir));
	registry_make_dir(xasprintf("%s/data", registry->config.state_dir));
	registry_make_dir(xasprintf("%s/instances", registry->config.state_dir));
}

void registry_adopt(struct registry *registry)
{
	registry_make_dirs(registry);
	char *path = xasprintf("%s/data", registry->config.state_dir);
	for (int round = 1; !registry_adopt_all(registry, path) && round < REGISTRY_ADOPT_ROUNDS; round++)
		continue;
	free(path);
	registry_clear_run_dirs(registry);
	retention_look(registry->retention);
	queue_look(registry->queue);
	timer_arm(registry->sweep, 0); /* one that was stopped while it waited */
}
