/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a target that belong to one emulator, and its commands beside the emulator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/target_json.h"
#include "wire/mem.h"

#define CHANNELS_MAX 256
#define COMMANDS_MAX 256

static const char *const emulators[] = { "qemu", "renode", NULL };

const char *target_emulator_name(size_t index)
{
	return emulators[index];
}

static bool is_emulator(const char *name)
{
	for (size_t i = 0; emulators[i] != NULL; i++)
		if (strcmp(emulators[i], name) == 0)
			return true;
	return false;
}

const char *target_json_emulator(const struct json_at *target, size_t index)
{
	struct json_iter iter = { 0 };
	struct json_at member;
	if (json_get_object(target, NULL) < 0)
		return NULL;
	while (json_next(target, &iter, &member))
		if (member.value != NULL && is_emulator(member.key) && index-- == 0)
			return member.key;
	return NULL;
}

void target_set_emulator(Pwemu__V1__Target *target, const char *emulator)
{
	if (target->emulator != protobuf_c_empty_string)
		free(target->emulator);
	target->emulator = xstrdup(emulator);
	if (strcmp(emulator, "qemu") == 0 && target->qemu == NULL) {
		target->qemu = xmalloc(sizeof(*target->qemu));
		pwemu__v1__qemu_target__init(target->qemu);
	} else if (strcmp(emulator, "renode") == 0 && target->renode == NULL) {
		target->renode = xmalloc(sizeof(*target->renode));
		pwemu__v1__renode_target__init(target->renode);
	}
}

/* The same function for all names inside of an object: what they are called depends on where it is. */
static int read_below(struct reader *reader, const struct json_at *at, const char *prefix, const struct keys *keys, void *object,
		      struct err *err)
{
	char before[READER_PREFIX_MAX];
	memcpy(before, reader->prefix, sizeof(before));
	snprintf(reader->prefix, sizeof(reader->prefix), "%s", prefix);
	int rc = reader_object(reader, at, keys, object, err);
	memcpy(reader->prefix, before, sizeof(before));
	return rc;
}

/* ---------------------------------------------------------------- channels */

#define CHANNEL(key_, read_, member)                                                                                                       \
	{                                                                                                                                  \
		.name = key_, .read = read_, .offset = offsetof(Pwemu__V1__ChannelSpec, member)                                            \
	}

static const struct key chardev_rows[] = {
	CHANNEL("id", key_text, id),
	CHANNEL("type", target_json_type, type),
	CHANNEL("port", target_json_port, port),
};
static const struct keys chardev_keys = KEYS(chardev_rows);

static const struct key terminal_rows[] = {
	CHANNEL("device-path", key_text, id),
	CHANNEL("type", target_json_type, type),
	CHANNEL("port", target_json_port, port),
};
static const struct keys terminal_keys = KEYS(terminal_rows);

static Pwemu__V1__ChannelSpec *channel_named(Pwemu__V1__Target *target, const char *name)
{
	for (size_t i = 0; i < target->n_channels; i++)
		if (strcmp(target->channels[i]->name, name) == 0)
			return target->channels[i];
	Pwemu__V1__ChannelSpec *channel = xmalloc(sizeof(*channel));
	pwemu__v1__channel_spec__init(channel);
	channel->name = xstrdup(name);
	target->channels = xrealloc(target->channels, target->n_channels + 1, sizeof(Pwemu__V1__ChannelSpec *));
	target->channels[target->n_channels++] = channel;
	return channel;
}

static int read_channel(struct reader *reader, const struct json_at *at, Pwemu__V1__Target *target, const struct keys *keys,
			struct err *err)
{
	char prefix[READER_PREFIX_MAX];
	if (json_get_object(at, err) < 0)
		return -1;
	if (target->n_channels == CHANNELS_MAX)
		return json_fail(at, err, "more than %d channels", CHANNELS_MAX);
	Pwemu__V1__ChannelSpec *channel = channel_named(target, at->key);
	snprintf(prefix, sizeof(prefix), "channels.%.80s.", at->key);
	if (read_below(reader, at, prefix, keys, channel, err) < 0)
		return -1;
	return channel->id[0] != '\0' ? 0 : json_fail(at, err, "\"%s\" is missing", keys->rows[0].name);
}

