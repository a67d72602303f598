/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's log file. */
#pragma once

#include <stddef.h>

#include "config/paths.h"
#include "wire/err.h"

/* Where the user's daemon writes its log; owned by the caller. */
char *tail_daemon_log(const struct paths *paths);

/* Copies a file to stdout, or its last `lines` lines when that is not 0. Writing errors are left to cli_finish_output. */
int tail_file(const char *path, size_t lines, struct err *err) __attribute__((warn_unused_result));
