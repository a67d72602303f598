/* SPDX-License-Identifier: Apache-2.0 */
#include "client/console.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/tojson.h"
#include "client/keys.h"
#include "client/say.h"
#include "client/stdin.h"
#include "client/term.h"
#include "client/values.h"
#include "pwemu/v1/instances.pb-c.h"
#include "wire/mem.h"

/* A question to the daemon about the instance, for a menu key. It outlives the console when the answer comes too late. */
struct question {
	struct console *console; /* NULL: nobody waits any more */
	void (*on_answer)(struct console *console, const Pwemu__V1__Instance *inst);
};

struct console {
	struct cli *cli;
	struct question *question; /* one at a time */
	struct console_config config;
	struct feed *feed;
	struct stdin_reader *reader; /* NULL: stdin must not be read */
	struct event *escape_timer;
	struct keys keys;
	char *instance_id, *channel;
	bool told_read_only, opened;
};

/* ---------------------------------------------------------------- the menu */

static void on_acted(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	const char *what = ctx;
	if (status->code == ERR_OK)
		say_banner("--- %s ---", what);
	else if (status->code != ERR_CANCELLED)
		say_banner("--- %s: %s ---", what, status->msg);
}

/* While the connection is made again. */
static bool is_cut_off(const struct console *console)
{
	if (console->cli->conn.client != NULL && console->feed != NULL)
		return false;
	say_banner("--- the connection is lost ---");
	return true;
}

/* Sent beside the streams; the answer is told when it comes. `what` has static storage. */
static void act(struct console *console, enum call call, ProtobufCMessage *request, const char *what)
{
	static const struct rpc_stream_ops ops = { .on_end = on_acted };
	if (is_cut_off(console))
		return;
	struct rpc_stream *stream = rpc_client_call(console->cli->conn.client, call_method(call), request, call_timeout_ms(call), &ops,
						    (void *)(uintptr_t)what);
	rpc_stream_half_close(stream);
}

static void reset_board(struct console *console)
{
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__ResetRequest request = PWEMU__V1__RESET_REQUEST__INIT;
	ref.id = console->instance_id;
	request.instance = &ref;
	act(console, CALL_INSTANCES_RESET, &request.base, "reset");
}

static void toggle_pause(struct console *console, const Pwemu__V1__Instance *inst)
{
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__PauseRequest pause = PWEMU__V1__PAUSE_REQUEST__INIT;
	Pwemu__V1__ResumeRequest resume = PWEMU__V1__RESUME_REQUEST__INIT;
	ref.id = console->instance_id;
	pause.instance = resume.instance = &ref;
	if (inst->state == PWEMU__V1__STATE__STATE_PAUSED)
		act(console, CALL_INSTANCES_RESUME, &resume.base, "resumed");
	else
		act(console, CALL_INSTANCES_PAUSE, &pause.base, "paused; Ctrl+T p resumes");
}

static void show_info(struct console *console, const Pwemu__V1__Instance *inst)
{
	say_banner("--- %s (%s) · %s · %s, pid %d, boot %u · %s: %llu bytes so far · %s ---", inst->name, inst->id, inst->target,
		   tojson_word(&pwemu__v1__state__descriptor, (int)inst->state), inst->pid, inst->boot, console->channel,
		   (unsigned long long)feed_offset(console->feed), feed_is_writer(console->feed) ? "you write" : "read-only");
}

static void on_answer(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	(void)stream;
	struct question *question = ctx;
	if (question->console != NULL)
		question->on_answer(question->console, (const Pwemu__V1__Instance *)reply);
}

static void on_answer_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	struct question *question = ctx;
	if (question->console != NULL) {
		question->console->question = NULL;
		if (status->code != ERR_OK)
			say_banner("--- %s ---", status->msg);
	}
	free(question);
}

static void ask(struct console *console, void (*on_reply)(struct console *console, const Pwemu__V1__Instance *inst))
{
	static const struct rpc_stream_ops ops = { .on_message = on_answer, .on_end = on_answer_end };
	if (console->question != NULL || is_cut_off(console))
		return;
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__GetRequest request = PWEMU__V1__GET_REQUEST__INIT;
	ref.id = console->instance_id;
	request.instance = &ref;
	console->question = xcalloc(1, sizeof(*console->question));
	*console->question = (struct question){ console, on_reply };
	struct rpc_stream *stream = rpc_client_call(console->cli->conn.client, call_method(CALL_INSTANCES_GET), &request.base,
						    call_timeout_ms(CALL_INSTANCES_GET), &ops, console->question);
	rpc_stream_half_close(stream);
}

static void take_writer_role(struct console *console)
{
	if (console->config.read_only)
		say_banner("--- read-only, as you asked ---");
	else if (is_cut_off(console))
		return;
	else if (feed_is_writer(console->feed))
		say_banner("--- you have the writer role ---");
	else
		feed_steal(console->feed);
}

static void show_menu(void)
{
	say_banner("--- Ctrl+T: q quit, p pause/resume, r reset, w write, i info, Ctrl+T itself ---");
}

