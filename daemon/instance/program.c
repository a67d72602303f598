/* SPDX-License-Identifier: Apache-2.0 */
/* The names are in the string table of the dynamic section: program headers lead there, all of it is near the file's beginning. */
#include "instance/program.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/mem.h"

#define PROGRAM_HEADERS_MAX 64
#define PROGRAM_DYNAMIC_MAX 512

struct program {
	int fd;
	ElfW(Phdr) headers[PROGRAM_HEADERS_MAX];
	size_t header_count;
	ElfW(Dyn) dynamic[PROGRAM_DYNAMIC_MAX];
	size_t dynamic_count;
};

static bool program_read(const struct program *p, void *out, size_t size, uint64_t offset)
{
	return offset <= INT64_MAX && pread(p->fd, out, size, (off_t)offset) == (ssize_t)size;
}

static bool program_read_headers(struct program *p)
{
	ElfW(Ehdr) head;
	if (!program_read(p, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) || head.e_phentsize != sizeof(p->headers[0]) ||
	    head.e_phnum > PROGRAM_HEADERS_MAX)
		return false;
	p->header_count = head.e_phnum;
	return program_read(p, p->headers, p->header_count * sizeof(p->headers[0]), head.e_phoff);
}

static bool program_read_dynamic(struct program *p)
{
	for (size_t i = 0; i < p->header_count; i++) {
		const ElfW(Phdr) *row = &p->headers[i];
		if (row->p_type != PT_DYNAMIC || row->p_filesz > sizeof(p->dynamic))
			continue;
		p->dynamic_count = row->p_filesz / sizeof(p->dynamic[0]);
		return program_read(p, p->dynamic, p->dynamic_count * sizeof(p->dynamic[0]), row->p_offset);
	}
	return false;
}

/* Where in the file an address is; 0: nowhere. */
static uint64_t program_offset(const struct program *p, uint64_t address)
{
	for (size_t i = 0; i < p->header_count; i++) {
		const ElfW(Phdr) *row = &p->headers[i];
		if (row->p_type == PT_LOAD && address >= row->p_vaddr && address - row->p_vaddr < row->p_filesz)
			return row->p_offset + (address - row->p_vaddr);
	}
	return 0;
}

static bool program_asks_for(const struct program *p, const char *library)
{
	uint64_t strings = 0;
	size_t len = strlen(library);
	char name[64];
	for (size_t i = 0; i < p->dynamic_count; i++)
		if (p->dynamic[i].d_tag == DT_STRTAB)
			strings = program_offset(p, p->dynamic[i].d_un.d_ptr);
	for (size_t i = 0; strings != 0 && len < sizeof(name) && i < p->dynamic_count && p->dynamic[i].d_tag != DT_NULL; i++)
		if (p->dynamic[i].d_tag == DT_NEEDED && program_read(p, name, len, strings + p->dynamic[i].d_un.d_val) &&
		    memcmp(name, library, len) == 0)
			return true;
	return false;
}

bool program_needs(const char *path, const char *library)
{
	struct program *p = xcalloc(1, sizeof(*p));
	p->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool is_needed = p->fd >= 0 && program_read_headers(p) && program_read_dynamic(p) && program_asks_for(p, library);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
	return is_needed;
}
