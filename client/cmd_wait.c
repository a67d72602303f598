/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting is a watch with snapshots for the states and the end, and a feed for each channel that is looked at. Both begin in the past:
 * the watch with the events after the command's first look at the daemon, the feeds with the latest start. A start that is under way
 * has not marked its beginning in the logs yet, so channels are opened when it has; one that fails first has printed nothing.
 */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/expect.h"
#include "client/feed.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "client/tojson.h"
#include "client/values.h"
#include "client/watch.h"
#include "config/nearest.h"

#define MAX_VIEWS 40
#define STATES    (&pwemu__v1__state__descriptor)

struct view {
	struct wait *wait;
	struct feed *feed; /* NULL: over */
	size_t channel;    /* of `expect` */
	bool is_lost;
};

struct wait {
	struct cli *cli;
	struct expect *expect; /* NULL: no patterns */
	unsigned states;       /* bits of those that are waited for */
	bool wants_exit;
	uint64_t timeout_ms;

	Pwemu__V1__Instance *inst; /* as it was last */
	struct watch watch;
	struct view views[MAX_VIEWS];
	size_t view_count, open_views;
	bool has_begun;   /* channels are open, or nothing is to be read */
	bool is_starting; /* and has not come further */
	bool state_seen, is_over, timed_out, is_lost, is_finished;
	struct err trouble;
};

/* ---------------------------------------------------------------- is it done? */

static bool has_failed(const struct wait *w)
{
	return w->expect != NULL && expect_result(w->expect) == EXPECT_FAILED;
}

/* The first pattern that is waited for; NULL: all were seen. */
static const char *missing_pattern(const struct wait *w)
{
	bool is_open = w->expect != NULL && expect_result(w->expect) == EXPECT_OPEN;
	return is_open ? expect_pattern(w->expect) : NULL;
}

static bool is_exhausted(const struct wait *w)
{
	return w->is_over && w->open_views == 0 && !w->is_lost;
}

static bool is_met(const struct wait *w)
{
	return (w->states == 0 || w->state_seen) && missing_pattern(w) == NULL && (!w->wants_exit || is_exhausted(w));
}

static void check_done(struct wait *w)
{
	bool is_cut = w->is_lost && w->watch.stream == NULL && w->open_views == 0;
	if (has_failed(w) || is_met(w) || is_exhausted(w) || is_cut || w->timed_out || w->trouble.code != ERR_OK)
		event_base_loopbreak(w->cli->conn.base);
}

/* Returns true when the connection was lost, which is no trouble yet. */
static bool note_end(struct wait *w, const struct err *status)
{
	bool is_lost = conn_is_lost(&w->cli->conn, status);
	w->is_lost |= is_lost;
	if (!is_lost && status->code != ERR_OK && w->trouble.code == ERR_OK)
		w->trouble = *status;
	return is_lost;
}

/* ---------------------------------------------------------------- channels */

static void on_data(void *ctx, struct feed *feed, const Pwemu__V1__Data *data)
{
	(void)feed;
	struct view *view = ctx;
	expect_feed(view->wait->expect, view->channel, (const char *)data->bytes.data, data->bytes.len);
	check_done(view->wait);
}

static void on_view_end(void *ctx, struct feed *feed, const struct err *status)
{
	struct view *view = ctx;
	view->wait->open_views--;
	view->is_lost = note_end(view->wait, status);
	if (!view->is_lost) {
		view->feed = NULL;
		feed_free(feed);
	}
	check_done(view->wait);
}

static void open_view(struct view *view, const struct feed_config *config)
{
	static const struct feed_ops ops = { .on_data = on_data, .on_end = on_view_end };
	view->wait->open_views++;
	view->feed = feed_new(&view->wait->cli->conn, config, &ops, view);
}

static void add_view(struct wait *w, const char *channel)
{
	struct feed_config config = { .instance_id = w->inst->id, .channel = channel, .follow = true };
	if (w->view_count == MAX_VIEWS)
		return;
	config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config.from.at_case = PWEMU__V1__POSITION__AT_START;
	config.from.start = 1;
	value_position_of(w->inst->from, &config.from);
	opt_position(&w->cli->opts, "from", &config.from);
	struct view *view = &w->views[w->view_count++];
	*view = (struct view){ .wait = w, .channel = expect_add_channel(w->expect) };
	open_view(view, &config);
}

