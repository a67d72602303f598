/* SPDX-License-Identifier: Apache-2.0 */
/* ELF by hand, both classes and both byte orders, so that also a file for another machine gets a fitting message. */
#include <elf.h>
#include <string.h>

#include "config/image_file.h"

#define SEGMENTS_MAX    1024
#define MEMORY_TEXT_MAX 500
/* avr-gcc puts EEPROM, fuses, lock bits and signature here; QEMU loads them to nowhere. */
#define AVR_EXTRA_BEGIN 0x810000u
#define AVR_EXTRA_END   0x850000u

/* Architectures that a target can name, with what a person needs who has the wrong file. */
static const struct architecture {
	const char *name;
	unsigned machine, elf_class;
	const char *label, *compiler, *preset;
} architectures[] = {
	{ "arm", EM_ARM, ELFCLASS32, "32-bit ARM", "arm-none-eabi-gcc", "qemu-lm3s6965evb" },
	{ "aarch64", EM_AARCH64, ELFCLASS64, "64-bit ARM", "aarch64-none-elf-gcc", NULL },
	{ "riscv32", EM_RISCV, ELFCLASS32, "32-bit RISC-V", "riscv64-unknown-elf-gcc -march=rv32imac -mabi=ilp32", "qemu-riscv32-virt" },
	{ "riscv64", EM_RISCV, ELFCLASS64, "64-bit RISC-V", "riscv64-unknown-elf-gcc", "qemu-riscv64-virt" },
	{ "avr", EM_AVR, ELFCLASS32, "AVR", "avr-gcc", "qemu-avr-uno" },
};
#define ARCHITECTURES (sizeof(architectures) / sizeof(architectures[0]))

static const struct {
	unsigned machine;
	const char *label;
} other_machines[] = {
	{ EM_386, "32-bit x86" },
	{ EM_X86_64, "64-bit x86" },
	{ EM_MIPS, "MIPS" },
	{ EM_PPC, "PowerPC" },
	{ EM_PPC64, "64-bit PowerPC" },
	{ EM_SPARC, "SPARC" },
	{ EM_S390, "S/390" },
	{ EM_SH, "SuperH" },
	{ EM_68K, "68000" },
	{ EM_XTENSA, "Xtensa" },
	{ EM_MSP430, "MSP430" },
	{ EM_MICROBLAZE, "MicroBlaze" },
	{ EM_OPENRISC, "OpenRISC" },
	{ EM_TRICORE, "TriCore" },
	{ EM_RX, "Renesas RX" },
};

struct elf {
	const struct image_file *file;
	bool big, wide; /* byte order, 64-bit class */
	unsigned type, machine;
	uint64_t entry, table_offset;
	unsigned entry_size, count;
};

struct segment {
	unsigned type;
	uint64_t offset, vaddr, paddr, file_size, memory_size;
};

static uint64_t field(const struct elf *elf, const unsigned char *at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)at[elf->big ? size - 1 - i : i] << (8 * i);
	return value;
}

static const struct architecture *find_architecture(const char *name)
{
	for (size_t i = 0; i < ARCHITECTURES; i++)
		if (strcmp(architectures[i].name, name) == 0)
			return &architectures[i];
	return NULL;
}

/* ---------------------------------------------------------------- the header */

static int read_header(struct elf *elf, struct err *err)
{
	unsigned char head[sizeof(Elf64_Ehdr)];
	const struct image_file *file = elf->file;
	size_t need;

	if (file->size < EI_NIDENT)
		return image_fail(file, err, "is truncated: the ELF header is not complete; copy or build it again");
	if (image_read(file, 0, head, EI_NIDENT, err) < 0)
		return -1;
	if ((head[EI_CLASS] != ELFCLASS32 && head[EI_CLASS] != ELFCLASS64) ||
	    (head[EI_DATA] != ELFDATA2LSB && head[EI_DATA] != ELFDATA2MSB))
		return image_fail(file, err, "is a damaged ELF file: class %u, byte order %u; build it again", head[EI_CLASS],
				  head[EI_DATA]);
	elf->wide = head[EI_CLASS] == ELFCLASS64;
	elf->big = head[EI_DATA] == ELFDATA2MSB;
	need = elf->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	if (file->size < need)
		return image_fail(file, err, "is truncated: the ELF header is not complete; copy or build it again");
	if (image_read(file, 0, head, need, err) < 0)
		return -1;
	elf->type = (unsigned)field(elf, head + 16, 2);
	elf->machine = (unsigned)field(elf, head + 18, 2);
	elf->entry = field(elf, head + 24, elf->wide ? 8 : 4);
	elf->table_offset = elf->wide ? field(elf, head + 32, 8) : field(elf, head + 28, 4);
	elf->entry_size = (unsigned)field(elf, head + (elf->wide ? 54 : 42), 2);
	elf->count = (unsigned)field(elf, head + (elf->wide ? 56 : 44), 2);
	return 0;
}

