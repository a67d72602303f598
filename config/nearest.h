/* SPDX-License-Identifier: Apache-2.0 */
/* "did you mean": the names of a list that are nearest to a word that is none of them. */
#pragma once

#include <stddef.h>

/*
 * Writes at most `max_out` of `names` to `out`, best first, and returns how many. Only names that a person may have meant are
 * given: few typing errors for their length (an exchange of neighbours is one), a common beginning, or one contains the other;
 * case does not count. The pointers are those of `names`; entries of `names` that are NULL are skipped. Words longer than 127
 * bytes have no neighbours.
 */
size_t nearest_names(const char *word, const char *const *names, size_t count, const char **out, size_t max_out);

/*
 * The same as a sentence to append to an error: ` (did you mean "a" or "b"?)`, or "" when nothing is near. At most three names.
 * Returns `buf`.
 */
const char *nearest_hint(const char *word, const char *const *names, size_t count, char *buf, size_t size);

/* The same, but where nothing is near it lists all: ` (valid here: "a", "b")`, sorted, with "..." where the buffer is too small for all. */
const char *nearest_hint_or_all(const char *word, const char *const *names, size_t count, char *buf, size_t size);
