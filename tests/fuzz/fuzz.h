/* SPDX-License-Identifier: Apache-2.0 */
/* What several targets need: a directory of their own, and a loop that is run until nothing is left to do. */
#pragma once

#include <event2/event.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_dir_path[64];

static inline void fuzz_dir_remove(void)
{
	char command[96];
	snprintf(command, sizeof(command), "rm -rf '%s'", fuzz_dir_path);
	(void)!system(command);
}

/* Made once, removed at the end; in memory where there is such a place. */
static inline const char *fuzz_dir(void)
{
	if (fuzz_dir_path[0] != '\0')
		return fuzz_dir_path;
	snprintf(fuzz_dir_path, sizeof(fuzz_dir_path), "%s/pwemu-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(fuzz_dir_path) == NULL)
		abort();
	atexit(fuzz_dir_remove);
	return fuzz_dir_path;
}

/* A file of it, as a path in static storage that is good until the next call. */
static inline const char *fuzz_path(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", fuzz_dir(), name);
	return path;
}

static inline void fuzz_put(const char *name, const void *data, size_t len)
{
	int fd = open(fuzz_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
}

static inline void fuzz_turns(struct event_base *base, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Whatever the other end has said. */
static inline void fuzz_drain(int fd)
{
	static char waste[65536];
	while (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
		continue;
}

/* A connected pair, neither end blocks, each takes all that a target may write at once. */
static inline void fuzz_pair(int pair[2])
{
	int bytes = 1 << 20;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	for (int i = 0; i < 2; i++)
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* Who fails says why. */
static inline void fuzz_must_say(int rc, const struct err *err)
{
	if (rc < 0 && (!err_is_set(err) || err->msg[0] == '\0'))
		abort();
}

/* The first byte of an input chooses: below `count`; the rest follows. */
static inline unsigned fuzz_choose(const uint8_t **data, size_t *size, unsigned count)
{
	if (*size == 0)
		return 0;
	unsigned chosen = (*data)[0] % count;
	(*data)++;
	(*size)--;
	return chosen;
}
