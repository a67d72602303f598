/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two files, events.log and the full one before it, events.log.1. An event is in memory until it is written: while the disk is full
 * the newest MEMORY_MAX stay there. The newest number is also in events.seq, written after the event: should the files lose their
 * end, or be lost, the numbers go on behind it, and readers learn how many are gone. Nothing is synced.
 */
#include "instance/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "base/pb.h"
#include "channel/file.h"
#include "instance/journal_file.h"
#include "loop/timer.h"
#include "wire/codec.h"
#include "wire/mem.h"
#include "wire/utf8.h"

#define JOURNAL_FILE_MAX (4u << 20)
#define JOURNAL_RETRY_MS 5000
#define JOURNAL_TELL_MAX 64 /* readers that are told in one turn of the loop */
#define MEMORY_MAX       1024

#define NAME     "events.log"
#define NAME_OLD "events.log.1"
#define NAME_SEQ "events.seq"

struct unwritten {
	uint64_t seq;
	uint8_t *bytes;
	size_t len;
};

enum reader_state {
	READER_TOLD,    /* in no queue: its owner knows that there may be something */
	READER_WAITING, /* has read everything */
	READER_READY,   /* to be told */
};

struct journal_reader {
	TAILQ_ENTRY(journal_reader) queue;
	struct journal *journal;
	enum reader_state state;
	uint64_t next;
	const char *only; /* events of this instance; NULL: all */
	struct journal_place place;
	void (*on_event)(void *ctx);
	void *ctx;
};

TAILQ_HEAD(reader_queue, journal_reader);

struct journal {
	int dir, seq_fd;
	struct journal_file old, current;
	uint64_t last;
	struct unwritten memory[MEMORY_MAX]; /* ring */
	size_t memory_first, memory_count;
	bool is_failing;
	uint64_t lost; /* since it began to fail */
	struct timer *retry, *tell;
	struct reader_queue waiting, ready;
};

/* ---------------------------------------------------------------- memory */

static struct unwritten *memory_at(struct journal *journal, size_t n)
{
	return &journal->memory[(journal->memory_first + n) % MEMORY_MAX];
}

static void memory_pop(struct journal *journal)
{
	free(memory_at(journal, 0)->bytes);
	journal->memory_first = (journal->memory_first + 1) % MEMORY_MAX;
	journal->memory_count--;
}

/* Its texts come from anywhere; one that cannot be decoded would end every Watch that comes to it. */
static Pwemu__V1__Event *event_repaired(const Pwemu__V1__Event *event)
{
	Pwemu__V1__Event *copy = PB_COPY(Pwemu__V1__Event, event);
	char *const texts[] = { copy->instance, copy->reason, copy->channel, copy->actor };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		utf8_repair(texts[i]);
	if (copy->end != NULL) {
		utf8_repair(copy->end->message);
		utf8_repair(copy->end->details);
	}
	return copy;
}

static void memory_push(struct journal *journal, const Pwemu__V1__Event *event)
{
	size_t len = protobuf_c_message_get_packed_size(&event->base);
	assert(len <= JOURNAL_RECORD_MAX); /* its texts come from small buffers */
	if (journal->memory_count == MEMORY_MAX) {
		memory_pop(journal);
		journal->lost++;
	}
	uint8_t *bytes = xmalloc(len);
	protobuf_c_message_pack(&event->base, bytes);
	*memory_at(journal, journal->memory_count++) = (struct unwritten){ event->seq, bytes, len };
}

