/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

static void text_copy_line(const char *line, char *out, size_t size)
{
	size_t len = strcspn(line, "\r\n");
	if (len >= size)
		len = size - 1;
	memcpy(out, line, len);
	out[len] = '\0';
}

void text_first_line(const char *text, char *out, size_t size)
{
	text_copy_line(text + strspn(text, "\r\n \t"), out, size);
}

void text_line_with(const char *text, const char *needle, char *out, size_t size)
{
	const char *at = strstr(text, needle);
	out[0] = '\0';
	if (at == NULL)
		return;
	while (at > text && at[-1] != '\n')
		at--;
	text_copy_line(at, out, size);
}
