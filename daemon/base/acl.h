/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX access lists, for what is root's and to be read by one user more. */
#pragma once

#include <sys/types.h>

#include "wire/err.h"

#define ACL_READ    4u
#define ACL_WRITE   2u
#define ACL_EXECUTE 1u /* of a directory: pass through */

/* Gives a user these permissions on an open file or directory, beside its mode. UNIMPLEMENTED: the file system has no such lists. */
int acl_allow(int fd, uid_t uid, unsigned permissions, struct err *err) __attribute__((warn_unused_result));
