/* SPDX-License-Identifier: Apache-2.0 */
/* base64url without padding (RFC 4648, 5): what may stand in a URL as it is. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BASE64URL_LEN(bytes) (((bytes)*8 + 5) / 6)

/* `out` has BASE64URL_LEN(len) characters and a NUL. */
void base64url_encode(const uint8_t *bytes, size_t len, char *out);
/* Exactly `len` bytes, written the only way there is; -1 otherwise. */
int base64url_decode(const char *text, uint8_t *bytes, size_t len);
