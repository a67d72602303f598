/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what Renode's console prints: echoes and prompts in them, and what lies between as a listing, a tree, a value and an error.
 * Entry point of libFuzzer (make fuzz); a unit test replays the corpus through it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/monitor_text.h"
#include "driver/renode_cpus.h"
#include "driver/renode_listing.h"
#include "wire/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_peripheral(void *ctx, const struct renode_peripheral *peripheral)
{
	*(size_t *)ctx += strlen(peripheral->path) + strlen(peripheral->name) + strlen(peripheral->type) + renode_is_cpu(peripheral);
}

static void read_tree(const char *text)
{
	size_t seen = 0;
	bool is_cortex_m;
	renode_peripherals(text, on_peripheral, &seen);
	free(renode_first_cpu(text, &is_cortex_m));
}

/* A value is told as JSON, and what it says can be written or is refused with a reason. */
static void read_value(const char *text)
{
	static const char *const types[] = { "UInt32", "Int64", "Boolean", "Double", "String", "Parity" };
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct err err = ERR_INIT;
		char *json = renode_value_json(types[i], text), *argument = renode_value_argument(types[i], json, true, &err);
		if (argument == NULL && !err_is_set(&err))
			abort();
		if (argument != NULL && strpbrk(argument, "\n\r\x04") != NULL)
			abort(); /* more than one word of one line */
		free(argument);
		free(json);
	}
}

static void read_listing(const char *text)
{
	struct renode_listing listing;
	char hint[256];
	renode_listing_init(&listing, text);
	for (size_t i = 0; i < listing.count; i++)
		if (renode_listing_find(&listing, listing.rows[i].name) == NULL)
			abort();
	renode_listing_hint(&listing, "BaudRate", hint, sizeof(hint));
	renode_listing_fini(&listing);
}

static void read_answer(const char *text, size_t len)
{
	struct err err = ERR_INIT;
	char *normal = monitor_normal(text, len);
	if (monitor_find_error(normal, &err) && !err_is_set(&err))
		abort();
	read_listing(normal);
	read_tree(normal);
	if (strlen(normal) < 200)
		read_value(normal);
	free(normal);
}

/* The first line is the command. The bytes are copied, so that a read behind their end is seen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size), *command = xcalloc(1, size + 1);
	memcpy(text, data, size);
	const char *line_end = memchr(text, '\n', size);
	memcpy(command, text, line_end != NULL ? (size_t)(line_end - text) : 0);
	size_t prompt_len = monitor_find_prompt(text, size);
	const char *from = monitor_find_echo(text, size, command);
	if (from != NULL && (from < text || from > text + size))
		abort();
	if (prompt_len > size || prompt_len >= MONITOR_PROMPT_MAX)
		abort();
	from = from != NULL && (size_t)(text + size - from) >= prompt_len ? from : text;
	read_answer(from, (size_t)(text + size - from) - prompt_len);
	free(command);
	free(text);
	return 0;
}
