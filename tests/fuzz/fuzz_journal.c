/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a journal of events, with the header and, if the first byte says so, the check sums that it would have had to have. */
#include "base/pb.h"
#include "instance/journal_file.c"
#include "pwemu/v1/instances.pb-c.h"
#include "tests/fuzz/fuzz.h"

static void mend(uint8_t *bytes, size_t size)
{
	for (size_t at = sizeof(magic); at + sizeof(struct record) <= size;) {
		struct record record;
		memcpy(&record, bytes + at, sizeof(record));
		record.len %= 512;
		if (at + sizeof(record) + record.len > size)
			return;
		record.check = record_check(&record, bytes + at + sizeof(record));
		memcpy(bytes + at, &record, sizeof(record));
		at += sizeof(record) + record.len;
	}
}

static void look(struct journal_file *file)
{
	struct journal_place place = { 0 };
	const uint8_t *bytes;
	size_t len;
	uint64_t last = 0;
	for (uint64_t wanted = 0; journal_file_find(file, wanted, &place, &bytes, &len); wanted++) {
		Pwemu__V1__Event *event = pwemu__v1__event__unpack(NULL, len, bytes);
		PB_FREE(event);
		if (++last > 10000)
			abort(); /* more than there is */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_file file;
	struct err err = ERR_INIT, repaired = ERR_INIT;
	unsigned how = fuzz_choose(&data, &size, 4);
	uint8_t *bytes = xmalloc(sizeof(magic) + size);
	memcpy(bytes, magic, sizeof(magic));
	if (size > 0)
		memcpy(bytes + sizeof(magic), data, size);
	if (how % 2)
		mend(bytes, sizeof(magic) + size);
	size_t skip = how / 2 % 2 ? sizeof(magic) : 0;
	fuzz_put("events", bytes + skip, sizeof(magic) + size - skip);
	free(bytes);
	int dir = open(fuzz_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	journal_file_init(&file);
	if (journal_file_open(&file, dir, "events", &repaired, &err) == 0) {
		look(&file);
		if (file.last < UINT64_MAX)
			fuzz_must_say(journal_file_append(&file, file.last + 1, "x", 1, &err), &err);
		look(&file);
	} else {
		fuzz_must_say(-1, &err);
	}
	journal_file_fini(&file);
	close(dir);
	return 0;
}
