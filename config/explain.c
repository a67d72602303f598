/* SPDX-License-Identifier: Apache-2.0 */
#include "config/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/policy.h"
#include "config/value.h"
#include "wire/mem.h"

#define NAME_MAX_BYTES 200

struct walk {
	explain_fn on_value;
	void *ctx;
};

static void give(const struct walk *w, const char *text, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void give(const struct walk *w, const char *text, const char *fmt, ...)
{
	char name[NAME_MAX_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	w->on_value(w->ctx, name, text, true);
}

/* What the target says, else the default. */
static void give_or(const struct walk *w, const char *text, const char *fallback, const char *name)
{
	bool is_set = text[0] != '\0';
	w->on_value(w->ctx, name, is_set ? text : fallback, is_set);
}

static void give_text(const struct walk *w, const char *name, const char *text)
{
	if (text[0] != '\0')
		give(w, text, "%s", name);
}

static void give_words(const struct walk *w, const char *name, char *const *words, size_t count)
{
	char *text = xstrdup("");
	for (size_t i = 0; i < count; i++) {
		char *longer = xasprintf("%s%s%s", text, i > 0 ? " " : "", words[i]);
		free(text);
		text = longer;
	}
	if (count > 0)
		give(w, text, "%s", name);
	free(text);
}

static void give_each(const struct walk *w, const char *name, char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		give(w, texts[i], "%s[%zu]", name, i);
}

static void give_emulator(const struct walk *w, const Pwemu__V1__Target *target)
{
	const Pwemu__V1__QemuTarget *qemu = target->qemu;
	const Pwemu__V1__RenodeTarget *renode = target->renode;
	give_text(w, "emulator", target->emulator);
	if (qemu != NULL && strcmp(target->emulator, "qemu") == 0) {
		give_text(w, "qemu.executable", qemu->executable);
		give_text(w, "qemu.machine", qemu->machine);
		give_or(w, qemu->load, "kernel", "qemu.load");
		give_each(w, "qemu.args", qemu->args, qemu->n_args);
	}
	if (renode != NULL && strcmp(target->emulator, "renode") == 0) {
		give_text(w, "renode.executable", renode->executable);
		give_text(w, "renode.machine", renode->machine);
		give_each(w, "renode.args", renode->args, renode->n_args);
	}
}

static void give_channel(const struct walk *w, const char *name, const char *type, uint32_t port)
{
	char text[16], key[NAME_MAX_BYTES];
	snprintf(key, sizeof(key), "channels.%.80s.type", name);
	give_or(w, type, "none", key);
	snprintf(text, sizeof(text), "%u", port);
	if (port != 0)
		give(w, text, "channels.%.80s.port", name);
}

static void give_channels(const struct walk *w, const Pwemu__V1__Target *target)
{
	for (size_t i = 0; i < target->n_channels; i++) {
		const Pwemu__V1__ChannelSpec *channel = target->channels[i];
		give(w, channel->id, "channels.%.80s.%s", channel->name, strcmp(target->emulator, "renode") == 0 ? "device-path" : "id");
		give_channel(w, channel->name, channel->type, channel->port);
	}
	for (size_t i = 0; i < target->n_controls; i++)
		give_channel(w, target->controls[i]->channel, target->controls[i]->type, target->controls[i]->port);
}

static void give_commands(const struct walk *w, const char *key, Pwemu__V1__HelperCommand *const *commands, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *name = xasprintf("%s.%.80s", key, commands[i]->name);
		give_words(w, name, commands[i]->argv, commands[i]->n_argv);
		free(name);
	}
}

static void give_memory(const struct walk *w, const Pwemu__V1__Target *target)
{
	char *text = xstrdup("");
	for (size_t i = 0; i < target->n_memory; i++) {
		const Pwemu__V1__Memory *range = target->memory[i];
		char *longer = xasprintf("%s%s0x%08" PRIx64 "+0x%" PRIx64, text, i > 0 ? " " : "", range->address, range->size);
		free(text);
		text = longer;
	}
	if (target->n_memory > 0)
		give(w, text, "memory");
	free(text);
}

static void give_policies(const struct walk *w, const Pwemu__V1__Target *target)
{
	char text[POLICY_TEXT_MAX];
	if (target->restart != NULL)
		give(w, policy_restart_text(target->restart, text, sizeof(text)), "restart");
	if (target->hang != NULL)
		give(w, policy_hang_text(target->hang, text, sizeof(text)), "hang");
	if (target->log != NULL)
		give(w, policy_log_text(target->log, text, sizeof(text)), "log");
}

static void give_defaults(const struct walk *w, const Pwemu__V1__TargetDefaults *defaults)
{
	char text[32];
	give_or(w, defaults->semihosting ? "true" : "", "false", "semihosting");
	if (defaults->timeout_ms != 0)
		give(w, value_duration_text(defaults->timeout_ms, text, sizeof(text)), "timeout");
	give_words(w, "expect", defaults->expect, defaults->n_expect);
	give_words(w, "fail", defaults->fail, defaults->n_fail);
	give_words(w, "file", defaults->files, defaults->n_files);
	for (size_t i = 0; i < defaults->n_environment; i++) {
		const char *variable = defaults->environment[i];
		size_t len = strcspn(variable, "=");
		give(w, variable + len + (variable[len] == '='), "env.%.*s", (int)len, variable);
	}
	give_text(w, "from", defaults->from);
}

void explain_walk(const Pwemu__V1__Target *target, explain_fn on_value, void *ctx)
{
	static const Pwemu__V1__TargetDefaults none = PWEMU__V1__TARGET_DEFAULTS__INIT;
	struct walk w = { on_value, ctx };
	give_text(&w, "description", target->description);
	give_text(&w, "architecture", target->architecture);
	give_text(&w, "cpu", target->cpu);
	give_text(&w, "uart", target->uart);
	give_or(&w, target->eol, "cr", "eol");
	give_or(&w, target->isolate, "(the daemon's setting)", "isolate");
	give_or(&w, target->sandbox, "on", "sandbox");
	give_memory(&w, target);
	give_emulator(&w, target);
	give_channels(&w, target);
	give_words(&w, "gdb", target->gdb, target->n_gdb);
	give_commands(&w, "pre-start-cmds", target->pre_start, target->n_pre_start);
	give_commands(&w, "post-start-cmds", target->post_start, target->n_post_start);
	give_policies(&w, target);
	give_defaults(&w, target->defaults != NULL ? target->defaults : &none);
}
