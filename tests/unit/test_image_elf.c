/* SPDX-License-Identifier: Apache-2.0 */
/* ELF images: each way of being wrong, and that no damaged file gets the reader to leave its bounds. */
#include "tests/unit/test_image.h"

#include <elf.h>

/* A file under construction: header, up to four segments of 16 bytes each, contents from byte 512 on. */
static struct spec {
	bool wide, big;
	unsigned type, machine, count, entry_size;
	uint64_t table, entry;
	struct {
		unsigned type;
		uint64_t offset, vaddr, paddr, file_size, memory_size;
	} segments[4];
	size_t file_len;
} spec;

static unsigned char bytes[1024];

static void put_field(unsigned char *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[spec.big ? size - 1 - i : i] = (unsigned char)(value >> (8 * i));
}

static void put_segment(unsigned char *row, size_t i)
{
	size_t word = spec.wide ? 8 : 4;
	unsigned char *at = row + (spec.wide ? 8 : 4);

	put_field(row, spec.segments[i].type, 4);
	put_field(at, spec.segments[i].offset, word);
	put_field(at + word, spec.segments[i].vaddr, word);
	put_field(at + 2 * word, spec.segments[i].paddr, word);
	put_field(at + 3 * word, spec.segments[i].file_size, word);
	put_field(at + 4 * word, spec.segments[i].memory_size, word);
}

static void put_elf(void)
{
	size_t row = spec.wide ? 56 : 32;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "\177ELF", 4);
	bytes[EI_CLASS] = spec.wide ? ELFCLASS64 : ELFCLASS32;
	bytes[EI_DATA] = spec.big ? ELFDATA2MSB : ELFDATA2LSB;
	bytes[EI_VERSION] = 1;
	put_field(bytes + 16, spec.type, 2);
	put_field(bytes + 18, spec.machine, 2);
	put_field(bytes + 24, spec.entry, spec.wide ? 8 : 4);
	put_field(bytes + (spec.wide ? 32 : 28), spec.table, spec.wide ? 8 : 4);
	put_field(bytes + (spec.wide ? 54 : 42), spec.entry_size ? spec.entry_size : row, 2);
	put_field(bytes + (spec.wide ? 56 : 44), spec.count, 2);
	for (size_t i = 0; i < 4 && spec.table < 256; i++)
		put_segment(bytes + spec.table + i * row, i);
	image_put("fw.elf", bytes, spec.file_len);
}

/* Code in flash, data in RAM with its load address behind the code, bss. */
static void good_spec(unsigned machine, bool wide)
{
	spec = (struct spec){
		.wide = wide, .type = ET_EXEC, .machine = machine, .count = 4, .table = 64, .entry = 0x08000101, .file_len = 1024,
		.segments = {
			{ PT_LOAD, 512, 0x08000000, 0x08000000, 256, 256 },
			{ PT_LOAD, 768, 0x20000000, 0x08000100, 16, 16 },
			{ PT_LOAD, 784, 0x20000010, 0x20000010, 0, 0x3ff0 },
			{ PT_NOTE, 0x7fffffff, 0, 0, 0x7fffffff, 0 },
		},
	};
}

static void test_good(void **state)
{
	(void)state;
	good_spec(EM_ARM, false);
	put_elf();
	struct image_info info = image_accept(image_board("arm"), NULL);
	assert_int_equal(info.kind, IMAGE_ELF);
	assert_int_equal(info.entry, 0x08000101);
	assert_int_equal(info.address, 0x08000000);
	assert_int_equal(info.end, 0x08000110);
	assert_int_equal(info.size, 272);
	good_spec(EM_RISCV, true);
	put_elf();
	image_accept(image_board("riscv64"), NULL);
	spec.big = true; /* read in the other byte order all the same */
	put_elf();
	image_refuse(image_board("riscv64"), NULL, "is big-endian");
	image_accept(image_board(""), NULL);
	spec.segments[0].paddr = 0x60000000;
	put_elf();
	image_refuse(image_board(""), NULL, "0x60000000-0x600000ff");
}

static void test_address_given(void **state)
{
	uint64_t at = 0x08000000;

	(void)state;
	good_spec(EM_ARM, false);
	put_elf();
	image_refuse(image_board("arm"), &at, "is an ELF file and has addresses of its own: leave out @0x8000000");
}

static void test_architecture(void **state)
{
	(void)state;
	good_spec(EM_RISCV, true);
	put_elf();
	image_refuse(image_board("arm"), NULL,
		     "is for 64-bit RISC-V, but board is 32-bit ARM: compile it with arm-none-eabi-gcc, or run it on a target like "
		     "qemu-riscv64-virt");
	image_refuse(image_board("riscv32"), NULL, "is for 64-bit RISC-V, but board is 32-bit RISC-V");
	good_spec(EM_X86_64, true);
	spec.type = ET_DYN; /* the host's own programs: the machine matters more */
	put_elf();
	image_refuse(image_board("arm"), NULL, "is for 64-bit x86, but board is 32-bit ARM");
	good_spec(EM_ARM, true);
	put_elf();
	image_refuse(image_board("arm"), NULL, "is for another machine (ELF number 40, 64 bit)");
	good_spec(0x1234, false);
	put_elf();
	image_refuse(image_board("avr"), NULL, "is for another machine (ELF number 4660, 32 bit), but board is AVR");
}

static void test_type(void **state)
{
	static const struct {
		unsigned type;
		const char *text;
	} rows[] = {
		{ ET_REL, "is an object file, not yet a program: link it first" },
		{ ET_DYN, "is a shared object or position-independent program" },
		{ ET_CORE, "is a core dump" },
		{ 77, "unknown type 77" },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		good_spec(EM_ARM, false);
		spec.type = rows[i].type;
		put_elf();
		image_refuse(image_board("arm"), NULL, rows[i].text);
	}
}

