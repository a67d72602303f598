/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the text is sent when all that was sent before has been taken: so little is on its way when something dies, and what is
 * known about it is exact. While only output is waited for, or stdin, a daemon may come and go; with a part on its way nobody knows
 * whether that was taken, so it is reported.
 */
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/expect.h"
#include "client/feed.h"
#include "client/keys.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "client/stdin.h"
#include "wire/mem.h"

#define PART_MAX   4096
#define PATIENCE_S 10 /* for input to be taken, where no --timeout was given */

struct send {
	struct cli *cli;
	const Pwemu__V1__Instance *inst;
	const char *channel;   /* NULL: the default one */
	struct expect *expect; /* NULL: no patterns */
	uint64_t timeout_ms;   /* 0: none */

	struct feed *feed;
	bool is_stdin;
	struct stdin_reader *reader; /* NULL: the text is an argument */
	char *text;                  /* what is to be sent next, of `len` bytes `done` were sent */
	size_t len, done;
	const char *eol;   /* what Enter sends; static storage */
	bool is_read;      /* nothing comes after `text` */
	uint64_t sent;     /* on earlier connections too */
	uint64_t base;     /* of it, on earlier connections */
	uint64_t taken;    /* of all */
	bool is_text_over; /* the last part was sent */
	char *opened;      /* name of the channel; NULL: not yet */
	bool has_ended, timed_out, is_stuck, is_cut;
	struct err status;      /* of the feed, or what else is wrong */
	struct event *limit;    /* --timeout */
	struct event *patience; /* pending while a part is on its way */
};

static void leave(struct send *s)
{
	event_base_loopbreak(s->cli->conn.base);
}

static bool has_failed(const struct send *s)
{
	return s->expect != NULL && expect_result(s->expect) == EXPECT_FAILED;
}

static bool is_done(const struct send *s)
{
	bool is_met = s->expect == NULL || expect_result(s->expect) == EXPECT_MET;
	if (!is_met && expect_pattern(s->expect) == NULL) /* only --fail: as `wait` does, until the end */
		is_met = s->has_ended && s->status.code == ERR_OK;
	return s->is_text_over && s->sent == s->taken && is_met;
}

static void check_done(struct send *s)
{
	if (has_failed(s) || is_done(s) || s->has_ended || s->status.code != ERR_OK)
		leave(s);
}

/* ---------------------------------------------------------------- the text */

static void add_text(struct send *s, const char *bytes, size_t len)
{
	s->text = xrealloc(s->text, s->len + len + 1, 1);
	memcpy(s->text + s->len, bytes, len);
	s->len += len;
}

static void send_part(struct send *s)
{
	static const struct timeval patience = { PATIENCE_S, 0 };
	size_t left = s->len - s->done, len = left < PART_MAX ? left : PART_MAX;
	s->is_text_over = s->is_read && len == left;
	feed_send_part(s->feed, s->text + s->done, len, !s->is_text_over);
	s->sent += len;
	s->done += len;
	if (len > 0 && s->timeout_ms == 0)
		evtimer_add(s->patience, &patience);
}

static void go_on(struct send *s)
{
	if (s->opened == NULL || s->sent != s->taken || s->is_text_over)
		return;
	if (s->done < s->len || s->is_read) {
		send_part(s);
	} else {
		s->len = s->done = 0;
		stdin_resume(s->reader);
	}
}

static void on_stdin(void *ctx, const char *bytes, size_t len)
{
	struct send *s = ctx;
	stdin_pause(s->reader);
	add_text(s, bytes, len);
	go_on(s);
}

static void end_text(struct send *s)
{
	s->is_read = true;
	if (opt_has(&s->cli->opts, "line"))
		add_text(s, s->eol, strlen(s->eol));
}

static void on_stdin_end(void *ctx)
{
	struct send *s = ctx;
	end_text(s);
	go_on(s);
	check_done(s);
}

/* ---------------------------------------------------------------- the channel */

static void refuse(struct send *s, const char *why)
{
	if (s->status.code == ERR_OK)
		err_set(&s->status, ERR_FAILED_PRECONDITION, "%s/%s takes no text: %s", s->inst->name, s->opened, why);
	leave(s);
}

