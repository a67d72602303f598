/* SPDX-License-Identifier: Apache-2.0 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/out.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/sink.h"
#include "client/tojson.h"
#include "client/watch.h"

struct events {
	struct cli *cli;
	struct sink *sink;
	struct watch watch;
	bool as_json, tells_gone, ended;
	struct err status;
	int broken; /* errno of stdout, 0: none */
};

/* ---------------------------------------------------------------- one event */

static const char *word_of_kind(const Pwemu__V1__Event *event)
{
	return tojson_word(&pwemu__v1__event_kind__descriptor, (int)event->kind);
}

static const char *text_of_state(const Pwemu__V1__Event *event)
{
	return tojson_word(&pwemu__v1__state__descriptor, (int)event->state);
}

static const char *text_of_end(const Pwemu__V1__Event *event)
{
	return event->end != NULL ? event->end->message : "";
}

static const char *text_of_writer(const Pwemu__V1__Event *event)
{
	return event->actor[0] != '\0' ? event->actor : "nobody";
}

static const char *text_of_actor(const Pwemu__V1__Event *event)
{
	return event->actor;
}

static const char *text_of_process(const Pwemu__V1__Event *event)
{
	return event->process;
}

/* What there is to say besides channel and reason. */
static const char *text_of(const Pwemu__V1__Event *event)
{
	static const struct {
		Pwemu__V1__EventKind kind;
		const char *(*text)(const Pwemu__V1__Event *event);
	} rows[] = {
		{ PWEMU__V1__EVENT_KIND__EVENT_KIND_STATE, text_of_state },
		{ PWEMU__V1__EVENT_KIND__EVENT_KIND_END, text_of_end },
		{ PWEMU__V1__EVENT_KIND__EVENT_KIND_WRITER, text_of_writer },
		{ PWEMU__V1__EVENT_KIND__EVENT_KIND_PROCESS, text_of_process },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].kind == event->kind)
			return rows[i].text(event);
	return text_of_actor(event);
}

/* Joins those that are not empty with ": ". */
static void write_text(FILE *to, const Pwemu__V1__Event *event)
{
	const char *const parts[] = { event->channel, text_of(event), event->reason };
	const char *before = "";
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i][0] == '\0' || (i > 0 && strcmp(parts[i], parts[i - 1]) == 0))
			continue;
		fprintf(to, "%s%s", before, parts[i]);
		before = ": ";
	}
}

/* Aligned, as long as names are short. */
static void write_row(FILE *to, const Pwemu__V1__Event *event)
{
	char time[32];
	fprintf(to, "%s.%03u %6llu  %-10s  %-8s  ", out_time(event->time_ns, time, sizeof(time)),
		(unsigned)(event->time_ns / 1000000 % 1000), (unsigned long long)event->seq,
		event->instance[0] != '\0' ? event->instance : "-", word_of_kind(event));
	write_text(to, event);
}

/* To be freed. */
static char *render(const struct events *events, const Pwemu__V1__Event *event, size_t *len)
{
	char *line = NULL;
	FILE *to = open_memstream(&line, len);
	if (to == NULL)
		abort();
	if (events->as_json)
		tojson_compact(to, &event->base);
	else
		write_row(to, event);
	fclose(to);
	out_make_harmless(line);
	*len = strlen(line);
	return line;
}

/* ---------------------------------------------------------------- the stream */

static void check_done(struct events *events)
{
	if (events->broken != 0 || (events->ended && sink_is_empty(events->sink)))
		event_base_loopbreak(events->cli->conn.base);
}

static void on_event(void *ctx, const Pwemu__V1__Event *event)
{
	struct events *events = ctx;
	size_t len;
	if (event->gone > 0 && events->tells_gone)
		say_note("%llu older events are not kept any more", (unsigned long long)event->gone);
	events->tells_gone = true; /* what is missing in between was asked for in any case */
	char *line = render(events, event, &len);
	line[len] = '\n'; /* in place of the terminator */
	sink_write(events->sink, line, len + 1);
	free(line);
	if (sink_is_full(events->sink))
		watch_pause(&events->watch);
}

static void on_end(void *ctx, const struct err *status)
{
	struct events *events = ctx;
	events->ended = true;
	events->status = *status;
	check_done(events);
}

static void on_drained(void *ctx)
{
	struct events *events = ctx;
	watch_resume(&events->watch);
	check_done(events);
}

static void on_broken(void *ctx, int error)
{
	struct events *events = ctx;
	events->broken = error;
	check_done(events);
}

/* The daemon has gone: goes on with the next one. */
static bool resume(struct events *events)
{
	struct conn *conn = &events->cli->conn;
	if (events->broken != 0 || !conn_is_lost(conn, &events->status) || conn_reopen(conn, &events->status) < 0)
		return false;
	events->ended = false;
	watch_begin(&events->watch);
	return true;
}

static int show(struct events *events)
{
	static const struct sink_ops sink_ops = { .on_drained = on_drained, .on_broken = on_broken };
	struct event_base *base = events->cli->conn.base;
	events->sink = sink_new(base, STDOUT_FILENO, &sink_ops, events);
	watch_begin(&events->watch);
	do
		event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	while (resume(events));
	conn_close(&events->cli->conn); /* ends the watch while it is still there */
	sink_free(events->sink);
	if (events->broken != 0)
		return cli_output_failed(events->broken);
	return events->status.code != ERR_OK ? cli_refused(&events->status) : EXIT_DONE;
}

/* ---------------------------------------------------------------- the command */

int cmd_events(struct cli *cli)
{
	struct err err = ERR_INIT;
	Pwemu__V1__Instance *inst = NULL;
	struct events events = { .cli = cli, .as_json = opt_is(&cli->opts, "output", "json"), .tells_gone = opt_has(&cli->opts, "from") };
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	if (opt_has(&cli->opts, "instance") && ref_get(cli, 0, &inst, &err) < 0)
		return cli_refused(&err);
	events.watch = (struct watch){
		.conn = &cli->conn,
		.instance_id = inst != NULL ? inst->id : NULL,
		.has_from = true,
		.from_seq = (uint64_t)opt_integer(&cli->opts, "from", 1),
		.no_follow = !opt_has(&cli->opts, "follow"),
		.on_event = on_event,
		.on_end = on_end,
		.ctx = &events,
	};
	int code = show(&events);
	if (inst != NULL)
		pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}
