/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of Renode's monitor on its stdin and stdout: one command at a time, whose answer is what comes between its echo and the next
 * prompt. What comes before the echo belongs to nobody: the banner, or what an earlier daemon has asked.
 *
 * Renode tells errors as text alone; the texts it is known for become a struct err. A command that has missed its deadline is waited for
 * all the same before the next one is sent, since nothing can take it back.
 *
 * Callbacks only queue further commands; monitor_free() from inside one is allowed and takes effect after it returns.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/err.h"

struct event_base;
struct monitor;

#define MONITOR_COMMAND_MAX 8192

struct monitor_ops {
	void (*on_prompt)(void *ctx); /* the first one: it takes commands */
	/* The console is closed; once; queued commands have failed before. */
	void (*on_closed)(void *ctx, const struct err *err);
};

/*
 * text: the answer with lines ended by "\n" and without its last line end; "" when there is none. err: DEADLINE_EXCEEDED, UNAVAILABLE,
 * CANCELLED, or what Renode says: NOT_FOUND (no such command or device), FAILED_PRECONDITION; then text is there as well.
 */
typedef void (*monitor_reply_fn)(void *ctx, const char *text, const struct err *err);

/* Takes a non-blocking socket. is_fresh: the first prompt is still to come. */
struct monitor *monitor_new(struct event_base *base, int fd, bool is_fresh, const struct monitor_ops *ops, void *ctx);
void monitor_free(struct monitor *monitor); /* queued commands fail with CANCELLED first; takes NULL */

/* A line without control characters and not empty, INVALID_ARGUMENT otherwise. timeout_ms: from now. on_reply may be NULL; it is called at
 * once when the command cannot be queued. */
void monitor_ask(struct monitor *monitor, const char *command, uint32_t timeout_ms, monitor_reply_fn on_reply, void *ctx);

/* Reads and handles what lies in the socket now. */
void monitor_drain(struct monitor *monitor);
/* EOF for Renode, upon which it quits; also for whoever else holds this end. */
void monitor_close_input(struct monitor *monitor);
/* The latest prompt, "(monitor) ". */
const char *monitor_prompt(const struct monitor *monitor);
/* What it has printed that answered nothing, so far and as far as it is kept, without prompts; lines ended by "\n". */
const char *monitor_words(struct monitor *monitor);
