/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions that only the daemon can replace, since it has allocated what they mean:
 *     $pw_emu_wdir{REL}                 the working directory, joined with REL (an absolute REL stands for itself)
 *     $pw_emu_channel_port{CHANNEL}     of a channel with a TCP endpoint, as its _host
 *     $pw_emu_channel_path{CHANNEL}     of a channel with a PTY
 * anywhere in a text and as often as wanted; the text around them stays.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "channel/endpoint.h"
#include "wire/err.h"

#define EXPAND_HOST "127.0.0.1" /* where TCP endpoints listen */

struct expand_channel {
	const char *name;
	enum endpoint_kind kind;
	uint16_t port;    /* ENDPOINT_TCP */
	const char *path; /* ENDPOINT_PTY */
};

/* What expressions can mean; strings stay the caller's. */
struct expand_scope {
	const char *target; /* its name, for messages */
	const char *working_dir;
	const struct expand_channel *channels;
	size_t channel_count;
};

/* A new string. `where` is for messages: "pre-start command \"x\"". NULL with INVALID_ARGUMENT (invalid-target): unknown expression, no
 * such channel, or one of another type. */
char *expand_text(const struct expand_scope *scope, const char *where, const char *text, struct err *err);
