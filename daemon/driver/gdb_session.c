/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the debugger wait in a queue until the stub can take them; session_pump() moves on what can move. `state` is what the stub
 * does, as far as the session has told it; what is to be done beside the debugger's packets are the three wishes `must_clean`, `must_run`
 * and `was_running`.
 */
#include "driver/gdb_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "driver/rsp.h"
#include "wire/mem.h"

#define SESSION_QUEUE_MAX   64
#define SESSION_COMMAND_MAX 256

enum session_state {
	STUB_NONE,    /* not connected */
	STUB_STOPPED, /* the guest too; nothing is asked */
	STUB_ASKED,   /* the answer to a packet is awaited */
	STUB_RUNNING, /* the guest, as the debugger wants it */
	STUB_FREE,    /* the guest, without the debugger's knowledge */
	STUB_HALTING, /* the guest was interrupted */
};

/* What the answer is for. */
enum session_ask {
	ASK_PASS,  /* the debugger */
	ASK_STOP,  /* … and is a report of a stop */
	ASK_RESET, /* the session: then the debugger is told OK */
	ASK_CLEAN, /* the session: the breakpoints are gone */
};

/* What the debugger is told when it has left. */
enum session_farewell { FAREWELL_NONE, FAREWELL_OK, FAREWELL_CLOSE };

struct session_packet {
	STAILQ_ENTRY(session_packet) link;
	size_t len;
	char data[]; /* with a NUL */
};

/* One side of the session. */
struct session_leg {
	struct rsp_reader reader;
	void (*send)(void *ctx, const void *bytes, size_t len);
	char *sent; /* the last packet with its frame, for when it was not understood */
	size_t sent_len;
	bool no_ack;
};

struct gdb_session {
	const struct gdb_dialect *dialect;
	struct gdb_session_ops ops;
	void *ctx;
	struct session_leg debugger, stub;
	STAILQ_HEAD(, session_packet) queue;
	size_t queued;
	enum session_state state;
	enum session_ask ask;
	bool is_unseen;      /* the stub has not acknowledged what it was sent last */
	bool is_console;     /* the answer awaited is that of a monitor command: text may come before it */
	bool must_clean;     /* the debugger leaves */
	bool must_run;       /* once the answer is there */
	bool was_running;    /* it was interrupted for a packet alone */
	bool must_sync;      /* the next step is none */
	bool must_interrupt; /* as soon as the guest runs */
	bool is_pumping;
	bool runs_after_reset;
	char *missed;    /* a stop that the debugger does not know of */
	char *last_stop; /* the last that there was */
	enum session_farewell farewell;
};

/* ---------------------------------------------------------------- sending */

static void leg_send(struct gdb_session *session, struct session_leg *leg, const char *data, size_t len)
{
	free(leg->sent);
	leg->sent = xmalloc(len + RSP_FRAME_EXTRA);
	leg->sent_len = rsp_frame(leg->sent, data, len);
	leg->send(session->ctx, leg->sent, leg->sent_len);
}

static void leg_send_again(struct gdb_session *session, struct session_leg *leg)
{
	if (leg->sent != NULL)
		leg->send(session->ctx, leg->sent, leg->sent_len);
}

static void leg_init(struct session_leg *leg, void (*send)(void *ctx, const void *bytes, size_t len))
{
	*leg = (struct session_leg){ .send = send };
	rsp_reader_init(&leg->reader);
}

static void leg_fini(struct session_leg *leg)
{
	rsp_reader_fini(&leg->reader);
	free(leg->sent);
	leg->sent = NULL;
}

static void leg_renew(struct session_leg *leg)
{
	void (*send)(void *ctx, const void *bytes, size_t len) = leg->send;
	leg_fini(leg);
	leg_init(leg, send);
}

static void session_answer(struct gdb_session *session, const char *text)
{
	leg_send(session, &session->debugger, text, strlen(text));
}

