/* SPDX-License-Identifier: Apache-2.0 */
/* What a target may contain, whoever wrote it. Names end up in file names and in the emulator's arguments, so their form is strict. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config/nearest.h"
#include "config/policy.h"
#include "config/target.h"

#define NAME_MAX_BYTES 64
#define TEXT_MAX_BYTES 1024
#define PATH_MAX_BYTES 4095
#define ARGS_MAX       256
#define ARG_MAX_BYTES  4096
#define MEMORY_MAX     64
#define CHANNELS_MAX   32
#define SERIALS        16
#define COMMANDS_MAX   64 /* pre-start and post-start together */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const architectures[] = { "arm", "aarch64", "riscv32", "riscv64", "avr" };
static const char *const eols[] = { "cr", "lf", "crlf" };
static const char *const isolates[] = { "auto", "off", "required" };
static const char *const sandboxes[] = { "on", "off" };
static const char *const loads[] = { "kernel", "bios", "loader" };
static const char *const types[] = { "tcp", "pty", "none" };
static const char *const controls[] = { "gdb", "monitor", "qmp" };
/* Channels that every instance has by itself. */
static const char *const reserved[] = { "emulator", "semihosting", "gdb", "qmp", "monitor", "all" };

static int invalid(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int invalid(struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, ERR_INVALID_ARGUMENT, fmt, ap);
	va_end(ap);
	return err_reason(err, "invalid-target");
}

/* A name that can be a file name and a word of an option: no leading dot or dash. */
static int check_name(const char *what, const char *name, struct err *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-";
	size_t len = strlen(name);

	if (len == 0)
		return invalid(err, "%s is empty", what);
	if (len > NAME_MAX_BYTES)
		return invalid(err, "%s \"%.20s...\" is longer than %d bytes", what, name, NAME_MAX_BYTES);
	if (strspn(name, allowed) != len || name[0] == '.' || name[0] == '-')
		return invalid(err, "%s \"%s\" must be of letters, digits and _ . + -, not beginning with . or -", what, name);
	return 0;
}

static int check_text(const char *what, const char *text, size_t max, struct err *err)
{
	if (strlen(text) > max)
		return invalid(err, "%s is longer than %zu bytes", what, max);
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return invalid(err, "%s has a control character", what);
	return 0;
}

static int check_word(const char *what, const char *word, const char *const *words, size_t count, struct err *err)
{
	char hint[128];

	if (word[0] == '\0')
		return 0;
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return 0;
	nearest_hint(word, words, count, hint, sizeof(hint));
	return invalid(err, "%s \"%.40s\" is unknown%s", what, word, hint);
}

static int check_args(const char *what, char *const *args, size_t count, struct err *err)
{
	if (count > ARGS_MAX)
		return invalid(err, "%s: more than %d", what, ARGS_MAX);
	for (size_t i = 0; i < count; i++)
		if (strlen(args[i]) > ARG_MAX_BYTES)
			return invalid(err, "%s: entry %zu is longer than %d bytes", what, i, ARG_MAX_BYTES);
	return 0;
}

static int check_memory(const Pwemu__V1__Target *target, struct err *err)
{
	if (target->n_memory > MEMORY_MAX)
		return invalid(err, "more than %d memory ranges", MEMORY_MAX);
	for (size_t i = 0; i < target->n_memory; i++) {
		const Pwemu__V1__Memory *range = target->memory[i];

		if (check_text("name of a memory range", range->name, NAME_MAX_BYTES, err) < 0)
			return -1;
		if (range->size == 0)
			return invalid(err, "memory range \"%s\" has no size", range->name);
		if (range->address > UINT64_MAX - range->size)
			return invalid(err, "memory range \"%s\" goes beyond the last address", range->name);
	}
	return 0;
}

/* "serial0" to "serial15", written as people do. Ids that merely begin so would be a serial port for pw_emu, of which number nobody knows.
 */
static bool is_serial(const char *id)
{
	const char *digits = id + strlen("serial");

	if (strncmp(id, "serial", strlen("serial")) != 0)
		return false;
	size_t len = strlen(digits);

	if (len == 0 || len > 2 || strspn(digits, "0123456789") != len || (len == 2 && digits[0] == '0'))
		return false;
	return len == 1 || (digits[0] - '0') * 10 + digits[1] - '0' < SERIALS;
}

