/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a firmware image for a board; the first byte says for which, and whether it is a raw binary. */
#include "config/image.h"
#include "config/image_calls.h"
#include "tests/fuzz/fuzz.h"

static int on_bytes(void *ctx, uint64_t address, const void *bytes, size_t len, struct err *err)
{
	size_t *sum = ctx;
	(void)err;
	for (size_t i = 0; i < len; i++)
		*sum += ((const uint8_t *)bytes)[i] + address;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const architectures[] = { "arm", "riscv32", "avr", "" };
	static const char *const names[] = { "image.elf", "image.hex", "image.bin" };
	Pwemu__V1__Memory flash = PWEMU__V1__MEMORY__INIT, ram = PWEMU__V1__MEMORY__INIT, *memory[] = { &flash, &ram };
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	struct image_info info;
	struct err err = ERR_INIT;
	size_t sum = 0;
	struct image_sink sink = { on_bytes, &sum };
	uint64_t address = 0x20000000, offset = 0x1000;
	unsigned how = fuzz_choose(&data, &size, 256);
	const char *name = names[how / 4 % 3];
	flash.name = "flash", flash.size = 0x10000, flash.boot = true;
	ram.name = "ram", ram.address = 0x20000000, ram.size = 0x10000;
	target.name = "board", target.architecture = (char *)(uintptr_t)architectures[how % 4], target.cpu = "cortex-m3";
	target.memory = memory, target.n_memory = how / 16 % 2 ? 2 : 0;
	fuzz_put(name, data, size);
	const uint64_t *at = how / 32 % 2 ? &address : NULL;
	fuzz_must_say(image_check(fuzz_path(name), &target, at, NULL, &info, &err), &err);
	err = (struct err)ERR_INIT;
	fuzz_must_say(image_load(fuzz_path(name), &target, at, how / 64 % 2 ? &offset : NULL, NULL, &sink, &info, &err), &err);
	return 0;
}
