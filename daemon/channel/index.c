/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every record carries the number of its boot, so the file is sorted by offset and by boot number at once, and both are found by
 * binary search with pread. A record never crosses a page and has a check sum: after a SIGKILL it is whole or absent, after a power
 * cut it is seen to be damaged. Byte order is the host's; the magic number differs on the other one.
 *
 * Records are dropped by one write of the header, which says at once where the log and where the index begins; then blocks are given back.
 * The mark of the boot in which the log begins is written again before that, over the last record that is dropped: so order and numbers of
 * the others stay, and links to the old place are known to mean the first record.
 */
#include "channel/index.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/file.h"
#include "wire/mem.h"

#define INDEX_MAGIC   UINT64_C(0x3158444955455750) /* "PWEUIDX1" */
#define INDEX_NONE    UINT32_MAX
#define INDEX_GAP_MAX 64                    /* damaged records in a row that a search looks past */
#define INDEX_STEPS   8                     /* records that a hint may lag behind before a search is cheaper */
#define INDEX_SPARE   (INDEX_KEEP_MAX / 16) /* forgotten at once, so that it is seldom */
#define INDEX_BLOCK   4096                  /* holds the header; never given back */
#define INDEX_PUNCH   65536                 /* what it takes to give blocks back */

enum { INDEX_BOOT = 1, INDEX_EXPLICIT = 2, INDEX_TAIL_UNKNOWN = 4 };

struct record {
	uint64_t offset;
	uint64_t time_ns;
	uint32_t boot;
	uint32_t link; /* of a time: its boot's mark; of a boot: the mark of the latest explicit start */
	uint32_t flags;
	uint32_t check;
};

struct header {
	uint64_t magic;
	uint64_t first_offset;
	uint32_t first;           /* record; once reserved and 0 */
	uint32_t start_offset[2]; /* of the latest explicit start, low half first, for when its mark is gone; the same */
	uint32_t check;
};

_Static_assert(sizeof(struct record) == 32 && sizeof(struct header) == 32, "records never cross a page");

/* FNV-1a over all but the last four bytes; a block of zeros does not pass. */
static uint32_t index_check(const void *block)
{
	const unsigned char *p = block;
	uint32_t sum = UINT32_C(2166136261);
	for (size_t i = 0; i < offsetof(struct record, check); i++)
		sum = (sum ^ p[i]) * UINT32_C(16777619);
	return sum;
}

static uint64_t index_position(uint32_t at)
{
	return sizeof(struct header) + (uint64_t)at * sizeof(struct record);
}

static bool index_get(const struct index *index, uint32_t at, struct record *out)
{
	return at >= index->first && at < index->count && file_read(index->fd, out, sizeof(*out), index_position(at)) == sizeof(*out) &&
	       out->check == index_check(out);
}

/* The nearest good record at or before `at`, not before `low`. */
static bool index_get_before(const struct index *index, uint32_t low, uint32_t at, struct record *out, uint32_t *found)
{
	for (uint32_t i = 0; i < INDEX_GAP_MAX; i++) {
		if (index_get(index, at, out)) {
			*found = at;
			return true;
		}
		if (at == low)
			break;
		at--;
	}
	return false;
}

/* The mark of a record's boot; one that had to move is the first record. */
static bool index_get_mark(const struct index *index, const struct record *record, struct record *out, uint32_t *at)
{
	const uint32_t places[] = { record->link, index->first };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (index_get(index, places[i], out) && (out->flags & INDEX_BOOT) && out->boot == record->boot) {
			*at = places[i];
			return true;
		}
	}
	return false;
}

static bool record_is_after_offset(const struct record *record, uint64_t offset)
{
	return record->offset > offset;
}

static bool record_is_after_boot(const struct record *record, uint64_t boot)
{
	return record->boot > boot;
}

/* The first record that is after `key`; count if none. Damaged records are taken for what their left neighbour is. */
static uint32_t index_search(const struct index *index, bool (*is_after)(const struct record *record, uint64_t key), uint64_t key)
{
	uint32_t low = index->first, high = index->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2, at;
		struct record record;
		if (index_get_before(index, low, middle, &record, &at) && is_after(&record, key))
			high = at;
		else
			low = middle + 1;
	}
	return low;
}

/* ---------------------------------------------------------------- opening */

void index_init(struct index *index)
{
	memset(index, 0, sizeof(*index));
	index->fd = -1;
	index->last_record = index->start_record = INDEX_NONE;
}

