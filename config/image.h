/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware images: whether a file can run on a board, decided before any emulator starts, because QEMU accepts most wrong files
 * without a word. Nothing in the file is trusted: every count and offset is checked against its size, reads are bounded.
 */
#pragma once

#include <stdint.h>

#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

enum image_kind { IMAGE_ELF, IMAGE_HEX, IMAGE_BIN, IMAGE_KIND_COUNT };

/* What the client saw with stat(); all zero: not compared. */
struct image_expect {
	uint64_t device;
	uint64_t inode;
	uint64_t size;
};

struct image_info {
	enum image_kind kind;
	uint64_t address; /* lowest address that is loaded */
	uint64_t end;     /* highest address that is loaded, plus one */
	uint64_t size;    /* bytes that are loaded, gaps not counted */
	uint64_t entry;   /* ELF: the entry point; hex: the start address record, 0 if none; bin: 0 */
};

/* "ELF", "Intel hex", "raw binary" */
const char *image_kind_name(enum image_kind kind);

/*
 * Opens, classifies and checks one file. `address` is the load address the user gave for a raw binary, NULL for none; `expect` may be
 * NULL. Files the client sees otherwise (another mount namespace) give the reason "image-mismatch", all else that is wrong with
 * a file "invalid-image". A target without memory ranges is not range-checked. `out` is untouched on failure. Blocks as long as reading the
 * file blocks.
 */
int image_check(const char *path, const Pwemu__V1__Target *target, const uint64_t *address, const struct image_expect *expect,
		struct image_info *out, struct err *err) __attribute__((warn_unused_result));
