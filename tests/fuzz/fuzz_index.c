/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the side index of a log. The first byte says whether headers and records get the check sums that they would have had to
 * have, and what is done with it then.
 */
#include "channel/index.c"
#include "tests/fuzz/fuzz.h"

static void mend(uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at + sizeof(struct record) <= size; at += sizeof(struct record)) {
		uint32_t check = index_check(bytes + at);
		memcpy(bytes + at + offsetof(struct record, check), &check, sizeof(check));
	}
}

static void look(const struct index *index, uint64_t end)
{
	struct index_span span;
	struct index_boot boot;
	uint32_t hint = 0;
	uint64_t offset = 0;
	for (unsigned i = 0; i < 100 && offset < end; i++) {
		index_locate(index, offset, &hint, &span);
		if (span.next <= offset)
			abort(); /* a reader would never come to an end */
		offset = span.next;
	}
	for (uint32_t number = index_first_boot(index), i = 0; i < 20; i++)
		(void)index_find_boot(index, number + i, &boot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index index;
	struct err err = ERR_INIT, repaired = ERR_INIT;
	unsigned how = fuzz_choose(&data, &size, 256);
	uint64_t end = (uint64_t)1 << (how / 8 % 16 * 4);
	uint8_t *bytes = xmalloc(size + 1);
	memcpy(bytes, data, size);
	if (how % 2)
		mend(bytes, size);
	if (how % 4 == 3 && size >= sizeof(struct header)) {
		struct header header;
		memcpy(&header, bytes, sizeof(header));
		header.magic = INDEX_MAGIC;
		memcpy(bytes, &header, sizeof(header));
		mend(bytes, sizeof(header));
	}
	fuzz_put("index", bytes, size);
	free(bytes);
	int dir = open(fuzz_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	index_init(&index);
	if (index_open(&index, dir, "index", end, &repaired, &err) == 0) {
		look(&index, end);
		index_add_time(&index, end, 1);
		struct index_boot boot = { .number = index.last.number + (index.last.number < UINT32_MAX), .offset = end, .time_ns = 2 };
		fuzz_must_say(index_add_boot(&index, &boot, &err), &err);
		if (how / 4 % 2 && end / 2 >= index.first_offset)
			(void)index_drop(&index, end / 2);
		look(&index, end + 1);
	} else {
		fuzz_must_say(-1, &err);
	}
	index_fini(&index);
	close(dir);
	return 0;
}
