/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop runs until the instance has ended and everything that its channels carried was written, or until that cannot happen any
 * more. Whatever ends the run (signal, timeout, key, closed stdout, trouble) only sets a field and asks the daemon to stop the
 * instance; the end itself always comes the same way, over the watch. The daemon stops the instance as well when we are killed.
 * When the daemon goes away, all calls end; then the loop is left, and entered again with the next daemon from where everything was.
 */
#include "client/session_int.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/console.h"
#include "client/expect.h"
#include "client/feed.h"
#include "client/machine.h"
#include "client/mux.h"
#include "client/parent.h"
#include "client/report.h"
#include "client/say.h"
#include "client/signals.h"
#include "client/sink.h"
#include "client/turn.h"
#include "wire/mem.h"

#define MUX_WAIT_MS  100 /* one channel for the rest of the line that another has begun */
#define LINE_WAIT_MS 200 /* for the rest of the line in which --expect or --fail was seen */
#define HURRY_GRACE  1   /* ms; a second signal */

/* ---------------------------------------------------------------- the end */

static bool views_are_done(const struct session *s)
{
	/* Who interrupts us does not wait for a reader of stdout that does not read. */
	bool abandoned = (s->signal != 0 || s->parent_ended || s->timed_out || s->sink_broken) && !sink_is_empty(s->sink);
	return abandoned || (s->open_views == 0 && sink_is_empty(s->sink));
}

static void check_done(struct session *s)
{
	if (s->finished)
		return;
	bool over = s->start == NULL && s->watch == NULL && s->stop == NULL && views_are_done(s);
	if (over || s->signal_count >= SESSION_MANY_SIGNALS)
		event_base_loopbreak(s->cli->conn.base);
}

static void on_stopped(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	struct session *s = ctx;
	if (s->stop == stream)
		s->stop = NULL;
	bool had_ended = strcmp(status->reason, "not-running") == 0;
	if (conn_is_lost(&s->cli->conn, status))
		s->lost = true;
	else if (status->code != ERR_OK && !had_ended && s->trouble.code == ERR_OK)
		s->trouble = *status;
	check_done(s);
}

static void ask_stop(struct session *s, uint32_t grace_ms)
{
	static const struct rpc_stream_ops ops = { .on_end = on_stopped };
	s->stopping = true;
	if (s->finished || s->inst == NULL ||
	    s->watch == NULL) /* it is done when the start has been answered; or nothing is left to stop */
		return;
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__StopRequest request = PWEMU__V1__STOP_REQUEST__INIT;
	ref.id = s->inst->id;
	request.instance = &ref;
	request.grace_ms = grace_ms;
	s->stop = rpc_client_call(s->cli->conn.client, call_method(CALL_INSTANCES_STOP), &request.base,
				  call_timeout_ms(CALL_INSTANCES_STOP), &ops, s);
	rpc_stream_half_close(s->stop);
}

static void set_trouble(struct session *s, const struct err *err)
{
	if (s->trouble.code == ERR_OK)
		s->trouble = *err;
	if (!s->stopping)
		ask_stop(s, 0);
}

static void on_signal(void *ctx, int number)
{
	struct session *s = ctx;
	s->signal_count++;
	if (s->signal == 0)
		s->signal = number;
	ask_stop(s, s->signal_count > 1 ? HURRY_GRACE : 0);
	check_done(s);
}

static void on_quit(void *ctx)
{
	struct session *s = ctx;
	s->quit = true;
	if (!s->stopping)
		ask_stop(s, 0);
}

static void on_timeout(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct session *s = ctx;
	s->timed_out = true;
	if (!s->stopping)
		ask_stop(s, 0);
}

static void on_parent(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct session *s = ctx;
	s->parent_ended = true;
	ask_stop(s, 0);
	check_done(s);
}

static void watch_parent(struct session *s)
{
	const struct parent *parent = s->config->parent;
	if (parent == NULL || (parent->fd < 0 && !parent->is_dead))
		return;
	s->parent = event_new(s->cli->conn.base, parent->fd, EV_READ, on_parent, s);
	if (parent->is_dead)
		event_active(s->parent, EV_READ, 0);
	else
		event_add(s->parent, NULL);
}

