/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/mem.h"

static int dirs_make_one(const char *path)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

/* The last errno of theirs: it matters when the directory itself cannot be made. */
static int dirs_make_parents(const char *path)
{
	int sys = 0;
	char *part = xstrdup(path);
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int failed = dirs_make_one(part);
		sys = failed != 0 ? failed : sys;
		*slash = '/';
	}
	free(part);
	return sys;
}

int dirs_make(const char *path, struct err *err)
{
	int sys = dirs_make_one(path);
	if (sys == ENOENT) {
		int parents = dirs_make_parents(path);
		sys = dirs_make_one(path);
		if (sys == ENOENT && parents != 0)
			sys = parents;
	}
	return sys == 0 ? 0 : err_sys(err, sys, "make directory \"%s\"", path);
}

int dirs_open(const char *path, int *fd, struct err *err)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, errno, "open directory \"%s\"", path);
	*fd = dir;
	return 0;
}

static bool dirs_is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

uint64_t dirs_disk_bytes(const char *path)
{
	uint64_t bytes = 0;
	DIR *dir = opendir(path);
	if (dir == NULL)
		return 0;
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		struct stat st;
		if (!dirs_is_dot(entry->d_name) && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	}
	closedir(dir);
	return bytes;
}

int dirs_remove(const char *path, struct err *err)
{
	DIR *dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open directory \"%s\"", path);
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		if (!dirs_is_dot(entry->d_name))
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	if (rmdir(path) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove directory \"%s\"", path);
	return 0;
}
