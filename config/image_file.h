/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the image check share. Internal to config/: use image.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/image.h"

/* An open regular file that is being checked against a board. */
struct image_file {
	int fd;
	const char *name; /* for messages: the path, its beginning cut off when long */
	uint64_t size;    /* when it was opened */
	const Pwemu__V1__Target *target;
	uint64_t shift;                /* added to the addresses in the file */
	bool is_shifted;               /* … as somebody asked for, be it by 0 */
	const struct image_sink *sink; /* NULL: it is only checked */
};

/* Sets INVALID_ARGUMENT, reason "invalid-image", with the file's name in front. Returns -1. */
int image_fail(const struct image_file *file, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Reads exactly these bytes; the caller has compared offset and length with file->size. */
int image_read(const struct image_file *file, uint64_t offset, void *buf, size_t len, struct err *err) __attribute__((warn_unused_result));

/* Hands this part of the file to the sink, where there is one. */
int image_pass(const struct image_file *file, uint64_t offset, uint64_t address, uint64_t len, struct err *err)
	__attribute__((warn_unused_result));

/* Whether all of [address, address + size) is memory of the board, ranges that touch taken as one; true when no memory is known. */
bool image_in_memory(const Pwemu__V1__Target *target, uint64_t address, uint64_t size);
/* "flash 0x00000000-0x0003ffff, sram 0x20000000-0x2000ffff". Returns buf; ends in "..." when it does not fit. */
const char *image_memory_text(const Pwemu__V1__Target *target, char *buf, size_t size);
/* Where a raw binary goes and the core boots; NULL: not known. */
const Pwemu__V1__Memory *image_boot_memory(const Pwemu__V1__Target *target);
bool image_is_cortex_m(const Pwemu__V1__Target *target);

int image_check_elf(const struct image_file *file, struct image_info *out, struct err *err) __attribute__((warn_unused_result));
int image_check_hex(const struct image_file *file, struct image_info *out, struct err *err) __attribute__((warn_unused_result));
int image_check_bin(const struct image_file *file, const uint64_t *address, struct image_info *out, struct err *err)
	__attribute__((warn_unused_result));