/* Chardevs of QEMU that are no serial ports are made with their id: it must be nobody else's. */
static int check_chardev_id(const Pwemu__V1__Target *target, const Pwemu__V1__ChannelSpec *channel, struct err *err)
{
	if (check_name("channel id", channel->id, err) < 0)
		return -1;
	if (is_serial(channel->id))
		return 0;
	if (strncmp(channel->id, "serial", strlen("serial")) == 0)
		return invalid(err, "channel \"%s\": id \"%s\" must be serial0 to serial%d for a serial port of the board", channel->name,
			       channel->id, SERIALS - 1);
	for (size_t i = 0; i < COUNT(reserved); i++)
		if (strcmp(channel->id, reserved[i]) == 0 || strcmp(channel->id, "control") == 0)
			return invalid(err, "channel \"%s\": id \"%s\" is reserved", channel->name, channel->id);
	for (size_t i = 0; i < target->n_channels; i++)
		if (target->channels[i] != channel && strcmp(target->channels[i]->name, channel->id) == 0)
			return invalid(err, "channel \"%s\": id \"%s\" is the name of another channel", channel->name, channel->id);
	return 0;
}

static int check_port(const char *channel, const char *type, uint32_t port, struct err *err)
{
	if (port > 65535)
		return invalid(err, "channel \"%s\": port %u: there are 65535", channel, port);
	if (port != 0 && strcmp(type, "tcp") != 0)
		return invalid(err, "channel \"%s\" has a port, but not the type tcp", channel);
	return 0;
}

static int check_channel(const Pwemu__V1__Target *target, size_t index, struct err *err)
{
	const Pwemu__V1__ChannelSpec *channel = target->channels[index];
	bool is_qemu = strcmp(target->emulator, "qemu") == 0;

	if (check_name("channel name", channel->name, err) < 0)
		return -1;
	for (size_t i = 0; i < COUNT(reserved); i++)
		if (strcmp(channel->name, reserved[i]) == 0)
			return invalid(err, "channel name \"%s\" is reserved", channel->name);
	if ((is_qemu ? check_chardev_id(target, channel, err) : check_text("device path", channel->id, TEXT_MAX_BYTES, err)) < 0)
		return -1;
	if (check_word("type of a channel", channel->type, types, COUNT(types), err) < 0)
		return err_prefix(err, "channel \"%s\"", channel->name);
	for (size_t i = 0; i < index; i++) {
		if (strcmp(target->channels[i]->name, channel->name) == 0)
			return invalid(err, "two channels are named \"%s\"", channel->name);
		if (strcmp(target->channels[i]->id, channel->id) == 0)
			return invalid(err, "channels \"%s\" and \"%s\" have the same id \"%s\"", target->channels[i]->name, channel->name,
				       channel->id);
	}
	return check_port(channel->name, channel->type, channel->port, err);
}

static int check_control(const Pwemu__V1__Target *target, size_t index, struct err *err)
{
	const Pwemu__V1__Endpoint *control = target->controls[index];

	if (check_word("control channel", control->channel, controls, COUNT(controls), err) < 0)
		return -1;
	if (check_word("type of a channel", control->type, types, COUNT(types), err) < 0)
		return err_prefix(err, "channel \"%s\"", control->channel);
	for (size_t i = 0; i < index; i++)
		if (strcmp(target->controls[i]->channel, control->channel) == 0)
			return invalid(err, "two control channels are named \"%s\"", control->channel);
	return check_port(control->channel, control->type, control->port, err);
}

static int check_channels(const Pwemu__V1__Target *target, struct err *err)
{
	if (target->n_channels > CHANNELS_MAX)
		return invalid(err, "more than %d channels", CHANNELS_MAX);
	for (size_t i = 0; i < target->n_channels; i++)
		if (check_channel(target, i, err) < 0)
			return -1;
	if (target->n_controls > COUNT(controls))
		return invalid(err, "more than %zu control channels", COUNT(controls));
	for (size_t i = 0; i < target->n_controls; i++)
		if (check_control(target, i, err) < 0)
			return -1;
	return 0;
}

/* The n-th of the pre-start and post-start commands, counted through. */
static const Pwemu__V1__HelperCommand *command_at(const Pwemu__V1__Target *target, size_t index)
{
	return index < target->n_pre_start ? target->pre_start[index] : target->post_start[index - target->n_pre_start];
}

/* Of a name are made NAME.log and NAME.pid beside those of the emulator. */
static int check_command(const Pwemu__V1__Target *target, size_t index, struct err *err)
{
	const Pwemu__V1__HelperCommand *command = command_at(target, index);
	char what[NAME_MAX_BYTES + 32];

	if (check_name("name of a pre-start or post-start command", command->name, err) < 0)
		return -1;
	if (strcmp(command->name, target->emulator) == 0)
		return invalid(err, "a command cannot be named \"%s\" as the emulator is", command->name);
	for (size_t i = 0; i < index; i++)
		if (strcmp(command_at(target, i)->name, command->name) == 0)
			return invalid(err, "two pre-start or post-start commands are named \"%s\"", command->name);
	if (command->n_argv == 0 || command->argv[0][0] == '\0')
		return invalid(err, "command \"%s\" has no program", command->name);
	snprintf(what, sizeof(what), "command \"%s\"", command->name);
	return check_args(what, command->argv, command->n_argv, err);
}

