/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel that is a socket of the emulator's (gdb, monitor, qmp): one party at a time is joined with it, another is refused.
 * Parties are calls (bridge_join), connections to a TCP port on 127.0.0.1, users of a PTY. Bytes are copied both ways through bounded
 * buffers, or handed to a filter that speaks the protocol between the two.
 *
 * Of a TCP port only the owner and root get in. When either side has closed and what it sent is delivered, the other one is closed too.
 *
 * Callbacks come from the event loop, save those of a filter; the bridge must not be freed in there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "channel/endpoint.h"
#include "channel/gate.h"
#include "wire/err.h"

struct event_base;
struct bridge;
struct bridge_party;

/* What stands between party and emulator. Called from inside of the bridge's functions too. */
struct bridge_filter {
	void (*on_coming)(void *ctx);    /* a party has come, the emulator is about to be connected */
	void (*on_connected)(void *ctx); /* … and is; on_lost follows at the latest when the emulator closes */
	void (*on_input)(void *ctx, const void *bytes, size_t len);
	void (*on_output)(void *ctx, const void *bytes, size_t len);
	/* The party has left. Who comes next waits until bridge_next(). */
	void (*on_left)(void *ctx);
	void (*on_lost)(void *ctx); /* the emulator has closed, or could not be connected */
	/* What a second party at a TCP port is sent before it is closed, to be freed. */
	char *(*refusal)(const char *why);
};

struct bridge_config {
	struct event_base *base;
	struct gate_list list; /* who may connect to its TCP port */
	const char *path;      /* of the UNIX socket, which need not be there yet; NULL: `open` makes a connection */
	/* Where there is no path. bridge_opened() follows, from inside or later, unless `close` comes before: the connection, or the wish
	 * for one, is given up. */
	void (*open)(void *ctx);
	void (*close)(void *ctx);
	const struct bridge_filter *filter; /* NULL: bytes are copied */
	void *filter_ctx;
	/* As in struct endpoint_config; both may be NULL. */
	void (*on_party)(void *ctx, bool attached, const char *who);
	void (*on_trouble)(void *ctx, const struct err *err);
	void *ctx;
};

struct bridge *bridge_new(const struct bridge_config *config);
void bridge_free(struct bridge *bridge); /* whoever is there is told of the end first; takes NULL */
/* Serves an endpoint besides; fds stay the caller's and outlive the bridge. pty_path: of the PTY. */
int bridge_serve(struct bridge *bridge, const struct endpoint_fds *fds, const char *pty_path, struct err *err)
	__attribute__((warn_unused_result));
bool bridge_is_connected(const struct bridge *bridge); /* with the emulator */
/* As endpoint_review. */
void bridge_review(struct bridge *bridge);
/* After `open`: fd, the bridge's from now on, or -1 and why there is none. */
void bridge_opened(struct bridge *bridge, int fd, const struct err *err);
bool bridge_is_served(const struct bridge *bridge);
/* Who is there, for people; NULL: nobody. */
const char *bridge_holder(const struct bridge *bridge);
/* The emulator is about to end on purpose, or has: parties get what is left and are told. */
void bridge_end(struct bridge *bridge, const struct err *why);

/* ---------------------------------------------------------------- parties */

/* Callbacks come from the loop; the party may leave in there. */
struct bridge_party_ops {
	void (*on_output)(void *ctx); /* there is something to read */
	void (*on_room)(void *ctx);   /* after bridge_write has taken less than it was given */
	void (*on_end)(void *ctx,
		       const struct err *err); /* the emulator has closed (err NULL) or is lost; last callback, the party is gone */
};

/* FAILED_PRECONDITION: `busy` names who is there, `not-running`: the emulator is not. */
int bridge_join(struct bridge *bridge, const char *who, const struct bridge_party_ops *ops, void *ctx, struct bridge_party **out,
		struct err *err) __attribute__((warn_unused_result));
size_t bridge_write(struct bridge_party *party, const void *bytes, size_t len); /* bytes taken */
size_t bridge_read(struct bridge_party *party, void *buf, size_t size);         /* bytes, 0: none now */
void bridge_leave(struct bridge_party *party);                                  /* takes NULL */

/* ---------------------------------------------------------------- for the filter */

void bridge_send_party(struct bridge *bridge, const void *bytes, size_t len);
void bridge_send_emulator(struct bridge *bridge, const void *bytes, size_t len);
/* Connects to the emulator, also when there is no party. on_connected comes from inside, or later where there is no path. */
int bridge_connect(struct bridge *bridge, struct err *err) __attribute__((warn_unused_result));
void bridge_hang_up(struct bridge *bridge);    /* closes the emulator's end; what was sent to it is delivered */
void bridge_hold(struct bridge *bridge);       /* who comes waits until bridge_next() */
void bridge_next(struct bridge *bridge);       /* who waits may begin */
void bridge_drop_party(struct bridge *bridge); /* closes it when it has what was sent; on_left does not follow */
