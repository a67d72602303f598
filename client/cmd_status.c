/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/endpoints.h"
#include "client/lease.h"
#include "client/tojson.h"
#include "client/out.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "config/policy.h"
#include "wire/mem.h"

static void print_channel(const Pwemu__V1__Channel *channel)
{
	char bytes[32], address[512], *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	if (to == NULL)
		return;
	fprintf(to, "%s (%s): %s", channel->name, channel->kind, out_bytes(channel->offset, bytes, sizeof(bytes)));
	if (channel->first_offset > 0)
		fprintf(to, ", first %s gone", out_bytes(channel->first_offset, bytes, sizeof(bytes)));
	if (endpoints_address(channel, address, sizeof(address))[0] != '\0')
		fprintf(to, ", %s", address);
	if (channel->has_writer)
		fprintf(to, "%s%s", channel->writer[0] != '\0' ? ", written by " : ", has a writer", channel->writer);
	fclose(to);
	out_field("", OUT_PLAIN, "%s", text);
	free(text);
}

/* Beside the emulator, whose pid stands above. */
static void print_process(const Pwemu__V1__Instance *inst, const Pwemu__V1__Process *process)
{
	if (strcmp(process->name, inst->emulator) == 0)
		return;
	if (process->pid > 0)
		out_field("", OUT_PLAIN, "%s: pid %d", process->name, process->pid);
	else if (process->end != NULL)
		out_field("", process->end->cause == PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED ? OUT_PLAIN : OUT_YELLOW, "%s: %s",
			  process->name, process->end->message);
	else
		out_field("", OUT_PLAIN, "%s: not started", process->name);
}

static void print_processes(const Pwemu__V1__Instance *inst)
{
	if (inst->n_processes <= 1)
		return;
	printf("commands:\n");
	for (size_t i = 0; i < inst->n_processes; i++)
		print_process(inst, inst->processes[i]);
}

static void print_restart(const Pwemu__V1__Instance *inst)
{
	char policy[POLICY_TEXT_MAX], again[48], count[48];
	snprintf(count, sizeof(count), ", %u restart%s so far", inst->restarts, inst->restarts == 1 ? "" : "s");
	if (inst->restart != NULL)
		out_field("restart:", OUT_PLAIN, "%s%s", policy_restart_text(inst->restart, policy, sizeof(policy)),
			  inst->restarts > 0 ? count : "");
	if (show_restart(inst, again, sizeof(again))[0] != '\0')
		out_field("next boot:", OUT_YELLOW, "%s", again);
}

/* The last ends, where there are others than the one that the reason tells of. */
static void print_ends(const Pwemu__V1__Instance *inst)
{
	static const char *const columns[] = { "BOOT", "WHEN", "CAUSE", "MESSAGE" };
	char time[32];
	if (inst->n_ends == 0 || (inst->n_ends == 1 && inst->end != NULL))
		return;
	struct out_table *table = out_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	out_table_indent(table, OUT_FIELD_WIDTH);
	for (size_t i = 0; i < inst->n_ends; i++) {
		const Pwemu__V1__End *end = inst->ends[i];
		out_cell(table, OUT_PLAIN, "%u", end->boot);
		out_cell(table, OUT_PLAIN, "%s", out_time(end->time_ns, time, sizeof(time)));
		out_cell(table, OUT_PLAIN, "%s", tojson_word(&pwemu__v1__end_cause__descriptor, (int)end->cause));
		out_cell(table, OUT_PLAIN, "%s", end->message);
	}
	printf("ends:\n");
	out_table_print(table);
}

/* What is said in several lines: registers, an assertion. */
static void print_details(const Pwemu__V1__End *end)
{
	if (end == NULL || end->details[0] == '\0')
		return;
	printf("details:\n");
	char *copy = xstrdup(end->details), *rest = copy, *line;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			out_field("", OUT_PLAIN, "%s", line);
	free(copy);
}