static int fail_architecture(const struct elf *elf, const struct architecture *want, struct err *err)
{
	const struct image_file *file = elf->file;

	for (size_t i = 0; i < ARCHITECTURES; i++) {
		const struct architecture *is = &architectures[i];

		if (is->machine != elf->machine || (is->elf_class == ELFCLASS64) != elf->wide)
			continue;
		return image_fail(file, err, "is for %s, but %s is %s: compile it with %s%s%s", is->label, file->target->name, want->label,
				  want->compiler, is->preset ? ", or run it on a target like " : "", is->preset ? is->preset : "");
	}
	for (size_t i = 0; i < sizeof(other_machines) / sizeof(other_machines[0]); i++)
		if (other_machines[i].machine == elf->machine)
			return image_fail(file, err, "is for %s, but %s is %s: compile it with %s", other_machines[i].label,
					  file->target->name, want->label, want->compiler);
	return image_fail(file, err, "is for another machine (ELF number %u, %d bit), but %s is %s: compile it with %s", elf->machine,
			  elf->wide ? 64 : 32, file->target->name, want->label, want->compiler);
}

/* Which of the two a machine of qemu-system-aarch64 is depends on its cpu, which nobody has named. */
static bool may_be_32bit(const struct elf *elf, const struct architecture *want)
{
	return want->machine == EM_AARCH64 && elf->file->target->inferred[0] != '\0' && elf->machine == EM_ARM && !elf->wide;
}

static int check_machine(const struct elf *elf, struct err *err)
{
	const struct architecture *want = find_architecture(elf->file->target->architecture);

	if (!want)
		return 0;
	if (may_be_32bit(elf, want))
		want = find_architecture("arm");
	if (elf->machine != want->machine || elf->wide != (want->elf_class == ELFCLASS64))
		return fail_architecture(elf, want, err);
	if (elf->big)
		return image_fail(elf->file, err, "is big-endian, but %s is little-endian: compile it without -mbig-endian",
				  elf->file->target->name);
	return 0;
}

static int check_type(const struct elf *elf, struct err *err)
{
	switch (elf->type) {
	case ET_EXEC:
		return 0;
	case ET_REL:
		return image_fail(elf->file, err, "is an object file, not yet a program: link it first (ld, or gcc without -c)");
	case ET_DYN:
		return image_fail(elf->file, err,
				  "is a shared object or position-independent program: link it to fixed addresses (-static -no-pie)");
	case ET_CORE:
		return image_fail(elf->file, err, "is a core dump, no program");
	default:
		return image_fail(elf->file, err, "is an ELF file of unknown type %u; build it again", elf->type);
	}
}

/* ---------------------------------------------------------------- segments */

static int read_segment(const struct elf *elf, unsigned index, struct segment *out, struct err *err)
{
	unsigned char row[sizeof(Elf64_Phdr)];
	size_t len = elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	size_t word = elf->wide ? 8 : 4;

	if (image_read(elf->file, elf->table_offset + (uint64_t)index * elf->entry_size, row, len, err) < 0)
		return -1;
	const unsigned char *at = row + (elf->wide ? 8 : 4); /* 64-bit rows have their flags second */

	*out = (struct segment){
		.type = (unsigned)field(elf, row, 4),
		.offset = field(elf, at, word),
		.vaddr = field(elf, at + word, word),
		.paddr = field(elf, at + 2 * word, word) + elf->file->shift,
		.file_size = field(elf, at + 3 * word, word),
		.memory_size = field(elf, at + 4 * word, word),
	};
	return 0;
}

