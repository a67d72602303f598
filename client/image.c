/* SPDX-License-Identifier: Apache-2.0 */
#include "client/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/values.h"
#include "wire/mem.h"

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
		err_sys(err, errno, "open \"%s\"", path);
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
