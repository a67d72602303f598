/* SPDX-License-Identifier: Apache-2.0 */
/* A board's memory ranges as the image check asks for them. */
#include <stdio.h>
#include <string.h>

#include "config/image_file.h"

bool image_in_memory(const Pwemu__V1__Target *target, uint64_t address, uint64_t size)
{
	bool moved = true;

	if (target->n_memory == 0)
		return true;
	if (address > UINT64_MAX - size)
		return false;
	/* Each round takes what one range covers off the front. */
	for (uint64_t end = address + size; moved && address < end;) {
		moved = false;
		for (size_t i = 0; i < target->n_memory; i++) {
			const Pwemu__V1__Memory *range = target->memory[i];

			if (address < range->address || address - range->address >= range->size)
				continue;
			uint64_t left = range->size - (address - range->address);
			if (left >= end - address)
				return true;
			address += left;
			moved = true;
		}
	}
	return size == 0;
}

const char *image_memory_text(const Pwemu__V1__Target *target, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < target->n_memory; i++) {
		const Pwemu__V1__Memory *range = target->memory[i];
		int n = snprintf(buf + used, size - used, "%s%s 0x%08llx-0x%08llx", i ? ", " : "", range->name,
				 (unsigned long long)range->address, (unsigned long long)(range->address + range->size - 1));

		if (n < 0 || (size_t)n + 6 > size - used) {
			snprintf(buf + used, size - used, ", ...");
			break;
		}
		used += (size_t)n;
	}
	return buf;
}

const Pwemu__V1__Memory *image_boot_memory(const Pwemu__V1__Target *target)
{
	for (size_t i = 0; i < target->n_memory; i++)
		if (target->memory[i]->boot)
			return target->memory[i];
	return NULL;
}

bool image_boot_address(const Pwemu__V1__Target *target, uint64_t *address)
{
	const Pwemu__V1__Memory *boot = image_boot_memory(target);

	if (boot)
		*address = boot->address;
	return boot != NULL;
}

bool image_is_cortex_m(const Pwemu__V1__Target *target)
{
	return strncmp(target->cpu, "cortex-m", strlen("cortex-m")) == 0;
}
