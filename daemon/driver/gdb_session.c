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

#include "driver/gdb_session_int.h"
#include "wire/mem.h"

/* ---------------------------------------------------------------- sending */

void leg_send(struct gdb_session *session, struct session_leg *leg, const char *data, size_t len)
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

void session_answer(struct gdb_session *session, const char *text)
{
	leg_send(session, &session->debugger, text, strlen(text));
}

void session_ask(struct gdb_session *session, enum session_ask ask, const char *data, size_t len)
{
	session->state = STUB_ASKED;
	session->ask = ask;
	session->is_unseen = true;
	session->is_console = strncmp(data, "qRcmd,", 6) == 0;
	leg_send(session, &session->stub, data, len);
}

void session_interrupt(struct gdb_session *session)
{
	static const char interrupt = 0x03;
	session->ops.to_stub(session->ctx, &interrupt, 1);
}

void session_halt(struct gdb_session *session)
{
	session->state = STUB_HALTING;
	session_interrupt(session);
}

void session_run_free(struct gdb_session *session)
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
	session->must_interrupt = session->is_wanted = false;
	session_forget_breaks(session);
	free(session->missed);
	free(session->last_stop);
	session->missed = session->last_stop = NULL;
	leg_renew(&session->stub);
}

static void session_clean(struct gdb_session *session)
{
	if (session->state == STUB_RUNNING || session->state == STUB_FREE)
		session_halt(session);
	else if (session->state == STUB_STOPPED && !session_remove_break(session))
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

/* Whether the guest goes on, seen from outside: the moment that a packet takes does not count. */
static void session_tell_runs(struct gdb_session *session)
{
	bool runs = gdb_session_runs(session) || session->was_running;
	if (session->state == STUB_NONE || session->ops.on_runs == NULL || runs == session->told_runs)
		return;
	session->told_runs = runs;
	session->ops.on_runs(session->ctx, runs);
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
	session_tell_runs(session);
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
	else if (session->ask != ASK_BREAK)
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
	session->told_runs = true;
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

bool gdb_session_pause(struct gdb_session *session)
{
	if (session->state == STUB_NONE)
		return false;
	session->must_run = session->was_running = false;
	if (session->state == STUB_RUNNING)
		session_interrupt(session);
	else if (session->state == STUB_FREE)
		session_halt(session);
	session_tell_runs(session);
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