/* ---------------------------------------------------------------- output */

static void for_all_feeds(struct session *s, void (*act)(struct feed *feed))
{
	for (size_t i = 0; i < s->view_count; i++)
		if (s->views[i].feed != NULL)
			act(s->views[i].feed);
}

static void write_output(void *ctx, const char *bytes, size_t len)
{
	struct session *s = ctx;
	sink_write(s->sink, bytes, len);
	if (sink_is_full(s->sink))
		for_all_feeds(s, feed_pause);
}

static void on_drained(void *ctx)
{
	struct session *s = ctx;
	for_all_feeds(s, feed_resume);
	check_done(s);
}

static void on_broken(void *ctx, int error)
{
	struct session *s = ctx;
	struct err err = ERR_INIT;
	s->sink_broken = true;
	if (error == EPIPE && s->signal == 0)
		s->signal = SIGPIPE;
	else if (error != EPIPE)
		err_sys(&err, error, "write to stdout");
	if (err.code != ERR_OK)
		set_trouble(s, &err);
	else if (!s->stopping)
		ask_stop(s, 0);
	for_all_feeds(s, feed_resume);
	check_done(s);
}

/* ---------------------------------------------------------------- channels */

static void on_line_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct session *s = ctx;
	if (!s->stopping)
		ask_stop(s, 0);
}

/* How much of the bytes is to be shown. */
static size_t watch_output(struct view *view, const char *bytes, size_t len)
{
	static const struct timeval wait = { .tv_usec = LINE_WAIT_MS * 1000L };
	struct session *s = view->session;
	if (s->config->expect == NULL)
		return len;
	len = expect_feed(s->config->expect, view->expect_channel, bytes, len);
	if (expect_is_finished(s->config->expect))
		on_line_timer(-1, 0, s);
	else if (expect_result(s->config->expect) != EXPECT_OPEN && !evtimer_pending(s->line_timer, NULL))
		evtimer_add(s->line_timer, &wait);
	return len;
}

static void on_data(void *ctx, struct feed *feed, const Pwemu__V1__Data *data)
{
	(void)feed;
	static const struct timeval wait = { .tv_usec = MUX_WAIT_MS * 1000L };
	struct view *view = ctx;
	struct session *s = view->session;
	const char *bytes = (const char *)data->bytes.data;
	report_take(s->report, view->report_channel, data);
	mux_write(s->mux, view->mux_channel, bytes, watch_output(view, bytes, data->bytes.len));
	if (mux_is_holding(s->mux) && !evtimer_pending(s->mux_timer, NULL))
		evtimer_add(s->mux_timer, &wait);
}

static void on_mux_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	mux_release(((struct session *)ctx)->mux);
}

static void on_opened(void *ctx, struct feed *feed, const Pwemu__V1__AttachOpened *opened)
{
	(void)feed;
	struct view *view = ctx;
	if (view->is_console)
		console_opened(view->session->console, opened);
}

static void on_writer(void *ctx, struct feed *feed, bool writer, const char *reason)
{
	(void)feed;
	struct view *view = ctx;
	if (view->is_console)
		console_writer(view->session->console, writer, reason);
}

static void on_writable(void *ctx, struct feed *feed)
{
	(void)feed;
	struct view *view = ctx;
	if (view->is_console)
		console_writable(view->session->console);
}

static void on_view_end(void *ctx, struct feed *feed, const struct err *status)
{
	struct view *view = ctx;
	struct session *s = view->session;
	if (view->is_console)
		console_set_feed(s->console, NULL);
	s->open_views--;
	if (conn_is_lost(&s->cli->conn, status)) {
		view->lost = s->lost = true;
		check_done(s);
		return;
	}
	view->feed = NULL;
	feed_free(feed);
	if (s->open_views == 0)
		mux_finish(s->mux);
	if (status->code != ERR_OK)
		set_trouble(s, status);
	check_done(s);
}

