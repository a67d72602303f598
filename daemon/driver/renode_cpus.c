/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   sysbus (SystemBus)
 *   │
 *   ├── cpu (CortexM)
 *   │     Slot: 0
 * A line with a branch is a peripheral; how far its branch is from the left says how deep it is. Characters count, not bytes.
 */
#include "driver/renode_cpus.h"

#include <stdio.h>
#include <string.h>

#include "driver/monitor.h"
#include "driver/renode_int.h"
#include "wire/mem.h"

#define PERIPHERAL_DEPTH_MAX 12
#define PERIPHERAL_NAME_MAX  64
#define PERIPHERAL_INDENT    4 /* columns a level */

struct tree_walk {
	char names[PERIPHERAL_DEPTH_MAX][PERIPHERAL_NAME_MAX];
	char path[PERIPHERAL_DEPTH_MAX * PERIPHERAL_NAME_MAX];
	char type[PERIPHERAL_NAME_MAX];
};

/* Columns before the name, and where that is; the branch's characters are of three bytes. */
static size_t tree_indent(const char *line, const char **name)
{
	size_t columns = 0;
	for (; *line == ' ' || (unsigned char)*line >= 0x80; line++)
		columns += ((unsigned char)*line & 0xc0) != 0x80;
	*name = line;
	return columns;
}

static void tree_join(struct tree_walk *walk, size_t depth)
{
	size_t used = 0;
	for (size_t i = 0; i <= depth; i++)
		used += (size_t)snprintf(walk->path + used, sizeof(walk->path) - used, "%s%s", i > 0 ? "." : "", walk->names[i]);
}

static bool tree_take(struct tree_walk *walk, const char *line, size_t len, struct renode_peripheral *out)
{
	const char *name;
	size_t depth = tree_indent(line, &name) / PERIPHERAL_INDENT, name_len = strcspn(name, " (\n");
	const char *type = name + name_len;
	if (name_len == 0 || name_len >= PERIPHERAL_NAME_MAX || depth >= PERIPHERAL_DEPTH_MAX || name >= line + len ||
	    strncmp(type, " (", 2) != 0)
		return false;
	snprintf(walk->names[depth], PERIPHERAL_NAME_MAX, "%.*s", (int)name_len, name);
	snprintf(walk->type, sizeof(walk->type), "%.*s", (int)strcspn(type + 2, ")\n"), type + 2);
	tree_join(walk, depth);
	*out = (struct renode_peripheral){ walk->path, walk->names[depth], walk->type };
	return true;
}

void renode_peripherals(const char *tree, void (*each)(void *ctx, const struct renode_peripheral *peripheral), void *ctx)
{
	static struct tree_walk walk; /* large */
	struct renode_peripheral found;
	memset(&walk, 0, sizeof(walk));
	for (const char *line = tree; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
		if (tree_take(&walk, line, strcspn(line, "\n"), &found))
			each(ctx, &found);
}

/* ---------------------------------------------------------------- processors */

struct cpus_word {
	struct monitor *monitor;
	const char *word;
};

static bool type_begins(const char *type, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(type, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static bool type_ends(const char *type, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(words[i]);
		if (strlen(type) >= len && strcmp(type + strlen(type) - len, words[i]) == 0)
			return true;
	}
	return false;
}

#define COUNT(words) (sizeof(words) / sizeof((words)[0]))

/* By type, since names are free; the beginnings of those that Renode has, without what else of a processor is called after it. */
bool renode_is_cpu(const struct renode_peripheral *peripheral)
{
	static const char *const begins[] = { "Cortex",  "ARMv",     "RiscV", "VexRiscv", "PicoRV32", "Ibex",
					      "Minerva", "CV32E40P", "Ri5cy", "VeeR_EL2", "Andes_A",  "CoralNPU",
					      "X86",     "PowerPc",  "Sparc", "Xtensa",   "MSP430" };
	static const char *const parts[] = { "Timer", "Controller", "Unit", "Interruptor", "PMP", "PIC" };
	if (type_ends(peripheral->type, parts, COUNT(parts)))
		return false;
	return type_begins(peripheral->type, begins, COUNT(begins)) || strncmp(peripheral->name, "cpu", 3) == 0;
}

struct cpu_first {
	char *path;
	bool is_cortex_m;
};

static void cpu_first(void *ctx, const struct renode_peripheral *peripheral)
{
	struct cpu_first *first = ctx;
	if (first->path != NULL || !renode_is_cpu(peripheral))
		return;
	first->path = xstrdup(peripheral->path);
	first->is_cortex_m = strncmp(peripheral->type, "CortexM", 7) == 0;
}

char *renode_first_cpu(const char *tree, bool *is_cortex_m)
{
	struct cpu_first first = { 0 };
	renode_peripherals(tree, cpu_first, &first);
	*is_cortex_m = first.is_cortex_m;
	return first.path;
}

static void cpu_tell(void *ctx, const struct renode_peripheral *peripheral)
{
	const struct cpus_word *word = ctx;
	char command[PERIPHERAL_DEPTH_MAX * PERIPHERAL_NAME_MAX + 32];
	if (!renode_is_cpu(peripheral))
		return;
	snprintf(command, sizeof(command), "%s %s", peripheral->path, word->word);
	monitor_ask(word->monitor, command, RENODE_COMMAND_TIMEOUT_MS, NULL, NULL);
}

void renode_cpus_tell(struct monitor *monitor, const char *tree, const char *word)
{
	struct cpus_word ctx = { monitor, word };
	renode_peripherals(tree, cpu_tell, &ctx);
}