static void session_ask(struct gdb_session *session, enum session_ask ask, const char *data, size_t len)
{
	session->state = STUB_ASKED;
	session->ask = ask;
	session->is_unseen = true;
	session->is_console = strncmp(data, "qRcmd,", 6) == 0;
	leg_send(session, &session->stub, data, len);
}

static void session_interrupt(struct gdb_session *session)
{
	static const char interrupt = 0x03;
	session->ops.to_stub(session->ctx, &interrupt, 1);
}

static void session_halt(struct gdb_session *session)
{
	session->state = STUB_HALTING;
	session_interrupt(session);
}

static void session_run_free(struct gdb_session *session)
{
	session->state = STUB_FREE;
	session->is_unseen = true;
	session->must_run = session->was_running = false;
	leg_send(session, &session->stub, "c", 1);
}

static void session_set_text(char **to, const char *text)
{
	free(*to);
	*to = xstrdup(text);
}

/* ---------------------------------------------------------------- packets of the debugger */

/* Whether the stub takes a packet now; stops a guest that runs freely, to let it go on after the packet. */
static bool session_is_ready(struct gdb_session *session)
{
	if (session->state == STUB_FREE) {
		session->was_running = true;
		session_halt(session);
	}
	return session->state == STUB_STOPPED;
}

/* Handlers: whether the packet is dealt with; else it waits. */

static bool packet_pass(struct gdb_session *session, const struct session_packet *packet)
{
	if (!session_is_ready(session))
		return false;
	session_ask(session, packet->data[0] == '?' ? ASK_STOP : ASK_PASS, packet->data, packet->len);
	return true;
}

static bool packet_attach(struct gdb_session *session, const struct session_packet *packet)
{
	if (!session_is_ready(session))
		return false;
	session_ask(session, ASK_STOP, packet->data, packet->len);
	return true;
}

static void session_set_running(struct gdb_session *session)
{
	session->state = STUB_RUNNING;
	session->was_running = session->must_run = false;
	if (session->must_interrupt)
		session_interrupt(session);
	session->must_interrupt = false;
}

static void session_go(struct gdb_session *session, const struct session_packet *packet)
{
	session->is_unseen = true;
	leg_send(session, &session->stub, packet->data, packet->len);
	session_set_running(session);
}

/* What has stopped meanwhile is not let go on: the debugger has to see it. */
static bool session_tell_missed(struct gdb_session *session)
{
	if (session->missed == NULL)
		return false;
	session->must_interrupt = false;
	session_answer(session, session->missed);
	free(session->missed);
	session->missed = NULL;
	return true;
}

static bool packet_continue(struct gdb_session *session, const struct session_packet *packet)
{
	if (session_tell_missed(session))
		return true;
	if (session->state == STUB_FREE) {
		session_set_running(session);
		return true;
	}
	if (session->state != STUB_STOPPED)
		return false;
	session_go(session, packet);
	return true;
}

static bool packet_step(struct gdb_session *session, const struct session_packet *packet)
{
	if (session_tell_missed(session))
		return true;
	if (session->must_sync) {
		session->must_sync = session->must_interrupt = false;
		session_answer(session, session->last_stop != NULL ? session->last_stop : "S05");
		return true;
	}
	if (!session_is_ready(session))
		return false;
	session_go(session, packet);
	return true;
}

static bool packet_resume(struct gdb_session *session, const struct session_packet *packet)
{
	const char *action = strncmp(packet->data, "vCont;", 6) == 0 ? packet->data + 6 : packet->data;
	bool is_step = strchr("sSr", *action) != NULL;
	return is_step ? packet_step(session, packet) : packet_continue(session, packet);
}

static bool session_begin_leaving(struct gdb_session *session, enum session_farewell farewell)
{
	session->must_clean = true;
	session->farewell = farewell;
	return true;
}

static bool packet_detach(struct gdb_session *session, const struct session_packet *packet)
{
	(void)packet;
	return session_begin_leaving(session, FAREWELL_OK);
}

static bool packet_kill(struct gdb_session *session, const struct session_packet *packet)
{
	(void)packet;
	return session_begin_leaving(session, FAREWELL_CLOSE);
}

