/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header of 16 bytes, then records: length, check sum, number, a packed pwemu.v1.Event. Byte order is the host's. A record is written
 * with one call; one that was not written in full is not counted, and overwritten by the next.
 */
#include "instance/journal_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/file.h"
#include "wire/mem.h"

#define WINDOW_BYTES (JOURNAL_RECORD_MAX + (size_t)64)
#define MARK_BYTES   16384 /* between two marks */

static const char magic[16] = "pwemu-events 1\n";

struct journal_mark {
	uint64_t seq;
	uint64_t at;
};

struct record {
	uint32_t len;
	uint32_t check;
	uint64_t seq;
};

_Static_assert(sizeof(struct record) == 16, "no holes on disk");
_Static_assert(sizeof(struct record) + JOURNAL_RECORD_MAX <= WINDOW_BYTES, "a record fits into the window");

static uint32_t check_more(uint32_t sum, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * UINT32_C(16777619); /* FNV-1a */
	return sum;
}

static uint32_t record_check(const struct record *record, const void *bytes)
{
	uint32_t sum = check_more(UINT32_C(2166136261), &record->len, sizeof(record->len));
	sum = check_more(sum, &record->seq, sizeof(record->seq));
	return check_more(sum, bytes, record->len);
}

/* ---------------------------------------------------------------- reading */

/* `len` bytes at `at`, all of them before `limit`; NULL when they are not there, with the errno if they could not be read. */
static const uint8_t *file_window(struct journal_file *file, uint64_t at, size_t len, uint64_t limit, int *error)
{
	*error = 0;
	if (at + len > limit || len > WINDOW_BYTES)
		return NULL;
	if (file->window == NULL)
		file->window = xmalloc(WINDOW_BYTES);
	if (at < file->window_at || at + len > file->window_at + file->window_len) {
		size_t size = limit - at < WINDOW_BYTES ? (size_t)(limit - at) : WINDOW_BYTES;
		ssize_t n = file_read(file->fd, file->window, size, at);
		*error = n < 0 ? (int)-n : 0;
		file->window_at = at;
		file->window_len = n > 0 ? (size_t)n : 0;
	}
	return at + len <= file->window_at + file->window_len ? file->window + (at - file->window_at) : NULL;
}

/* The record at `at` if it is whole, its bytes behind it; NULL otherwise. */
static const uint8_t *file_record(struct journal_file *file, uint64_t at, uint64_t limit, struct record *record, int *error)
{
	const uint8_t *bytes = file_window(file, at, sizeof(*record), limit, error);
	if (bytes == NULL)
		return NULL;
	memcpy(record, bytes, sizeof(*record));
	if (record->len > JOURNAL_RECORD_MAX)
		return NULL;
	bytes = file_window(file, at, sizeof(*record) + record->len, limit, error);
	if (bytes == NULL)
		return NULL;
	bytes += sizeof(*record);
	return record_check(record, bytes) == record->check ? bytes : NULL;
}

static void file_note(struct journal_file *file, const struct record *record)
{
	if (file->mark_count == 0 || file->end - file->marks[file->mark_count - 1].at >= MARK_BYTES) {
		file->marks = xrealloc(file->marks, file->mark_count + 1, sizeof(*file->marks));
		file->marks[file->mark_count++] = (struct journal_mark){ record->seq, file->end };
	}
	if (file->first == 0)
		file->first = record->seq;
	file->last = record->seq;
	file->end += sizeof(*record) + record->len;
}

