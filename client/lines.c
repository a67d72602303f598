/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lines.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

void lines_init(struct lines *lines, size_t wanted)
{
	*lines = (struct lines){ .wanted = wanted };
}

void lines_fini(struct lines *lines)
{
	free(lines->starts);
}

static void begin_line(struct lines *lines, uint64_t offset)
{
	if (lines->count == lines->size && lines->size < lines->wanted) {
		size_t size = lines->size == 0 ? 64 : lines->size * 2;
		lines->size = size < lines->wanted ? size : lines->wanted;
		lines->starts = xrealloc(lines->starts, lines->size, sizeof(*lines->starts));
	}
	lines->starts[lines->count++ % lines->size] = offset;
}

void lines_feed(struct lines *lines, uint64_t offset, const void *bytes, size_t len)
{
	const char *at = bytes, *end = at + len;
	if (!lines->any && len > 0) {
		lines->any = true;
		lines->first = offset;
	}
	while (at < end) {
		if (!lines->in_line)
			begin_line(lines, offset + (uint64_t)(at - (const char *)bytes));
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		lines->in_line = newline == NULL;
		at = newline != NULL ? newline + 1 : end;
	}
}

bool lines_has_enough(const struct lines *lines)
{
	return lines->count > lines->wanted;
}

uint64_t lines_start(const struct lines *lines)
{
	if (lines->count == 0)
		return lines->first;
	return lines->starts[lines->count > lines->size ? lines->count % lines->size : 0];
}