static void open_view(struct view *view, const struct feed_config *config)
{
	static const struct feed_ops ops = {
		.on_data = on_data, .on_opened = on_opened, .on_writer = on_writer, .on_writable = on_writable, .on_end = on_view_end
	};
	struct session *s = view->session;
	s->open_views++;
	view->feed = feed_new(&s->cli->conn, config, &ops, view);
	if (view->is_console)
		console_set_feed(s->console, view->feed);
}

static void add_view(struct session *s, const char *channel, bool is_console)
{
	if (s->view_count == SESSION_MAX_VIEWS)
		return;
	struct view *view = &s->views[s->view_count++];
	*view = (struct view){ .session = s, .is_console = is_console && s->console != NULL };
	struct feed_config config = {
		.instance_id = s->inst->id, .channel = channel, .attach = view->is_console, .write = true, .follow = true
	};
	config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config.from.at_case = PWEMU__V1__POSITION__AT_START;
	config.from.start = 1;
	view->mux_channel = mux_add(s->mux, channel);
	view->report_channel = report_add_channel(s->report, channel);
	if (s->config->expect != NULL)
		view->expect_channel = expect_add_channel(s->config->expect);
	open_view(view, &config);
}

static bool is_kind(const Pwemu__V1__Channel *channel, const char *kind)
{
	return strcmp(channel->kind, kind) == 0;
}

const char *session_channel_of_kind(const struct session *session, const char *kind)
{
	for (size_t i = 0; i < session->inst->n_channels; i++)
		if (is_kind(session->inst->channels[i], kind))
			return session->inst->channels[i]->name;
	return NULL;
}

static bool shows_all(const struct session *s)
{
	return s->config->channel != NULL && strcmp(s->config->channel, "all") == 0;
}

static void add_all_views(struct session *s)
{
	const Pwemu__V1__Instance *inst = s->inst;
	for (size_t i = 0; i < inst->n_channels; i++) {
		const Pwemu__V1__Channel *channel = inst->channels[i];
		if (is_kind(channel, "serial") || (is_kind(channel, "semihosting") && inst->semihosting))
			add_view(s, channel->name, strcmp(channel->name, inst->console) == 0);
	}
}

static void add_views(struct session *s)
{
	const char *semihosting = s->inst->semihosting ? session_channel_of_kind(s, "semihosting") : NULL;
	const char *shown = s->config->channel;
	if (shows_all(s)) {
		add_all_views(s);
		return;
	}
	if (s->config->foreground)
		shown = session_channel_of_kind(s, "emulator");
	else if (shown == NULL && s->inst->console[0] != '\0')
		shown = s->inst->console;
	else if (shown == NULL)
		shown = semihosting;
	const char *gdb = session_channel_of_kind(s, "gdb");
	if (shown != NULL && gdb != NULL &&
	    strcmp(shown, gdb) == 0) { /* who attaches to it halts the guest: neither it nor --timeout would begin */
		struct err err = ERR_INIT;
		err_set(&err, ERR_INVALID_ARGUMENT, "channel \"%s\" is a debugger's, no console; use `pwemu start`, then `pwemu gdb`",
			shown);
		set_trouble(s, &err);
		return;
	}
	if (shown != NULL)
		add_view(s, shown, true);
	if (semihosting != NULL && (shown == NULL || strcmp(shown, semihosting) != 0))
		add_view(s, semihosting, false);
}

/* ---------------------------------------------------------------- start and watch */

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void arm_timeout(struct session *s)
{
	if (s->config->timeout_ms == 0 || s->inst->started_ns == 0 || s->timer != NULL)
		return;
	uint64_t now = now_ns(), gone_ms = now > s->inst->started_ns ? (now - s->inst->started_ns) / 1000000 : 0;
	uint64_t left = gone_ms < s->config->timeout_ms ? s->config->timeout_ms - gone_ms : 0;
	struct timeval delay = { .tv_sec = (time_t)(left / 1000), .tv_usec = (suseconds_t)(left % 1000 * 1000) };
	s->timer = evtimer_new(s->cli->conn.base, on_timeout, s);
	evtimer_add(s->timer, &delay);
}

