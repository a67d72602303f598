/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The side index of a log: when which offset was written, and where each boot began.
 *
 * A header and records of one size, appended in order of offset; nothing of it is kept in memory but the latest boot. Losing it
 * loses times, never bytes: what is damaged is cut off or set aside when it is opened, and said.
 *
 * It is bounded: records of bytes that are gone go too, the longer a boot prints the fewer times are noted, and of more than INDEX_KEEP_MAX
 * records the oldest are forgotten. A record keeps its number for ever; the mark of a boot of which something is left moves instead.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/err.h"

#define INDEX_KEEP_MAX (1u << 20) /* records; 32 MiB */

struct index_boot {
	uint32_t number; /* 0: no boot known */
	uint64_t offset;
	uint64_t time_ns;
	bool explicit_start;
	bool tail_unknown; /* its last bytes may be missing: the emulator kept them back */
};

struct index {
	int fd;
	char *file;             /* name, for messages */
	uint32_t first;         /* oldest record that counts */
	uint32_t count;         /* number of the next record */
	bool has_header;        /* else it is written before the first record */
	uint64_t first_offset;  /* of the log: what is before was punched out */
	struct index_boot last; /* the latest boot */
	uint32_t last_record;   /* its mark */
	uint64_t start_offset;  /* of the first boot of the latest explicit start; 0 if none is known */
	uint32_t start_record;  /* its mark; UINT32_MAX: gone or unknown */
	uint64_t punched;       /* the file is a hole up to here, save the header's block */
};

/* What is known about one byte of the log. */
struct index_span {
	uint64_t time_ns; /* 0: unknown, as the others */
	uint32_t boot;
	uint64_t boot_time_ns;
	uint64_t next; /* offset at which time or boot change next; UINT64_MAX: not before the end */
};

void index_init(struct index *index);
/* Opens or creates. log_end: records beyond are dropped. What was repaired is told in *repaired (else it stays as it is). */
int index_open(struct index *index, int dir, const char *file, uint64_t log_end, struct err *repaired, struct err *err)
	__attribute__((warn_unused_result));
void index_fini(struct index *index);

/* The bytes from `offset` on were written at this time. Nothing is told when it cannot be noted: the byte matters, its time less. */
void index_add_time(struct index *index, uint64_t offset, uint64_t time_ns);
/* How far apart times should be at least: more the more records the boot has. */
unsigned index_time_step_ms(const struct index *index);
/* A boot begins at boot->offset. Its number is not below the latest one's. */
int index_add_boot(struct index *index, const struct index_boot *boot, struct err *err) __attribute__((warn_unused_result));

/* Notes in the mark of the latest boot that its last bytes may be missing. */
int index_mark_tail_unknown(struct index *index, struct err *err) __attribute__((warn_unused_result));

/* The log's bytes before first_offset are about to go: notes it, then drops what is known of them. 0, or -errno: nothing was noted, they
 * must not go. What is left of a boot keeps its number and its time. */
int index_drop(struct index *index, uint64_t first_offset);

/* False: not there. out->offset may lie before first_offset. */
bool index_find_boot(const struct index *index, uint32_t number, struct index_boot *out);
/* The lowest boot number there is; 0 if none. */
uint32_t index_first_boot(const struct index *index);
/* *hint: where to look first, updated; 0 to begin with. */
void index_locate(const struct index *index, uint64_t offset, uint32_t *hint, struct index_span *out);