static void add_views(struct wait *w)
{
	const char *name = opt_text(&w->cli->opts, "channel");
	if (name == NULL || strcmp(name, "all") != 0) {
		add_view(w, name);
		return;
	}
	for (size_t i = 0; i < w->inst->n_channels; i++) {
		const char *kind = w->inst->channels[i]->kind;
		if (strcmp(kind, "serial") == 0 || (strcmp(kind, "semihosting") == 0 && w->inst->semihosting))
			add_view(w, w->inst->channels[i]->name);
	}
}

/* ---------------------------------------------------------------- the instance */

/* One that was over when we came has run before; of one that was starting we must see it. */
static void take_state(struct wait *w, Pwemu__V1__State state)
{
	if (state == PWEMU__V1__STATE__STATE_STARTING || state == PWEMU__V1__STATE__STATE_QUEUED)
		w->is_starting = true;
	else if (state != PWEMU__V1__STATE__STATE_ENDED && state != PWEMU__V1__STATE__STATE_FAILED)
		w->is_starting = false;
	w->state_seen |= (unsigned)state < 32 && (w->states >> state & 1) != 0;
}

static void take_snapshot(struct wait *w, const Pwemu__V1__Instance *inst)
{
	pwemu__v1__instance__free_unpacked(w->inst, NULL);
	w->inst = (Pwemu__V1__Instance *)call_copy(&inst->base);
	if (w->has_begun || inst->state == PWEMU__V1__STATE__STATE_STARTING || inst->state == PWEMU__V1__STATE__STATE_QUEUED)
		return;
	w->has_begun = true;
	if (w->expect != NULL && (!w->is_starting || inst->restarts > 0))
		add_views(w);
}

static void on_event(void *ctx, const Pwemu__V1__Event *event)
{
	struct wait *w = ctx;
	if (event->state != PWEMU__V1__STATE__STATE_UNSPECIFIED)
		take_state(w, event->state);
	if (event->snapshot != NULL) {
		take_state(w, event->snapshot->state);
		take_snapshot(w, event->snapshot);
	}
	check_done(w);
}

static void on_watch_end(void *ctx, const struct err *status)
{
	struct wait *w = ctx;
	if (w->is_finished)
		return;
	w->is_over = !note_end(w, status) && status->code == ERR_OK;
	check_done(w);
}

/* ---------------------------------------------------------------- begin and end */

static void on_timeout(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct wait *w = ctx;
	w->timed_out = true;
	check_done(w);
}

static bool is_unwanted(const void *ctx)
{
	return ((const struct wait *)ctx)->timed_out;
}

/* Goes on with the next daemon. */
static bool resume(struct wait *w)
{
	struct err err = ERR_INIT;
	if (!w->is_lost || has_failed(w) || is_met(w) || w->timed_out || w->trouble.code != ERR_OK)
		return false;
	if (conn_reopen(&w->cli->conn, &err) < 0) {
		w->trouble = err;
		return false;
	}
	w->is_lost = false;
	watch_begin(&w->watch);
	for (size_t i = 0; i < w->view_count; i++) {
		struct view *view = &w->views[i];
		if (!view->is_lost)
			continue;
		struct feed *old = view->feed;
		struct feed_config config = feed_continuation(old);
		view->is_lost = false;
		open_view(view, &config);
		feed_free(old);
	}
	return true;
}

static void run_loop(struct wait *w)
{
	struct event_base *base = w->cli->conn.base;
	struct event *timer = evtimer_new(base, on_timeout, w);
	struct timeval delay = { .tv_sec = (time_t)(w->timeout_ms / 1000), .tv_usec = (suseconds_t)(w->timeout_ms % 1000 * 1000) };
	if (w->timeout_ms > 0)
		evtimer_add(timer, &delay);
	w->cli->conn.is_unwanted = is_unwanted;
	w->cli->conn.unwanted_ctx = w;
	watch_begin(&w->watch);
	do
		event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	while (resume(w));
	event_free(timer);
	w->is_finished = true;
	for (size_t i = 0; i < w->view_count; i++)
		feed_free(w->views[i].feed);
	conn_close(&w->cli->conn); /* ends the watch while it is still there */
}

/* "'ready>'", "state paused", "its end": what has not happened. */
static const char *what_is_missing(const struct wait *w, char *text, size_t size)
{
	text[0] = '\0';
	if (missing_pattern(w) != NULL) {
		snprintf(text, size, "'%s'", missing_pattern(w));
		return text;
	}
	for (unsigned i = 0; w->states != 0 && !w->state_seen && i < STATES->n_values; i++) {
		int value = STATES->values[i].value;
		if (w->states >> value & 1)
			snprintf(text + strlen(text), size - strlen(text), "%s%s", text[0] != '\0' ? " or " : "state ",
				 tojson_word(STATES, value));
	}
	return text[0] != '\0' ? text : "its end";
}

