/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function an object of the schema. Messages are built of malloc'ed parts as protobuf-c's own unpacker makes them, so that
 * pwemu__v1__target__free_unpacked() frees them.
 */
#include "config/target_json.h"

#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "config/policy.h"
#include "config/target.h"
#include "wire/mem.h"

#define TEXT_MAX 4096 /* target_validate() has the exact limits; this one bounds what is copied */
#define LIST_MAX 256

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KNOWN_KEYS(at, rules, err, ...)                                                                                                    \
	target_json_keys(at, rules, (const char *const[]){ __VA_ARGS__ }, COUNT(((const char *const[]){ __VA_ARGS__ })), err)

static const struct target_json_rules strict = { 0 };

int target_json_keys(const struct json_at *object, const struct target_json_rules *rules, const char *const *keys, size_t count,
		     struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at member;

	while (json_next(object, &iter, &member)) {
		struct err what = ERR_INIT;

		if (json_known_key(&member, keys, count, &what) == 0)
			continue;
		if (!rules->on_unknown) {
			*err = what;
			return -1;
		}
		if (member.value) /* null is as good as absent */
			rules->on_unknown(rules->ctx, &what);
	}
	return 0;
}

static int expand(const struct json_at *at, const struct target_json_rules *rules, char **out, struct err *err)
{
	const char *text;

	if (json_get_string(at, TEXT_MAX, &text, err) < 0)
		return -1;
	char *made = rules->expand ? rules->expand(rules->ctx, at, text, err) : xstrdup(text);

	if (made)
		*out = made;
	return made ? 0 : -1;
}

/* Replaces *out, which may be protobuf-c's shared empty string. */
int target_json_text(const struct json_at *object, const char *key, const struct target_json_rules *rules, char **out, struct err *err)
{
	struct json_at at;

	return json_member(object, key, &at) ? expand(&at, rules, out, err) : 0;
}

int target_json_texts(const struct json_at *object, const char *key, const struct target_json_rules *rules, char ***out, size_t *count,
		      struct err *err)
{
	struct json_at list;

	if (!json_member(object, key, &list))
		return 0;
	if (json_get_array(&list, LIST_MAX, err) < 0)
		return -1;
	*out = xrealloc(*out, *count + json_count(&list) + 1, sizeof(char *));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at at = json_element(&list, i);

		if (expand(&at, rules, &(*out)[*count], err) < 0)
			return -1;
		(*count)++;
	}
	return 0;
}

static int read_size(const struct json_at *object, const char *key, uint64_t *out, struct err *err)
{
	struct json_at at;

	if (!json_member(object, key, &at))
		return json_fail(object, err, "\"%s\" is missing", key);
	return json_get_size(&at, out, err);
}

static int read_range(const struct json_at *at, const struct target_json_rules *rules, Pwemu__V1__Memory *range, struct err *err)
{
	struct json_at boot;
	bool is_boot = false;

	if (json_get_object(at, err) < 0 || KNOWN_KEYS(at, rules, err, "name", "base", "size", "boot") < 0 ||
	    target_json_text(at, "name", rules, &range->name, err) < 0 || read_size(at, "base", &range->address, err) < 0 ||
	    read_size(at, "size", &range->size, err) < 0)
		return -1;
	if (json_member(at, "boot", &boot) && json_get_bool(&boot, &is_boot, err) < 0)
		return -1;
	range->boot = is_boot;
	return 0;
}

static int read_memory(const struct json_at *object, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at list;

	if (!json_member(object, "memory", &list))
		return 0;
	if (json_get_array(&list, LIST_MAX, err) < 0)
		return -1;
	target->memory = xcalloc(json_count(&list) + 1, sizeof(Pwemu__V1__Memory *));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at at = json_element(&list, i);
		Pwemu__V1__Memory *range = xmalloc(sizeof(*range));

		pwemu__v1__memory__init(range);
		target->memory[target->n_memory++] = range;
		if (read_range(&at, rules, range, err) < 0)
			return -1;
	}
	return 0;
}

static int read_chardev(const struct json_at *at, const struct target_json_rules *rules, Pwemu__V1__ChannelSpec *channel, struct err *err)
{
	channel->name = xstrdup(at->key);
	if (json_get_object(at, err) < 0 || KNOWN_KEYS(at, rules, err, "id", "type") < 0 ||
	    target_json_text(at, "id", rules, &channel->id, err) < 0 || target_json_text(at, "type", rules, &channel->type, err) < 0)
		return -1;
	return channel->id[0] ? 0 : json_fail(at, err, "\"id\" is missing");
}

static int read_chardevs(const struct json_at *chardevs, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at at;

	if (json_get_object(chardevs, err) < 0)
		return -1;
	while (json_next(chardevs, &iter, &at)) {
		Pwemu__V1__ChannelSpec *channel = xmalloc(sizeof(*channel));

		if (target->n_channels == LIST_MAX) {
			free(channel);
			return json_fail(chardevs, err, "more than %d channels", LIST_MAX);
		}
		pwemu__v1__channel_spec__init(channel);
		target->channels = xrealloc(target->channels, target->n_channels + 1, sizeof(Pwemu__V1__ChannelSpec *));
		target->channels[target->n_channels++] = channel;
		if (read_chardev(&at, rules, channel, err) < 0)
			return -1;
	}
	return 0;
}