static bool packet_no_ack(struct gdb_session *session, const struct session_packet *packet)
{
	(void)packet;
	session_answer(session, "OK");
	session->debugger.no_ack = true;
	return true;
}

/* ---------------------------------------------------------------- monitor commands */

static bool session_reset(struct gdb_session *session, bool runs)
{
	char hex[2 * SESSION_COMMAND_MAX + 1], packet[sizeof(hex) + 8];
	if (!session_is_ready(session))
		return false;
	session->was_running = false;
	session->runs_after_reset = runs;
	free(session->missed);
	session->missed = NULL;
	rsp_to_hex(hex, session->dialect->reset, strlen(session->dialect->reset));
	int len = snprintf(packet, sizeof(packet), "qRcmd,%s", hex);
	session_ask(session, ASK_RESET, packet, (size_t)len);
	return true;
}

static bool monitor_reset_run(struct gdb_session *session)
{
	return session_reset(session, true);
}

static bool monitor_reset_halt(struct gdb_session *session)
{
	return session_reset(session, false);
}

static bool monitor_halt(struct gdb_session *session)
{
	if (!session_is_ready(session))
		return false;
	session->was_running = false;
	session_answer(session, "OK");
	return true;
}

static bool monitor_resume(struct gdb_session *session)
{
	if (session->state == STUB_STOPPED)
		session_run_free(session);
	if (session->state != STUB_FREE)
		return false;
	session_answer(session, "OK");
	return true;
}

static bool monitor_sync(struct gdb_session *session)
{
	session->must_sync = true;
	session_answer(session, "OK");
	return true;
}

static const struct {
	const char *command;
	bool (*handle)(struct gdb_session *session);
} monitor_commands[] = {
	{ "reset", monitor_reset_run },       { "reset run", monitor_reset_run }, { "reset halt", monitor_reset_halt },
	{ "reset init", monitor_reset_halt }, { "halt", monitor_halt },           { "resume", monitor_resume },
	{ "gdb_sync", monitor_sync },
};

/* The command in one-blank form; "" when it is none of ours for its length. */
static void monitor_text(const struct session_packet *packet, char out[SESSION_COMMAND_MAX])
{
	const char *hex = packet->data + strlen("qRcmd,");
	size_t len = packet->len - strlen("qRcmd,"), used = 0;
	char raw[SESSION_COMMAND_MAX];
	out[0] = '\0';
	if (len / 2 >= sizeof(raw) || !rsp_from_hex(hex, len, raw))
		return;
	raw[len / 2] = '\0';
	for (char *rest = raw, *word; (word = strsep(&rest, " \t\r\n")) != NULL;)
		if (*word != '\0')
			used += (size_t)snprintf(out + used, SESSION_COMMAND_MAX - used, "%s%s", used > 0 ? " " : "", word);
}

static bool packet_monitor(struct gdb_session *session, const struct session_packet *packet)
{
	char text[SESSION_COMMAND_MAX];
	monitor_text(packet, text);
	for (size_t i = 0; i < sizeof(monitor_commands) / sizeof(monitor_commands[0]); i++)
		if (strcmp(monitor_commands[i].command, text) == 0)
			return monitor_commands[i].handle(session);
	return packet_pass(session, packet);
}

/* ---------------------------------------------------------------- which packet is what */

#define SELF "" /* the name is all of the packet */

/* Compared with the beginning of a packet; what comes next must be one of `after`, SELF: nothing. First match counts. */
static const struct packet_row {
	const char *name;
	const char *after; /* NULL: anything */
	bool (*handle)(struct gdb_session *session, const struct session_packet *packet);
} packet_rows[] = {
	{ "QStartNoAckMode", SELF, packet_no_ack },
	{ "qRcmd,", NULL, packet_monitor },
	{ "vCont;", NULL, packet_resume },
	{ "vKill", ";", packet_detach },
	{ "vAttach;", NULL, packet_attach },
	{ "D", ";", packet_detach },
	{ "k", SELF, packet_kill },
	{ "c", NULL, packet_resume },
	{ "C", NULL, packet_resume },
	{ "s", NULL, packet_resume },
	{ "S", NULL, packet_resume },
	{ "F", NULL, packet_continue }, /* answer to a request of the guest's, which then goes on */
};

