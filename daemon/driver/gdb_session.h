/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger's session with the gdb stub of an emulator: stands between the two, packet by packet. No I/O: bytes go in by functions and
 * come out by callbacks, also from inside of the functions.
 *
 * Packets pass unchanged, save these: leaving the guest (`D`, `k`, `vKill`, or that the debugger is gone) removes all breakpoints and
 * never lets the guest run, so that whoever holds the session gives it the run state it had before; `monitor reset`, `halt`, `resume`,
 * `gdb_sync` are answered as OpenOCD answers them; acknowledgements are of each side alone.
 *
 * The guest may run while the debugger believes that it is stopped (`monitor reset`, a user's resume): it is stopped for the moment that
 * each further packet takes, and a stop that comes meanwhile answers the debugger's next continue.
 *
 * What is relied on of the stub: it stops the guest when it is connected; `?` removes all breakpoints, where the dialect does not say
 * otherwise; it takes no packet while the guest runs, only the interrupt 0x03; it reports every stop, whoever caused it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct gdb_session;

/* What is the emulator's own. */
struct gdb_dialect {
	const char *reset; /* command of its monitor that resets the board and leaves a stopped guest stopped */
	/* `?` and the end of the connection leave its breakpoints: the session remembers and removes them one by one. */
	bool keeps_breakpoints;
	/* The emulator does not tell of stops and runs that a debugger causes: on_runs does. */
	bool is_silent;
};

struct gdb_session_ops {
	void (*to_debugger)(void *ctx, const void *bytes, size_t len);
	void (*to_stub)(void *ctx, const void *bytes, size_t len);
	/* No breakpoint is left and the guest is stopped. The stub is to be disconnected, the guest to get its run state back, and
	 * gdb_session_restored() to be called then (or from inside). */
	void (*on_clean)(void *ctx);
	/* The debugger wants the guest back that it has left: connect the stub and call gdb_session_attach(), from inside, or later, which
	 * is what true says; or not. */
	bool (*on_wanted)(void *ctx);
	void (*on_runs)(void *ctx, bool runs); /* the guest goes on, or has stopped, under the debugger; may be NULL */
	void (*on_close)(void *ctx);           /* the debugger's connection is to be closed */
};

struct gdb_session *gdb_session_new(const struct gdb_dialect *dialect, const struct gdb_session_ops *ops, void *ctx);
void gdb_session_free(struct gdb_session *session); /* takes NULL */

/* A debugger has come: what was known of the one before is forgotten. */
void gdb_session_begin(struct gdb_session *session);
/* The stub is connected. */
void gdb_session_attach(struct gdb_session *session);
void gdb_session_from_debugger(struct gdb_session *session, const void *bytes, size_t len);
void gdb_session_from_stub(struct gdb_session *session, const void *bytes, size_t len);
/* The debugger is gone: on_clean follows, at once where there is no stub. */
void gdb_session_leave(struct gdb_session *session);
void gdb_session_restored(struct gdb_session *session);
void gdb_session_lost(struct gdb_session *session); /* the stub is gone */
/* Whether the guest runs, as the session has wanted it. */
bool gdb_session_runs(const struct gdb_session *session);
/* A user wants the guest to run, or to stop. False: there is no stub for it. */
bool gdb_session_resume(struct gdb_session *session);
bool gdb_session_pause(struct gdb_session *session);

/* A packet "E.text", which gdb shows; to be freed. */
char *gdb_session_refusal(const char *why);
