/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdin and stdout joined to a channel, byte for byte. A serial is written in the writer role or not at all, and goes on over a restart
 * of the daemon; a channel that is a socket of the emulator's (gdb, monitor, qmp) is a conversation, which ends with either side.
 */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/feed.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/signals.h"
#include "client/sink.h"
#include "client/stdin.h"

struct duct {
	struct cli *cli;
	const char *channel;
	bool is_socket, writes, is_gdb;
	struct feed *feed;
	struct sink *sink;
	struct stdin_reader *in;
	struct signals *signals;
	struct event *last_words; /* timer: the answer to what came before the end of stdin */
	uint64_t sent, taken;     /* of the input, on this feed */
	bool has_ended, is_done;
	struct err status;
	int signal;
};

static void leave(struct duct *duct)
{
	duct->is_done = true;
	event_base_loopbreak(duct->cli->conn.base);
}

static void check_done(struct duct *duct)
{
	if (duct->has_ended && sink_is_empty(duct->sink))
		event_base_loopbreak(duct->cli->conn.base);
}

/* ---------------------------------------------------------------- input */

static void flow(struct duct *duct)
{
	if (duct->in == NULL)
		return;
	if (!duct->has_ended && feed_is_writer(duct->feed) && feed_can_send(duct->feed))
		stdin_resume(duct->in);
	else
		stdin_pause(duct->in);
}

static void on_bytes(void *ctx, const char *bytes, size_t len)
{
	struct duct *duct = ctx;
	feed_send(duct->feed, bytes, len);
	duct->sent += len;
	flow(duct);
}

static void on_last_words(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	leave(ctx);
}

static void on_stdin_end(void *ctx)
{
	static const struct timeval a_while = { 0, 500000 };
	struct duct *duct = ctx;
	if (duct->is_gdb)
		leave(duct);
	else if (duct->is_socket)
		evtimer_add(duct->last_words, &a_while);
}

/* ---------------------------------------------------------------- output */

static void on_data(void *ctx, struct feed *feed, const Pwemu__V1__Data *data)
{
	struct duct *duct = ctx;
	sink_write(duct->sink, data->bytes.data, data->bytes.len);
	if (sink_is_full(duct->sink))
		feed_pause(feed);
}

static void on_drained(void *ctx)
{
	struct duct *duct = ctx;
	feed_resume(duct->feed);
	check_done(duct);
}

static void on_broken(void *ctx, int error)
{
	struct duct *duct = ctx;
	if (error == EPIPE)
		duct->signal = SIGPIPE;
	else
		err_sys(&duct->status, error, "write to stdout");
	leave(duct);
}

/* ---------------------------------------------------------------- the channel */

static void refuse(struct duct *duct, const char *reason)
{
	err_set(&duct->status, ERR_FAILED_PRECONDITION, "channel \"%s\" cannot be written: %s (--read-only only reads)", duct->channel,
		reason);
	leave(duct);
}

static void on_opened(void *ctx, struct feed *feed, const Pwemu__V1__AttachOpened *opened)
{
	(void)feed;
	struct duct *duct = ctx;
	if (duct->writes && !opened->writer)
		refuse(duct, opened->reason);
	flow(duct);
}

static void on_writer(void *ctx, struct feed *feed, bool writer, const char *reason)
{
	(void)feed;
	struct duct *duct = ctx;
	if (duct->writes && !writer && feed_can_send(duct->feed))
		refuse(duct, reason);
	flow(duct);
}

static void on_writable(void *ctx, struct feed *feed)
{
	(void)feed;
	flow(ctx);
}

static void on_taken(void *ctx, struct feed *feed, uint64_t bytes)
{
	(void)feed;
	((struct duct *)ctx)->taken = bytes;
}

static void on_end(void *ctx, struct feed *feed, const struct err *status)
{
	(void)feed;
	struct duct *duct = ctx;
	duct->has_ended = true;
	duct->status = *status;
	flow(duct);
	check_done(duct);
}

static void on_signal(void *ctx, int number)
{
	struct duct *duct = ctx;
	duct->signal = number;
	leave(duct);
}

