/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a Renode, byte for byte, from the fuzzer's corpus. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "driver/monitor_text.h"

#define RENODE_CORPUS "tests/fuzz/renode/"

/* The answer in that file as the monitor's client hands it on; to be freed. */
static inline char *renode_answer(const char *file, const char *command)
{
	char path[128], text[16384];
	snprintf(path, sizeof(path), RENODE_CORPUS "%s", file);
	FILE *from = fopen(path, "r");
	assert_non_null(from);
	size_t len = fread(text, 1, sizeof(text), from);
	fclose(from);
	size_t prompt_len = monitor_find_prompt(text, len);
	const char *at = monitor_find_echo(text, len, command);
	assert_true(prompt_len > 0);
	assert_non_null(at);
	return monitor_normal(at, (size_t)(text + len - at) - prompt_len);
}
