/* SPDX-License-Identifier: Apache-2.0 */
/* What a debugger asks for: tables of packets and of OpenOCD's monitor commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/gdb_session_int.h"

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
	session_note_break(session, packet);
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
	if (row != NULL && row->handle == packet_attach && !session->is_wanted) {
		session->is_wanted = session->ops.on_wanted(session->ctx);
		if (session->state != STUB_NONE)
			return packet_attach(session, packet);
	}
	if (session->is_wanted)
		return false;
	if (row != NULL && (row->handle == packet_detach || row->handle == packet_kill || row->handle == packet_no_ack))
		return row->handle(session, packet);
	if (strcmp(packet->data, "?") == 0)
		session_answer(session, "W00");
	else
		session_answer(session, strcmp(packet->data, "!") == 0 ? "OK" : "E01");
	return true;
}

bool session_handle(struct gdb_session *session, const struct session_packet *packet)
{
	const struct packet_row *row = packet_find(packet);
	if (session->state == STUB_NONE)
		return packet_without_stub(session, packet, row);
	return row != NULL ? row->handle(session, packet) : packet_pass(session, packet);
}
