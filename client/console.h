/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in: what comes from stdin goes to a feed's channel. On a terminal (`interactive`) it is raw, with banner, escape key and menu;
 * otherwise the bytes go unchanged and their end ends nothing. Nothing is read from stdin while it cannot be sent: without the writer
 * role only a terminal is read, for its escape key and menu. Used by `term` and `run`.
 */
#pragma once

#include <stdbool.h>

#include "client/feed.h"

struct cli;
struct console;

struct console_config {
	bool interactive;
	unsigned char escape;
	const char *eol; /* "cr", "lf", "crlf"; NULL: the target's */
	bool read_only;  /* no input at all; on a terminal escape key and menu work */
	bool tells_role; /* a note about the writer role also without a terminal */
	void (*on_quit)(void *ctx);
	void *ctx;
};

/* Enters raw mode when interactive. The feed is set by console_attach. */
int console_new(struct cli *cli, const struct console_config *config, struct console **out, struct err *err)
	__attribute__((warn_unused_result));
void console_free(struct console *console); /* restores the terminal; takes NULL */
void console_set_feed(struct console *console, struct feed *feed);

/* To be called from the feed's callbacks. */
void console_opened(struct console *console, const Pwemu__V1__AttachOpened *opened);
void console_writer(struct console *console, bool writer, const char *reason);
void console_writable(struct console *console);
