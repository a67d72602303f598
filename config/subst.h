/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions in the texts of a project's configuration. */
#pragma once

#include "wire/err.h"

/* `$pw_env{VAR}`, anywhere and as often as wanted, becomes the value of the environment variable. One that is not set, and every other
 * `$pw_...{}`, is an error. The result is owned by the caller; NULL on failure. */
char *subst_env(const char *text, struct err *err);
