/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/conf.h"
#include "client/tojson.h"
#include "client/out.h"
#include "client/say.h"
#include "config/policy.h"
#include "pwemu/v1/targets.pb-c.h"
#include "wire/mem.h"

static const char *const columns[] = { "NAME", "DESCRIPTION", "CPU", "UART", "CHANNELS", "FROM" };
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

/* "serial0..serial4", or the names. Owned by the caller. */
static char *channel_list(const Pwemu__V1__Target *target)
{
	char *list = xstrdup("");
	if (target->n_channels > 3) {
		free(list);
		return xasprintf("%s ... %s", target->channels[0]->name, target->channels[target->n_channels - 1]->name);
	}
	for (size_t i = 0; i < target->n_channels; i++) {
		char *longer = xasprintf("%s%s%s", list, i > 0 ? " " : "", target->channels[i]->name);
		free(list);
		list = longer;
	}
	return list;
}

/* The file as the user knows it. */
static const char *from_where(const Pwemu__V1__Target *target)
{
	char *cwd = getcwd(NULL, 0);
	size_t len = cwd != NULL ? strlen(cwd) : 0;
	bool is_below = len > 1 && strncmp(target->source, cwd, len) == 0 && target->source[len] == '/';
	free(cwd);
	if (target->config[0] == '\0')
		return "preset";
	return target->source + (is_below ? len + 1 : 0);
}

static void print_table(const Pwemu__V1__Target *const *targets, size_t count)
{
	struct out_table *table = out_table_new(columns, COLUMN_COUNT);
	for (size_t i = 0; i < count; i++) {
		const Pwemu__V1__Target *target = targets[i];
		char *channels = channel_list(target);
		out_cell(table, OUT_PLAIN, "%s", target->name);
		out_cell(table, OUT_PLAIN, "%s", target->description);
		out_cell(table, OUT_PLAIN, "%s", target->architecture);
		out_cell(table, OUT_PLAIN, "%s", target->uart);
		out_cell(table, OUT_PLAIN, "%s", channels);
		out_cell(table, OUT_PLAIN, "%s", from_where(target));
		free(channels);
	}
	out_table_print(table);
}

struct list {
	Pwemu__V1__Target **own; /* of the project; those that could not be read are told */
	size_t own_count;
	const Pwemu__V1__Target **all; /* and the presets that have none of their names */
	size_t count;
};

static void list_own(struct list *list, struct conf *conf)
{
	size_t count = conf->project != NULL ? project_count(conf->project) : 0;
	list->own = xcalloc(count, sizeof(*list->own));
	for (size_t i = 0; i < count; i++) {
		struct err err = ERR_INIT;
		if (project_target(conf->project, project_name(conf->project, i), NULL, NULL, &list->own[list->own_count], &err) == 0)
			list->own_count++;
		else
			say_err(&err);
	}
}

static void list_all(struct list *list, const struct conf *conf, const Pwemu__V1__ListTargetsReply *reply)
{
	list->all = xcalloc(list->own_count + reply->n_targets, sizeof(*list->all));
	for (size_t i = 0; i < list->own_count; i++)
		list->all[list->count++] = list->own[i];
	for (size_t i = 0; i < reply->n_targets; i++)
		if (!conf_has(conf, reply->targets[i]->name))
			list->all[list->count++] = reply->targets[i];
}

static void print_list(const struct cli *cli, struct conf *conf, const Pwemu__V1__ListTargetsReply *reply)
{
	struct list list = { 0 };
	list_own(&list, conf);
	list_all(&list, conf, reply);
	if (opt_is(&cli->opts, "output", "json"))
		tojson_array(stdout, (const ProtobufCMessage *const *)list.all, list.count);
	else
		print_table(list.all, list.count);
	for (size_t i = 0; i < reply->n_errors; i++)
		say_error("%s", reply->errors[i]);
	for (size_t i = 0; i < list.own_count; i++)
		pwemu__v1__target__free_unpacked(list.own[i], NULL);
	free(list.own);
	free(list.all);
}

static int list_targets(struct cli *cli, struct conf *conf)
{
	Pwemu__V1__ListTargetsRequest request = PWEMU__V1__LIST_TARGETS_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct err err = ERR_INIT;
	if (cli_open(cli, CONN_NO_CHECK, &err) < 0 || call_repeatable(&cli->conn, CALL_TARGETS_LIST, &request.base, &message, &err) < 0)
		return cli_refused(&err);
	print_list(cli, conf, (const Pwemu__V1__ListTargetsReply *)message);
	protobuf_c_message_free_unpacked(message, NULL);
	return EXIT_DONE;
}

