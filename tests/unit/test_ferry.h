/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of ferry and tail share: a directory with FIFOs, a stream of bytes that shows what is lost or doubled, processes to kill.
 */
#pragma once

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire/err.h"

#define STREAM_DEADLINE_S 60

/* Bytes that come as the stream's: one after the other without period. */
struct stream {
	size_t written, read;
};

static inline uint8_t stream_byte(size_t at)
{
	uint32_t x = (uint32_t)at * 2654435761u;
	return (uint8_t)(x >> 24 ^ x >> 13);
}

/* As much as the fd takes of at most `max`. */
static inline size_t stream_write(struct stream *stream, int fd, size_t max)
{
	uint8_t buf[4096];
	size_t total = 0;
	for (ssize_t n = 1; n > 0 && total<max; total += n> 0 ? (size_t)n : 0) {
		size_t len = max - total < sizeof(buf) ? max - total : sizeof(buf);
		for (size_t i = 0; i < len; i++)
			buf[i] = stream_byte(stream->written + i);
		n = write(fd, buf, len);
		stream->written += n > 0 ? (size_t)n : 0;
	}
	return total;
}

/* All there is, of at most `max`. */
static inline size_t stream_read(struct stream *stream, int fd, size_t max)
{
	uint8_t buf[4096];
	size_t total = 0;
	for (ssize_t n = 1; n > 0 && total<max; total += n> 0 ? (size_t)n : 0) {
		n = read(fd, buf, max - total < sizeof(buf) ? max - total : sizeof(buf));
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != stream_byte(stream->read++))
				fail_msg("another byte at %zu", stream->read - 1);
	}
	return total;
}

static inline int fifo_make(const char *dir, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkfifo(path, 0600), 0);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static inline void dir_remove(const char *dir, const char *const *names, size_t count)
{
	char path[128];
	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

static inline void stream_wait(time_t end)
{
	if (time(NULL) > end)
		fail_msg("too late");
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* 0 in the child, which ends with the test. */
static inline pid_t process_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static inline void process_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}
