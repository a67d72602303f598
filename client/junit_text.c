/* SPDX-License-Identifier: Apache-2.0 */
#include "client/junit_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define GAP_MAX 64

void junit_text_fini(struct junit_text *text)
{
	free(text->head);
	free(text->tail);
	*text = (struct junit_text){ .head = NULL };
}

static void add_to_tail(struct junit_text *text, const char *bytes, size_t len)
{
	if (text->tail == NULL)
		text->tail = xmalloc(JUNIT_TEXT_TAIL);
	if (len > JUNIT_TEXT_TAIL) {
		text->lost += len - JUNIT_TEXT_TAIL;
		bytes += len - JUNIT_TEXT_TAIL;
		len = JUNIT_TEXT_TAIL;
	}
	if (text->tail_len + len > JUNIT_TEXT_TAIL) {
		size_t drop = text->tail_len + len - JUNIT_TEXT_TAIL;
		text->tail_at = (text->tail_at + drop) % JUNIT_TEXT_TAIL;
		text->tail_len -= drop;
		text->lost += drop;
	}
	size_t to = (text->tail_at + text->tail_len) % JUNIT_TEXT_TAIL, first = JUNIT_TEXT_TAIL - to;
	first = len < first ? len : first;
	memcpy(text->tail + to, bytes, first);
	memcpy(text->tail, bytes + first, len - first);
	text->tail_len += len;
}

void junit_text_add(struct junit_text *text, const char *bytes, size_t len)
{
	size_t room = JUNIT_TEXT_HEAD - text->head_len, first = len < room ? len : room;
	if (first > 0) {
		if (text->head == NULL)
			text->head = xmalloc(JUNIT_TEXT_HEAD);
		memcpy(text->head + text->head_len, bytes, first);
		text->head_len += first;
	}
	if (len > first)
		add_to_tail(text, bytes + first, len - first);
}

static size_t gap_write(const struct junit_text *text, char gap[GAP_MAX])
{
	gap[0] = '\0';
	return text->lost == 0 ? 0 : (size_t)snprintf(gap, GAP_MAX, "\n[... %" PRIu64 " bytes left out ...]\n", text->lost);
}

size_t junit_text_size(const struct junit_text *text)
{
	char gap[GAP_MAX];
	return text->head_len + gap_write(text, gap) + text->tail_len;
}

char *junit_text_take(struct junit_text *text, size_t *len)
{
	char gap[GAP_MAX];
	size_t gap_len = gap_write(text, gap), first = JUNIT_TEXT_TAIL - text->tail_at;
	*len = text->head_len + gap_len + text->tail_len;
	if (*len == 0)
		return NULL;
	char *out = xmalloc(*len), *to = out;
	memcpy(to, text->head, text->head_len);
	to += text->head_len;
	memcpy(to, gap, gap_len);
	to += gap_len;
	if (text->tail_len > 0) {
		first = text->tail_len < first ? text->tail_len : first;
		memcpy(to, text->tail + text->tail_at, first);
		memcpy(to + first, text->tail, text->tail_len - first);
	}
	text->head_len = text->tail_len = text->tail_at = 0;
	text->lost = 0;
	return out;
}