static void print_lease(const Pwemu__V1__Instance *inst)
{
	char left[48];
	lease_remaining(inst, left, sizeof(left));
	if (inst->queue_position > 0)
		out_field("queue:", OUT_YELLOW, "number %u", inst->queue_position);
	if (inst->lease != NULL)
		out_field("lease:", OUT_PLAIN, "%s, %s%s%s", tojson_word(&pwemu__v1__lease_kind__descriptor, (int)inst->lease->kind),
			  lease_owner(inst), left[0] != '\0' ? ", left: " : "", left);
}

static void print_times(const Pwemu__V1__Instance *inst)
{
	char time[32];
	if (inst->started_ns > 0)
		out_field("since:", OUT_PLAIN, "%s", out_time(inst->started_ns, time, sizeof(time)));
	if (inst->end != NULL && inst->end->time_ns > 0)
		out_field("ended:", OUT_PLAIN, "%s", out_time(inst->end->time_ns, time, sizeof(time)));
	if (inst->end != NULL && inst->end->tail_unknown)
		out_field("", OUT_YELLOW, "the last output of its serial channels may be missing: it did not end in good order");
}

static void print_state(const Pwemu__V1__Instance *inst)
{
	char since[32];
	bool is_known = inst->state_since_ns > 0;
	out_field("state:", show_state_colour(inst), "%s%s%s", show_state(inst), is_known ? " since " : "",
		  is_known ? out_time(inst->state_since_ns, since, sizeof(since)) : "");
	if (show_reason(inst)[0] != '\0')
		out_field("reason:", OUT_PLAIN, "%s", show_reason(inst));
}

static void print_owner(const Pwemu__V1__Instance *inst)
{
	char since[32];
	if (inst->foreign)
		out_field("owner:", OUT_PLAIN, "%s; you may %s it", inst->owner, inst->right);
	else
		out_field("owner:", OUT_PLAIN, "%s", inst->owner);
	for (size_t i = 0; i < inst->n_shares; i++)
		out_field(i == 0 ? "shared with:" : "", OUT_PLAIN, "%s%s: %s since %s", inst->shares[i]->group ? "group " : "",
			  inst->shares[i]->name, inst->shares[i]->right, out_time(inst->shares[i]->since_ns, since, sizeof(since)));
}

static void print_status(const Pwemu__V1__Instance *inst)
{
	out_field("name:", OUT_BOLD, "%s", inst->name);
	out_field("id:", OUT_PLAIN, "%s", inst->id);
	print_state(inst);
	out_field("target:", OUT_PLAIN, "%s (%s%s%s)", inst->target, inst->emulator, inst->emulator_version[0] != '\0' ? " " : "",
		  inst->emulator_version);
	print_owner(inst);
	if (inst->pid > 0) {
		out_field("network:", OUT_PLAIN, "%s", inst->private_network ? "its own, with nothing but lo" : "the host's");
		if (inst->sandbox[0] != '\0')
			out_field("sandbox:", OUT_PLAIN, "%s", inst->sandbox);
		out_field("pid:", OUT_PLAIN, "%d", inst->pid);
	}
	out_field("boot:", OUT_PLAIN, "%u", inst->boot);
	print_times(inst);
	print_restart(inst);
	print_lease(inst);
	if (inst->project[0] != '\0')
		out_field("project:", OUT_PLAIN, "%s", inst->project);
	out_field("directory:", OUT_PLAIN, "%s%s%s", inst->working_dir, inst->host[0] != '\0' ? ", on " : "", inst->host);
	for (size_t i = 0; i < inst->n_images; i++)
		out_field("image:", OUT_PLAIN, "%s", inst->images[i]);
	if (inst->n_channels > 0)
		printf("channels:\n");
	for (size_t i = 0; i < inst->n_channels; i++)
		print_channel(inst->channels[i]);
	print_processes(inst);
	print_ends(inst);
	print_details(inst->end);
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
