/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/utf8.h"

#include <stdbool.h>
#include <string.h>

size_t utf8_decode(const char *text, size_t len, uint32_t *point)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	if (len == 0)
		return 0;
	size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : (s[0] & 0xf8) == 0xf0 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*point = c;
	return n;
}

void utf8_repair(char *text)
{
	for (size_t len = strlen(text); len > 0;) {
		uint32_t point;
		size_t n = utf8_decode(text, len, &point);
		if (n == 0) {
			*text = '?';
			n = 1;
		}
		text += n;
		len -= n;
	}
}

/* Control characters, and the marks that make text read otherwise than it is. */
static bool point_is_obeyed(uint32_t c)
{
	return c < 32 || (c >= 127 && c < 160) || c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

void utf8_make_harmless(char *text)
{
	char *to = text;
	for (size_t len = strlen(text), n; len > 0; text += n, len -= n) {
		uint32_t point = 0;
		n = utf8_decode(text, len, &point);
		bool is_blank = n == 1 && (point == '\n' || point == '\t'), is_bad = n == 0 || point_is_obeyed(point);
		n = n > 0 ? n : 1;
		if (is_bad)
			*to = is_blank ? ' ' : '?';
		else
			memmove(to, text, n);
		to += is_bad ? 1 : n;
	}
	*to = '\0';
}

static size_t point_width(uint32_t c)
{
	static const struct {
		uint32_t first, last;
		size_t width;
	} ranges[] = {
		{ 0x0300, 0x036f, 0 }, { 0x1100, 0x115f, 2 }, { 0x200b, 0x200f, 0 },   { 0x2e80, 0xa4cf, 2 },
		{ 0xac00, 0xd7a3, 2 }, { 0xf900, 0xfaff, 2 }, { 0xfe00, 0xfe0f, 0 },   { 0xfe30, 0xfe6f, 2 },
		{ 0xff00, 0xff60, 2 }, { 0xffe0, 0xffe6, 2 }, { 0x1f300, 0x1faff, 2 }, { 0x20000, 0x3fffd, 2 },
	};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]) && c >= ranges[i].first; i++)
		if (c <= ranges[i].last)
			return ranges[i].width;
	return 1;
}

size_t utf8_width(const char *text)
{
	size_t width = 0, len = strlen(text);
	for (size_t i = 0; i < len;) {
		uint32_t point = 0;
		size_t n = utf8_decode(text + i, len - i, &point);
		width += n > 0 ? point_width(point) : 1;
		i += n > 0 ? n : 1;
	}
	return width;
}

void utf8_write_json(FILE *to, const char *text, size_t len)
{
	fputc('"', to);
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];
		uint32_t point;
		size_t n = utf8_decode(text + i, len - i, &point);
		if (n == 0)
			fprintf(to, "\\udc%02x", c);
		else if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", to);
		else if (point_is_obeyed(point))
			fprintf(to, "\\u%04x", (unsigned)point);
		else
			fwrite(text + i, 1, n, to);
		i += n > 0 ? n : 1;
	}
	fputc('"', to);
}
