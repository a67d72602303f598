/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function an object of the schema. Messages are built of malloc'ed parts as protobuf-c's own unpacker makes them, so that
 * pwemu__v1__target__free_unpacked() frees them.
 */
#include "config/target_json.h"

#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "config/target.h"
#include "wire/mem.h"

#define TEXT_MAX 4096 /* target_validate() has the exact limits; this one bounds what is copied */
#define LIST_MAX 256

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KNOWN_KEYS(at, err, ...)                                                                                                           \
	json_known_keys(at, (const char *const[]){ __VA_ARGS__ }, COUNT(((const char *const[]){ __VA_ARGS__ })), err)

/* Replaces *out, which may be protobuf-c's shared empty string, when the member is there. */
static int read_text(const struct json_at *object, const char *key, char **out, struct err *err)
{
	struct json_at at;
	const char *text;

	if (!json_member(object, key, &at))
		return 0;
	if (json_get_string(&at, TEXT_MAX, &text, err) < 0)
		return -1;
	*out = xstrdup(text);
	return 0;
}

static int read_texts(const struct json_at *object, const char *key, char ***out, size_t *count, struct err *err)
{
	struct json_at list;

	if (!json_member(object, key, &list))
		return 0;
	if (json_get_array(&list, LIST_MAX, err) < 0)
		return -1;
	*out = xcalloc(json_count(&list) + 1, sizeof(char *));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at at = json_element(&list, i);
		const char *text;

		if (json_get_string(&at, TEXT_MAX, &text, err) < 0)
			return -1;
		(*out)[(*count)++] = xstrdup(text);
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

static int read_range(const struct json_at *at, Pwemu__V1__Memory *range, struct err *err)
{
	struct json_at boot;
	bool is_boot = false;

	if (json_get_object(at, err) < 0 || KNOWN_KEYS(at, err, "name", "base", "size", "boot") < 0 ||
	    read_text(at, "name", &range->name, err) < 0 || read_size(at, "base", &range->address, err) < 0 ||
	    read_size(at, "size", &range->size, err) < 0)
		return -1;
	if (json_member(at, "boot", &boot) && json_get_bool(&boot, &is_boot, err) < 0)
		return -1;
	range->boot = is_boot;
	return 0;
}

static int read_memory(const struct json_at *object, Pwemu__V1__Target *target, struct err *err)
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
		if (read_range(&at, range, err) < 0)
			return -1;
	}
	return 0;
}

static int read_chardev(const struct json_at *at, Pwemu__V1__ChannelSpec *channel, struct err *err)
{
	struct json_at id;
	const char *text;

	channel->name = xstrdup(at->key);
	if (json_get_object(at, err) < 0 || KNOWN_KEYS(at, err, "id") < 0)
		return -1;
	if (!json_member(at, "id", &id))
		return json_fail(at, err, "\"id\" is missing");
	if (json_get_string(&id, TEXT_MAX, &text, err) < 0)
		return -1;
	channel->id = xstrdup(text);
	return 0;
}

static int read_channels(const struct json_at *qemu, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at channels, chardevs, at;
	struct json_iter iter = { 0 };

	if (!json_member(qemu, "channels", &channels))
		return 0;
	if (json_get_object(&channels, err) < 0 || KNOWN_KEYS(&channels, err, "chardevs") < 0)
		return -1;
	if (!json_member(&channels, "chardevs", &chardevs))
		return 0;
	if (json_get_object(&chardevs, err) < 0)
		return -1;
	while (json_next(&chardevs, &iter, &at)) {
		Pwemu__V1__ChannelSpec *channel = xmalloc(sizeof(*channel));

		if (target->n_channels == LIST_MAX) {
			free(channel);
			return json_fail(&chardevs, err, "more than %d channels", LIST_MAX);
		}
		pwemu__v1__channel_spec__init(channel);
		target->channels = xrealloc(target->channels, target->n_channels + 1, sizeof(Pwemu__V1__ChannelSpec *));
		target->channels[target->n_channels++] = channel;
		if (read_chardev(&at, channel, err) < 0)
			return -1;
	}
	return 0;
}

static int read_qemu(const struct json_at *object, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at at;
	Pwemu__V1__QemuTarget *qemu;

	if (!json_member(object, "qemu", &at))
		return json_fail(object, err, "\"qemu\" is missing");
	if (json_get_object(&at, err) < 0 || KNOWN_KEYS(&at, err, "executable", "machine", "args", "load", "channels") < 0)
		return -1;
	qemu = target->qemu = xmalloc(sizeof(*qemu));
	pwemu__v1__qemu_target__init(qemu);
	target->emulator = xstrdup("qemu");
	if (read_text(&at, "executable", &qemu->executable, err) < 0 || read_text(&at, "machine", &qemu->machine, err) < 0 ||
	    read_texts(&at, "args", &qemu->args, &qemu->n_args, err) < 0 || read_text(&at, "load", &qemu->load, err) < 0)
		return -1;
	return read_channels(&at, target, err);
}

static int read_target(const struct json_at *at, Pwemu__V1__Target *target, struct err *err)
{
	struct err bad = ERR_INIT;

	target->name = xstrdup(at->key);
	target->source = xstrdup(at->file->name);
	if (json_get_object(at, err) < 0 ||
	    KNOWN_KEYS(at, err, "description", "architecture", "cpu", "uart", "eol", "gdb", "memory", "qemu") < 0 ||
	    read_text(at, "description", &target->description, err) < 0 || read_text(at, "architecture", &target->architecture, err) < 0 ||
	    read_text(at, "cpu", &target->cpu, err) < 0 || read_text(at, "uart", &target->uart, err) < 0 ||
	    read_text(at, "eol", &target->eol, err) < 0 || read_texts(at, "gdb", &target->gdb, &target->n_gdb, err) < 0 ||
	    read_memory(at, target, err) < 0 || read_qemu(at, target, err) < 0)
		return -1;
	return target_validate(target, &bad) < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

static int read_file(const struct json_file *file, struct target_list *list, struct err *err)
{
	struct json_at root = json_root(file), targets, at;
	struct json_iter iter = { 0 };

	if (KNOWN_KEYS(&root, err, "targets", "$schema") < 0)
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