static int read_chardev(struct reader *reader, const struct json_at *at, void *object, struct err *err)
{
	return read_channel(reader, at, object, &chardev_keys, err);
}

/* "type" may stand among the terminals as it does in the defaults of the emulator. */
static int read_terminal(struct reader *reader, const struct json_at *at, void *object, struct err *err)
{
	if (strcmp(at->key, "type") == 0 && json_get_object(at, NULL) < 0)
		return target_json_type_of_all(reader, at, NULL, object, err);
	return read_channel(reader, at, object, &terminal_keys, err);
}

static int read_chardevs(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	return reader_members(reader, at, read_chardev, object, err);
}

static int read_terminals(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	return reader_members(reader, at, read_terminal, object, err);
}

static const struct key qemu_channel_rows[] = {
	{ .name = "chardevs", .read = read_chardevs },  { .name = "type", .read = target_json_type_of_all },
	{ .name = "gdb", .read = target_json_control }, { .name = "monitor", .read = target_json_control },
	{ .name = "qmp", .read = target_json_control },
};
static const struct keys qemu_channel_keys = KEYS(qemu_channel_rows);

static const struct key renode_channel_rows[] = {
	{ .name = "terminals", .read = read_terminals },
	{ .name = "type", .read = target_json_type_of_all },
	{ .name = "gdb", .read = target_json_control },
};
static const struct keys renode_channel_keys = KEYS(renode_channel_rows);

/* The key's offset says whose. */
static int read_qemu_channels(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	return reader_object(reader, at, &qemu_channel_keys, object, err);
}

static int read_renode_channels(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	return reader_object(reader, at, &renode_channel_keys, object, err);
}

/* ---------------------------------------------------------------- qemu, renode */

/* These rows are given the target; what they fill in is in the emulator's own message. */
static void *message_of(Pwemu__V1__Target *target)
{
	return target->qemu != NULL && strcmp(target->emulator, "qemu") == 0 ? (void *)target->qemu : (void *)target->renode;
}

static int own_text(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	return key_text(reader, at, key, message_of(object), err);
}

static int own_args(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	return key_args(reader, at, key, message_of(object), err);
}

#define OWN_TEXT(type, key_)                                                                                                               \
	{                                                                                                                                  \
		.name = #key_, .read = own_text, .offset = offsetof(Pwemu__V1__##type, key_)                                               \
	}