static int result(const struct wait *w)
{
	char missing[512];
	const char *name = w->inst->name;
	if (has_failed(w)) {
		say_error("%s: saw '%s'", name, expect_pattern(w->expect));
		return EXIT_REFUSED;
	}
	if (is_met(w))
		return EXIT_DONE;
	if (w->trouble.code != ERR_OK && w->trouble.code != ERR_CANCELLED)
		return cli_refused(&w->trouble);
	const char *what = what_is_missing(w, missing, sizeof(missing));
	if (w->timed_out) {
		say_error("%s: waited %g s in vain for %s", name, (double)w->timeout_ms / 1000, what);
		return EXIT_TIMED_OUT;
	}
	say_error("%s: %s without %s%s%s", name, show_state(w->inst), what, show_reason(w->inst)[0] != '\0' ? ": " : "",
		  show_reason(w->inst));
	return EXIT_REFUSED;
}

/* ---------------------------------------------------------------- the command */

static int unknown_state(const struct cli *cli, const char *word)
{
	const char *names[16];
	char copies[16][32], hint[256];
	size_t count = 0;
	for (unsigned i = 0; i < STATES->n_values && count < 16; i++) {
		snprintf(copies[count], sizeof(copies[count]), "%s", tojson_word(STATES, STATES->values[i].value));
		names[count] = copies[count];
		count += STATES->values[i].value != PWEMU__V1__STATE__STATE_UNSPECIFIED;
	}
	return cli_usage(cli, "--state: '%s' is no state%s", word, nearest_hint(word, names, count, hint, sizeof(hint)));
}

static int parse_states(struct wait *w)
{
	const char *word;
	for (size_t n = 0; (word = opt_nth(&w->cli->opts, "state", n)) != NULL; n++) {
		unsigned found = 0;
		for (unsigned i = 0; i < STATES->n_values; i++) {
			int value = STATES->values[i].value;
			if (value != PWEMU__V1__STATE__STATE_UNSPECIFIED && strcmp(tojson_word(STATES, value), word) == 0)
				found = 1u << value;
		}
		if (found == 0)
			return unknown_state(w->cli, word);
		w->states |= found;
	}
	return 0;
}

/* What the command asks for. Returns 0 or an exit code. */
static int parse(struct wait *w)
{
	const struct opts *o = &w->cli->opts;
	struct err err = ERR_INIT;
	int code = parse_states(w);
	if (code != 0)
		return code;
	if (expect_from(o, &w->expect, &err) < 0)
		return err.code == ERR_INVALID_ARGUMENT ? cli_usage(w->cli, "%s", err.msg) : cli_refused(&err);
	if (w->expect == NULL && (opt_has(o, "channel") || opt_has(o, "from")))
		return cli_usage(w->cli, "-n and --from go with --expect and --fail");
	w->wants_exit = opt_has(o, "exit") || (w->states == 0 && !opt_has(o, "expect"));
	w->timeout_ms = opt_duration_ms(o, "timeout", 0);
	return 0;
}

/* Number of the newest event now: what comes after it came after the command began. */
static int find_now(struct wait *w, struct err *err)
{
	Pwemu__V1__InfoRequest request = PWEMU__V1__INFO_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	if (call_unary(&w->cli->conn, CALL_DAEMON_INFO, &request.base, 0, &reply, err) < 0)
		return -1;
	w->watch.has_from = true;
	w->watch.from_seq = ((const Pwemu__V1__InfoReply *)reply)->last_event + 1;
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}

static int wait_for(struct wait *w)
{
	struct err err = ERR_INIT;
	if (cli_connect(w->cli, CONN_START) < 0)
		return EXIT_REFUSED;
	w->watch = (struct watch){ .conn = &w->cli->conn, .snapshots = true, .on_event = on_event, .on_end = on_watch_end, .ctx = w };
	if (find_now(w, &err) < 0 || ref_get(w->cli, 0, &w->inst, &err) < 0)
		return cli_refused(&err);
	char id[32];
	snprintf(id, sizeof(id), "%s", w->inst->id);
	w->watch.instance_id = id;
	run_loop(w);
	int code = result(w);
	pwemu__v1__instance__free_unpacked(w->inst, NULL);
	return code;
}

int cmd_wait(struct cli *cli)
{
	struct wait w = { .cli = cli };
	int code = parse(&w);
	if (code == 0)
		code = wait_for(&w);
	expect_free(w.expect);
	return code;
}