static bool memory_find(struct journal *journal, uint64_t wanted, const uint8_t **bytes, size_t *len)
{
	for (size_t i = 0; i < journal->memory_count; i++) {
		const struct unwritten *row = memory_at(journal, i);
		if (row->seq < wanted)
			continue;
		*bytes = row->bytes;
		*len = row->len;
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- the number */

struct number {
	uint64_t seq;
	uint64_t check;
};

static uint64_t number_check(uint64_t seq)
{
	return ~seq * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t number_read(const struct journal *journal)
{
	struct number number;
	bool is_whole = journal->seq_fd >= 0 && file_read(journal->seq_fd, &number, sizeof(number), 0) == sizeof(number);
	return is_whole && number.check == number_check(number.seq) ? number.seq : 0;
}

/* Only needed when the files are damaged: what cannot be written here is no trouble yet. */
static void number_write(const struct journal *journal)
{
	struct number number = { journal->last, number_check(journal->last) };
	if (journal->seq_fd >= 0)
		(void)!file_write(journal->seq_fd, &number, sizeof(number), 0);
}

/* ---------------------------------------------------------------- files */

static int journal_rotate(struct journal *journal, struct err *err)
{
	if (renameat(journal->dir, NAME, journal->dir, NAME_OLD) < 0)
		return err_sys(err, errno, "rename \"" NAME "\"");
	journal_file_fini(&journal->old);
	journal->old = journal->current;
	journal_file_init(&journal->current);
	return 0;
}

static int journal_write(struct journal *journal, const struct unwritten *row, struct err *err)
{
	struct err repaired = ERR_INIT;
	bool is_full = journal->current.last != 0 && journal->current.end + row->len > JOURNAL_FILE_MAX;
	if (is_full && journal_rotate(journal, err) < 0)
		return -1;
	if (journal->current.fd < 0 && journal_file_open(&journal->current, journal->dir, NAME, &repaired, err) < 0)
		return -1;
	return journal_file_append(&journal->current, row->seq, row->bytes, row->len, err);
}

static void journal_on_trouble(struct journal *journal, const struct err *err)
{
	timer_arm(journal->retry, JOURNAL_RETRY_MS);
	if (journal->is_failing)
		return;
	journal->is_failing = true;
	journal->lost = 0;
	log_error(NULL, "events are kept in memory only: %s", err->msg);
	journal_tell(journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, "events are kept in memory only: %s", err->msg);
}

/* Writes what is in memory; where that fails it stays. */
static void journal_flush(struct journal *journal)
{
	struct err err = ERR_INIT;
	while (journal->memory_count > 0) {
		if (journal_write(journal, memory_at(journal, 0), &err) < 0) {
			journal_on_trouble(journal, &err);
			return;
		}
		memory_pop(journal);
	}
	if (!journal->is_failing)
		return;
	journal->is_failing = false;
	timer_disarm(journal->retry);
	log_info(NULL, "events are written again, %llu were lost", (unsigned long long)journal->lost);
	journal_tell(journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, "events are written again, %llu were lost",
		     (unsigned long long)journal->lost);
}

static void journal_on_retry(void *ctx)
{
	journal_flush(ctx);
}

/* ---------------------------------------------------------------- adding */

static struct reader_queue *reader_queue(struct journal_reader *reader)
{
	return reader->state == READER_WAITING ? &reader->journal->waiting : &reader->journal->ready;
}

static void reader_set(struct journal_reader *reader, enum reader_state state)
{
	if (reader->state != READER_TOLD)
		TAILQ_REMOVE(reader_queue(reader), reader, queue);
	reader->state = state;
	if (reader->state != READER_TOLD)
		TAILQ_INSERT_TAIL(reader_queue(reader), reader, queue);
}

/* Of hundreds that wait for an instance each, few have to look at it. */
static bool reader_passes_over(struct journal_reader *reader, const Pwemu__V1__Event *event)
{
	if (reader->only == NULL || reader->next != event->seq || strcmp(reader->only, event->instance_id) == 0)
		return false;
	reader->next++;
	reader->place = (struct journal_place){ 0 }; /* to be looked for, not read up to */
	return true;
}

static void journal_wake(struct journal *journal, const Pwemu__V1__Event *event)
{
	struct journal_reader *reader, *next;
	for (reader = TAILQ_FIRST(&journal->waiting); reader != NULL; reader = next) {
		next = TAILQ_NEXT(reader, queue);
		if (!reader_passes_over(reader, event))
			reader_set(reader, READER_READY);
	}
	if (!TAILQ_EMPTY(&journal->ready))
		timer_arm(journal->tell, 0);
}

void journal_add(struct journal *journal, Pwemu__V1__Event *event)
{
	if (journal == NULL)
		return;
	event->seq = ++journal->last;
	event->time_ns = clock_wall_ns();
	Pwemu__V1__Event *repaired = event_repaired(event);
	memory_push(journal, repaired);
	PB_FREE(repaired);
	journal_flush(journal);
	number_write(journal);
	journal_wake(journal, event);
}

void journal_tell(struct journal *journal, Pwemu__V1__EventKind kind, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	event.kind = kind;
	event.reason = text;
	journal_add(journal, &event);
}

uint64_t journal_last(const struct journal *journal)
{
	return journal != NULL ? journal->last : 0;
}

/* ---------------------------------------------------------------- opening */

/* Out of the way, so that a new one can be made; what there was is not lost. */
static void journal_set_aside(struct journal *journal, const char *name, const struct err *why)
{
	char aside[32];
	snprintf(aside, sizeof(aside), "%s.bad", name);
	bool is_aside = renameat(journal->dir, name, journal->dir, aside) == 0;
	log_error(NULL, "%s; it %s \"%s\"", why->msg, is_aside ? "is set aside as" : "cannot be set aside as", aside);
	journal_tell(journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, "%s; it %s \"%s\"", why->msg,
		     is_aside ? "is set aside as" : "cannot be set aside as", aside);
}

struct opening {
	struct journal_file *file;
	const char *name;
	bool is_unusable;
	struct err repaired, err;
};

/* Twice: what failed once is not necessarily broken. */
static void journal_open_file(struct journal *journal, struct opening *opening)
{
	if (journal->dir < 0)
		return;
	for (int round = 0; round < 2; round++) {
		int rc = journal_file_open(opening->file, journal->dir, opening->name, &opening->repaired, &opening->err);
		opening->is_unusable = rc < 0;
		if (rc == 0)
			break;
	}
	if (opening->file->last > journal->last)
		journal->last = opening->file->last;
}

/* What was found, as events of the new files. */
static void journal_report(struct journal *journal, const struct opening *opening)
{
	if (opening->is_unusable)
		journal_set_aside(journal, opening->name, &opening->err);
	if (!err_is_set(&opening->repaired))
		return;
	log_error(NULL, "%s", opening->repaired.msg);
	journal_tell(journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, "%s", opening->repaired.msg);
}

static void journal_open_files(struct journal *journal, const char *state_dir)
{
	struct err err = ERR_INIT;
	struct opening old = { .file = &journal->old, .name = NAME_OLD }, current = { .file = &journal->current, .name = NAME };
	uint64_t size;
	if (dirs_open(state_dir, &journal->dir, &err) == 0)
		journal->seq_fd = file_open(journal->dir, NAME_SEQ, &size, &err);
	if (err_is_set(&err))
		log_error(NULL, "%s", err.msg);
	if (journal->dir >= 0 && faccessat(journal->dir, NAME_OLD, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		journal_open_file(journal, &old);
	journal_open_file(journal, &current);
	uint64_t known = number_read(journal);
	if (known > journal->last)
		journal->last = known;
	journal_report(journal, &current);
	journal_report(journal, &old);
}

static void journal_on_tell(void *ctx);

struct journal *journal_open(struct event_base *base, const char *state_dir)
{
	struct journal *journal = xcalloc(1, sizeof(*journal));
	journal->dir = journal->seq_fd = -1;
	journal_file_init(&journal->old);
	journal_file_init(&journal->current);
	TAILQ_INIT(&journal->waiting);
	TAILQ_INIT(&journal->ready);
	journal->retry = timer_new(base, journal_on_retry, journal);
	journal->tell = timer_new(base, journal_on_tell, journal);
	journal_open_files(journal, state_dir);
	return journal;
}

void journal_free(struct journal *journal)
{
	if (journal == NULL)
		return;
	journal_file_fini(&journal->old);
	journal_file_fini(&journal->current);
	while (journal->memory_count > 0)
		memory_pop(journal);
	if (journal->seq_fd >= 0)
		close(journal->seq_fd);
	if (journal->dir >= 0)
		close(journal->dir);
	timer_free(journal->retry);
	timer_free(journal->tell);
	free(journal);
}

/* ---------------------------------------------------------------- reading */

/* A bounded number, then the loop has its turn. Who is told may free others. */
static void journal_on_tell(void *ctx)
{
	struct journal *journal = ctx;
	struct journal_reader *reader;
	for (int n = 0; n < JOURNAL_TELL_MAX && (reader = TAILQ_FIRST(&journal->ready)) != NULL; n++) {
		reader_set(reader, READER_TOLD);
		reader->on_event(reader->ctx);
	}
	if (!TAILQ_EMPTY(&journal->ready))
		timer_arm(journal->tell, 0);
}

struct journal_reader *journal_reader_new(struct journal *journal, uint64_t from, void (*on_event)(void *ctx), void *ctx)
{
	struct journal_reader *reader = xcalloc(1, sizeof(*reader));
	reader->journal = journal;
	reader->next = from > 0 ? from : 1;
	reader->on_event = on_event;
	reader->ctx = ctx;
	reader->state = READER_TOLD;
	return reader;
}

void journal_reader_only(struct journal_reader *reader, const char *instance_id)
{
	reader->only = instance_id;
}

void journal_reader_free(struct journal_reader *reader)
{
	if (reader == NULL)
		return;
	reader_set(reader, READER_TOLD);
	free(reader);
}

uint64_t journal_reader_next(const struct journal_reader *reader)
{
	return reader->next;
}

void journal_reader_again(struct journal_reader *reader)
{
	reader_set(reader, READER_READY);
	timer_arm(reader->journal->tell, 0);
}

static bool reader_find(struct journal_reader *reader, const uint8_t **bytes, size_t *len)
{
	struct journal *journal = reader->journal;
	return journal_file_find(&journal->old, reader->next, &reader->place, bytes, len) ||
	       journal_file_find(&journal->current, reader->next, &reader->place, bytes, len) ||
	       memory_find(journal, reader->next, bytes, len);
}

bool journal_read(struct journal_reader *reader, Pwemu__V1__Event **out)
{
	const uint8_t *bytes;
	size_t len;
	while (reader_find(reader, &bytes, &len)) {
		Pwemu__V1__Event *event = (Pwemu__V1__Event *)msg_unpack(&pwemu__v1__event__descriptor, bytes, len);
		if (event == NULL || event->seq < reader->next) { /* well preserved nonsense */
			if (event != NULL)
				pwemu__v1__event__free_unpacked(event, NULL);
			reader->next++;
			continue;
		}
		event->gone = event->seq - reader->next;
		reader->next = event->seq + 1;
		*out = event;
		return true;
	}
	if (reader->state == READER_TOLD)
		reader_set(reader, READER_WAITING);
	return false;
}
