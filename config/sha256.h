/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), so that neither daemon nor client needs OpenSSL for the sums of images. Not for secrets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BLOCK 64
#define SHA256_SIZE  32

struct sha256 {
	uint32_t state[8];
	uint64_t length; /* bytes so far */
	unsigned char block[SHA256_BLOCK];
};

void sha256_init(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t len);
void sha256_finish(struct sha256 *sha, unsigned char out[SHA256_SIZE]);

#define SHA256_HEX (2 * SHA256_SIZE + 1) /* as lower-case hexadecimal digits, with a NUL */
void sha256_finish_hex(struct sha256 *sha, char hex[SHA256_HEX]);
/* Whether it is one. */
bool sha256_is_hex(const char *text);

/* Of a file, as 64 hex digits and a NUL. Returns -1 with errno when it cannot be read to its end. */
int sha256_file(const char *path, char hex[SHA256_HEX]);
