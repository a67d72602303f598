/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions in the texts of a project's configuration: `$pw_NAME{ARGUMENT}`, anywhere in a text and as often as wanted.
 *
 *   $pw_env{VAR}                         the value of an environment variable; the client replaces it
 *   $pw_emu_wdir{PATH}                   PATH in the instance's working directory; this one and those below are the daemon's
 *   $pw_emu_channel_port{CHANNEL}        port of a channel with a tcp endpoint; _host its host
 *   $pw_emu_channel_path{CHANNEL}        path of a channel with a pty endpoint
 */
#pragma once

#include <stddef.h>

#include "wire/err.h"

/* The length of an expression "$pw_NAME{ARGUMENT}" at the beginning of a text, and where its argument is; 0: there is none. */
size_t subst_match(const char *text, size_t *argument);

enum subst_kind { SUBST_WDIR, SUBST_CHANNEL_PORT, SUBST_CHANNEL_HOST, SUBST_CHANNEL_PATH, SUBST_KIND_COUNT };

/* "$pw_emu_wdir" */
const char *subst_name(enum subst_kind kind);

/* An expression that is the daemon's: 0 leaves it in the text, -1 with an error ends it. The argument lives during the call. */
typedef int (*subst_found_fn)(void *ctx, enum subst_kind kind, const char *argument, struct err *err);

/* Replaces `$pw_env{VAR}`. A variable that is not set, and every other `$pw_...{}` than those above, is an error. What was put in is not
 * looked at again. The result is owned by the caller; NULL on failure. */
char *subst_env(const char *text, subst_found_fn found, void *ctx, struct err *err);