/* Offset of a record from which `wanted` is soon reached. */
static uint64_t file_seek(const struct journal_file *file, uint64_t wanted)
{
	size_t low = 0, high = file->mark_count; /* marks before low are at or before it */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (file->marks[middle].seq <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? file->marks[low - 1].at : sizeof(magic);
}

bool journal_file_find(struct journal_file *file, uint64_t wanted, struct journal_place *place, const uint8_t **bytes, size_t *len)
{
	struct record record;
	int error;
	if (file->last == 0 || wanted > file->last)
		return false;
	uint64_t at = place->id == file->id ? place->at : file_seek(file, wanted);
	while ((*bytes = file_record(file, at, file->end, &record, &error)) != NULL) {
		at += sizeof(record) + record.len;
		*place = (struct journal_place){ file->id, at };
		if (record.seq >= wanted) {
			*len = record.len;
			return true;
		}
	}
	return false;
}

/* ---------------------------------------------------------------- opening */

void journal_file_init(struct journal_file *file)
{
	static unsigned last_id;
	*file = (struct journal_file){ .fd = -1, .id = ++last_id };
}

void journal_file_fini(struct journal_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->marks);
	free(file->window);
	file->marks = NULL;
	file->window = NULL;
	file->fd = -1;
}

/* A header that was cut off is one that was never finished. */
static bool file_begins_well(struct journal_file *file, uint64_t size, int *error)
{
	size_t len = size < sizeof(magic) ? (size_t)size : sizeof(magic);
	const uint8_t *bytes = len > 0 ? file_window(file, 0, len, size, error) : NULL;
	return len == 0 || (bytes != NULL && memcmp(bytes, magic, len) == 0);
}

static int file_scan(struct journal_file *file, uint64_t size, const char *name, struct err *repaired, struct err *err)
{
	struct record record;
	int error = 0;
	if (!file_begins_well(file, size, &error))
		return error != 0 ? err_sys(err, error, "read \"%s\"", name)
				  : err_set(err, ERR_FAILED_PRECONDITION, "\"%s\" is no journal of events", name);
	file->end = size < sizeof(magic) ? 0 : sizeof(magic);
	while (file->end > 0 && file->end < size && file_record(file, file->end, size, &record, &error) != NULL && record.seq > file->last)
		file_note(file, &record);
	if (error != 0)
		return err_sys(err, error, "read \"%s\"", name);
	if (file->end == size)
		return 0;
	err_set(repaired, ERR_DATA_LOSS, "\"%s\" was damaged after event %llu: %llu bytes are cut off", name,
		(unsigned long long)file->last, (unsigned long long)(size - file->end));
	if (ftruncate(file->fd, (off_t)file->end) < 0) /* what is appended overwrites it all the same */
		err_prefix(repaired, "%s", strerror(errno));
	file->window_len = 0;
	return 0;
}

int journal_file_open(struct journal_file *file, int dir, const char *name, struct err *repaired, struct err *err)
{
	uint64_t size;
	int fd = file_open(dir, name, &size, err);
	if (fd < 0)
		return -1;
	file->fd = fd;
	if (file_scan(file, size, name, repaired, err) == 0)
		return 0;
	journal_file_fini(file);
	journal_file_init(file);
	return -1;
}

/* ---------------------------------------------------------------- writing */

static int file_write_all(struct journal_file *file, const void *bytes, size_t len, struct err *err)
{
	ssize_t n = file_write(file->fd, bytes, len, file->end);
	if (n == (ssize_t)len)
		return 0;
	if (n > 0 && ftruncate(file->fd, (off_t)file->end) < 0)
		n = -errno;
	return n < 0 ? err_sys(err, (int)-n, "write events") : err_sys(err, ENOSPC, "write events");
}

int journal_file_append(struct journal_file *file, uint64_t seq, const void *bytes, size_t len, struct err *err)
{
	uint8_t buf[sizeof(struct record) + JOURNAL_RECORD_MAX];
	struct record record = { .len = (uint32_t)len, .seq = seq };
	if (file->end == 0) {
		if (file_write_all(file, magic, sizeof(magic), err) < 0)
			return -1;
		file->end = sizeof(magic);
	}
	record.check = record_check(&record, bytes);
	memcpy(buf, &record, sizeof(record));
	memcpy(buf + sizeof(record), bytes, len);
	if (file_write_all(file, buf, sizeof(record) + len, err) < 0)
		return -1;
	file_note(file, &record);
	return 0;
}
