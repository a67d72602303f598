/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

char *tail_daemon_log(const struct paths *paths)
{
	return xasprintf("%s/pwemud.log", paths->state_dir);
}

/* Leaves the file where its last `lines` lines begin. */
static void seek_lines(FILE *file, size_t lines)
{
	char block[4096];
	fseek(file, 0, SEEK_END);
	long end = ftell(file), at = end;
	while (at > 0) {
		long size = at < (long)sizeof(block) ? at : (long)sizeof(block);
		at -= size;
		fseek(file, at, SEEK_SET);
		size = (long)fread(block, 1, (size_t)size, file);
		for (long i = size - 1; i >= 0; i--) {
			if (block[i] == '\n' && at + i + 1 != end && --lines == 0) {
				fseek(file, at + i + 1, SEEK_SET);
				return;
			}
		}
	}
	fseek(file, 0, SEEK_SET);
}

int tail_file(const char *path, size_t lines, struct err *err)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return err_sys(err, errno, "open \"%s\"", path);
	char block[4096];
	size_t n;
	if (lines > 0)
		seek_lines(file, lines);
	while ((n = fread(block, 1, sizeof(block), file)) > 0 && fwrite(block, 1, n, stdout) == n)
		;
	int result = ferror(file) ? err_sys(err, errno, "read \"%s\"", path) : 0;
	fclose(file);
	return result;
}
