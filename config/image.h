/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware images: whether a file can run on a board, decided before any emulator starts, because QEMU accepts most wrong files
 * without a word. Nothing in the file is trusted: every count and offset is checked against its size, reads are bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

enum image_kind { IMAGE_ELF, IMAGE_HEX, IMAGE_BIN, IMAGE_KIND_COUNT };

/* What the client saw with stat(); all zero: not compared. */
struct image_expect {
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	const char *file; /* contents that stand for the path's: nothing is compared; NULL: none */
};

struct image_info {
	enum image_kind kind;
	uint64_t address; /* lowest address that is loaded */
	uint64_t end;     /* highest address that is loaded, plus one */
	uint64_t size;    /* bytes that are loaded, gaps not counted */
	uint64_t entry;   /* ELF: the entry point; hex: the start address record, 0 if none; bin: 0 */
};

/* Takes what is to be loaded, piece by piece and in the order of the file. */
struct image_sink {
	int (*write)(void *ctx, uint64_t address, const void *bytes, size_t len, struct err *err);
	void *ctx;
};

/* "ELF", "Intel hex", "raw binary" */
const char *image_kind_name(enum image_kind kind);

/*
 * Opens, classifies and checks one file. `address` is the load address the user gave for a raw binary, NULL for none; `expect` may be
 * NULL. Files the client sees otherwise (another mount namespace) give the reason "image-elsewhere", one whose size has changed since
 * "image-mismatch", all else that is wrong with a file "invalid-image". A target without memory ranges is not range-checked. `out` is
 * untouched on failure. Blocks as long as reading the file blocks.
 */
int image_check(const char *path, const Pwemu__V1__Target *target, const uint64_t *address, const struct image_expect *expect,
		struct image_info *out, struct err *err) __attribute__((warn_unused_result));

/*
 * The same, and its contents go to `sink`. `offset` (NULL: none) is added to the addresses of an ELF or hex file and to the entry point;
 * of a raw binary without an address it is that.
 */
int image_load(const char *path, const Pwemu__V1__Target *target, const uint64_t *address, const uint64_t *offset,
	       const struct image_expect *expect, const struct image_sink *sink, struct image_info *out, struct err *err)
	__attribute__((warn_unused_result));

/* Where the board boots, and a raw binary goes; false: not known. */
bool image_boot_address(const Pwemu__V1__Target *target, uint64_t *address);