static int check_commands(const Pwemu__V1__Target *target, struct err *err)
{
	size_t count = target->n_pre_start + target->n_post_start;

	if (target->n_pre_start > COMMANDS_MAX || target->n_post_start > COMMANDS_MAX || count > COMMANDS_MAX)
		return invalid(err, "more than %d pre-start and post-start commands", COMMANDS_MAX);
	for (size_t i = 0; i < count; i++)
		if (check_command(target, i, err) < 0)
			return -1;
	return check_text("config", target->config, PATH_MAX_BYTES, err);
}

static int check_defaults(const Pwemu__V1__TargetDefaults *defaults, struct err *err)
{
	if (defaults == NULL)
		return 0;
	if (check_args("expect", defaults->expect, defaults->n_expect, err) < 0 ||
	    check_args("fail", defaults->fail, defaults->n_fail, err) < 0 ||
	    check_args("file", defaults->files, defaults->n_files, err) < 0 ||
	    check_args("env", defaults->environment, defaults->n_environment, err) < 0)
		return -1;
	return check_text("from", defaults->from, NAME_MAX_BYTES, err);
}

static int check_qemu(const Pwemu__V1__QemuTarget *qemu, struct err *err)
{
	if (qemu->executable[0] == '\0' || qemu->machine[0] == '\0')
		return invalid(err, "qemu: \"%s\" is missing", qemu->executable[0] ? "machine" : "executable");
	if (check_text("qemu: executable", qemu->executable, PATH_MAX_BYTES, err) < 0 ||
	    check_text("qemu: machine", qemu->machine, TEXT_MAX_BYTES, err) < 0 ||
	    check_args("qemu: args", qemu->args, qemu->n_args, err) < 0)
		return -1;
	return check_word("qemu: load", qemu->load, loads, COUNT(loads), err);
}

static int check_renode(const Pwemu__V1__RenodeTarget *renode, struct err *err)
{
	if (!renode || renode->executable[0] == '\0' || renode->machine[0] == '\0')
		return invalid(err, "renode: \"%s\" is missing", renode && renode->executable[0] ? "machine" : "executable");
	if (check_text("renode: executable", renode->executable, PATH_MAX_BYTES, err) < 0 ||
	    check_text("renode: machine", renode->machine, PATH_MAX_BYTES, err) < 0)
		return -1;
	return check_args("renode: args", renode->args, renode->n_args, err);
}

static bool has_channel(const Pwemu__V1__Target *target, const char *name)
{
	for (size_t i = 0; i < target->n_channels; i++)
		if (strcmp(target->channels[i]->name, name) == 0)
			return true;
	return strcmp(name, "semihosting") == 0;
}

static int check_policies(const Pwemu__V1__Target *target, struct err *err)
{
	struct err bad = ERR_INIT;

	if ((target->restart && policy_restart_check(target->restart, &bad) < 0) ||
	    (target->hang && policy_hang_check(target->hang, &bad) < 0) || (target->log && policy_log_check(target->log, &bad) < 0))
		return invalid(err, "%s", bad.msg);
	if (target->hang && target->hang->channel[0] && !has_channel(target, target->hang->channel))
		return invalid(err, "hang: channel: the target has no channel \"%s\"", target->hang->channel);
	return 0;
}

int target_validate(const Pwemu__V1__Target *target, struct err *err)
{
	if (check_name("target name", target->name, err) < 0 || check_text("description", target->description, TEXT_MAX_BYTES, err) < 0 ||
	    check_word("architecture", target->architecture, architectures, COUNT(architectures), err) < 0 ||
	    check_text("cpu", target->cpu, NAME_MAX_BYTES, err) < 0 || check_text("uart", target->uart, NAME_MAX_BYTES, err) < 0 ||
	    check_word("eol", target->eol, eols, COUNT(eols), err) < 0 ||
	    check_word("isolate", target->isolate, isolates, COUNT(isolates), err) < 0 ||
	    check_word("sandbox", target->sandbox, sandboxes, COUNT(sandboxes), err) < 0 ||
	    check_args("gdb", target->gdb, target->n_gdb, err) < 0 || check_text("source", target->source, PATH_MAX_BYTES, err) < 0 ||
	    check_text("inferred", target->inferred, PATH_MAX_BYTES, err) < 0 || check_memory(target, err) < 0)
		return -1;
	if (check_channels(target, err) < 0 || check_commands(target, err) < 0 || check_defaults(target->defaults, err) < 0 ||
	    check_policies(target, err) < 0)
		return -1;
	if (strcmp(target->emulator, "renode") == 0)
		return check_renode(target->renode, err);
	if (strcmp(target->emulator, "qemu") != 0)
		return invalid(err, "emulator \"%.40s\" is unknown; there are \"qemu\" and \"renode\"", target->emulator);
	if (!target->qemu)
		return invalid(err, "\"qemu\" is missing");
	return check_qemu(target->qemu, err);
}
