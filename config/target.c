/* SPDX-License-Identifier: Apache-2.0 */
/* The set: targets sorted by name, and the files that could not be used. Reading one target is target_json.c's, checking target_check.c's.
 */
#include "config/target.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/target_json.h"
#include "config/nearest.h"
#include "wire/mem.h"

#define FILES_MAX   4096
#define TARGETS_MAX 4096

struct target_set {
	Pwemu__V1__Target **targets; /* sorted by name */
	size_t count;
	char **errors;
	size_t error_count;
};

struct target_set *target_set_new(void)
{
	return xcalloc(1, sizeof(struct target_set));
}

static void free_target(Pwemu__V1__Target *target)
{
	pwemu__v1__target__free_unpacked(target, NULL);
}

void target_set_free(struct target_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++)
		free_target(set->targets[i]);
	for (size_t i = 0; i < set->error_count; i++)
		free(set->errors[i]);
	free(set->targets);
	free(set->errors);
	free(set);
}

size_t target_set_count(const struct target_set *set)
{
	return set->count;
}

const Pwemu__V1__Target *target_set_at(const struct target_set *set, size_t index)
{
	return index < set->count ? set->targets[index] : NULL;
}

size_t target_set_error_count(const struct target_set *set)
{
	return set->error_count;
}

const char *target_set_error(const struct target_set *set, size_t index)
{
	return index < set->error_count ? set->errors[index] : NULL;
}

/* Index of the first target whose name is not before `name`. */
static size_t lower_bound(const struct target_set *set, const char *name)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(set->targets[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const Pwemu__V1__Target *target_set_find(const struct target_set *set, const char *name)
{
	size_t at = lower_bound(set, name);

	return at < set->count && strcmp(set->targets[at]->name, name) == 0 ? set->targets[at] : NULL;
}

static void add_error(struct target_set *set, const char *text)
{
	set->errors = xrealloc(set->errors, set->error_count + 1, sizeof(set->errors[0]));
	set->errors[set->error_count++] = xstrdup(text);
}

static void insert(struct target_set *set, Pwemu__V1__Target *target)
{
	size_t at = lower_bound(set, target->name);

	set->targets = xrealloc(set->targets, set->count + 1, sizeof(Pwemu__V1__Target *));
	memmove(&set->targets[at + 1], &set->targets[at], (set->count - at) * sizeof(Pwemu__V1__Target *));
	set->targets[at] = target;
	set->count++;
}

/* All or nothing: a file's targets are added when every one of them is good and new. */
static int add_file(struct target_set *set, const char *path, struct err *err)
{
	struct target_list list = { 0 };
	int rc = target_json_load(path, &list, err);

	if (rc == 0 && set->count + list.count > TARGETS_MAX)
		rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "%s: more than %d targets", path, TARGETS_MAX);
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		const Pwemu__V1__Target *other = target_set_find(set, list.targets[i]->name);

		if (other)
			rc = err_set(err, ERR_INVALID_ARGUMENT, "%s: target \"%s\" is in %s already", path, other->name, other->source);
	}
	for (size_t i = 0; i < list.count; i++) {
		if (rc == 0)
			insert(set, list.targets[i]);
		else
			free_target(list.targets[i]);
	}
	free(list.targets);
	return rc;
}

static int is_json(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

int target_set_load(struct target_set *set, const char *dir, struct err *err)
{
	struct dirent **names;
	int count = scandir(dir, &names, is_json, alphasort);

	if (count < 0)
		return err_sys(err, errno, "targets directory \"%s\"", dir);
	for (int i = 0; i < count; i++) {
		struct err bad = ERR_INIT;
		char *path = xasprintf("%s/%s", dir, names[i]->d_name);

		if (i < FILES_MAX && add_file(set, path, &bad) < 0)
			add_error(set, bad.msg);
		if (i == FILES_MAX)
			add_error(set, "too many target files, the rest is ignored");
		free(path);
		free(names[i]);
	}
	free(names);
	return 0;
}

int target_not_found(const struct target_set *set, const char *name, struct err *err)
{
	const char **names = xcalloc(set->count + 1, sizeof(names[0]));
	char hint[512];

	for (size_t i = 0; i < set->count; i++)
		names[i] = set->targets[i]->name;
	err_set(err, ERR_NOT_FOUND, "no target \"%.100s\"%s; `pwemu targets` lists all", name,
		nearest_hint(name, names, set->count, hint, sizeof(hint)));
	free(names);
	return err_reason(err, "invalid-target");
}
