/* SPDX-License-Identifier: Apache-2.0 */
#include "client/image.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/values.h"
#include "config/nearest.h"
#include "wire/mem.h"

#define MAX_FILES 4096 /* that are looked at for a name like a missing one */

char *path_absolute(const char *path)
{
	if (path[0] == '/')
		return xstrdup(path);
	char *cwd = getcwd(NULL, 0);
	/* A deleted working directory: the daemon will say that the path does not exist. */
	char *joined = xasprintf("%s/%s", cwd != NULL && strcmp(cwd, "/") != 0 ? cwd : "", path);
	free(cwd);
	return joined;
}

static bool is_there(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

int image_split(const char *text, char **path, bool *has_address, uint64_t *address, struct err *err)
{
	const char *at = strrchr(text, '@');
	*has_address = false;
	if (at != NULL && at != text && !is_there(text)) {
		if (value_size(at + 1, address, err) < 0) {
			err_prefix(err, "load address of %.*s", (int)(at - text), text);
			return -1;
		}
		*has_address = true;
		*path = xmalloc((size_t)(at - text) + 1);
		memcpy(*path, text, (size_t)(at - text));
		(*path)[at - text] = '\0';
		return 0;
	}
	if (text[0] == '\0') {
		err_set(err, ERR_INVALID_ARGUMENT, "the name of an image is empty");
		return -1;
	}
	*path = xstrdup(text);
	return 0;
}

/* Files of the directory with a name like it; NULL: there is no such directory. */
static const char *near_files(const char *dir_name, const char *base, char *buf, size_t size)
{
	const char *names[MAX_FILES];
	size_t count = 0;
	struct dirent *entry;
	DIR *dir = opendir(dir_name);
	if (dir == NULL)
		return NULL;
	while (count < MAX_FILES && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			names[count++] = xstrdup(entry->d_name);
	closedir(dir);
	nearest_hint(base, names, count, buf, size);
	for (size_t i = 0; i < count; i++)
		free((char *)(uintptr_t)names[i]);
	return buf;
}

static int missing(const char *path, struct err *err)
{
	char hint[256];
	const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
	char *dir = slash == NULL ? xstrdup(".") : xasprintf("%.*s", (int)(slash > path ? slash - path : 1), path);
	const char *near = near_files(dir, base, hint, sizeof(hint));
	err_sys(err, ENOENT, "image \"%s\"", path);
	size_t len = strlen(err->msg);
	if (near == NULL)
		snprintf(err->msg + len, sizeof(err->msg) - len, "; nor is there a directory \"%s\": has it been built?", dir);
	else
		snprintf(err->msg + len, sizeof(err->msg) - len, "%s", near[0] != '\0' ? near : "; has it been built?");
	free(dir);
	return -1;
}

int image_from_argument(const char *text, Pwemu__V1__Image *image, struct err *err)
{
	char *path = NULL;
	bool has_address = false;
	pwemu__v1__image__init(image);
	if (image_split(text, &path, &has_address, &image->address, err) < 0)
		return -1;
	if (has_address)
		image->load_case = PWEMU__V1__IMAGE__LOAD_ADDRESS;
	struct stat st;
	if (stat(path, &st) < 0) {
		(void)!(errno == ENOENT ? missing(path, err) : err_sys(err, errno, "image \"%s\"", path));
		free(path);
		return -1;
	}
	image->device = st.st_dev;
	image->inode = st.st_ino;
	image->size = (uint64_t)st.st_size;
	image->path = path_absolute(path);
	free(path);
	return 0;
}
