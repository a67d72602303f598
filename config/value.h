/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes and numbers as people write them, on a command line and in JSON. All strict: no trailing text. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "wire/err.h"

/* "500ms", "2s", "1.5s", "5m", "1h", "7d", at most 49 days (32 bits of milliseconds). A number without a unit is refused, since tools
 * differ about what it means. */
int value_duration(const char *text, uint64_t *ms, struct err *err) __attribute__((warn_unused_result));
/* The same without that limit. */
int value_long_duration(const char *text, uint64_t *ms, struct err *err) __attribute__((warn_unused_result));

/* "0x8000", "4096", "4K", "1M", "2G" (powers of 1024). */
int value_size(const char *text, uint64_t *bytes, struct err *err) __attribute__((warn_unused_result));

/* A decimal number between min and max. */
int value_number(const char *text, int64_t min, int64_t max, int64_t *number, struct err *err) __attribute__((warn_unused_result));

/* A factor of 0 or more with at most two decimals, "1.5", in percent: 150. */
int value_factor(const char *text, uint64_t *percent, struct err *err) __attribute__((warn_unused_result));

/* The way back: exact, in the largest unit that divides. Return buf. */
const char *value_duration_text(uint64_t ms, char *buf, size_t size);
const char *value_size_text(uint64_t bytes, char *buf, size_t size);
