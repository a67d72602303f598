/* SPDX-License-Identifier: Apache-2.0 */
/* A directory with one file, for tests of what reads configuration. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char file_dir[64];
static char file_path[128];

static int file_setup(void **state)
{
	(void)state;
	snprintf(file_dir, sizeof(file_dir), "/tmp/pwemu-config-XXXXXX");
	if (mkdtemp(file_dir) == NULL)
		return -1;
	snprintf(file_path, sizeof(file_path), "%s/x.json", file_dir);
	return 0;
}

static int file_teardown(void **state)
{
	(void)state;
	(void)unlink(file_path);
	return rmdir(file_dir);
}

static void file_put(const char *text)
{
	FILE *to = fopen(file_path, "w");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
}

/* `text` is the file's path, then ":", then this. */
static void assert_names_file(const char *text, const char *rest)
{
	size_t len = strlen(file_path);
	if (strncmp(text, file_path, len) != 0 || text[len] != ':' || strncmp(text + len + 1, rest, strlen(rest)) != 0)
		fail_msg("no \"%s\" in: %s", rest, text);
}
