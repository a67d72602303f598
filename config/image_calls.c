/* SPDX-License-Identifier: Apache-2.0 */
#include "config/image_calls.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/mem.h"

#define CALLS_SEGMENTS_MAX 64
#define CALLS_SEGMENT_MAX  (1u << 20)
#define CALLS_BKPT_AB_LOW  0xab /* little-endian halfword 0xbeab */
#define CALLS_BKPT_AB_HIGH 0xbe

struct calls {
	int fd;
	uint32_t *out;
	size_t count, max;
};

static void calls_scan(struct calls *calls, const uint8_t *code, size_t len, uint32_t address)
{
	for (size_t i = 0; i + 1 < len && calls->count < calls->max; i += 2)
		if (code[i] == CALLS_BKPT_AB_LOW && code[i + 1] == CALLS_BKPT_AB_HIGH)
			calls->out[calls->count++] = address + (uint32_t)i;
}

static void calls_scan_segment(struct calls *calls, const Elf32_Phdr *segment)
{
	if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
		return;
	size_t len = segment->p_filesz < CALLS_SEGMENT_MAX ? segment->p_filesz : CALLS_SEGMENT_MAX;
	uint8_t *code = xmalloc(len);
	ssize_t n = pread(calls->fd, code, len, segment->p_offset);
	if (n > 0)
		calls_scan(calls, code, (size_t)n, segment->p_vaddr);
	free(code);
}

static void calls_scan_file(struct calls *calls)
{
	Elf32_Ehdr header;
	if (pread(calls->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS32 || header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_ARM ||
	    header.e_phentsize != sizeof(Elf32_Phdr))
		return;
	for (size_t i = 0; i < header.e_phnum && i < CALLS_SEGMENTS_MAX; i++) {
		Elf32_Phdr segment;
		off_t at = (off_t)header.e_phoff + (off_t)(i * sizeof(segment));
		if (pread(calls->fd, &segment, sizeof(segment), at) == (ssize_t)sizeof(segment))
			calls_scan_segment(calls, &segment);
	}
}

size_t image_semihosting_calls(const char *path, const Pwemu__V1__Target *target, uint32_t *out, size_t max)
{
	if (strcmp(target->architecture, "arm") != 0)
		return 0;
	struct calls calls = { .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), .out = out, .max = max };
	if (calls.fd < 0)
		return 0;
	calls_scan_file(&calls);
	close(calls.fd);
	return calls.count;
}
