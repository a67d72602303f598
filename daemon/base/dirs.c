/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/acl.h"
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

int dirs_give(const char *path, uid_t uid, gid_t gid, struct err *err)
{
	if (lchown(path, uid, gid) < 0)
		return err_sys(err, errno, "give directory \"%s\" to uid %u", path, (unsigned)uid);
	return 0;
}

int dirs_make_spread(const char *path, struct err *err)
{
	int flags, fd = -1;
	if (dirs_make(path, err) < 0 || dirs_open(path, &fd, err) < 0)
		return -1;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_TOPDIR_FL) == 0) {
		flags |= FS_TOPDIR_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags); /* it is a wish */
	}
	close(fd);
	return 0;
}

int dirs_open(const char *path, int *fd, struct err *err)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, errno, "open directory \"%s\"", path);
	*fd = dir;
	return 0;
}

int dirs_open_in(int dir, const char *name, int flags, int *fd, struct err *err)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };
	int opened = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	if (opened < 0)
		return err_sys(err, errno, "open \"%s\"", name);
	*fd = opened;
	return 0;
}

int dirs_make_shared(int dir, const char *name, uid_t uid, struct err *err)
{
	int fd = -1;
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make directory \"%s\"", name);
	if (dirs_open_in(dir, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
		return -1;
	int rc = acl_allow(fd, uid, ACL_READ | ACL_WRITE | ACL_EXECUTE, err);
	if (rc == 0 && fchmod(fd, 01770) < 0) /* the group's bits are the list's mask */
		rc = err_sys(err, errno, "set up directory \"%s\"", name);
	close(fd);
	return rc;
}

#define DIRS_DEPTH_MAX 16

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

static void dirs_empty(DIR *dir, int depth);

/* What cannot be removed shows up as a directory that is not empty. */
static void dirs_remove_entry(int at, const char *name, int depth)
{
	if (unlinkat(at, name, 0) == 0 || errno != EISDIR || depth == 0)
		return;
	struct err err = ERR_INIT;
	int fd = -1;
	(void)!dirs_open_in(at, name, O_RDONLY | O_DIRECTORY, &fd, &err);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir != NULL) {
		dirs_empty(dir, depth - 1);
		closedir(dir);
	} else if (fd >= 0) {
		close(fd);
	}
	(void)unlinkat(at, name, AT_REMOVEDIR);
}

static void dirs_empty(DIR *dir, int depth)
{
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		if (!dirs_is_dot(entry->d_name))
			dirs_remove_entry(dirfd(dir), entry->d_name, depth);
}

int dirs_remove(const char *path, struct err *err)
{
	DIR *dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open directory \"%s\"", path);
	dirs_empty(dir, DIRS_DEPTH_MAX);
	closedir(dir);
	if (rmdir(path) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove directory \"%s\"", path);
	return 0;
}
