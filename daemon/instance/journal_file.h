/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of the journal: records that are only appended, numbers that only grow. The offsets of some are kept in memory, so that
 * a number is found without reading all of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/err.h"

#define JOURNAL_RECORD_MAX 32768 /* bytes of one event */

struct journal_mark;

struct journal_file {
	int fd;               /* -1: none */
	unsigned id;          /* never used again */
	uint64_t end;         /* of what is good; 0: not even a header */
	uint64_t first, last; /* numbers; 0: no record */
	struct journal_mark *marks;
	size_t mark_count;
	uint8_t *window; /* bytes that were read last; what is good never changes */
	uint64_t window_at;
	size_t window_len;
};

/* Where a reader is; all zero: nowhere yet. */
struct journal_place {
	unsigned id;
	uint64_t at;
};

void journal_file_init(struct journal_file *file);
void journal_file_fini(struct journal_file *file);

/* Opens or creates it. A damaged tail is cut off and told in *repaired (DATA_LOSS). Fails, with nothing changed, when it cannot be read or
 * is something else. */
int journal_file_open(struct journal_file *file, int dir, const char *name, struct err *repaired, struct err *err)
	__attribute__((warn_unused_result));

/* A record is there as a whole or not at all. */
int journal_file_append(struct journal_file *file, uint64_t seq, const void *bytes, size_t len, struct err *err)
	__attribute__((warn_unused_result));

/* The first record from number `wanted` on; false when there is none. The bytes are valid until the next call. */
bool journal_file_find(struct journal_file *file, uint64_t wanted, struct journal_place *place, const uint8_t **bytes, size_t *len);