static const struct packet_row *packet_find(const struct session_packet *packet)
{
	for (size_t i = 0; i < sizeof(packet_rows) / sizeof(packet_rows[0]); i++) {
		const struct packet_row *row = &packet_rows[i];
		size_t len = strlen(row->name);
		if (packet->len < len || memcmp(packet->data, row->name, len) != 0)
			continue;
		if (row->after == NULL || packet->len == len || strchr(row->after, packet->data[len]) != NULL)
			return row;
	}
	return NULL;
}

/* Of a debugger that has left the guest and stays connected. */
static bool packet_without_stub(struct gdb_session *session, const struct session_packet *packet, const struct packet_row *row)
{
	if (row != NULL && row->handle == packet_attach) {
		session->ops.on_wanted(session->ctx);
		if (session->state != STUB_NONE)
			return packet_attach(session, packet);
	}
	if (row != NULL && (row->handle == packet_detach || row->handle == packet_kill || row->handle == packet_no_ack))
		return row->handle(session, packet);
	if (strcmp(packet->data, "?") == 0)
		session_answer(session, "W00");
	else
		session_answer(session, strcmp(packet->data, "!") == 0 ? "OK" : "E01");
	return true;
}

static bool session_handle(struct gdb_session *session, const struct session_packet *packet)
{
	const struct packet_row *row = packet_find(packet);
	if (session->state == STUB_NONE)
		return packet_without_stub(session, packet, row);
	return row != NULL ? row->handle(session, packet) : packet_pass(session, packet);
}

/* ---------------------------------------------------------------- what next */

static void session_clear_queue(struct gdb_session *session)
{
	while (!STAILQ_EMPTY(&session->queue)) {
		struct session_packet *packet = STAILQ_FIRST(&session->queue);
		STAILQ_REMOVE_HEAD(&session->queue, link);
		free(packet);
	}
	session->queued = 0;
}

static void session_forget_guest(struct gdb_session *session)
{
	session->state = STUB_NONE;
	session->is_unseen = session->is_console = session->must_run = session->was_running = session->must_sync = false;
	session->must_interrupt = false;
	free(session->missed);
	free(session->last_stop);
	session->missed = session->last_stop = NULL;
	leg_renew(&session->stub);
}

static void session_clean(struct gdb_session *session)
{
	if (session->state == STUB_RUNNING || session->state == STUB_FREE)
		session_halt(session);
	else if (session->state == STUB_STOPPED)
		session_ask(session, ASK_CLEAN, "?", 1);
	else if (session->state == STUB_NONE)
		session->ops.on_clean(session->ctx);
}

static bool session_take_next(struct gdb_session *session)
{
	struct session_packet *packet = STAILQ_FIRST(&session->queue);
	if (packet == NULL || session->must_clean || !session_handle(session, packet))
		return false;
	STAILQ_REMOVE_HEAD(&session->queue, link);
	session->queued--;
	free(packet);
	return true;
}

static void session_pump(struct gdb_session *session)
{
	if (session->is_pumping)
		return;
	session->is_pumping = true;
	do {
		if (session->must_run && session->state == STUB_STOPPED && !session->must_clean)
			session_run_free(session);
	} while (session_take_next(session));
	if (session->was_running && session->state == STUB_STOPPED && STAILQ_EMPTY(&session->queue) && !session->must_clean)
		session_run_free(session);
	session->is_pumping = false;
	if (session->must_clean)
		session_clean(session);
}

/* ---------------------------------------------------------------- answers of the stub */

static bool session_is_stop(const char *data)
{
	return strchr("TSWX", data[0]) != NULL && data[0] != '\0';
}

static bool session_is_interrupt(const char *data)
{
	return data[1] == '0' && data[2] == '2';
}