static void print_words(const char *name, char *const *words, size_t count)
{
	if (count == 0)
		return;
	char *text = xstrdup("");
	for (size_t i = 0; i < count; i++) {
		char *longer = xasprintf("%s%s%s", text, i > 0 ? " " : "", words[i]);
		free(text);
		text = longer;
	}
	out_field(name, OUT_PLAIN, "%s", text);
	free(text);
}

static void print_memory(const Pwemu__V1__Memory *memory)
{
	char size[32];
	out_field("", OUT_PLAIN, "0x%08" PRIx64 "-0x%08" PRIx64 "  %s, %s%s", memory->address, memory->address + memory->size - 1,
		  memory->name, out_bytes(memory->size, size, sizeof(size)), memory->boot ? "; a raw binary goes here" : "");
}

static void print_policies(const Pwemu__V1__Target *target)
{
	char text[POLICY_TEXT_MAX];
	if (target->restart != NULL)
		out_field("restart:", OUT_PLAIN, "%s", policy_restart_text(target->restart, text, sizeof(text)));
	if (target->hang != NULL)
		out_field("hang:", OUT_PLAIN, "%s", policy_hang_text(target->hang, text, sizeof(text)));
	if (target->log != NULL)
		out_field("log:", OUT_PLAIN, "%s", policy_log_text(target->log, text, sizeof(text)));
}

static void print_channel(const Pwemu__V1__ChannelSpec *channel)
{
	bool has_type = channel->type[0] != '\0' && strcmp(channel->type, "none") != 0;
	out_field("", OUT_PLAIN, "%s%s%s", channel->name, has_type ? ", " : "", has_type ? channel->type : "");
}

static void print_target(const Pwemu__V1__Target *target)
{
	out_field("name:", OUT_BOLD, "%s", target->name);
	if (target->description[0] != '\0')
		out_field("description:", OUT_PLAIN, "%s", target->description);
	out_field("emulator:", OUT_PLAIN, "%s", target->emulator);
	if (target->qemu != NULL) {
		out_field("machine:", OUT_PLAIN, "%s (%s)", target->qemu->machine, target->qemu->executable);
		print_words("arguments:", target->qemu->args, target->qemu->n_args);
	}
	if (target->renode != NULL && target->qemu == NULL)
		out_field("machine:", OUT_PLAIN, "%s (%s)", target->renode->machine, target->renode->executable);
	out_field("cpu:", OUT_PLAIN, "%s", target->architecture[0] != '\0' ? target->architecture : "any");
	if (target->uart[0] != '\0')
		out_field("uart:", OUT_PLAIN, "%s", target->uart);
	out_field("enter sends:", OUT_PLAIN, "%s", target->eol[0] != '\0' ? target->eol : "cr");
	print_words("gdb:", target->gdb, target->n_gdb);
	print_policies(target);
	fputs(target->n_channels > 0 ? "channels:\n" : "", stdout);
	for (size_t i = 0; i < target->n_channels; i++)
		print_channel(target->channels[i]);
	fputs(target->n_memory > 0 ? "memory:\n" : "", stdout);
	for (size_t i = 0; i < target->n_memory; i++)
		print_memory(target->memory[i]);
	if (target->source[0] != '\0')
		out_field("file:", OUT_PLAIN, "%s", target->source);
}

static int show_target(struct cli *cli, struct conf *conf)
{
	Pwemu__V1__Target *target = NULL;
	struct err err = ERR_INIT;
	if (conf_target(conf, cli->opts.args[0], NULL, &target, &err) < 0)
		return cli_refused(&err);
	if (opt_is(&cli->opts, "output", "json"))
		tojson_message(stdout, &target->base);
	else
		print_target(target);
	pwemu__v1__target__free_unpacked(target, NULL);
	return EXIT_DONE;
}

int cmd_targets(struct cli *cli)
{
	struct conf conf;
	struct err err = ERR_INIT;
	bool shows_one = cli->opts.arg_count > 0;
	int code;
	if (conf_open(&conf, cli, opt_text(&cli->opts, "config"), shows_one ? CONF_WARN : CONF_QUIET, &err) < 0)
		code = cli_refused(&err);
	else
		code = shows_one ? show_target(cli, &conf) : list_targets(cli, &conf);
	conf_fini(&conf);
	return code;
}
