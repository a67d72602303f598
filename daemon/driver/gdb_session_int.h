/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a debugger's session: gdb_session.c (states and answers), gdb_packets.c (what the debugger asks for), gdb_breaks.c. */
#pragma once

#include <sys/queue.h>

#include "driver/gdb_session.h"
#include "driver/rsp.h"

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
	ASK_BREAK, /* the session: one breakpoint is gone */
	ASK_CLEAN, /* the session: the breakpoints are gone */
};

/* What the debugger is told when it has left. */
enum session_farewell { FAREWELL_NONE, FAREWELL_OK, FAREWELL_CLOSE };

struct session_packet {
	STAILQ_ENTRY(session_packet) link;
	size_t len;
	char data[]; /* with a NUL */
};

struct session_break {
	struct session_break *next;
	char what[]; /* "0,8000100,2" */
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
	bool is_wanted;      /* the stub was asked for and is on its way */
	bool is_pumping;
	bool told_runs;               /* what on_runs said last */
	struct session_break *breaks; /* that the stub has, of the debugger; only where the dialect keeps them */
	bool runs_after_reset;
	char *missed;    /* a stop that the debugger does not know of */
	char *last_stop; /* the last that there was */
	enum session_farewell farewell;
};

/* ---- gdb_session.c */
void leg_send(struct gdb_session *session, struct session_leg *leg, const char *data, size_t len);
void session_answer(struct gdb_session *session, const char *text);
void session_ask(struct gdb_session *session, enum session_ask ask, const char *data, size_t len);
void session_interrupt(struct gdb_session *session);
void session_halt(struct gdb_session *session);
void session_run_free(struct gdb_session *session);

/* ---- gdb_packets.c */
/* Whether the packet is dealt with; else it waits. */
bool session_handle(struct gdb_session *session, const struct session_packet *packet);

/* ---- gdb_breaks.c */
/* A packet that goes to the stub: one that sets or removes a breakpoint is noted, where the dialect keeps them. */
void session_note_break(struct gdb_session *session, const struct session_packet *packet);
/* Asks the stub to remove one. False: there is none. */
bool session_remove_break(struct gdb_session *session);
void session_forget_breaks(struct gdb_session *session);
