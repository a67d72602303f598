/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/tojson.h"
#include "client/out.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "wire/mem.h"

static void print_channel(const Pwemu__V1__Channel *channel)
{
	char bytes[32], where[64] = "";
	if (strcmp(channel->type, "tcp") == 0)
		snprintf(where, sizeof(where), ", %.40s:%u", channel->host, channel->port);
	out_field("", OUT_PLAIN, "%s (%s): %s%s%s%s%s", channel->name, channel->kind, out_bytes(channel->offset, bytes, sizeof(bytes)),
		  where, channel->path[0] != '\0' ? ", " : "", channel->path, channel->has_writer ? ", has a writer" : "");
}

static void print_status(const Pwemu__V1__Instance *inst)
{
	char time[32];
	out_field("name:", OUT_BOLD, "%s", inst->name);
	out_field("id:", OUT_PLAIN, "%s", inst->id);
	out_field("state:", show_state_colour(inst), "%s", show_state(inst));
	if (show_reason(inst)[0] != '\0')
		out_field("reason:", OUT_PLAIN, "%s", show_reason(inst));
	out_field("target:", OUT_PLAIN, "%s (%s)", inst->target, inst->emulator);
	out_field("owner:", OUT_PLAIN, "%s", inst->owner);
	if (inst->pid > 0)
		out_field("pid:", OUT_PLAIN, "%d", inst->pid);
	out_field("boot:", OUT_PLAIN, "%u", inst->boot);
	if (inst->started_ns > 0)
		out_field("since:", OUT_PLAIN, "%s", out_time(inst->started_ns, time, sizeof(time)));
	if (inst->end != NULL && inst->end->time_ns > 0)
		out_field("ended:", OUT_PLAIN, "%s", out_time(inst->end->time_ns, time, sizeof(time)));
	if (inst->project[0] != '\0')
		out_field("project:", OUT_PLAIN, "%s", inst->project);
	out_field("directory:", OUT_PLAIN, "%s", inst->working_dir);
	for (size_t i = 0; i < inst->n_images; i++)
		out_field("image:", OUT_PLAIN, "%s", inst->images[i]);
	if (inst->n_channels > 0)
		printf("channels:\n");
	for (size_t i = 0; i < inst->n_channels; i++)
		print_channel(inst->channels[i]);
}

struct found {
	Pwemu__V1__Instance **list;
	size_t count;
	bool missing, stopped;
};

static void find_all(struct cli *cli, struct found *found)
{
	found->list = xcalloc(ref_count(cli), sizeof(void *));
	for (unsigned i = 0; i < ref_count(cli); i++) {
		struct err err = ERR_INIT;
		if (ref_get(cli, i, &found->list[found->count], &err) < 0) {
			say_err(&err);
			found->missing = true;
			continue;
		}
		found->stopped |= !show_is_running(found->list[found->count++]);
	}
}

static void print_found(const struct cli *cli, const struct found *found)
{
	const ProtobufCMessage *const *messages = (const ProtobufCMessage *const *)found->list;
	bool as_json = opt_is(&cli->opts, "output", "json");
	if (as_json && ref_count(cli) > 1)
		tojson_array(stdout, messages, found->count);
	else if (as_json && found->count > 0)
		tojson_message(stdout, messages[0]);
	for (size_t i = 0; !as_json && i < found->count; i++) {
		if (i > 0)
			putchar('\n');
		print_status(found->list[i]);
	}
}

int cmd_status(struct cli *cli)
{
	struct found found = { 0 };
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	find_all(cli, &found);
	print_found(cli, &found);
	for (size_t i = 0; i < found.count; i++)
		pwemu__v1__instance__free_unpacked(found.list[i], NULL);
	free(found.list);
	return found.missing ? EXIT_REFUSED : found.stopped ? EXIT_NOT_RUNNING : EXIT_DONE;
}
