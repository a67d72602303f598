/* SPDX-License-Identifier: Apache-2.0 */
/* Where the last N lines of a stream begin. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines {
	uint64_t *starts; /* ring of the offsets at which the last lines begin */
	size_t wanted, size;
	uint64_t count; /* lines begun so far */
	uint64_t first; /* offset of the first byte */
	bool any, in_line;
};

void lines_init(struct lines *lines, size_t wanted); /* wanted > 0 */
void lines_fini(struct lines *lines);
void lines_feed(struct lines *lines, uint64_t offset, const void *bytes, size_t len);
/* The first byte belongs to a line that may have begun before: it is not among the last N only if more than N were seen. */
bool lines_has_enough(const struct lines *lines);
/* Offset of the first of the last N lines. */
uint64_t lines_start(const struct lines *lines);
