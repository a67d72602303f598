/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors through UNIX sockets, one with a message at most. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Sends bytes that go at once or not at all, with fd, or without one (-1). flags: of sendmsg. Without EINTR; false with errno. */
bool fdpass_send(int sock, const void *bytes, size_t len, int fd, int flags);
/* What recvmsg says, without waiting and without EINTR. fd: one that came with it, close-on-exec and the caller's; -1: none. In a stream
 * the bytes that it was sent with are the last of what is returned. */
ssize_t fdpass_receive(int sock, void *buf, size_t size, int *fd);