#define OWN_ARGS(type)                                                                                                                     \
	{                                                                                                                                  \
		.name = "args", .read = own_args, .offset = offsetof(Pwemu__V1__##type, args),                                             \
		.count_offset = offsetof(Pwemu__V1__##type, n_args)                                                                        \
	}

static const struct key qemu_rows[] = {
	OWN_TEXT(QemuTarget, executable),
	OWN_TEXT(QemuTarget, machine),
	OWN_ARGS(QemuTarget),
	OWN_TEXT(QemuTarget, load),
	{ .name = "channels", .read = read_qemu_channels },
};
static const struct keys qemu_keys = KEYS(qemu_rows);

static const struct key renode_rows[] = {
	OWN_TEXT(RenodeTarget, executable),
	OWN_TEXT(RenodeTarget, machine),
	OWN_ARGS(RenodeTarget),
	{ .name = "channels", .read = read_renode_channels },
};
static const struct keys renode_keys = KEYS(renode_rows);

/* Of the defaults; target_json_types() looks at the channels. */
static const struct key qemu_default_rows[] = {
	OWN_TEXT(QemuTarget, executable),
	OWN_ARGS(QemuTarget),
	{ .name = "channels", .read = key_ignore },
};
static const struct keys qemu_default_keys = KEYS(qemu_default_rows);

static const struct key renode_default_rows[] = {
	OWN_TEXT(RenodeTarget, executable),
	OWN_ARGS(RenodeTarget),
	{ .name = "channels", .read = key_ignore },
};
static const struct keys renode_default_keys = KEYS(renode_default_rows);

static int read_emulator(struct reader *reader, const struct json_at *at, const struct keys *keys, void *object, struct err *err)
{
	char prefix[READER_PREFIX_MAX];
	snprintf(prefix, sizeof(prefix), "%.40s.", at->key);
	return read_below(reader, at, prefix, keys, object, err);
}

int target_json_qemu(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	return strcmp(reader->emulator, key->name) == 0 ? read_emulator(reader, at, &qemu_keys, object, err) : 0;
}

int target_json_renode(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	return strcmp(reader->emulator, key->name) == 0 ? read_emulator(reader, at, &renode_keys, object, err) : 0;
}

int target_json_emulator_defaults(struct reader *reader, const struct json_at *at, Pwemu__V1__Target *target, struct err *err)
{
	bool is_qemu = strcmp(target->emulator, "qemu") == 0;
	return read_emulator(reader, at, is_qemu ? &qemu_default_keys : &renode_default_keys, target, err);
}

/* ---------------------------------------------------------------- commands */

static int read_argv(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	Pwemu__V1__HelperCommand *command = object;
	(void)key;
	reader_free_texts(&command->argv, &command->n_argv);
	return reader_texts(reader, at, READER_COMMAND, false, &command->argv, &command->n_argv, err);
}

static int read_required(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	bool is_required = false;
	(void)reader, (void)key;
	if (json_get_bool(at, &is_required, err) < 0)
		return -1;
	((Pwemu__V1__HelperCommand *)object)->required = is_required;
	return 0;
}

static const struct key command_rows[] = {
	{ .name = "argv", .read = read_argv },
	{ .name = "required", .read = read_required },
};
static const struct keys command_keys = KEYS(command_rows);

struct command_list {
	const char *key;
	Pwemu__V1__HelperCommand ***list;
	size_t *count;
};

static Pwemu__V1__HelperCommand *command_named(struct command_list *commands, const char *name)
{
	for (size_t i = 0; i < *commands->count; i++)
		if (strcmp((*commands->list)[i]->name, name) == 0)
			return (*commands->list)[i];
	Pwemu__V1__HelperCommand *command = xmalloc(sizeof(*command));
	pwemu__v1__helper_command__init(command);
	command->name = xstrdup(name);
	*commands->list = xrealloc(*commands->list, *commands->count + 1, sizeof(**commands->list));
	(*commands->list)[(*commands->count)++] = command;
	return command;
}

static int read_command(struct reader *reader, const struct json_at *at, void *object, struct err *err)
{
	struct command_list *commands = object;
	if (*commands->count == COMMANDS_MAX)
		return json_fail(at, err, "more than %d commands", COMMANDS_MAX);
	Pwemu__V1__HelperCommand *command = command_named(commands, at->key);
	reader_set_by(reader, at, "%s.%s", commands->key, at->key);
	command->required = false;
	bool is_object = json_get_object(at, NULL) == 0;
	if ((is_object ? reader_object(reader, at, &command_keys, command, err) : read_argv(reader, at, NULL, command, err)) < 0)
		return -1;
	return command->n_argv > 0 ? 0 : json_fail(at, err, "has no command: write [\"PROGRAM\", \"ARGUMENT\", ...]");
}

int target_json_commands(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	struct command_list commands = {
		.key = key->name,
		.list = (void *)((char *)object + key->offset),
		.count = (void *)((char *)object + key->count_offset),
	};
	return reader_members(reader, at, read_command, &commands, err);
}

const struct target_table target_emulator_tables[] = {
	{ "qemu", &qemu_keys },
	{ "renode", &renode_keys },
	{ "qemuDefaults", &qemu_default_keys },
	{ "renodeDefaults", &renode_default_keys },
	{ "qemuChannels", &qemu_channel_keys },
	{ "renodeChannels", &renode_channel_keys },
	{ "chardev", &chardev_keys },
	{ "terminal", &terminal_keys },
	{ "command", &command_keys },
	{ 0 },
};
