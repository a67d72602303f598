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

#include <stdbool.h>

#include "wire/err.h"

enum subst_kind { SUBST_ENV, SUBST_WDIR, SUBST_CHANNEL_PORT, SUBST_CHANNEL_HOST, SUBST_CHANNEL_PATH, SUBST_KIND_COUNT };

/* "$pw_emu_wdir" */
const char *subst_name(enum subst_kind kind);

/* Whether there is any `$pw_NAME{ARGUMENT}` in the text, known or not. */
bool subst_is_needed(const char *text);

/* What stands for an expression, owned by the caller; NULL: an error was set. `whole` is the expression, "$pw_NAME{ARGUMENT}"; both live
 * during the call. */
typedef char *(*subst_value_fn)(void *ctx, enum subst_kind kind, const char *whole, const char *argument, struct err *err);

/* Replaces every expression. One with a name that is not known is an INVALID_ARGUMENT. What was put in is not looked at again. The result
 * is owned by the caller; NULL on failure. */
char *subst_text(const char *text, subst_value_fn value, void *ctx, struct err *err);

/* An expression that is the daemon's: 0 leaves it in the text, -1 with an error ends it. The argument lives during the call. */
typedef int (*subst_found_fn)(void *ctx, enum subst_kind kind, const char *argument, struct err *err);

/* As subst_text, for the client: replaces `$pw_env{VAR}` and leaves the others. A variable that is not set is an error. */
char *subst_env(const char *text, subst_found_fn found, void *ctx, struct err *err);