static void on_action(void *ctx, enum keys_action action)
{
	struct console *console = ctx;
	if (action == KEYS_QUIT)
		console->config.on_quit(console->config.ctx);
	else if (action == KEYS_HELP || action == KEYS_UNKNOWN || !console->opened)
		show_menu();
	else if (action == KEYS_RESET)
		reset_board(console);
	else if (action == KEYS_PAUSE)
		ask(console, toggle_pause);
	else if (action == KEYS_INFO)
		ask(console, show_info);
	else
		take_writer_role(console);
}

/* ---------------------------------------------------------------- stdin */

static bool may_send(const struct console *console)
{
	return console->feed != NULL && !console->config.read_only && feed_is_writer(console->feed);
}

/* A terminal is always read, for its escape key; anything else only while its bytes can be sent. */
static void update_reader(struct console *console)
{
	if (console->reader == NULL)
		return;
	bool can_send = may_send(console) && feed_can_send(console->feed);
	if (console->config.interactive || can_send)
		stdin_resume(console->reader);
	else
		stdin_pause(console->reader);
}

static void on_text(void *ctx, const char *bytes, size_t len)
{
	struct console *console = ctx;
	if (may_send(console) && feed_can_send(console->feed)) {
		feed_send(console->feed, bytes, len);
	} else if (!console->told_read_only) {
		console->told_read_only = true;
		say_banner(may_send(console) ? "--- the guest takes no input; keys are dropped ---"
					     : "--- read-only; Ctrl+T w takes the writer role ---");
	}
}

static void on_bytes(void *ctx, const char *bytes, size_t len)
{
	struct console *console = ctx;
	if (!console->config.interactive) {
		feed_send(console->feed, bytes, len);
		update_reader(console);
		return;
	}
	static const struct timeval wait = { .tv_usec = KEYS_DOUBLE_MS * 1000L };
	keys_feed(&console->keys, bytes, len);
	if (keys_is_waiting(&console->keys))
		evtimer_add(console->escape_timer, &wait);
}

/* The end of a terminal is its hang-up; of anything else it means nothing. */
static void on_stdin_end(void *ctx)
{
	struct console *console = ctx;
	if (console->config.interactive)
		console->config.on_quit(console->config.ctx);
}

static void on_escape_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	keys_timeout(&((struct console *)ctx)->keys);
}

/* ---------------------------------------------------------------- life */

int console_new(struct cli *cli, const struct console_config *config, struct console **out, struct err *err)
{
	static const struct stdin_ops reader_ops = { .on_bytes = on_bytes, .on_end = on_stdin_end };
	static const struct keys_ops keys_ops = { .on_text = on_text, .on_action = on_action };
	if (config->interactive && term_raw(err) < 0)
		return -1;
	struct console *console = xcalloc(1, sizeof(*console));
	console->cli = cli;
	console->config = *config;
	keys_init(&console->keys, config->escape, keys_eol(config->eol != NULL ? config->eol : "cr"), &keys_ops, console);
	console->escape_timer = evtimer_new(cli->conn.base, on_escape_timer, console);
	if (config->interactive || (!config->read_only && term_may_read_stdin()))
		console->reader = stdin_new(cli->conn.base, &reader_ops, console);
	update_reader(console);
	*out = console;
	return 0;
}

void console_free(struct console *console)
{
	if (console == NULL)
		return;
	term_restore();
	if (console->question != NULL)
		console->question->console = NULL;
	stdin_free(console->reader);
	event_free(console->escape_timer);
	free(console->instance_id);
	free(console->channel);
	free(console);
}

void console_set_feed(struct console *console, struct feed *feed)
{
	console->feed = feed;
	update_reader(console);
}

static void show_banner(const struct console *console, const Pwemu__V1__AttachOpened *opened)
{
	say_banner("--- %s/%s · quit: %s · menu: Ctrl+T ---", opened->instance, opened->channel, value_key_name(console->config.escape));
}

void console_opened(struct console *console, const Pwemu__V1__AttachOpened *opened)
{
	bool again = console->opened;
	console->opened = true;
	free(console->instance_id);
	free(console->channel);
	console->instance_id = xstrdup(opened->instance_id);
	console->channel = xstrdup(opened->channel);
	if (console->config.eol == NULL)
		console->keys.eol = keys_eol(opened->eol);
	if (console->config.interactive && !again)
		show_banner(console, opened);
	if (again || (!opened->writer && !console->config.read_only && console->reader != NULL))
		console_writer(console, opened->writer, opened->reason);
	update_reader(console);
}

void console_writer(struct console *console, bool writer, const char *reason)
{
	const char *colon = reason[0] != '\0' ? ": " : "";
	console->told_read_only = false;
	if (console->config.interactive)
		say_banner(writer ? "--- you have the writer role%s%s ---" : "--- read-only%s%s · Ctrl+T w takes the writer role ---",
			   colon, reason);
	else if (!writer && console->config.tells_role)
		say_note("read-only%s%s", colon, reason);
	update_reader(console);
}

void console_writable(struct console *console)
{
	update_reader(console);
}
