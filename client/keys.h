/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person's keys mean on a raw terminal: text for the guest, the escape key, the menu. A pure state machine: bytes in, actions
 * out. The escape key quits; doubled it is sent, so after one the caller waits KEYS_DOUBLE_MS for the second, then calls keys_timeout.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define KEYS_DOUBLE_MS 300
#define KEYS_MENU      0x14 /* Ctrl+T */

enum keys_action { KEYS_QUIT, KEYS_HELP, KEYS_RESET, KEYS_PAUSE, KEYS_WRITER, KEYS_INFO, KEYS_UNKNOWN, KEYS_ACTION_COUNT };

struct keys_ops {
	void (*on_text)(void *ctx, const char *bytes, size_t len); /* for the guest */
	void (*on_action)(void *ctx, enum keys_action action);
};

struct keys {
	unsigned char escape;
	const char *eol; /* what Enter sends */
	const struct keys_ops *ops;
	void *ctx;
	bool in_menu, escaped; /* the menu key, the escape key was the last one */
};

void keys_init(struct keys *keys, unsigned char escape, const char *eol, const struct keys_ops *ops, void *ctx);
/* Ends early after KEYS_QUIT: what follows it is dropped. */
void keys_feed(struct keys *keys, const char *bytes, size_t len);
/* An escape key waits for a second one. */
bool keys_is_waiting(const struct keys *keys);
void keys_timeout(struct keys *keys);

/* "\r" for "cr", "\n" for "lf", "\r\n" for "crlf"; cr for anything else. */
const char *keys_eol(const char *name);
