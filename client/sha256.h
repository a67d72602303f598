/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), so that the client needs no OpenSSL for the sums of images. Not for secrets. */
#pragma once

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

/* Of a file, as 64 hex digits and a NUL. Returns -1 with errno when it cannot be read to its end. */
int sha256_file(const char *path, char hex[2 * SHA256_SIZE + 1]);