static const struct feed_ops feed_ops = { .on_data = on_data,
					  .on_opened = on_opened,
					  .on_writer = on_writer,
					  .on_writable = on_writable,
					  .on_taken = on_taken,
					  .on_end = on_end };

/* What was sent and not acknowledged may have been taken: nothing is sent twice. */
static void tell_lost_input(struct duct *duct)
{
	if (duct->sent > duct->taken)
		say_error("of the input %" PRIu64
			  " bytes were on their way when the connection ended: they are lost or were taken, and are not "
			  "sent again",
			  duct->sent - duct->taken);
	duct->sent = duct->taken = 0;
}

/* The daemon has gone: a serial goes on with the next one. */
static bool resume(struct duct *duct)
{
	struct conn *conn = &duct->cli->conn;
	if (duct->is_done || duct->is_socket || duct->signal != 0 || !conn_is_lost(conn, &duct->status) ||
	    conn_reopen(conn, &duct->status) < 0)
		return false;
	tell_lost_input(duct);
	struct feed *old = duct->feed;
	struct feed_config config = feed_continuation(old);
	duct->has_ended = false;
	duct->feed = feed_new(conn, &config, &feed_ops, duct);
	feed_free(old);
	return true;
}

static int result(struct duct *duct)
{
	if (duct->signal != 0)
		return EXIT_SIGNAL + duct->signal;
	return duct->status.code != ERR_OK ? cli_refused(&duct->status) : EXIT_DONE;
}

static bool is_unwanted(const void *ctx)
{
	const struct duct *duct = ctx;
	return duct->is_done || duct->signal != 0;
}

static int join(struct duct *duct, const struct feed_config *config)
{
	duct->cli->conn.is_unwanted = is_unwanted;
	duct->cli->conn.unwanted_ctx = duct;
	static const struct sink_ops sink_ops = { .on_drained = on_drained, .on_broken = on_broken };
	static const struct stdin_ops stdin_ops = { .on_bytes = on_bytes, .on_end = on_stdin_end };
	struct event_base *base = duct->cli->conn.base;
	if (duct->is_gdb)
		signal(SIGINT, SIG_IGN); /* it is the debugger's */
	duct->signals = signals_new(base, on_signal, duct);
	duct->sink = sink_new(base, STDOUT_FILENO, &sink_ops, duct);
	if (duct->writes)
		duct->in = stdin_new(base, &stdin_ops, duct);
	duct->last_words = evtimer_new(base, on_last_words, duct);
	duct->feed = feed_new(&duct->cli->conn, config, &feed_ops, duct);
	do
		event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	while (resume(duct));
	event_free(duct->last_words);
	stdin_free(duct->in);
	feed_free(duct->feed);
	sink_free(duct->sink);
	signals_free(duct->signals);
	return result(duct);
}

static const char *kind_of(const Pwemu__V1__Instance *inst, const char *channel)
{
	for (size_t i = 0; i < inst->n_channels; i++)
		if (strcmp(inst->channels[i]->name, channel) == 0)
			return inst->channels[i]->kind;
	return "";
}

static int pipe_instance(struct cli *cli, const Pwemu__V1__Instance *inst)
{
	static const char *const sockets[] = { "gdb", "monitor", "qmp" };
	struct duct duct = { .cli = cli, .channel = cli->opts.args[0], .writes = !opt_has(&cli->opts, "read-only") };
	const char *kind = kind_of(inst, duct.channel);
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		duct.is_socket |= strcmp(kind, sockets[i]) == 0;
	duct.is_gdb = strcmp(kind, "gdb") == 0;
	struct feed_config config = { .instance_id = inst->id, .channel = duct.channel, .attach = true, .write = duct.writes };
	config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config.from.at_case = PWEMU__V1__POSITION__AT_NOW;
	config.from.now = 1;
	opt_position(&cli->opts, "from", &config.from);
	return join(&duct, &config);
}

int cmd_pipe(struct cli *cli)
{
	Pwemu__V1__Instance *inst = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	if (ref_get(cli, 0, &inst, &err) < 0)
		return cli_refused(&err);
	int code = pipe_instance(cli, inst);
	pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}
