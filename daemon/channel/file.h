/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and reading the two files of a channel, with messages that name them. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

/* Opens or creates (0600) a regular file for reading and writing; no link is followed. Returns the fd, or -1. */
int file_open(int dir, const char *name, uint64_t *size, struct err *err) __attribute__((warn_unused_result));

/* The same, for reading. */
int file_open_reader(int dir, const char *name, uint64_t *size, struct err *err) __attribute__((warn_unused_result));

/* pread/pwrite of all of it, or of as much as there is (room for). Bytes done, or -errno when not even one was. */
ssize_t file_read(int fd, void *buf, size_t len, uint64_t offset);
ssize_t file_write(int fd, const void *buf, size_t len, uint64_t offset);

/* Gives the blocks between two block boundaries back to the file system; they read as zeros from then on, the size stays. 0 or -errno. */
int file_punch(int fd, uint64_t from, uint64_t to);