static int open_console(struct session *s, struct err *err)
{
	struct console_config config = { .interactive = s->config->interactive, .escape = SESSION_QUIT_KEY, .on_quit = on_quit, .ctx = s };
	if (s->config->foreground)
		return 0;
	if (console_new(s->cli, &config, &s->console, err) < 0)
		return -1;
	sink_set_terminal(s->sink, config.interactive);
	return 0;
}

/* What it prints is shown from now on. */
static void begin_views(struct session *s)
{
	struct err err = ERR_INIT;
	if (open_console(s, &err) < 0)
		set_trouble(s, &err);
	else
		add_views(s);
}

/* It was queued, and is not any more. */
static void take_turn(struct session *s)
{
	s->is_queued = false;
	if (turn_was_refused(s->inst, &s->trouble))
		return;
	if (s->inst->end != NULL || s->inst->state != PWEMU__V1__STATE__STATE_ENDED) /* else it was stopped before it had a channel */
		begin_views(s);
}

static void take_state(struct session *s, const ProtobufCMessage *state)
{
	if (s->inst != NULL)
		pwemu__v1__instance__free_unpacked(s->inst, NULL);
	s->inst = (Pwemu__V1__Instance *)call_copy(state);
	arm_timeout(s);
	if (s->is_queued && turn_has_come(s->inst))
		take_turn(s);
}

static void on_event(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *message)
{
	(void)stream;
	const Pwemu__V1__Event *event = (const Pwemu__V1__Event *)message;
	conn_progress(&((struct session *)ctx)->cli->conn);
	if (event->snapshot != NULL)
		take_state(ctx, &event->snapshot->base);
}

static void on_watch_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	struct session *s = ctx;
	s->watch = NULL;
	if (conn_is_lost(&s->cli->conn, status))
		s->lost = true;
	else if (status->code != ERR_OK)
		set_trouble(s, status);
	check_done(s);
}

static void open_watch(struct session *s)
{
	static const struct rpc_stream_ops ops = { .on_message = on_event, .on_end = on_watch_end };
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__WatchRequest request = PWEMU__V1__WATCH_REQUEST__INIT;
	ref.id = s->inst->id;
	request.instance = &ref;
	request.snapshots = 1;
	request.stop_on_disconnect = 1; /* also after the daemon was replaced */
	s->watch = rpc_client_call(s->cli->conn.client, call_method(CALL_INSTANCES_WATCH), &request.base, 0, &ops, s);
	rpc_stream_half_close(s->watch);
}

static void on_started(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *state)
{
	(void)stream;
	take_state(ctx, state);
}

static void on_start_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	struct session *s = ctx;
	struct err err = ERR_INIT;
	s->start = NULL;
	if (conn_is_lost(&s->cli->conn, status) && s->config->request->token[0] != '\0' && s->inst == NULL) {
		s->lost = true;
	} else if (machine_can_adapt(s->config->machine, status)) {
		s->refusal = *status;
	} else if (status->code != ERR_OK || s->inst == NULL) {
		err_set(&err, ERR_INTERNAL, "the daemon sent no answer");
		set_trouble(s, status->code != ERR_OK ? status : &err);
	} else if (s->finished) {
		return;
	} else {
		open_watch(s);
		s->is_queued = s->inst->state == PWEMU__V1__STATE__STATE_QUEUED;
		if (s->is_queued)
			turn_note(s->inst);
		else
			begin_views(s);
		if (s->stopping && s->stop == NULL)
			ask_stop(s, 0);
	}
	check_done(s);
}

static void send_start(struct session *s)
{
	static const struct rpc_stream_ops ops = { .on_message = on_started, .on_end = on_start_end };
	s->start = rpc_client_call(s->cli->conn.client, call_method(CALL_INSTANCES_START), &s->config->request->base,
				   call_timeout_ms(CALL_INSTANCES_START), &ops, s);
	rpc_stream_half_close(s->start);
}