static void test_truncated(void **state)
{
	Pwemu__V1__Target *board = image_board("arm");

	(void)state;
	good_spec(EM_ARM, false);
	spec.file_len = 783;
	put_elf();
	image_refuse(board, NULL, "is truncated: segment 1 ends at byte 784 of the file, which has 783");
	for (size_t len = 4; len < 783; len++) { /* wherever it ends, it is said */
		spec.file_len = len;
		put_elf();
		image_refuse(board, NULL, "is truncated");
	}
	good_spec(EM_RISCV, true);
	spec.file_len = 60;
	put_elf();
	image_refuse(image_board("riscv64"), NULL, "is truncated: the ELF header");
}

static void test_damaged(void **state)
{
	(void)state;
	good_spec(EM_ARM, false);
	spec.segments[0].file_size = 0xffffffff; /* offset + size wraps in 32 bits */
	put_elf();
	image_refuse(image_board("arm"), NULL, "is truncated");
	good_spec(EM_ARM, false);
	spec.segments[0].memory_size = 255;
	put_elf();
	image_refuse(image_board("arm"), NULL, "segment 0 has impossible sizes");
	good_spec(EM_RISCV, true);
	spec.segments[0].offset = UINT64_MAX;
	put_elf();
	image_refuse(image_board("riscv64"), NULL, "is truncated");
	good_spec(EM_RISCV, true);
	spec.segments[2].paddr = UINT64_MAX - 1;
	put_elf();
	image_refuse(image_board("riscv64"), NULL, "segment 2 has impossible sizes");
	good_spec(EM_RISCV, true);
	spec.table = UINT64_MAX;
	put_elf();
	image_refuse(image_board("riscv64"), NULL, "its segment table lies beyond");
	good_spec(EM_ARM, false);
	spec.count = 0xffff;
	put_elf();
	image_refuse(image_board("arm"), NULL, "is a damaged ELF file: 65535 segments");
	good_spec(EM_ARM, false);
	spec.entry_size = 31;
	put_elf();
	image_refuse(image_board("arm"), NULL, "segments of 31 bytes");
	image_put("fw.elf", "\177ELF\3\1\1\0\0\0\0\0\0\0\0\0\0\0", 18);
	image_refuse(image_board("arm"), NULL, "class 3");
}

static void test_nothing_to_load(void **state)
{
	(void)state;
	good_spec(EM_ARM, false);
	spec.count = 0;
	put_elf();
	image_refuse(image_board("arm"), NULL, "has no segments");
	good_spec(EM_ARM, false);
	spec.segments[0].type = spec.segments[1].type = PT_NOTE;
	put_elf();
	image_refuse(image_board("arm"), NULL, "has nothing to load");
}

static void test_outside(void **state)
{
	Pwemu__V1__Target *board = image_board("arm");

	(void)state;
	good_spec(EM_ARM, false);
	spec.segments[0].vaddr = spec.segments[0].paddr = 0x0800ff01; /* its last byte */
	put_elf();
	image_refuse(board, NULL,
		     "segment 0 is loaded to 0x0800ff01-0x08010000. Its memory: ram0 0x20000000-0x20001fff, flash 0x08000000-0x0800ffff");
	spec.segments[0].vaddr = spec.segments[0].paddr = 0x0800ff00;
	put_elf();
	image_accept(board, NULL);
	spec.segments[2].memory_size++; /* bss beyond the RAM */
	put_elf();
	image_refuse(board, NULL, "segment 2 runs at 0x20000010-0x20004000");
	board->cpu = "cortex-a7"; /* may have an MMU */
	image_accept(board, NULL);
	spec.segments[0].paddr = 0x60000000;
	put_elf();
	image_refuse(board, NULL, "segment 0 is loaded to 0x60000000-0x600000ff");
	board->n_memory = 0;
	image_accept(board, NULL);
}

static void test_avr_extras(void **state)
{
	(void)state;
	good_spec(EM_AVR, false);
	spec.segments[2] = spec.segments[1];
	spec.segments[2].vaddr = spec.segments[2].paddr = 0x810000; /* EEPROM */
	put_elf();
	assert_int_equal(image_accept(image_board("avr"), NULL).size, 272);
	good_spec(EM_RISCV, false);
	spec.segments[1].paddr = 0x810000;
	put_elf();
	image_refuse(image_board("riscv32"), NULL, "segment 1 is loaded to 0x00810000");
}

/* Any bytes: an answer, no crash (the sanitizers watch). */
static void test_noise(void **state)
{
	unsigned seed = 1;
	struct image_info info;
	struct err err;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		good_spec(round % 2 ? EM_RISCV : EM_ARM, round % 2);
		put_elf();
		for (int i = 0; i < 4; i++) {
			seed = seed * 1103515245 + 12345;
			bytes[4 + (seed >> 16) % 300] = (unsigned char)(seed >> 8);
		}
		image_put("fw.elf", bytes, 1024);
		(void)!image_check(image_path, image_board(round % 2 ? "riscv64" : "arm"), NULL, NULL, &info, &err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),    cmocka_unit_test(test_address_given),   cmocka_unit_test(test_architecture),
		cmocka_unit_test(test_type),    cmocka_unit_test(test_truncated),       cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_outside), cmocka_unit_test(test_nothing_to_load), cmocka_unit_test(test_avr_extras),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, image_setup, image_teardown);
}
