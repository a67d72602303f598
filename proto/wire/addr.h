/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX socket addresses of any length: a path of 108 bytes or more does not fit into sockaddr_un, so the socket is reached through
 * its directory, opened O_PATH, as /proc/self/fd/N/name. And TCP addresses. All fds are CLOEXEC and non-blocking.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
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

/* "192.0.2.1:80", "[2001:db8::1]:80"; "" for other families. */
struct sockaddr;
void addr_text(const struct sockaddr *addr, char *buf, size_t size);
/* Splits "HOST:PORT" or "[ADDRESS]:PORT". `host` is without brackets. */
int addr_split(const char *text, char *host, size_t size, uint16_t *port, struct err *err) __attribute__((warn_unused_result));
/* Listens on every address of a host; may ask a name server, so before the loop. `*fds` is the caller's. Port 0: any free one, the same
 * for all of them where that can be had. */
int addr_listen_tcp(const char *host, uint16_t port, int **fds, size_t *count, struct err *err) __attribute__((warn_unused_result));
/* Connects to the first address of a host that answers within timeout_ms in all; asks the name server, so blocks. The message names host,
 * port and reason; reasons "unreachable", "no-such-host". */
int addr_connect_tcp(const char *host, uint16_t port, uint32_t timeout_ms, int *fd, struct err *err) __attribute__((warn_unused_result));

/* Removes a socket that nobody listens on. OK when there is none; ALREADY_EXISTS when somebody listens or it is no socket. */
int addr_unlink_stale(const char *path, struct err *err) __attribute__((warn_unused_result));
