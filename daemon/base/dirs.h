/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of the daemon's own: nobody else writes in them. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

/* Makes it and its parents, 0700. */
int dirs_make(const char *path, struct err *err) __attribute__((warn_unused_result));
/* Gives one that nobody else could write in until now to a user. */
int dirs_give(const char *path, uid_t uid, gid_t gid, struct err *err) __attribute__((warn_unused_result));
/*
 * The same, and asks its file system to put what is made in each of its sub-directories far from that of the others, where it can (ext4).
 * ext4 looks at every inode that was deleted in the last minutes nearby before it makes one: where instances come and go by the thousand,
 * each with some thirty files, that is most of what a start costs.
 */
int dirs_make_spread(const char *path, struct err *err) __attribute__((warn_unused_result));
/* Opens it; CLOEXEC. */
int dirs_open(const char *path, int *fd, struct err *err) __attribute__((warn_unused_result));
/* Opens what is in a directory where somebody else may write: no link is followed and no other file system entered, whose owner could
 * let us wait. CLOEXEC, non-blocking. */
int dirs_open_in(int dir, const char *name, int flags, int *fd, struct err *err) __attribute__((warn_unused_result));
/* Makes one in which a user, who is not the daemon's, may make files but on which he can mount nothing: it stays root's. */
int dirs_make_shared(int dir, const char *name, uid_t uid, struct err *err) __attribute__((warn_unused_result));
/* What the files in it take on disk; 0 when it cannot be read. */
uint64_t dirs_disk_bytes(const char *path);
/* Removes it with what is in it, following no link; sub-directories (an emulator's own) down to a depth that nothing of ours has. No error
 * when it is not there. */
int dirs_remove(const char *path, struct err *err) __attribute__((warn_unused_result));