void index_fini(struct index *index)
{
	if (index->fd >= 0)
		close(index->fd);
	free(index->file);
	index_init(index);
}

/* Records from the first that is damaged or beyond the log's end: both are found at the tail, after a power cut. */
static uint32_t index_good_count(const struct index *index, uint64_t log_end)
{
	struct record record;
	if (index->count == index->first || (index_get(index, index->count - 1, &record) && record.offset <= log_end))
		return index->count;
	uint32_t low = index->first, high = index->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (index_get(index, middle, &record) && record.offset <= log_end)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct index_boot index_boot_of(uint32_t number, const struct record *mark)
{
	return (struct index_boot){ number, mark->offset, mark->time_ns, mark->flags & INDEX_EXPLICIT, mark->flags & INDEX_TAIL_UNKNOWN };
}

static void index_set_last(struct index *index, const struct record *mark, uint32_t at)
{
	index->last = index_boot_of(mark->boot, mark);
	index->last_record = at;
}

/* Finds the latest boot and the latest explicit start from the last record. */
static void index_load_last(struct index *index)
{
	struct record record, mark;
	uint32_t at;
	if (index->count == index->first || !index_get_before(index, index->first, index->count - 1, &record, &at))
		return;
	if (!(record.flags & INDEX_BOOT)) {
		if (!index_get_mark(index, &record, &mark, &at))
			return;
		record = mark;
	}
	index_set_last(index, &record, at);
	if (index_get(index, record.link, &mark) && (mark.flags & INDEX_EXPLICIT)) {
		index->start_offset = mark.offset;
		index->start_record = record.link;
	}
}

/* A file that is no index is kept under another name, for people. */
static int index_set_aside(struct index *index, int dir, struct err *repaired, struct err *err)
{
	char *aside = xasprintf("%s.bad", index->file);
	int rc = renameat(dir, index->file, dir, aside);
	if (rc < 0)
		err_sys(err, errno, "\"%s\" is damaged; rename it to \"%s\"", index->file, aside);
	else
		err_set(repaired, ERR_DATA_LOSS, "\"%s\" was damaged: times and boots so far are unknown; it is kept as \"%s\"",
			index->file, aside);
	free(aside);
	if (rc < 0)
		return -1;
	close(index->fd);
	uint64_t size;
	index->fd = file_open(dir, index->file, &size, err);
	return index->fd < 0 ? -1 : 0;
}

static int index_cut(struct index *index, uint64_t size, uint64_t log_end, struct err *repaired, struct err *err)
{
	uint32_t count = index_good_count(index, log_end);
	uint64_t good = index_position(count);
	if (good == size)
		return 0;
	struct record bad;
	ssize_t n = file_read(index->fd, &bad, sizeof(bad), good);
	if (n < 0) /* not damaged, but not to be read now */
		return err_sys(err, (int)-n, "read \"%s\"", index->file);
	if (ftruncate(index->fd, (off_t)good) < 0)
		return err_sys(err, errno, "truncate \"%s\" to its %" PRIu32 " good records", index->file, count);
	index->count = count;
	err_set(repaired, ERR_DATA_LOSS, "\"%s\" had %" PRIu64 " damaged or surplus bytes at its end: cut off, some times may be missing",
		index->file, size - good);
	return 0;
}

static int index_load(struct index *index, int dir, uint64_t size, uint64_t log_end, struct err *repaired, struct err *err)
{
	struct header header;
	ssize_t n = file_read(index->fd, &header, sizeof(header), 0);
	if (n < 0)
		return err_sys(err, (int)-n, "read \"%s\"", index->file);
	if (n < (ssize_t)sizeof(header)) {
		if (log_end > 0 || n > 0)
			err_set(repaired, ERR_DATA_LOSS, "\"%s\" was missing or cut short: times and boots so far are unknown",
				index->file);
		/* not of an empty one: what was cut to nothing is written to the disk when it is closed (ext4) */
		return size > 0 && ftruncate(index->fd, 0) < 0 ? err_sys(err, errno, "truncate \"%s\"", index->file) : 0;
	}
	if (header.magic != INDEX_MAGIC || header.check != index_check(&header))
		return index_set_aside(index, dir, repaired, err);
	index->first_offset = header.first_offset < log_end ? header.first_offset : log_end;
	uint64_t count = (size - sizeof(header)) / sizeof(struct record);
	index->count = count < INDEX_NONE ? (uint32_t)count : INDEX_NONE;
	/* The power may have taken more of log and index than the header knows: then what comes needs another one. */
	index->has_header = header.first <= index->count && header.first_offset <= log_end;
	index->first = header.first < index->count ? header.first : index->count;
	index->start_offset = header.start_offset[0] | (uint64_t)header.start_offset[1] << 32;
	if (index_cut(index, size, log_end, repaired, err) < 0)
		return -1;
	index_load_last(index);
	return 0;
}

int index_open(struct index *index, int dir, const char *file, uint64_t log_end, struct err *repaired, struct err *err)
{
	uint64_t size;
	index->fd = file_open(dir, file, &size, err);
	if (index->fd < 0)
		return -1;
	index->file = xstrdup(file);
	return index_load(index, dir, size, log_end, repaired, err);
}

/* ---------------------------------------------------------------- writing */

static int index_write_header(struct index *index, uint32_t first, uint64_t first_offset)
{
	struct header header = { .magic = INDEX_MAGIC,
				 .first_offset = first_offset,
				 .first = first,
				 .start_offset = { (uint32_t)index->start_offset, (uint32_t)(index->start_offset >> 32) } };
	header.check = index_check(&header);
	ssize_t n = file_write(index->fd, &header, sizeof(header), 0);
	if (n != sizeof(header))
		return n < 0 ? (int)n : -ENOSPC;
	index->has_header = true;
	index->first = first;
	index->first_offset = first_offset;
	return 0;
}

/* Gives back the blocks of dropped records. That it cannot be done is no matter: they are small. */
static void index_punch(struct index *index)
{
	uint64_t to = index_position(index->first) / INDEX_BLOCK * INDEX_BLOCK;
	if (to < index->punched + INDEX_PUNCH)
		return;
	index->punched = to;
	(void)file_punch(index->fd, INDEX_BLOCK, to);
}

/* Everything before `keep` is about to be dropped. The mark of its boot, if that is among it, is written into the record before, which
 * stays then. *first: the record that is the first from now on; *from: where that was until now. 0 or -errno. */
static int index_move_mark(struct index *index, uint32_t keep, uint32_t *first, uint32_t *from)
{
	struct record record, mark;
	uint32_t at;
	*first = *from = keep;
	if (keep == index->first || !index_get(index, keep, &record) || (record.flags & INDEX_BOOT) ||
	    !index_get_mark(index, &record, &mark, &at) || at >= keep)
		return 0;
	*first = keep - 1;
	*from = at;
	if (at == keep - 1)
		return 0;
	ssize_t n = file_write(index->fd, &mark, sizeof(mark), index_position(keep - 1));
	return n == sizeof(mark) ? 0 : n < 0 ? (int)n : -ENOSPC;
}

/* What had record number `from` is now the first one. */
static uint32_t index_renumber(const struct index *index, uint32_t record, uint32_t from)
{
	if (record == from)
		return index->first;
	return record < index->first ? INDEX_NONE : record;
}

static int index_drop_records(struct index *index, uint32_t keep, uint64_t first_offset)
{
	uint32_t first, from;
	int rc = index_move_mark(index, keep, &first, &from);
	if (rc == 0)
		rc = index_write_header(index, first, first_offset);
	if (rc < 0)
		return rc;
	index->last_record = index_renumber(index, index->last_record, from);
	index->start_record = index_renumber(index, index->start_record, from);
	index_punch(index);
	return 0;
}

int index_drop(struct index *index, uint64_t first_offset)
{
	/* The last record at or before it says when the first byte that is left was written. */
	uint32_t next = index_search(index, record_is_after_offset, first_offset);
	return index_drop_records(index, next > index->first ? next - 1 : index->first, first_offset);
}

/* 0 or -errno. A record written in part is overwritten by the next. */
static int index_append(struct index *index, struct record *record)
{
	int rc = 0;
	if (!index->has_header)
		rc = index_write_header(index, index->first, index->first_offset);
	else if (index->count - index->first >= INDEX_KEEP_MAX)
		rc = index_drop_records(index, index->count - INDEX_KEEP_MAX + INDEX_SPARE, index->first_offset);
	if (rc < 0)
		return rc;
	if (index->count == INDEX_NONE)
		return -EFBIG;
	record->check = index_check(record);
	ssize_t n = file_write(index->fd, record, sizeof(*record), index_position(index->count));
	if (n != sizeof(*record))
		return n < 0 ? (int)n : -ENOSPC;
	index->count++;
	return 0;
}

void index_add_time(struct index *index, uint64_t offset, uint64_t time_ns)
{
	struct record record = { .offset = offset, .time_ns = time_ns, .boot = index->last.number, .link = index->last_record };
	(void)index_append(index, &record);
}

unsigned index_time_step_ms(const struct index *index)
{
	static const struct {
		uint32_t below;
		unsigned step_ms;
	} steps[] = { { 1u << 16, 10 }, { 1u << 18, 100 }, { 1u << 19, 1000 } };
	uint32_t records = index->count - (index->last_record != INDEX_NONE ? index->last_record : index->first);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (records < steps[i].below)
			return steps[i].step_ms;
	return 10000;
}

int index_add_boot(struct index *index, const struct index_boot *boot, struct err *err)
{
	uint32_t start = boot->explicit_start ? index->count : index->start_record; /* this, or any one that is gone: see the header */
	struct record record = { .offset = boot->offset,
				 .time_ns = boot->time_ns,
				 .boot = boot->number,
				 .link = start,
				 .flags = INDEX_BOOT | (boot->explicit_start ? INDEX_EXPLICIT : 0) };
	int rc = index_append(index, &record);
	if (rc < 0)
		return err_sys(err, -rc, "write the mark of boot %" PRIu32 " to \"%s\"", boot->number, index->file);
	index->last = *boot;
	index->last_record = index->count - 1;
	if (boot->explicit_start) {
		index->start_offset = boot->offset;
		index->start_record = index->last_record;
	}
	return 0;
}

int index_mark_tail_unknown(struct index *index, struct err *err)
{
	struct record record;
	if (index->last.number == 0 || !index_get(index, index->last_record, &record) || !(record.flags & INDEX_BOOT))
		return 0; /* the mark is gone, or damaged */
	record.flags |= INDEX_TAIL_UNKNOWN;
	record.check = index_check(&record);
	ssize_t n = file_write(index->fd, &record, sizeof(record), index_position(index->last_record));
	if (n < 0)
		return err_sys(err, (int)-n, "write the mark of boot %" PRIu32 " to \"%s\"", record.boot, index->file);
	index->last.tail_unknown = true;
	return 0;
}

/* ---------------------------------------------------------------- looking up */

bool index_find_boot(const struct index *index, uint32_t number, struct index_boot *out)
{
	if (number == 0)
		return false;
	if (number == index->last.number) {
		*out = index->last;
		return true;
	}
	struct record record;
	if (!index_get(index, index_search(index, record_is_after_boot, number - 1), &record) || record.boot != number)
		return false;
	/* When the mark itself is damaged its first time stands in. */
	*out = index_boot_of(number, &record);
	return true;
}

uint32_t index_first_boot(const struct index *index)
{
	struct record record;
	return index_get(index, index_search(index, record_is_after_boot, 0), &record) ? record.boot : index->last.number;
}

/* The first record after `offset`, found from a hint by a few steps or else by search. */
static uint32_t index_next(const struct index *index, uint64_t offset, uint32_t hint)
{
	struct record record;
	if (!index_get(index, hint, &record) || record.offset > offset)
		return index_search(index, record_is_after_offset, offset);
	for (uint32_t i = 0; i < INDEX_STEPS; i++) {
		hint++;
		if (hint >= index->count)
			return index->count;
		if (!index_get(index, hint, &record))
			break;
		if (record.offset > offset)
			return hint;
	}
	return index_search(index, record_is_after_offset, offset);
}

void index_locate(const struct index *index, uint64_t offset, uint32_t *hint, struct index_span *out)
{
	struct record record;
	uint32_t next = index_next(index, offset, *hint), at;
	*out = (struct index_span){ .next = UINT64_MAX };
	if (index_get(index, next, &record))
		out->next = record.offset;
	if (next == index->first || !index_get_before(index, index->first, next - 1, &record, &at))
		return;
	*hint = at;
	out->time_ns = record.time_ns;
	out->boot = record.boot;
	struct record mark = record;
	if ((record.flags & INDEX_BOOT) || index_get_mark(index, &record, &mark, &at))
		out->boot_time_ns = mark.time_ns;
}
