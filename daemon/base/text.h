/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers on text for people. */
#pragma once

#include <stddef.h>

/* The first line that is not empty; "" if none. Cut to size. */
void text_first_line(const char *text, char *out, size_t size);
/* The first line that contains needle; "" if none. Cut to size. */
void text_line_with(const char *text, const char *needle, char *out, size_t size);
