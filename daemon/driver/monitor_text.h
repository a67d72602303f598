/* SPDX-License-Identifier: Apache-2.0 */
/* What Renode's console prints: echoes, prompts, errors. No I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "wire/err.h"

#define MONITOR_PROMPT_MAX 80

/* Where the answer to a command begins: after the line that is its echo, which stands at the beginning of a line or behind a prompt and may
 * be broken anywhere; letters beyond ASCII may look different in it. NULL: not there yet. */
const char *monitor_find_echo(const char *text, size_t len, const char *command);
/* Length of the prompt "(NAME) " that ends the text, at the beginning of a line; 0: none. */
size_t monitor_find_prompt(const char *text, size_t len);
/* The text with every kind of line end as "\n", without those at its beginning and end; to be freed. */
char *monitor_normal(const char *text, size_t len);
/* Whether a normal text tells an error: NOT_FOUND, FAILED_PRECONDITION, with Renode's reason. */
bool monitor_find_error(const char *text, struct err *err);
