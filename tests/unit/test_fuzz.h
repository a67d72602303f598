/* SPDX-License-Identifier: Apache-2.0 */
/* Replays a fuzzer's corpus: no file of it may crash, and what fails says why. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_FILE_MAX (1 << 20)

/* In memory of just its size, so that a sanitizer sees what is read behind it. */
static inline void fuzz_replay_file(const char *dir, const char *name)
{
	char path[512];
	uint8_t *data = malloc(FUZZ_FILE_MAX);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *from = fopen(path, "r");
	assert_non_null(from);
	size_t size = fread(data, 1, FUZZ_FILE_MAX, from);
	fclose(from);
	data = realloc(data, size + (size == 0));
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static inline void fuzz_replay(const char *path, size_t files_min)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t count = 0;
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		fuzz_replay_file(path, entry->d_name);
		count++;
	}
	closedir(dir);
	assert_true(count >= files_min);
}
