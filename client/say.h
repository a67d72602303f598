/* SPDX-License-Identifier: Apache-2.0 */
/* Talk: what goes to stderr. One line each, "pwemu: …", control characters made harmless, CR LF while the terminal is raw. */
#pragma once

#include <stdbool.h>

#include "wire/err.h"

extern bool say_is_quiet;   /* -q: notes are dropped, errors are not */
extern bool say_is_verbose; /* -v */

void say_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_err(const struct err *err);
void say_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_detail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line as it is, without "pwemu: ": banners, menus. Dropped by -q. */
void say_banner(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
