/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions in the texts of a project's configuration. */
#pragma once

#include <stddef.h>

#include "wire/err.h"

/* The length of an expression "$pw_NAME{ARGUMENT}" at the beginning of a text, and where its argument is; 0: there is none. */
size_t subst_match(const char *text, size_t *argument);

/* `$pw_env{VAR}`, anywhere and as often as wanted, becomes the value of the environment variable. One that is not set, and every other
 * `$pw_...{}`, is an error. The result is owned by the caller; NULL on failure. */
char *subst_env(const char *text, struct err *err);