static int fail_outside(const struct elf *elf, unsigned index, uint64_t address, uint64_t size, const char *what, struct err *err)
{
	char memory[MEMORY_TEXT_MAX];

	return image_fail(elf->file, err,
			  "is linked to addresses that %s does not have: segment %u %s 0x%08llx-0x%08llx. Its memory: %s. "
			  "Check the linker script, or take the target the image is for",
			  elf->file->target->name, index, what, (unsigned long long)address, (unsigned long long)(address + size - 1),
			  image_memory_text(elf->file->target, memory, sizeof(memory)));
}

static bool is_avr_extra(const struct elf *elf, const struct segment *segment)
{
	return elf->machine == EM_AVR && segment->paddr >= AVR_EXTRA_BEGIN && segment->paddr < AVR_EXTRA_END;
}

/*
 * What is loaded must be memory. Where it runs (data, stack, bss) only counts on a Cortex-M, which has no MMU: elsewhere virtual addresses
 * may be anything.
 */
static int check_segment(const struct elf *elf, unsigned index, const struct segment *segment, struct err *err)
{
	const struct image_file *file = elf->file;
	uint64_t end = segment->offset > UINT64_MAX - segment->file_size ? UINT64_MAX : segment->offset + segment->file_size;

	if (end > file->size)
		return image_fail(file, err,
				  "is truncated: segment %u ends at byte %llu of the file, which has %llu; copy or build it again", index,
				  (unsigned long long)end, (unsigned long long)file->size);
	if (segment->memory_size < segment->file_size || segment->vaddr > UINT64_MAX - segment->memory_size ||
	    segment->paddr > UINT64_MAX - segment->memory_size)
		return image_fail(file, err, "is a damaged ELF file: segment %u has impossible sizes; build it again", index);
	if (is_avr_extra(elf, segment))
		return 0;
	if (segment->file_size > 0 && !image_in_memory(file->target, segment->paddr, segment->file_size))
		return fail_outside(elf, index, segment->paddr, segment->file_size, "is loaded to", err);
	if (segment->memory_size > 0 && image_is_cortex_m(file->target) &&
	    !image_in_memory(file->target, segment->vaddr, segment->memory_size))
		return fail_outside(elf, index, segment->vaddr, segment->memory_size, "runs at", err);
	return 0;
}

static void add_segment(struct image_info *out, const struct segment *segment)
{
	if (out->size == 0 || segment->paddr < out->address)
		out->address = segment->paddr;
	if (out->size == 0 || segment->paddr + segment->file_size > out->end)
		out->end = segment->paddr + segment->file_size;
	out->size += segment->file_size;
}

static int check_segments(const struct elf *elf, struct image_info *out, struct err *err)
{
	const struct image_file *file = elf->file;
	size_t row = elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (elf->count == 0)
		return image_fail(file, err, "has no segments: nothing to load; link it first");
	if (elf->count > SEGMENTS_MAX || elf->entry_size < row)
		return image_fail(file, err, "is a damaged ELF file: %u segments of %u bytes; build it again", elf->count, elf->entry_size);
	if (elf->table_offset > file->size || (uint64_t)elf->count * elf->entry_size > file->size - elf->table_offset)
		return image_fail(file, err, "is truncated: its segment table lies beyond the end of the file; copy or build it again");
	for (unsigned i = 0; i < elf->count; i++) {
		struct segment segment;

		if (read_segment(elf, i, &segment, err) < 0)
			return -1;
		if (segment.type != PT_LOAD)
			continue;
		if (check_segment(elf, i, &segment, err) < 0)
			return -1;
		if (segment.file_size == 0 || is_avr_extra(elf, &segment))
			continue;
		add_segment(out, &segment);
		if (image_pass(file, segment.offset, segment.paddr, segment.file_size, err) < 0)
			return -1;
	}
	if (out->size == 0)
		return image_fail(file, err, "has nothing to load: no segment with contents; check the linker script");
	return 0;
}

int image_check_elf(const struct image_file *file, struct image_info *out, struct err *err)
{
	struct elf elf = { .file = file };

	if (read_header(&elf, err) < 0 || check_machine(&elf, err) < 0 || check_type(&elf, err) < 0)
		return -1;
	out->entry = elf.entry + file->shift;
	return check_segments(&elf, out, err);
}