static void session_on_stop(struct gdb_session *session, const char *data, size_t len)
{
	enum session_state before = session->state;
	if (session->is_unseen)
		return; /* that of the connection, or of before the packet that is on its way */
	session_set_text(&session->last_stop, data);
	if (before == STUB_ASKED && session->ask != ASK_STOP && session->ask != ASK_CLEAN)
		return;
	session->state = STUB_STOPPED;
	if (before == STUB_RUNNING || (before == STUB_ASKED && session->ask == ASK_STOP)) {
		leg_send(session, &session->debugger, data, len);
	} else if (before == STUB_FREE || (before == STUB_HALTING && !session_is_interrupt(data))) {
		session_set_text(&session->missed, data);
		session->was_running = false;
	} else if (before == STUB_ASKED) {
		session_forget_guest(session);
		session->must_clean = false;
		session->ops.on_clean(session->ctx);
	}
}

/* A monitor command's text, which comes before its answer. */
static bool session_is_text(const struct gdb_session *session, const char *data)
{
	return session->is_console && data[0] == 'O' && strcmp(data, "OK") != 0;
}

static void session_on_answer(struct gdb_session *session, const char *data, size_t len)
{
	if (session_is_text(session, data)) {
		leg_send(session, &session->debugger, data, len);
		return;
	}
	session->state = STUB_STOPPED;
	if (session->ask == ASK_CLEAN)
		session->state = STUB_ASKED; /* only a stop ends it */
	else
		leg_send(session, &session->debugger, data, len);
	if (session->ask == ASK_RESET && session->runs_after_reset && data[0] != 'E')
		session->must_run = true;
}

static void session_on_packet(struct gdb_session *session, const char *data, size_t len)
{
	if (session_is_stop(data))
		session_on_stop(session, data, len);
	else if (session->state == STUB_ASKED)
		session_on_answer(session, data, len);
	else if (session->state == STUB_RUNNING)
		leg_send(session, &session->debugger, data, len);
	if (session->state == STUB_RUNNING && data[0] == 'F')
		session->state = STUB_STOPPED; /* the guest waits for the debugger's answer, who may read and write for it */
	session_pump(session);
}

/* The answer that ends the session's use of the stub is not acknowledged: the guest may run when that comes there, and would stop. */
static void session_acknowledge(struct gdb_session *session, const char *data)
{
	bool is_last = session->state == STUB_ASKED && session->ask == ASK_CLEAN && !session->is_unseen && session_is_stop(data);
	if (!session->stub.no_ack && !is_last)
		session->ops.to_stub(session->ctx, "+", 1);
}

void gdb_session_from_stub(struct gdb_session *session, const void *bytes, size_t len)
{
	const char *at = bytes, *end = at + len;
	while (at < end && session->state != STUB_NONE) {
		enum rsp_item item;
		at += rsp_reader_take(&session->stub.reader, at, (size_t)(end - at), &item);
		const struct rsp_reader *reader = &session->stub.reader;
		if (item == RSP_ACK)
			session->is_unseen = false;
		else if (item == RSP_NACK)
			leg_send_again(session, &session->stub);
		else if (item == RSP_BROKEN)
			session->ops.to_stub(session->ctx, "-", 1);
		if (item != RSP_PACKET)
			continue;
		char *data = xmalloc(reader->len + 1);
		size_t data_len = reader->len;
		memcpy(data, reader->data, data_len + 1);
		session_acknowledge(session, data);
		session_on_packet(session, data, data_len);
		free(data);
	}
}

/* ---------------------------------------------------------------- the debugger's bytes */

static void session_queue(struct gdb_session *session)
{
	const struct rsp_reader *reader = &session->debugger.reader;
	struct session_packet *packet = xmalloc(sizeof(*packet) + reader->len + 1);
	packet->len = reader->len;
	memcpy(packet->data, reader->data != NULL ? reader->data : "", reader->len);
	packet->data[packet->len] = '\0';
	if (!session->debugger.no_ack)
		session->ops.to_debugger(session->ctx, "+", 1);
	STAILQ_INSERT_TAIL(&session->queue, packet, link);
	session->queued++;
	session_pump(session);
}

