/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/shim.h"

#include <string.h>

void text_add(struct text *text, const char *string)
{
	size_t len = strlen(string);
	if (len >= sizeof(text->buf) - text->len)
		return;
	memcpy(text->buf + text->len, string, len + 1);
	text->len += len;
}

void text_add_number(struct text *text, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;
	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	text_add(text, digits + at);
}

void text_line(struct text *text, const char *key, const char *value)
{
	text_add(text, key);
	text_add(text, " ");
	text_add(text, value);
	text_add(text, "\n");
}

void text_line_number(struct text *text, const char *key, uint64_t number)
{
	text_add(text, key);
	text_add(text, " ");
	text_add_number(text, number);
	text_add(text, "\n");
}

bool text_parse_number(const char *string, size_t len, uint64_t *number)
{
	uint64_t value = 0;
	if (len == 0 || len > 19)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (string[i] < '0' || string[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(string[i] - '0');
	}
	*number = value;
	return true;
}
