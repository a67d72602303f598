/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a target that are the same for every emulator. */
#include "config/target_json.h"

#include <stdlib.h>
#include <string.h>

#include "config/policy.h"
#include "config/target.h"
#include "config/value.h"
#include "wire/mem.h"

#define LIST_MAX 256

#define TEXT(key_, member)                                                                                                                 \
	{                                                                                                                                  \
		.name = (key_), .read = key_text, .offset = offsetof(Pwemu__V1__Target, member)                                            \
	}

/* ---------------------------------------------------------------- memory */

static int read_size(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)reader;
	return json_get_size(at, (uint64_t *)(void *)((char *)object + key->offset), err);
}

static int read_range_name(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	return reader_text(reader, at, READER_PLAIN, &((Pwemu__V1__Memory *)object)->name, err);
}

static int read_boot(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	bool is_boot = false;
	(void)reader, (void)key;
	if (json_get_bool(at, &is_boot, err) < 0)
		return -1;
	((Pwemu__V1__Memory *)object)->boot = is_boot;
	return 0;
}

static const struct key memory_rows[] = {
	{ .name = "name", .read = read_range_name },
	{ .name = "base", .read = read_size, .offset = offsetof(Pwemu__V1__Memory, address) },
	{ .name = "size", .read = read_size, .offset = offsetof(Pwemu__V1__Memory, size) },
	{ .name = "boot", .read = read_boot },
};
static const struct keys memory_keys = KEYS(memory_rows);

static int read_range(struct reader *reader, const struct json_at *at, Pwemu__V1__Memory *range, struct err *err)
{
	static const char *const needed[] = { "base", "size" };
	struct json_at member;
	if (reader_object(reader, at, &memory_keys, range, err) < 0)
		return -1;
	for (size_t i = 0; i < 2; i++)
		if (!json_member(at, needed[i], &member))
			return json_fail(at, err, "\"%s\" is missing", needed[i]);
	return 0;
}

static void free_memory(Pwemu__V1__Target *target)
{
	for (size_t i = 0; i < target->n_memory; i++)
		pwemu__v1__memory__free_unpacked(target->memory[i], NULL);
	free(target->memory);
	target->memory = NULL;
	target->n_memory = 0;
}

