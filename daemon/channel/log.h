/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that holds a channel's output. It only grows, so a byte keeps its offset for ever and the file's length is the
 * position: whoever opens it goes on exactly where the last process was stopped. To bound it its head is given back to the file system,
 * in whole blocks: it becomes a hole that ends at `first`.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

struct log {
	int fd;
	char *file;     /* name, for messages */
	uint64_t first; /* oldest byte still there */
	uint64_t end;   /* offset of the next byte */
	uint64_t block; /* what the file system gives back: multiples of this */
};

void log_init(struct log *log);
/* `first` is where the hole at its head ends. */
int log_open(struct log *log, int dir, const char *file, struct err *err) __attribute__((warn_unused_result));
void log_fini(struct log *log);

/* Moves up to `max` bytes from a pipe to the end. Bytes moved, 0: the pipe is empty, -errno; after an error every byte that was
 * not moved is still in the pipe. */
ssize_t log_splice(struct log *log, int pipe, size_t max);

/* The last block boundary at or before an offset. */
uint64_t log_floor(const struct log *log, uint64_t offset);
/* Whether the file system can give back what is in the middle of a file: 0, or -errno (-EOPNOTSUPP). Changes nothing. */
int log_can_punch(const struct log *log);
/* The bytes before `first` are not there any more. Their blocks are given back; 0, or -errno when that failed (then by the next call). */
int log_punch(struct log *log, uint64_t first);

/* Reads up to `len` bytes that the caller knows to be there (offset + len <= end). Returns how many, never 0, or -1. */
ssize_t log_read(const struct log *log, uint64_t offset, void *buf, size_t len, struct err *err);
