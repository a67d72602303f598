/* SPDX-License-Identifier: Apache-2.0 */
/* File systems of a test's own: full ones, and ones that cannot do everything. */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static inline bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool is_done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return is_done;
}

/* Who is not root becomes it in a user namespace. */
static inline bool may_mount(void)
{
	char uid_map[32], gid_map[32];
	if (geteuid() == 0)
		return true;
	snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
	snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/uid_map", uid_map) &&
	       write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/gid_map", gid_map);
}

/* A file system that is mounted nowhere, so that no namespace sees it and it goes with its last descriptor; -1: not allowed. size: as
 * the type's option, or NULL. */
static inline int small_file_system(const char *type, const char *size)
{
	int mount_fd = -1, fs = may_mount() ? fsopen(type, FSOPEN_CLOEXEC) : -1;
	if (fs >= 0 && (size == NULL || fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) == 0) &&
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount_fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (fs >= 0)
		close(fs);
	return mount_fd;
}