static int read_memory(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	Pwemu__V1__Target *target = object;
	if (json_get_array(at, LIST_MAX, err) < 0)
		return -1;
	free_memory(target);
	reader_set_by(reader, at, "%s", key->name);
	target->memory = xcalloc(json_count(at) + 1, sizeof(Pwemu__V1__Memory *));
	for (size_t i = 0; i < json_count(at); i++) {
		struct json_at item = json_element(at, i);
		Pwemu__V1__Memory *range = xmalloc(sizeof(*range));
		pwemu__v1__memory__init(range);
		target->memory[target->n_memory++] = range;
		if (read_range(reader, &item, range, err) < 0 && reader_failed(reader, err) < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- policies: each is a message of its own, absent where the key is */

static int read_restart(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	Pwemu__V1__Target *target = object;
	reader_set_by(reader, at, "%s", key->name);
	if (target->restart != NULL)
		pwemu__v1__restart_policy__free_unpacked(target->restart, NULL);
	target->restart = xmalloc(sizeof(*target->restart));
	pwemu__v1__restart_policy__init(target->restart);
	return policy_restart_read(at, target->restart, err);
}

static int read_hang(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	Pwemu__V1__Target *target = object;
	reader_set_by(reader, at, "%s", key->name);
	if (target->hang != NULL)
		pwemu__v1__hang_policy__free_unpacked(target->hang, NULL);
	target->hang = xmalloc(sizeof(*target->hang));
	pwemu__v1__hang_policy__init(target->hang);
	return policy_hang_read(at, target->hang, err);
}

static int read_log(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	Pwemu__V1__Target *target = object;
	reader_set_by(reader, at, "%s", key->name);
	if (target->log != NULL)
		pwemu__v1__log_policy__free_unpacked(target->log, NULL);
	target->log = xmalloc(sizeof(*target->log));
	pwemu__v1__log_policy__init(target->log);
	return policy_log_read(at, target->log, err);
}

/* ---------------------------------------------------------------- what stands for options */

Pwemu__V1__TargetDefaults *target_defaults(Pwemu__V1__Target *target)
{
	if (target->defaults == NULL) {
		target->defaults = xmalloc(sizeof(*target->defaults));
		pwemu__v1__target_defaults__init(target->defaults);
	}
	return target->defaults;
}

static int read_semihosting(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	bool is_on;
	if (json_get_bool(at, &is_on, err) < 0)
		return -1;
	reader_set_by(reader, at, "%s", key->name);
	target_defaults(object)->semihosting = is_on;
	return 0;
}

static int read_timeout(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	struct err bad = ERR_INIT;
	char *text = NULL;
	uint64_t ms = 0;
	if (reader_expand(reader, at, READER_PLAIN, &text, err) < 0)
		return -1;
	int rc = value_duration(text, &ms, &bad);
	free(text);
	if (rc < 0)
		return json_fail(at, err, "%s", bad.msg);
	reader_set_by(reader, at, "%s", key->name);
	target_defaults(object)->timeout_ms = (uint32_t)ms;
	return 0;
}

/* expect, fail: the key's offsets are those in the defaults. */
static int read_patterns(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	return key_texts(reader, at, key, target_defaults(object), err);
}

static int read_files(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	Pwemu__V1__TargetDefaults *defaults = target_defaults(object);
	if (key_texts(reader, at, key, defaults, err) < 0)
		return -1;
	for (size_t i = 0; i < defaults->n_files; i++) {
		char *file = defaults->files[i];
		if (file[0] == '/' || reader->dir == NULL)
			continue;
		defaults->files[i] = xasprintf("%s/%s", reader->dir, file);
		free(file);
	}
	return 0;
}

static void put_variable(Pwemu__V1__TargetDefaults *defaults, const char *name, char *variable)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < defaults->n_environment; i++) {
		char **old = &defaults->environment[i];
		if (strncmp(*old, name, len) != 0 || (*old)[len] != '=')
			continue;
		free(*old);
		*old = variable;
		return;
	}
	defaults->environment = xrealloc(defaults->environment, defaults->n_environment + 1, sizeof(char *));
	defaults->environment[defaults->n_environment++] = variable;
}

static int read_variable(struct reader *reader, const struct json_at *at, void *object, struct err *err)
{
	char *value = NULL;
	if (at->key[0] == '\0' || strchr(at->key, '=') != NULL)
		return json_fail(at, err, "is no name of an environment variable");
	if (reader_expand(reader, at, READER_PLAIN, &value, err) < 0)
		return -1;
	reader_set_by(reader, at, "env.%s", at->key);
	put_variable(target_defaults(object), at->key, xasprintf("%s=%s", at->key, value));
	free(value);
	return 0;
}

static int read_env(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	return reader_members(reader, at, read_variable, object, err);
}

static bool is_position(const char *text)
{
	uint64_t bytes;
	return strcmp(text, "boot") == 0 || strcmp(text, "now") == 0 || value_size(text + (text[0] == '-'), &bytes, NULL) == 0;
}

static int read_from(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	Pwemu__V1__TargetDefaults *defaults = target_defaults(object);
	if (reader_text(reader, at, READER_PLAIN, &defaults->from, err) < 0)
		return -1;
	reader_set_by(reader, at, "%s", key->name);
	if (!is_position(defaults->from))
		return json_fail(at, err, "'%.40s' is not a position: write 0, boot, now, -4K (before the end) or an offset in bytes",
				 defaults->from);
	return 0;
}

/* ---------------------------------------------------------------- the target */

#define DEFAULTS(key_, read_, member)                                                                                                      \
	{                                                                                                                                  \
		.name = (key_), .read = (read_), .flavours = READER_PROJECT, .offset = offsetof(Pwemu__V1__TargetDefaults, member),        \
		.count_offset = offsetof(Pwemu__V1__TargetDefaults, n_##member)                                                            \
	}

static const struct key target_rows[] = {
	{ .name = "base", .read = key_ignore, .flavours = READER_PROJECT }, /* project.c follows it */
	TEXT("description", description),
	TEXT("architecture", architecture),
	TEXT("cpu", cpu),
	TEXT("uart", uart),
	TEXT("eol", eol),
	TEXT("isolate", isolate),
	TEXT("sandbox", sandbox),
	{ .name = "gdb",
	  .read = key_texts,
	  .offset = offsetof(Pwemu__V1__Target, gdb),
	  .count_offset = offsetof(Pwemu__V1__Target, n_gdb) },
	{ .name = "memory", .read = read_memory },
	{ .name = "qemu", .read = target_json_qemu },
	{ .name = "renode", .read = target_json_renode },
	{ .name = "pre-start-cmds",
	  .read = target_json_commands,
	  .offset = offsetof(Pwemu__V1__Target, pre_start),
	  .count_offset = offsetof(Pwemu__V1__Target, n_pre_start) },
	{ .name = "post-start-cmds",
	  .read = target_json_commands,
	  .offset = offsetof(Pwemu__V1__Target, post_start),
	  .count_offset = offsetof(Pwemu__V1__Target, n_post_start) },
	{ .name = "restart", .read = read_restart },
	{ .name = "hang", .read = read_hang },
	{ .name = "log", .read = read_log },
	{ .name = "from", .read = read_from },
	{ .name = "semihosting", .read = read_semihosting, .flavours = READER_PROJECT },
	{ .name = "timeout", .read = read_timeout, .flavours = READER_PROJECT },
	DEFAULTS("expect", read_patterns, expect),
	DEFAULTS("fail", read_patterns, fail),
	DEFAULTS("file", read_files, files),
	{ .name = "env", .read = read_env, .flavours = READER_PROJECT },
};
static const struct keys target_keys = KEYS(target_rows);

Pwemu__V1__Target *target_new(const char *name)
{
	Pwemu__V1__Target *target = xmalloc(sizeof(*target));
	pwemu__v1__target__init(target);
	target->name = xstrdup(name);
	return target;
}

int target_json_read(struct reader *reader, const struct json_at *at, Pwemu__V1__Target *target, struct err *err)
{
	return reader_object(reader, at, &target_keys, target, err);
}

int target_json_unknown(struct reader *reader, const struct json_at *at, struct err *err)
{
	return reader_unknown(reader, at, &target_keys, err);
}

/* ---------------------------------------------------------------- files of the daemon */

static int read_preset(const struct json_at *at, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at none = { .file = at->file };
	struct reader reader = { .flavour = READER_PRESET, .emulator = target_json_emulator(at, 0) };
	struct err bad = ERR_INIT;
	target->source = xstrdup(at->file->name);
	if (json_get_object(at, err) < 0)
		return -1;
	if (reader.emulator == NULL)
		return json_fail(at, err, "\"qemu\" or \"renode\" is missing: say which emulator has the board");
	target_set_emulator(target, reader.emulator);
	int rc = target_json_read(&reader, at, target, err);
	if (rc == 0)
		rc = target_json_types(&reader, at, &none, "", target, err);
	reader_fini(&reader);
	if (rc < 0)
		return -1;
	return target_validate(target, &bad) < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

static int read_preset_into(struct reader *reader, const struct json_at *at, void *object, struct err *err)
{
	struct target_list *list = object;
	Pwemu__V1__Target *target = target_new(at->key);
	(void)reader;
	list->targets = xrealloc(list->targets, list->count + 1, sizeof(Pwemu__V1__Target *));
	list->targets[list->count++] = target;
	return read_preset(at, target, err);
}

static int read_targets(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	return reader_members(reader, at, read_preset_into, object, err);
}

static const struct key file_rows[] = {
	{ .name = "$schema", .read = key_ignore },
	{ .name = "targets", .read = read_targets },
};
static const struct keys file_keys = KEYS(file_rows);

const struct target_table target_json_tables[] = {
	{ "target", &target_keys },
	{ "memory", &memory_keys },
	{ 0 },
};

int target_json_load(const char *path, struct target_list *list, struct err *err)
{
	struct reader reader = { .flavour = READER_PRESET };
	struct json_file file;
	struct json_at targets;
	if (json_load(path, &file, err) < 0)
		return -1;
	struct json_at root = json_root(&file);
	int rc = reader_object(&reader, &root, &file_keys, list, err);
	if (rc == 0 && !json_member(&root, "targets", &targets))
		rc = json_fail(&root, err, "\"targets\" is missing");
	reader_fini(&reader);
	json_fini(&file);
	return rc;
}
