/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c (while it runs) and session_end.c (afterwards) share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "client/feed.h"
#include "client/session.h"
#include "wire/err.h"

#define SESSION_MAX_VIEWS    40
#define SESSION_MANY_SIGNALS 3    /* the third one ends us at once */
#define SESSION_QUIT_KEY     0x1d /* Ctrl+] */

/* One channel that is shown. */
struct view {
	struct session *session;
	struct feed *feed;
	size_t mux_channel, expect_channel, report_channel;
	bool is_console; /* takes the input */
	bool lost;       /* its feed has ended with the connection */
};

struct session {
	struct cli *cli;
	const struct session_config *config;
	Pwemu__V1__Instance *inst; /* its latest state; NULL until started */
	struct view views[SESSION_MAX_VIEWS];
	size_t view_count, open_views;
	struct sink *sink;
	struct mux *mux;
	struct event *line_timer; /* for the rest of the line that decided */
	struct event *mux_timer;  /* what waits in it is shown soon */
	struct console *console;
	struct signals *signals;
	struct report *report;
	struct event *timer;
	struct event *parent;                    /* NULL: it is not watched */
	struct rpc_stream *start, *watch, *stop; /* open calls */
	struct err trouble;
	int signal;
	unsigned signal_count;
	bool timed_out, quit, stopping, sink_broken, parent_ended;
	struct err refusal; /* of the start; the machine can be adapted */
	bool is_queued;     /* its channels are not there yet */
	bool lost;          /* the connection; another one goes on */
	bool finished;      /* what still ends now must touch nothing */
};

/* The instance's channel of this kind; NULL if it has none. */
const char *session_channel_of_kind(const struct session *session, const char *kind);

/* Judges, shows the emulator's words, removes, writes the result, says the verdict. Returns the exit code. Everything that the loop used
 * is gone; the connection is there if it was not lost. */
int session_conclude(struct session *session, FILE *result);
