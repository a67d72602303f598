/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to the daemon: where it is, and starting the user's own when none answers.
 *
 * Looked for in this order: --host, --context, $PWEMU_HOST, $PWEMU_CONTEXT, the current context, the whole-host daemon's socket if it
 * exists, the user's socket. Only for the last a daemon is started. An address that leads over a network makes the connection remote:
 * images are uploaded, a loss is more than the end of a daemon, and is noticed by asking. A daemon that is idle may leave while we connect:
 * conn_open() returns after it has answered a first question. Once in a program a note on stderr tells of a daemon of another version.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/host.h"
#include "config/paths.h"
#include "pwemu/v1/daemon.pb-c.h"
#include "wire/err.h"

struct event_base;
struct rpc_client;

#define CONN_ADDRESS_MAX (PATHS_MAX + 16)

struct conn {
	struct event_base *base;
	struct rpc_client *client;
	struct paths paths;
	const struct conn_scheme *scheme;
	struct host host;               /* of tcp:// */
	char address[CONN_ADDRESS_MAX]; /* as for --host, without secrets */
	char socket[PATHS_MAX];         /* path of the control socket; of an address of another kind "" */
	unsigned losses;
	char version[32];                /* the daemon's; "" before it was asked */
	unsigned fruitless;              /* of these, those in a row in which nothing was achieved */
	uint64_t opened_ms, progress_ms; /* monotonic */
	bool is_private;                 /* the user's own daemon: it may be started */
	bool is_remote;                  /* the way to it leads over a network */
	bool is_elsewhere;               /* it does not see our files: so it is, or the daemon has said so */
	/* While a lost connection is made again: whether nobody wants it any more. NULL: always wanted. */
	bool (*is_unwanted)(const void *ctx);
	const void *unwanted_ctx;
};

enum conn_mode {
	CONN_START,    /* start the user's daemon when none answers */
	CONN_EXISTING, /* never start one: UNAVAILABLE with the reason "no-daemon" */
	CONN_NO_CHECK, /* as CONN_START, without the first question: for calls that may be repeated */
	CONN_ASK,      /* as CONN_NO_CHECK; the question is asked, its answer comes along with that of the call that follows */
};

/* Fills in `conn` without touching anything but the file of contexts. host and context may be NULL. */
int conn_init(struct conn *conn, const char *host, const char *context, struct err *err) __attribute__((warn_unused_result));
int conn_open(struct conn *conn, enum conn_mode mode, struct err *err) __attribute__((warn_unused_result));
/* The way to the daemon alone, without a word on it. */
int conn_dial(struct conn *conn, enum conn_mode mode, int *fd, struct err *err) __attribute__((warn_unused_result));
/* Ends the connection and goes on without; conn_open may follow. */
void conn_close(struct conn *conn);
/* The call ended because the daemon went away, not because of what it said. */
bool conn_is_lost(const struct conn *conn, const struct err *status);
/* The note, for the version that an Info has given. */
void conn_note_version(struct conn *conn, const char *version);
/* Asks for it, after a conn_open with CONN_NO_CHECK; says nothing when that fails. */
void conn_ask_version(struct conn *conn);
/* Something was achieved: data or events came. */
void conn_progress(struct conn *conn);
/* Connects again after a loss, starting another daemon if need be. Gives up after CONN_MAX_LOSSES in a row without progress, of daemons
 * that were there for less than a second, and CONN_PATIENCE_MS after the last progress. A remote one is tried for that long, or for
 * $PWEMU_RECONNECT (a duration), while the loop runs; CANCELLED when is_unwanted says so. Not from a callback. */
#define CONN_MAX_LOSSES  5
#define CONN_PATIENCE_MS 30000
#define CONN_MAX_DEATHS  100 /* of daemons that did not come as far as to answer, in a row */
int conn_reopen(struct conn *conn, struct err *err) __attribute__((warn_unused_result));
void conn_fini(struct conn *conn);