void target_json_set_type(Pwemu__V1__Target *target, const char *channel, const char *type)
{
	for (size_t i = 0; i < target->n_channels; i++) {
		Pwemu__V1__ChannelSpec *spec = target->channels[i];

		if (!spec->type[0] && (!channel || strcmp(channel, spec->name) == 0))
			spec->type = xstrdup(type);
	}
}

int target_json_type(const struct json_at *object, const char *channel, const struct target_json_rules *rules, Pwemu__V1__Target *target,
		     struct err *err)
{
	char *type = NULL;
	int rc = target_json_text(object, "type", rules, &type, err);

	if (type)
		target_json_set_type(target, channel, type);
	free(type);
	return rc;
}

static int read_channels(const struct json_at *qemu, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at channels, chardevs;

	if (!json_member(qemu, "channels", &channels))
		return 0;
	if (json_get_object(&channels, err) < 0 || KNOWN_KEYS(&channels, rules, err, "chardevs", "type") < 0)
		return -1;
	if (json_member(&channels, "chardevs", &chardevs) && read_chardevs(&chardevs, rules, target, err) < 0)
		return -1;
	return target_json_type(&channels, NULL, rules, target, err);
}

static int read_qemu(const struct json_at *object, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at at;
	Pwemu__V1__QemuTarget *qemu;

	if (!json_member(object, "qemu", &at))
		return json_fail(object, err, "\"qemu\" is missing");
	if (json_get_object(&at, err) < 0 || KNOWN_KEYS(&at, rules, err, "executable", "machine", "args", "load", "channels") < 0)
		return -1;
	qemu = target->qemu = xmalloc(sizeof(*qemu));
	pwemu__v1__qemu_target__init(qemu);
	target->emulator = xstrdup("qemu");
	if (target_json_text(&at, "executable", rules, &qemu->executable, err) < 0 ||
	    target_json_text(&at, "machine", rules, &qemu->machine, err) < 0 ||
	    target_json_texts(&at, "args", rules, &qemu->args, &qemu->n_args, err) < 0 ||
	    target_json_text(&at, "load", rules, &qemu->load, err) < 0)
		return -1;
	return read_channels(&at, rules, target, err);
}

/* Each policy is a message of its own, absent where the key is. */
static int read_policies(const struct json_at *object, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at at;

	if (json_member(object, "restart", &at)) {
		target->restart = xmalloc(sizeof(*target->restart));
		pwemu__v1__restart_policy__init(target->restart);
		if (policy_restart_read(&at, target->restart, err) < 0)
			return -1;
	}
	if (json_member(object, "hang", &at)) {
		target->hang = xmalloc(sizeof(*target->hang));
		pwemu__v1__hang_policy__init(target->hang);
		if (policy_hang_read(&at, target->hang, err) < 0)
			return -1;
	}
	if (json_member(object, "log", &at)) {
		target->log = xmalloc(sizeof(*target->log));
		pwemu__v1__log_policy__init(target->log);
		if (policy_log_read(&at, target->log, err) < 0)
			return -1;
	}
	return 0;
}

int target_json_read(const struct json_at *at, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
{
	static const char *const keys[] = { "description", "architecture", "cpu",  "uart",    "eol", "gdb",
					    "memory",      "qemu",         "hang", "restart", "log" };

	target->name = xstrdup(at->key);
	if (json_get_object(at, err) < 0 || target_json_keys(at, rules, keys, COUNT(keys), err) < 0 ||
	    target_json_text(at, "description", rules, &target->description, err) < 0 ||
	    target_json_text(at, "architecture", rules, &target->architecture, err) < 0 ||
	    target_json_text(at, "cpu", rules, &target->cpu, err) < 0 || target_json_text(at, "uart", rules, &target->uart, err) < 0 ||
	    target_json_text(at, "eol", rules, &target->eol, err) < 0 ||
	    target_json_texts(at, "gdb", rules, &target->gdb, &target->n_gdb, err) < 0 || read_memory(at, rules, target, err) < 0 ||
	    read_policies(at, target, err) < 0)
		return -1;
	return read_qemu(at, rules, target, err);
}

static int read_target(const struct json_at *at, Pwemu__V1__Target *target, struct err *err)
{
	struct err bad = ERR_INIT;

	target->source = xstrdup(at->file->name);
	if (target_json_read(at, &strict, target, err) < 0)
		return -1;
	return target_validate(target, &bad) < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

static int read_file(const struct json_file *file, struct target_list *list, struct err *err)
{
	struct json_at root = json_root(file), targets, at;
	struct json_iter iter = { 0 };

	if (KNOWN_KEYS(&root, &strict, err, "targets", "$schema") < 0)
		return -1;
	if (!json_member(&root, "targets", &targets))
		return json_fail(&root, err, "\"targets\" is missing");
	if (json_get_object(&targets, err) < 0)
		return -1;
	while (json_next(&targets, &iter, &at)) {
		Pwemu__V1__Target *target = xmalloc(sizeof(*target));

		pwemu__v1__target__init(target);
		list->targets = xrealloc(list->targets, list->count + 1, sizeof(Pwemu__V1__Target *));
		list->targets[list->count++] = target;
		if (read_target(&at, target, err) < 0)
			return -1;
	}
	return 0;
}

int target_json_load(const char *path, struct target_list *list, struct err *err)
{
	struct json_file file;

	if (json_load(path, &file, err) < 0)
		return -1;
	int rc = read_file(&file, list, err);

	json_fini(&file);
	return rc;
}
