/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's log: one line a message, `<time> <level> <object>: <text>`, to stderr or to a file that is rotated once at 4 MiB.
 * Where stderr is the journal's it goes there as a message with the fields INSTANCE, INSTANCE_ID, USER and ACTOR. Levels are syslog's. INFO
 * = a state changed, and who asked. Guest bytes never enter it: control characters are replaced.
 */
#pragma once

#include <stdio.h>

#include "wire/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_COUNT };

/* The object a message is about; NULL: the daemon itself. */
struct log_scope {
	char name[96];
	/* For the journal; may be empty. */
	char instance[72], id[16], user[64];
};

/* Where and how much. path NULL: stderr. Returns -1 when the file cannot be opened; then the old place stays. */
int log_setup(const char *path, enum log_level level, struct err *err) __attribute__((warn_unused_result));
int log_level_parse(const char *word, enum log_level *out);
const char *log_level_name(enum log_level level);

void log_message(enum log_level level, const struct log_scope *scope, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same with who asked for it, for the journal; the text says it, too. */
void log_message_by(enum log_level level, const struct log_scope *scope, const char *actor, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define log_error(scope, ...) log_message(LOG_LEVEL_ERROR, scope, __VA_ARGS__)
#define log_warn(scope, ...)  log_message(LOG_LEVEL_WARNING, scope, __VA_ARGS__)
#define log_info(scope, ...)  log_message(LOG_LEVEL_INFO, scope, __VA_ARGS__)
#define log_debug(scope, ...) log_message(LOG_LEVEL_DEBUG, scope, __VA_ARGS__)
