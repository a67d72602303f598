/* SPDX-License-Identifier: Apache-2.0 */
/* Text of any length in bounded memory: its beginning and its end are kept, what lies between is counted. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define JUNIT_TEXT_HEAD 32768
#define JUNIT_TEXT_TAIL 32768

struct junit_text {
	char *head, *tail; /* NULL until they are needed; the tail is a ring */
	size_t head_len, tail_len, tail_at;
	uint64_t lost;
};

void junit_text_fini(struct junit_text *text);
void junit_text_add(struct junit_text *text, const char *bytes, size_t len);
/* Bytes that junit_text_take() will give. */
size_t junit_text_size(const struct junit_text *text);
/* The text, with a word on what was left out, to be freed; NULL when there is none. The text is empty afterwards. */
char *junit_text_take(struct junit_text *text, size_t *len);
