/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions (PCRE2), loaded only when one is used, and bounded: a match that takes too much work is given up. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "wire/err.h"

struct pattern;

int pattern_new(const char *text, struct pattern **out, struct err *err) __attribute__((warn_unused_result));
void pattern_free(struct pattern *pattern); /* takes NULL */
const char *pattern_text(const struct pattern *pattern);
/* Whether it matches somewhere in a line (without its end). unfinished: more of the line may come, `$` does not match. */
bool pattern_matches(struct pattern *pattern, const char *line, size_t len, bool unfinished);
