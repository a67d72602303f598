/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the side index share: a directory with one index, and what it is filled with. */
#pragma once

#include "test_channel.h"

#include "channel/index.h"

#define BLOCK 32 /* size of the header and of a record */

struct box {
	char path[64];
	int dir;
};

static inline int box_setup(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));
	snprintf(b->path, sizeof(b->path), "/tmp/pwemu-index-XXXXXX");
	assert_non_null(mkdtemp(b->path));
	b->dir = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = b;
	return 0;
}

static inline int box_teardown(void **state)
{
	struct box *b = *state;
	unlinkat(b->dir, "x.idx", 0);
	unlinkat(b->dir, "x.idx.bad", 0);
	rmdir(b->path);
	close(b->dir);
	free(b);
	return 0;
}

/* Opens; returns whether something was repaired. */
static inline bool box_open(struct box *b, struct index *index, uint64_t log_end)
{
	struct err repaired = ERR_INIT, err = ERR_INIT;
	index_init(index);
	if (index_open(index, b->dir, "x.idx", log_end, &repaired, &err) != 0)
		fail_msg("%s", err.msg);
	return err_is_set(&repaired);
}

static inline void add_boot(struct index *index, uint32_t number, uint64_t offset, bool explicit_start)
{
	struct index_boot boot = { number, offset, number * 1000000, explicit_start, false };
	struct err err = ERR_INIT;
	assert_int_equal(index_add_boot(index, &boot, &err), 0);
}

static inline off_t box_size(struct box *b)
{
	struct stat st;
	assert_int_equal(fstatat(b->dir, "x.idx", &st, 0), 0);
	return st.st_size;
}

static inline void box_patch(struct box *b, off_t at, const void *bytes, size_t len)
{
	int fd = openat(b->dir, "x.idx", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

static inline void box_truncate(struct box *b, off_t size)
{
	int fd = openat(b->dir, "x.idx", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

/* Boots 1..BOOTS of 100 bytes each; in each a time at every tenth byte; every third is an explicit start. Record numbers: a boot has
 * 11 records. */
enum { BOOTS = 7, BOOT_BYTES = 100, RECORDS = BOOTS * 11 };

static inline void fill(struct index *index)
{
	for (uint32_t boot = 1; boot <= BOOTS; boot++) {
		uint64_t begin = (boot - 1) * BOOT_BYTES;
		add_boot(index, boot, begin, boot % 3 == 1);
		for (uint64_t at = begin; at < begin + BOOT_BYTES; at += 10)
			index_add_time(index, at, 1000 + at);
	}
}
