/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target from a pigweed.json says which machine of which emulator it is, and no more. What images are to be compared with is known all
 * the same: the instruction set by the name of QEMU's executable, cores and memory where a preset is the same machine of the same QEMU.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/target.h"
#include "wire/mem.h"

#define PROGRAM_PREFIX "qemu-system-"

static const char *program_name(const Pwemu__V1__Target *target)
{
	const char *slash = strrchr(target->qemu->executable, '/');
	return slash != NULL ? slash + 1 : target->qemu->executable;
}

static void put_text(char **member, const char *text)
{
	if (*member != protobuf_c_empty_string)
		free(*member);
	*member = xstrdup(text);
}

/* Options that make another board of a machine. QEMU takes them with one dash or two, and with their value behind "=" or as a word. */
static bool is_of_the_board(const char *arg)
{
	static const char *const options[] = { "-m", "-M", "-machine", "-cpu" };
	if (arg[0] == '-' && arg[1] == '-')
		arg++;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strncmp(arg, options[i], strlen(options[i])) == 0 && strchr("=", arg[strlen(options[i])]) != NULL)
			return true;
	return false;
}

static bool changes_board(char *const *args, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_of_the_board(args[i]))
			return true;
	return false;
}

/* All boards of qemu-system-arm are boards of qemu-system-aarch64 too. */
static bool is_same_program(const char *program, const char *preset_program)
{
	return strcmp(program, preset_program) == 0 ||
	       (strcmp(program, PROGRAM_PREFIX "aarch64") == 0 && strcmp(preset_program, PROGRAM_PREFIX "arm") == 0);
}

static const Pwemu__V1__Target *find_same(const Pwemu__V1__Target *target, const struct target_set *presets)
{
	for (size_t i = 0; i < target_set_count(presets); i++) {
		const Pwemu__V1__Target *preset = target_set_at(presets, i);
		if (preset->qemu != NULL && strcmp(preset->qemu->machine, target->qemu->machine) == 0 &&
		    is_same_program(program_name(target), program_name(preset)))
			return preset;
	}
	return NULL;
}

static void take_memory(Pwemu__V1__Target *target, const Pwemu__V1__Target *preset)
{
	target->memory = xcalloc(preset->n_memory, sizeof(*target->memory));
	for (size_t i = 0; i < preset->n_memory; i++) {
		const Pwemu__V1__Memory *from = preset->memory[i];
		Pwemu__V1__Memory *range = xmalloc(sizeof(*range));
		pwemu__v1__memory__init(range);
		put_text(&range->name, from->name);
		range->address = from->address;
		range->size = from->size;
		range->boot = from->boot;
		target->memory[target->n_memory++] = range;
	}
}

static void take_preset(Pwemu__V1__Target *target, const Pwemu__V1__Target *preset)
{
	if (target->architecture[0] == '\0')
		put_text(&target->architecture, preset->architecture);
	if (target->n_memory == 0 && target->cpu[0] == '\0')
		put_text(&target->cpu, preset->cpu); /* goes with the memory: a Cortex-M's vectors are compared with it */
	if (target->n_memory == 0)
		take_memory(target, preset);
	put_text(&target->inferred, preset->name);
}

static void take_program(Pwemu__V1__Target *target)
{
	static const char *const known[] = { "arm", "aarch64", "riscv32", "riscv64", "avr" };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(program_name(target) + strlen(PROGRAM_PREFIX), known[i]) != 0)
			continue;
		put_text(&target->architecture, known[i]);
		put_text(&target->inferred, program_name(target));
	}
}

void target_infer(Pwemu__V1__Target *target, char *const *args, size_t arg_count, const struct target_set *presets)
{
	bool is_complete = target->architecture[0] != '\0' && target->n_memory > 0;
	if (strcmp(target->emulator, "qemu") != 0 || target->qemu == NULL || is_complete ||
	    strncmp(program_name(target), PROGRAM_PREFIX, strlen(PROGRAM_PREFIX)) != 0)
		return;
	bool is_changed = changes_board(target->qemu->args, target->qemu->n_args) || changes_board(args, arg_count);
	const Pwemu__V1__Target *preset = is_changed ? NULL : find_same(target, presets);
	if (preset != NULL)
		take_preset(target, preset);
	else if (target->architecture[0] == '\0')
		take_program(target);
}