static void on_opened(void *ctx, struct feed *feed, const Pwemu__V1__AttachOpened *opened)
{
	(void)feed;
	struct send *s = ctx;
	bool is_first = s->opened == NULL;
	free(s->opened);
	s->opened = xstrdup(opened->channel);
	if (!opened->writer && !s->is_text_over) {
		refuse(s, opened->reason);
		return;
	}
	if (is_first) {
		printf("%" PRIu64 "\n", opened->offset);
		fflush(stdout);
		s->eol = keys_eol(opened->eol);
		if (s->reader == NULL)
			end_text(s);
	}
	go_on(s);
	check_done(s);
}

static void on_data(void *ctx, struct feed *feed, const Pwemu__V1__Data *data)
{
	(void)feed;
	struct send *s = ctx;
	if (s->expect != NULL)
		expect_feed(s->expect, 0, (const char *)data->bytes.data, data->bytes.len);
	check_done(s);
}

static void on_taken(void *ctx, struct feed *feed, uint64_t bytes)
{
	(void)feed;
	static const struct timeval patience = { PATIENCE_S, 0 };
	struct send *s = ctx;
	s->taken = s->base + bytes;
	if (s->sent == s->taken)
		evtimer_del(s->patience);
	else if (s->timeout_ms == 0)
		evtimer_add(s->patience, &patience);
	go_on(s);
	check_done(s);
}

static void on_writer(void *ctx, struct feed *feed, bool writer, const char *reason)
{
	(void)feed;
	struct send *s = ctx;
	if (writer || (s->is_text_over && s->sent == s->taken))
		return;
	s->is_cut = true;
	refuse(s, reason);
}

static void on_end(void *ctx, struct feed *feed, const struct err *status)
{
	(void)feed;
	struct send *s = ctx;
	s->has_ended = true;
	if (s->status.code == ERR_OK)
		s->status = *status;
	leave(s);
}

static const struct feed_ops feed_ops = {
	.on_data = on_data, .on_opened = on_opened, .on_writer = on_writer, .on_taken = on_taken, .on_end = on_end
};

/* ---------------------------------------------------------------- begin and end */

static void on_limit(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct send *s = ctx;
	s->timed_out = true;
	leave(s);
}

/* Goes on with the next daemon, where nothing can have been lost. */
static bool resume(struct send *s)
{
	struct conn *conn = &s->cli->conn;
	if (!s->has_ended || !conn_is_lost(conn, &s->status) || s->sent != s->taken || s->timed_out || has_failed(s) || is_done(s))
		return false;
	if (conn_reopen(conn, &s->status) < 0)
		return false;
	s->status = (struct err)ERR_INIT;
	struct feed *old = s->feed;
	struct feed_config config = feed_continuation(old);
	s->has_ended = false;
	s->base = s->taken;
	s->feed = feed_new(conn, &config, &feed_ops, s);
	feed_free(old);
	return true;
}

static void run_loop(struct send *s)
{
	static const struct stdin_ops reader_ops = { .on_bytes = on_stdin, .on_end = on_stdin_end };
	struct event_base *base = s->cli->conn.base;
	struct feed_config config = { .instance_id = s->inst->id, .channel = s->channel, .attach = true, .beside = true };
	struct timeval limit = { .tv_sec = (time_t)(s->timeout_ms / 1000), .tv_usec = (suseconds_t)(s->timeout_ms % 1000 * 1000) };
	config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config.from.at_case = PWEMU__V1__POSITION__AT_NOW;
	config.from.now = 1;
	s->limit = evtimer_new(base, on_limit, s);
	s->patience = evtimer_new(base, on_limit, s);
	if (s->timeout_ms > 0)
		evtimer_add(s->limit, &limit);
	if (s->is_stdin)
		s->reader = stdin_new(base, &reader_ops, s);
	s->feed = feed_new(&s->cli->conn, &config, &feed_ops, s);
	do
		event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	while (resume(s));
	feed_free(s->feed);
	stdin_free(s->reader);
	event_free(s->limit);
	event_free(s->patience);
}

