/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/console.h"
#include "client/feed.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/show.h"
#include "client/signals.h"
#include "client/sink.h"
#include "client/term.h"
#include "client/values.h"

#define QUIT_KEY  0x1d /* Ctrl+] */
#define TERM_TAIL 4096

struct term {
	struct cli *cli;
	struct feed *feed;
	struct sink *sink;
	struct console *console;
	struct signals *signals;
	bool interactive, ended, quit;
	struct err status;
	int signal;
};

static void leave(struct term *term)
{
	event_base_loopbreak(term->cli->conn.base);
}

static void check_done(struct term *term)
{
	if (term->ended && sink_is_empty(term->sink))
		leave(term);
}

static void on_quit(void *ctx)
{
	struct term *term = ctx;
	term->quit = true;
	leave(term);
}

static void on_signal(void *ctx, int number)
{
	struct term *term = ctx;
	term->signal = number;
	leave(term);
}

static void on_drained(void *ctx)
{
	struct term *term = ctx;
	feed_resume(term->feed);
	check_done(term);
}

static void on_broken(void *ctx, int error)
{
	struct term *term = ctx;
	if (error == EPIPE || error == EIO) /* EIO: the terminal has hung up */
		term->signal = error == EPIPE ? SIGPIPE : SIGHUP;
	else
		err_sys(&term->status, error, "write to stdout");
	leave(term);
}

static void on_data(void *ctx, struct feed *feed, const Pwemu__V1__Data *data)
{
	struct term *term = ctx;
	sink_write(term->sink, data->bytes.data, data->bytes.len);
	if (sink_is_full(term->sink))
		feed_pause(feed);
}

static void on_opened(void *ctx, struct feed *feed, const Pwemu__V1__AttachOpened *opened)
{
	(void)feed;
	console_opened(((struct term *)ctx)->console, opened);
}

static void on_writer(void *ctx, struct feed *feed, bool writer, const char *reason)
{
	(void)feed;
	console_writer(((struct term *)ctx)->console, writer, reason);
}

static void on_writable(void *ctx, struct feed *feed)
{
	(void)feed;
	console_writable(((struct term *)ctx)->console);
}

static void on_end(void *ctx, struct feed *feed, const struct err *status)
{
	(void)feed;
	struct term *term = ctx;
	term->ended = true;
	term->status = *status;
	check_done(term);
}

/* ---------------------------------------------------------------- begin and end */

static const struct feed_ops feed_ops = {
	.on_data = on_data, .on_opened = on_opened, .on_writer = on_writer, .on_writable = on_writable, .on_end = on_end
};

static bool is_unwanted(const void *ctx)
{
	const struct term *term = ctx;
	return term->quit || term->signal != 0;
}

static int begin(struct term *term, const struct feed_config *feed_config, struct err *err)
{
	term->cli->conn.is_unwanted = is_unwanted;
	term->cli->conn.unwanted_ctx = term;
	static const struct sink_ops sink_ops = { .on_drained = on_drained, .on_broken = on_broken };
	const struct opts *o = &term->cli->opts;
	struct event_base *base = term->cli->conn.base;
	struct console_config config = { .interactive = term->interactive, .escape = QUIT_KEY, .eol = opt_text(o, "eol") };
	config.read_only = opt_has(o, "read-only");
	config.tells_role = true;
	config.on_quit = on_quit;
	config.ctx = term;
	if (opt_has(o, "escape") && value_key(opt_text(o, "escape"), &config.escape, err) < 0)
		return -1;
	term->signals = signals_new(base, on_signal, term);
	term->sink = sink_new(base, STDOUT_FILENO, &sink_ops, term);
	sink_set_terminal(term->sink, term->interactive);
	if (console_new(term->cli, &config, &term->console, err) < 0)
		return -1;
	term->feed = feed_new(&term->cli->conn, feed_config, &feed_ops, term);
	console_set_feed(term->console, term->feed);
	return 0;
}

/* The daemon has gone: goes on with the next one from where we are. */
static bool resume(struct term *term)
{
	struct conn *conn = &term->cli->conn;
	if (term->quit || term->signal != 0 || !term->ended || !conn_is_lost(conn, &term->status) || conn_reopen(conn, &term->status) < 0)
		return false;
	struct feed *old = term->feed;
	struct feed_config config = feed_continuation(old);
	term->ended = false;
	term->feed = feed_new(conn, &config, &feed_ops, term);
	console_set_feed(term->console, term->feed);
	feed_free(old);
	return true;
}

static void end(struct term *term)
{
	console_free(term->console);
	feed_free(term->feed);
	sink_free(term->sink);
	signals_free(term->signals);
}

/* How the instance is now, since that is why its channel has ended. */
static void say_end(struct term *term, const char *id)
{
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__GetRequest request = PWEMU__V1__GET_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	ref.id = (char *)(uintptr_t)id;
	request.instance = &ref;
	if (call_unary(&term->cli->conn, CALL_INSTANCES_GET, &request.base, 0, &reply, &err) < 0)
		return;
	const Pwemu__V1__Instance *inst = (const Pwemu__V1__Instance *)reply;
	say_banner("--- %s %s%s%s ---", inst->name, show_state(inst), show_reason(inst)[0] != '\0' ? ": " : "", show_reason(inst));
	protobuf_c_message_free_unpacked(reply, NULL);
}

static int result(struct term *term, const char *id)
{
	if (term->signal != 0)
		return EXIT_SIGNAL + term->signal;
	if (term->quit) {
		if (term->interactive)
			say_banner("--- exit ---");
		return EXIT_DONE;
	}
	if (term->status.code != ERR_OK)
		return cli_refused(&term->status);
	say_end(term, id);
	return EXIT_DONE;
}

static int attach(struct cli *cli, const Pwemu__V1__Instance *inst, const char *channel)
{
	struct err err = ERR_INIT;
	struct term term = { .cli = cli, .interactive = term_is_interactive() };
	struct feed_config config = { .instance_id = inst->id, .channel = channel, .attach = true };
	config.write = !opt_has(&cli->opts, "read-only");
	config.steal = opt_has(&cli->opts, "steal");
	config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config.from.at_case = PWEMU__V1__POSITION__AT_TAIL;
	config.from.tail = TERM_TAIL;
	value_position_of(inst->from, &config.from);
	opt_position(&cli->opts, "from", &config.from);
	int began = begin(&term, &config, &err);
	while (began == 0) {
		event_base_loop(cli->conn.base, EVLOOP_NO_EXIT_ON_EMPTY);
		if (!resume(&term))
			break;
	}
	end(&term);
	return began < 0 ? cli_refused(&err) : result(&term, inst->id);
}

int cmd_term(struct cli *cli)
{
	const char *channel = cli->opts.arg_count > 0 ? cli->opts.args[0] : opt_text(&cli->opts, "channel");
	Pwemu__V1__Instance *inst = NULL;
	struct err err = ERR_INIT;
	if (opt_has(&cli->opts, "steal") && opt_has(&cli->opts, "read-only"))
		return cli_usage(cli, "--steal and --read-only exclude each other");
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	if (ref_get(cli, 0, &inst, &err) < 0)
		return cli_refused(&err);
	int code = attach(cli, inst, channel);
	pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}
