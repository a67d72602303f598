/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX socket addresses of any length: a path of 108 bytes or more does not fit into sockaddr_un, so the socket is reached through
 * its directory, opened O_PATH, as /proc/self/fd/N/name. All fds are CLOEXEC and non-blocking.
 */
#pragma once

#include <sys/types.h>

#include "wire/err.h"

/* Makes, binds and listens; the file has exactly this mode from the moment it can be connected to. A path that exists, socket or
 * not, is ALREADY_EXISTS: replacing a stale socket is the caller's decision. */
int addr_listen_unix(const char *path, mode_t mode, int *fd, struct err *err) __attribute__((warn_unused_result));

/* The same, in a directory where others look for it: whoever sees the socket can connect to it. Costs three more file operations. */
int addr_publish_unix(const char *path, mode_t mode, int *fd, struct err *err) __attribute__((warn_unused_result));

/* Connects. Nobody listening: UNAVAILABLE (ECONNREFUSED) or NOT_FOUND (no such file). A full queue of the listener: waits. */
int addr_connect_unix(const char *path, int *fd, struct err *err) __attribute__((warn_unused_result));
/* The same without ever blocking: EAGAIN while the listener's queue is full. */
int addr_connect_unix_now(const char *path, int *fd, struct err *err) __attribute__((warn_unused_result));

/* Removes a socket that nobody listens on. OK when there is none; ALREADY_EXISTS when somebody listens or it is no socket. */
int addr_unlink_stale(const char *path, struct err *err) __attribute__((warn_unused_result));