/* Who interrupts us twice does not wait for a connection, nor does who interrupts a start. */
static bool is_unwanted(const void *ctx)
{
	const struct session *s = ctx;
	return s->signal_count > (s->inst != NULL) || (s->quit && s->inst == NULL);
}

static void begin(struct session *s)
{
	static const struct sink_ops sink_ops = { .on_drained = on_drained, .on_broken = on_broken };
	struct event_base *base = s->cli->conn.base;
	s->signals = signals_new(base, on_signal, s);
	s->sink = sink_new(base, STDOUT_FILENO, &sink_ops, s);
	s->mux = mux_new(shows_all(s) ? MUX_NAMED : MUX_PLAIN, write_output, s);
	s->line_timer = evtimer_new(base, on_line_timer, s);
	s->mux_timer = evtimer_new(base, on_mux_timer, s);
	s->config->request->no_wait = 1;
	s->config->request->attended = 1;
	if (s->config->request->lease == NULL)
		s->config->request->stop_on_disconnect = 1;
	watch_parent(s);
	s->cli->conn.is_unwanted = is_unwanted;
	s->cli->conn.unwanted_ctx = s;
	send_start(s);
}

/* ---------------------------------------------------------------- all of it */

/* The start was refused for what can be changed. */
static bool adapt(struct session *s)
{
	struct err refusal = s->refusal, err = ERR_INIT;
	s->refusal = (struct err)ERR_INIT;
	if (is_unwanted(s))
		return false;
	if (machine_adapt(s->config->machine, s->cli, &refusal, &err) < 0) {
		s->trouble = err;
		return false;
	}
	send_start(s);
	return true;
}

/* Goes on with the next daemon, or over another connection. A start that was not answered is sent again, its token makes it the same. */
static bool resume(struct session *s)
{
	struct err err = ERR_INIT;
	if (err_is_set(&s->refusal))
		return adapt(s);
	if (!s->lost || s->signal_count >= SESSION_MANY_SIGNALS)
		return false;
	s->lost = false;
	if (conn_reopen(&s->cli->conn, &err) < 0) {
		s->trouble = err;
		err_prefix(&s->trouble, "%s may still run", s->inst != NULL ? s->inst->name : "an instance");
		return false;
	}
	if (s->inst == NULL) {
		send_start(s);
		return true;
	}
	open_watch(s);
	for (size_t i = 0; i < s->view_count; i++) {
		struct view *view = &s->views[i];
		if (!view->lost)
			continue;
		struct feed *old = view->feed;
		struct feed_config config = feed_continuation(old);
		view->lost = false;
		open_view(view, &config);
		feed_free(old);
	}
	if (s->stopping)
		ask_stop(s, 0);
	return true;
}

static void end(struct session *s)
{
	s->finished = true;
	for (size_t i = 0; i < s->view_count; i++)
		feed_free(s->views[i].feed);
	console_free(s->console);
	s->console = NULL;
	s->view_count = 0;
	sink_free(s->sink);
	event_free(s->line_timer);
	event_free(s->mux_timer);
	mux_free(s->mux);
	signals_free(s->signals);
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->parent != NULL)
		event_free(s->parent);
}

static void run(struct session *s)
{
	begin(s);
	do
		event_base_loop(s->cli->conn.base, EVLOOP_NO_EXIT_ON_EMPTY);
	while (resume(s));
	end(s);
}

int session_run(struct cli *cli, const struct session_config *config)
{
	FILE *result;
	if (session_open_result(config, &result) < 0)
		return EXIT_TROUBLE;
	struct session *s = xcalloc(1, sizeof(*s));
	s->cli = cli;
	s->config = config;
	if (report_open(config, &s->report, &s->trouble) == 0)
		run(s);
	int code = session_conclude(s, result);
	conn_close(&cli->conn); /* ends what is open while the session is still there */
	if (s->inst != NULL)
		pwemu__v1__instance__free_unpacked(s->inst, NULL);
	report_free(s->report);
	free(s);
	return code;
}
