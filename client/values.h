/* SPDX-License-Identifier: Apache-2.0 */
/* What people write on a command line: durations, sizes, numbers, positions in a log, names of keys. All strict: no trailing text. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pwemu/v1/common.pb-c.h"
#include "wire/err.h"

/* "500ms", "2s", "1.5s", "5m", "1h". A number without a unit is refused, since tools differ about what it means. */
int value_duration(const char *text, uint64_t *ms, struct err *err) __attribute__((warn_unused_result));

/* "0x8000", "4096", "4K", "1M", "2G" (powers of 1024). */
int value_size(const char *text, uint64_t *bytes, struct err *err) __attribute__((warn_unused_result));

/* A decimal number between min and max. */
int value_number(const char *text, int64_t min, int64_t max, int64_t *number, struct err *err) __attribute__((warn_unused_result));

/* "0", "boot", "now", "-4K" (before the end), OFFSET. `out` is initialised here and owns nothing. */
int value_position(const char *text, Pwemu__V1__Position *out, struct err *err) __attribute__((warn_unused_result));

/* A control key: "^A", "ctrl-a", "C-a", "Ctrl+]". */
int value_key(const char *text, unsigned char *key, struct err *err) __attribute__((warn_unused_result));

/* The key's name for people, "Ctrl+]"; static storage that the next call overwrites. */
const char *value_key_name(unsigned char key);
