/* SPDX-License-Identifier: Apache-2.0 */
/* Raw binaries say nothing of themselves; but one that a Cortex-M boots from begins with its stack pointer and its first instruction. */
#include <string.h>

#include "config/image_file.h"

#define MEMORY_TEXT_MAX 500

static uint32_t little32(const unsigned char *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* A stack grows down: it may begin right behind the last byte of a range. */
static bool is_stack_pointer(const Pwemu__V1__Target *target, uint32_t sp)
{
	return sp % 4 == 0 && sp >= 4 && image_in_memory(target, sp - 4, 4);
}

static int check_vectors(const struct image_file *file, struct err *err)
{
	unsigned char head[8];
	char memory[MEMORY_TEXT_MAX];

	if (file->size < sizeof(head))
		return image_fail(file, err, "is too short for a Cortex-M image, which begins with a vector table");
	if (image_read(file, 0, head, sizeof(head), err) < 0)
		return -1;
	uint32_t sp = little32(head), reset = little32(head + 4);

	image_memory_text(file->target, memory, sizeof(memory));
	if (!is_stack_pointer(file->target, sp))
		return image_fail(
			file, err,
			"does not begin with a Cortex-M vector table for %s: the initial stack pointer would be 0x%08x, outside of "
			"its memory (%s). Is it for another board, or does it belong to an address (FILE@ADDR)?",
			file->target->name, (unsigned)sp, memory);
	if (!(reset & 1))
		return image_fail(
			file, err,
			"does not begin with a Cortex-M vector table: the reset vector 0x%08x has no Thumb bit. Does it belong to "
			"an address (FILE@ADDR)?",
			(unsigned)reset);
	if (!image_in_memory(file->target, reset & ~1u, 2))
		return image_fail(file, err,
				  "is not for %s: the reset vector 0x%08x is outside of its memory (%s). Is it for another board?",
				  file->target->name, (unsigned)reset, memory);
	return 0;
}

int image_check_bin(const struct image_file *file, const uint64_t *address, struct image_info *out, struct err *err)
{
	const Pwemu__V1__Memory *boot = image_boot_memory(file->target);
	char memory[MEMORY_TEXT_MAX];

	if (!address && file->is_shifted)
		address = &file->shift;
	if (!address && !boot)
		return image_fail(file, err, "is a raw binary, and where %s boots is not known: say where it goes (FILE@ADDR)",
				  file->target->name);
	out->address = address ? *address : boot->address;
	out->size = file->size;
	if (out->address > UINT64_MAX - out->size)
		return image_fail(file, err, "goes beyond the last address when it is loaded to 0x%llx", (unsigned long long)out->address);
	out->end = out->address + out->size;
	if (!image_in_memory(file->target, out->address, out->size))
		return image_fail(file, err, "is a raw binary of %llu bytes and does not fit into memory of %s at 0x%08llx; it has %s",
				  (unsigned long long)out->size, file->target->name, (unsigned long long)out->address,
				  image_memory_text(file->target, memory, sizeof(memory)));
	if (boot && out->address == boot->address && image_is_cortex_m(file->target) && check_vectors(file, err) < 0)
		return -1;
	return image_pass(file, 0, out->address, out->size, err);
}
