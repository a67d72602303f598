/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const uint8_t *bytes, size_t len, char *out)
{
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < len; i++) {
		bits = (bits & 0x3f) << 8 | bytes[i];
		for (have += 8; have >= 6; have -= 6)
			*out++ = digits[bits >> (have - 6) & 63];
	}
	if (have > 0)
		*out++ = digits[bits << (6 - have) & 63];
	*out = '\0';
}

int base64url_decode(const char *text, uint8_t *bytes, size_t len)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t used = 0;
	if (strlen(text) != BASE64URL_LEN(len))
		return -1;
	for (; *text != '\0'; text++) {
		const char *digit = strchr(digits, *text);
		if (digit == NULL)
			return -1;
		bits = (bits & 0xff) << 6 | (uint32_t)(digit - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			bytes[used++] = (uint8_t)(bits >> have);
		}
	}
	return (bits & ((1u << have) - 1)) == 0 ? 0 : -1;
}