/* ": 5 of 12 bytes were taken …" or "" when all of it was. */
static const char *what_was_taken(const struct send *s, char *buf, size_t size)
{
	uint64_t total = s->sent + s->len - s->done;
	buf[0] = '\0';
	if (s->is_read && s->taken < total)
		snprintf(buf, size, ": %" PRIu64 " of %" PRIu64 " bytes were taken", s->taken, total);
	else if (!s->is_text_over)
		snprintf(buf, size, ": %" PRIu64 " bytes were taken", s->taken);
	return buf;
}

static int result_of_end(const struct send *s)
{
	char taken[160];
	what_was_taken(s, taken, sizeof(taken));
	if (s->status.code == ERR_OK) {
		say_error("%s has ended%s%s", s->inst->name, taken[0] != '\0' ? taken : " without ",
			  taken[0] != '\0' ? "" : expect_pattern(s->expect));
		return EXIT_REFUSED;
	}
	if (!conn_is_lost(&s->cli->conn, &s->status) || s->sent == s->taken)
		return cli_refused(&s->status);
	say_error("the daemon has gone%s, the next %" PRIu64 " are lost or were taken, nothing is sent twice", taken, s->sent - s->taken);
	return EXIT_REFUSED;
}

static int result(const struct send *s)
{
	char taken[160];
	if (has_failed(s)) {
		say_error("%s: saw '%s'", s->inst->name, expect_pattern(s->expect));
		return EXIT_REFUSED;
	}
	if (is_done(s))
		return EXIT_DONE;
	what_was_taken(s, taken, sizeof(taken));
	if (s->timed_out) {
		double waited_s = s->timeout_ms > 0 ? (double)s->timeout_ms / 1000 : PATIENCE_S;
		if (taken[0] != '\0')
			say_error("%s: the guest takes no input%s in %g s", s->inst->name, taken, waited_s);
		else
			say_error("%s: waited %g s in vain for '%s'", s->inst->name, waited_s, expect_pattern(s->expect));
		return EXIT_TIMED_OUT;
	}
	if (s->has_ended)
		return result_of_end(s);
	say_error("%s%s", s->status.msg, s->is_cut ? taken : "");
	return EXIT_REFUSED;
}

/* ---------------------------------------------------------------- the command */

static int send_to(struct send *s)
{
	struct err err = ERR_INIT;
	Pwemu__V1__Instance *inst = NULL;
	int code = EXIT_REFUSED;
	if (cli_connect(s->cli, CONN_START) < 0)
		return EXIT_REFUSED;
	if (ref_get(s->cli, 0, &inst, &err) < 0)
		return cli_refused(&err);
	s->inst = inst;
	if (show_is_running(inst)) {
		run_loop(s);
		code = result(s);
	} else {
		say_error("%s is not running: %s", inst->name, show_state(inst));
	}
	pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}

/* What the command asks for. Returns 0 or an exit code. */
static int parse(struct send *s)
{
	const struct opts *o = &s->cli->opts;
	struct err err = ERR_INIT;
	const char *text = o->args[o->arg_count - 1];
	s->channel = o->arg_count > 1 ? o->args[0] : opt_text(o, "channel");
	if (o->arg_count > 1 && opt_has(o, "channel"))
		return cli_usage(s->cli, "the channel is '%s' or -n %s, not both", o->args[0], opt_text(o, "channel"));
	if (expect_from(o, &s->expect, &err) < 0)
		return err.code == ERR_INVALID_ARGUMENT ? cli_usage(s->cli, "%s", err.msg) : cli_refused(&err);
	if (s->expect != NULL)
		expect_add_channel(s->expect);
	s->timeout_ms = opt_duration_ms(o, "timeout", 0);
	s->is_stdin = strcmp(text, "-") == 0;
	if (!s->is_stdin)
		add_text(s, text, strlen(text));
	return 0;
}

int cmd_send(struct cli *cli)
{
	struct send s = { .cli = cli };
	int code = parse(&s);
	if (code == 0)
		code = send_to(&s);
	expect_free(s.expect);
	free(s.text);
	free(s.opened);
	return code;
}