/* Its continue may still wait. One that has stopped by itself meanwhile needs none. */
static void session_on_interrupt(struct gdb_session *session)
{
	if (session->state == STUB_RUNNING)
		session_interrupt(session);
	else
		session->must_interrupt = !STAILQ_EMPTY(&session->queue);
}

void gdb_session_from_debugger(struct gdb_session *session, const void *bytes, size_t len)
{
	const char *at = bytes, *end = at + len;
	while (at < end) {
		enum rsp_item item;
		at += rsp_reader_take(&session->debugger.reader, at, (size_t)(end - at), &item);
		if (item == RSP_PACKET)
			session_queue(session);
		else if (item == RSP_INTERRUPT)
			session_on_interrupt(session);
		else if (item == RSP_NACK)
			leg_send_again(session, &session->debugger);
		else if (item == RSP_BROKEN)
			session->ops.to_debugger(session->ctx, "-", 1);
		if (item == RSP_TOO_LONG || session->queued > SESSION_QUEUE_MAX) {
			session->ops.on_close(session->ctx);
			return;
		}
	}
}

/* ---------------------------------------------------------------- the session */

struct gdb_session *gdb_session_new(const struct gdb_dialect *dialect, const struct gdb_session_ops *ops, void *ctx)
{
	struct gdb_session *session = xcalloc(1, sizeof(*session));
	session->dialect = dialect;
	session->ops = *ops;
	session->ctx = ctx;
	STAILQ_INIT(&session->queue);
	leg_init(&session->debugger, ops->to_debugger);
	leg_init(&session->stub, ops->to_stub);
	return session;
}

void gdb_session_free(struct gdb_session *session)
{
	if (session == NULL)
		return;
	session_clear_queue(session);
	session_forget_guest(session);
	leg_fini(&session->debugger);
	leg_fini(&session->stub);
	free(session);
}

void gdb_session_begin(struct gdb_session *session)
{
	session_clear_queue(session);
	leg_renew(&session->debugger);
	session->must_clean = false;
	session->farewell = FAREWELL_NONE;
}

void gdb_session_attach(struct gdb_session *session)
{
	session_forget_guest(session);
	session->state = STUB_STOPPED;
	session->is_unseen = true; /* the stub tells of the stop that its connection was */
	session_pump(session);
}

void gdb_session_leave(struct gdb_session *session)
{
	session_clear_queue(session);
	session->must_clean = true;
	session->farewell = FAREWELL_NONE;
	session_pump(session);
}

void gdb_session_restored(struct gdb_session *session)
{
	enum session_farewell farewell = session->farewell;
	session->farewell = FAREWELL_NONE;
	session->must_clean = false;
	if (farewell == FAREWELL_OK)
		session_answer(session, "OK");
	else if (farewell == FAREWELL_CLOSE)
		session->ops.on_close(session->ctx);
	session_pump(session);
}

void gdb_session_lost(struct gdb_session *session)
{
	session_forget_guest(session);
	session_clear_queue(session);
	session->must_clean = false;
	session->farewell = FAREWELL_NONE;
}

bool gdb_session_runs(const struct gdb_session *session)
{
	return session->state == STUB_RUNNING || session->state == STUB_FREE;
}

bool gdb_session_resume(struct gdb_session *session)
{
	if (session->state == STUB_NONE)
		return false;
	session->must_run = true;
	session_pump(session);
	return true;
}

char *gdb_session_refusal(const char *why)
{
	char text[512], packet[sizeof(text) * 2];
	snprintf(text, sizeof(text), "E.%s", why);
	size_t len = rsp_escape(packet, text, strlen(text));
	char *out = xcalloc(1, len + RSP_FRAME_EXTRA + 2);
	out[0] = '+';
	(void)rsp_frame(out + 1, packet, len);
	return out;
}
