/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that only grow, whatever happens to the files; what is read is what was added, or counted as gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "instance/journal.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "wire/mem.h"

#define STATE   PWEMU__V1__EVENT_KIND__EVENT_KIND_STATE
#define WARNING PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING

struct box {
	char dir[64];
	struct event_base *base;
	struct journal *journal;
};

static int box_setup(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-journal-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->base = loop_new();
	b->journal = journal_open(b->base, b->dir);
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	struct box *b = *state;
	char command[96];
	journal_free(b->journal);
	loop_free(b->base);
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	int rc = system(command);
	free(b);
	return rc;
}

/* ---------------------------------------------------------------- shorthands */

static void box_close(struct box *b)
{
	journal_free(b->journal);
	b->journal = NULL;
}

static void box_reopen(struct box *b)
{
	box_close(b);
	b->journal = journal_open(b->base, b->dir);
}

static char *box_path(const struct box *b, const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%.60s/%.40s", b->dir, name);
	return path;
}

static off_t box_size(const struct box *b, const char *name)
{
	struct stat st;
	return stat(box_path(b, name), &st) == 0 ? st.st_size : -1;
}

static void box_write(const struct box *b, const char *name, off_t at, const void *bytes, size_t len)
{
	int fd = open(box_path(b, name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

/* The whole file; to be freed. */
static char *box_bytes(const struct box *b, const char *name, size_t *len)
{
	*len = (size_t)box_size(b, name);
	char *bytes = xmalloc(*len + 1);
	int fd = open(box_path(b, name), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, bytes, *len), (ssize_t)*len);
	close(fd);
	return bytes;
}

static void add(struct box *b, const char *text)
{
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	event.kind = STATE;
	event.instance_id = "abc123";
	event.reason = (char *)(uintptr_t)text;
	journal_add(b->journal, &event);
	assert_in_range(event.seq, 1, journal_last(b->journal)); /* a warning may follow it */
	assert_true(event.time_ns > 0);
}

/* Texts "1", "2", … as the numbers that they get. */
static void add_many(struct box *b, uint64_t count)
{
	char text[24];
	for (uint64_t i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)journal_last(b->journal) + 1);
		add(b, text);
	}
}

static void ignore_event(void *ctx)
{
	(void)ctx;
}

/* Reads all from there on; every STATE event is where it belongs. Returns how many; *gone: how many were not kept. */
static uint64_t read_all(struct box *b, uint64_t from, uint64_t *gone)
{
	struct journal_reader *reader = journal_reader_new(b->journal, from, ignore_event, NULL);
	Pwemu__V1__Event *event;
	uint64_t count = 0, expected = from;
	*gone = 0;
	while (journal_read(reader, &event)) {
		char text[24];
		snprintf(text, sizeof(text), "%llu", (unsigned long long)event->seq);
		assert_int_equal(event->seq, expected + event->gone);
		if (event->kind == STATE)
			assert_string_equal(event->reason, text);
		*gone += event->gone;
		expected = event->seq + 1;
		count++;
		pwemu__v1__event__free_unpacked(event, NULL);
	}
	assert_int_equal(journal_reader_next(reader), expected);
	journal_reader_free(reader);
	return count;
}

static void assert_all(struct box *b, uint64_t from, uint64_t count)
{
	uint64_t gone;
	assert_int_equal(read_all(b, from, &gone), count);
	assert_int_equal(gone, 0);
}

/* The newest event is a warning that says so. */
static void assert_warned(struct box *b, const char *text)
{
	struct journal_reader *reader = journal_reader_new(b->journal, journal_last(b->journal), ignore_event, NULL);
	Pwemu__V1__Event *event;
	assert_true(journal_read(reader, &event));
	assert_int_equal(event->kind, WARNING);
	assert_string_equal(event->instance_id, "");
	if (strstr(event->reason, text) == NULL)
		fail_msg("no \"%s\" in: %s", text, event->reason);
	pwemu__v1__event__free_unpacked(event, NULL);
	journal_reader_free(reader);
}

static void limit_files(rlim_t size)
{
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ size, RLIM_INFINITY }), 0);
}

/* ---------------------------------------------------------------- as it should be */

static void test_reopen(void **state)
{
	struct box *b = *state;
	assert_int_equal(journal_last(b->journal), 0);
	assert_all(b, 1, 0);
	for (uint64_t round = 1; round < 5; round++) {
		add_many(b, 100);
		box_reopen(b);
		assert_int_equal(journal_last(b->journal), 100 * round);
		assert_all(b, 1, 100 * round);
		assert_all(b, 100 * round, 1);
		assert_all(b, 100 * round + 1, 0);
	}
}

static void test_none(void **state)
{
	(void)state;
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	journal_add(NULL, &event);
	assert_int_equal(journal_last(NULL), 0);
	journal_free(NULL);
}

/* All fields survive. */
static void test_content(void **state)
{
	struct box *b = *state;
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_CRASHED;
	char details[4096];
	memset(details, 'd', sizeof(details));
	details[sizeof(details) - 1] = '\0';
	end.details = details;
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT, *read;
	event.kind = PWEMU__V1__EVENT_KIND__EVENT_KIND_END;
	event.end = &end;
	event.channel = "serial0";
	event.actor = "somebody";
	event.boot = 7;
	journal_add(b->journal, &event);
	box_reopen(b);
	struct journal_reader *reader = journal_reader_new(b->journal, 1, ignore_event, NULL);
	assert_true(journal_read(reader, &read));
	assert_int_equal(read->time_ns, event.time_ns);
	assert_int_equal(read->end->cause, end.cause);
	assert_string_equal(read->end->details, details);
	assert_string_equal(read->channel, "serial0");
	assert_string_equal(read->actor, "somebody");
	assert_int_equal(read->boot, 7);
	pwemu__v1__event__free_unpacked(read, NULL);
	journal_reader_free(reader);
}

/* Python's protobuf would refuse what is no UTF-8. */
static void test_texts_are_utf8(void **state)
{
	struct box *b = *state;
	Pwemu__V1__Event *event;
	add(b, "cut \xe2\x82, latin \xe4, whole \xe2\x82\xac \xc3");
	struct journal_reader *reader = journal_reader_new(b->journal, 1, ignore_event, NULL);
	assert_true(journal_read(reader, &event));
	assert_string_equal(event->reason, "cut ??, latin ?, whole \xe2\x82\xac ?");
	pwemu__v1__event__free_unpacked(event, NULL);
	journal_reader_free(reader);
}

/* At most two files of 4 MiB; what was in older ones is counted. */
static void test_rotation(void **state)
{
	struct box *b = *state;
	char text[901];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 20000; i++)
		add(b, text);
	assert_true(box_size(b, "events.log") <= 4 << 20);
	assert_true(box_size(b, "events.log.1") > (4 << 20) - 1000);
	assert_true(box_size(b, "events.log.1") <= 4 << 20);
	for (int round = 0; round < 2; round++) {
		struct journal_reader *reader = journal_reader_new(b->journal, 5, ignore_event, NULL);
		Pwemu__V1__Event *event;
		uint64_t first = 0, count = 0;
		while (journal_read(reader, &event)) {
			if (first == 0) {
				first = event->seq;
				assert_int_equal(event->gone, first - 5);
			} else {
				assert_int_equal(event->gone, 0);
			}
			assert_int_equal(event->seq, first + count++);
			assert_int_equal(strlen(event->reason), 900);
			pwemu__v1__event__free_unpacked(event, NULL);
		}
		assert_int_equal(first + count - 1, 20000);
		assert_true(count > 4000 && count < 10000);
		journal_reader_free(reader);
		box_reopen(b); /* and once more */
	}
}

/* ---------------------------------------------------------------- readers */

struct follower {
	struct box *box;
	struct journal_reader *reader;
	struct follower *other; /* is freed by it */
	uint64_t seen, wanted;
	unsigned *open;
};

static void follower_on_event(void *ctx)
{
	struct follower *f = ctx;
	Pwemu__V1__Event *event;
	while (journal_read(f->reader, &event)) {
		f->seen++;
		pwemu__v1__event__free_unpacked(event, NULL);
	}
	if (f->other != NULL) {
		journal_reader_free(f->other->reader);
		f->other->reader = NULL;
		f->other = NULL;
		--*f->open;
	}
	if (f->seen == f->wanted && --*f->open == 0)
		loop_stop(f->box->base);
}

static void fail_late(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happens");
}

static void stop_late(void *ctx)
{
	loop_stop(((struct box *)ctx)->base);
}

static void add_ten(void *ctx)
{
	add_many(ctx, 10);
}

/* They are told once for many events, those that do not read not at all; one that is freed by another is not told. */
static void test_many_readers(void **state)
{
	enum { COUNT = 1000 };
	struct box *b = *state;
	struct follower *all = xcalloc(COUNT, sizeof(*all));
	unsigned open = COUNT;
	struct timer *deadline = timer_new(b->base, fail_late, NULL), *later = timer_new(b->base, add_ten, b);
	add_many(b, 20);
	for (int i = 0; i < COUNT; i++) {
		all[i] = (struct follower){ .box = b, .open = &open, .wanted = 30 - (uint64_t)(i % 20) };
		all[i].reader = journal_reader_new(b->journal, (uint64_t)(i % 20) + 1, follower_on_event, &all[i]);
		journal_reader_again(all[i].reader);
	}
	all[3].other = &all[COUNT - 1];
	timer_arm(deadline, 30000);
	timer_arm(later, 1);
	loop_run(b->base);
	for (int i = 0; i < COUNT - 1; i++) {
		assert_int_equal(all[i].seen, all[i].wanted);
		journal_reader_free(all[i].reader);
	}
	timer_free(deadline);
	timer_free(later);
	free(all);
}

static void count_told(void *ctx)
{
	++*(unsigned *)ctx;
}

/* Of others' events it is not told while it waits; it reads them where it has come late. */
static void test_reader_of_one_instance(void **state)
{
	struct box *b = *state;
	struct timer *deadline = timer_new(b->base, stop_late, b);
	static const char *const ids[] = { "abc123", "def456" };
	struct journal_reader *readers[2];
	unsigned told[2] = { 0 };
	Pwemu__V1__Event *event;
	for (int i = 0; i < 2; i++) {
		readers[i] = journal_reader_new(b->journal, 1, count_told, &told[i]);
		journal_reader_only(readers[i], ids[i]);
		assert_false(journal_read(readers[i], &event));
	}
	add_many(b, 3); /* abc123's */
	timer_arm(deadline, 1);
	loop_run(b->base);
	assert_int_equal(told[0], 1);
	assert_int_equal(told[1], 0);
	assert_int_equal(journal_reader_next(readers[0]), 1);
	assert_int_equal(journal_reader_next(readers[1]), 4);
	for (int i = 0; i < 2; i++) {
		for (int n = 0; n < 3 * (i == 0); n++) {
			assert_true(journal_read(readers[i], &event));
			pwemu__v1__event__free_unpacked(event, NULL);
		}
		assert_false(journal_read(readers[i], &event));
		journal_reader_free(readers[i]);
	}
	timer_free(deadline);
}

/* One that is in the middle of a file goes on after that file has become the old one. */
static void test_reader_over_rotation(void **state)
{
	struct box *b = *state;
	struct journal_reader *reader = journal_reader_new(b->journal, 1, ignore_event, NULL);
	Pwemu__V1__Event *event;
	uint64_t seen = 0;
	char text[901];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 12000; i++) {
		add(b, text);
		if (i % 3 == 0 && i < 6000)
			continue;
		assert_true(journal_read(reader, &event));
		assert_int_equal(event->seq, ++seen);
		assert_int_equal(event->gone, 0);
		pwemu__v1__event__free_unpacked(event, NULL);
	}
	assert_true(box_size(b, "events.log.1") > 0);
	journal_reader_free(reader);
}

/* ---------------------------------------------------------------- damage */

/* Cut anywhere: what is whole is there, and no number comes again. */
static void test_truncation(void **state)
{
	struct box *b = *state;
	size_t len, number_len;
	add_many(b, 9);
	box_close(b);
	char *bytes = box_bytes(b, "events.log", &len), *number = box_bytes(b, "events.seq", &number_len);
	size_t record = (len - 16) / 9;
	for (size_t cut = 0; cut < len; cut++) {
		uint64_t gone, whole = cut < 16 ? 0 : (cut - 16) / record;
		bool is_torn = cut < 16 ? cut > 0 : (cut - 16) % record != 0;
		box_write(b, "events.log", 0, bytes, len);
		box_write(b, "events.seq", 0, number, number_len);
		assert_int_equal(truncate(box_path(b, "events.log"), (off_t)cut), 0);
		box_reopen(b);
		assert_int_equal(journal_last(b->journal), 9 + is_torn); /* a warning */
		add_many(b, 1);
		assert_int_equal(read_all(b, 1, &gone), whole + is_torn + 1);
		assert_int_equal(gone, 9 - whole);
		box_close(b);
	}
	free(bytes);
	free(number);
}

/* Without the second file too what is whole is there, and the numbers go on after it. */
static void test_truncation_without_number(void **state)
{
	struct box *b = *state;
	add_many(b, 10);
	size_t len;
	char *bytes = box_bytes(b, "events.log", &len);
	box_close(b);
	unlink(box_path(b, "events.seq"));
	assert_int_equal(truncate(box_path(b, "events.log"), (off_t)len - 3), 0);
	box_reopen(b);
	assert_warned(b, "damaged after event 9");
	assert_int_equal(journal_last(b->journal), 10);
	assert_all(b, 1, 10);
	free(bytes);
}

/* Every byte of a record is covered. */
static void test_corruption(void **state)
{
	struct box *b = *state;
	size_t len;
	add_many(b, 5);
	box_close(b);
	char *bytes = box_bytes(b, "events.log", &len);
	size_t record = (len - 16) / 5;
	for (size_t at = 16 + 2 * record; at < 16 + 3 * record; at++) {
		uint64_t gone;
		char bad = (char)(bytes[at] ^ 0x40);
		box_write(b, "events.log", 0, bytes, len);
		assert_int_equal(truncate(box_path(b, "events.log"), (off_t)len), 0);
		box_write(b, "events.log", (off_t)at, &bad, 1);
		box_reopen(b);
		assert_warned(b, "damaged after event 2");
		assert_true(journal_last(b->journal) > 5);
		assert_int_equal(read_all(b, 1, &gone), 3);
		assert_int_equal(gone, journal_last(b->journal) - 3);
		box_close(b);
	}
	free(bytes);
}

static void test_no_journal(void **state)
{
	struct box *b = *state;
	uint64_t gone;
	add_many(b, 5);
	box_close(b);
	box_write(b, "events.log", 0, "something else", 14);
	box_reopen(b);
	assert_warned(b, "set aside as \"events.log.bad\"");
	assert_int_equal(journal_last(b->journal), 6);
	assert_int_equal(read_all(b, 1, &gone), 1);
	assert_int_equal(gone, 5);
	assert_true(box_size(b, "events.log.bad") > 14);
	box_reopen(b);
	assert_int_equal(journal_last(b->journal), 6); /* told once */
}

static void test_no_regular_file(void **state)
{
	struct box *b = *state;
	add_many(b, 5);
	box_close(b);
	unlink(box_path(b, "events.log"));
	assert_int_equal(symlink("/etc/passwd", box_path(b, "events.log")), 0);
	box_reopen(b);
	assert_warned(b, "set aside");
	box_close(b);
	unlink(box_path(b, "events.log"));
	assert_int_equal(mkdir(box_path(b, "events.log"), 0700), 0);
	box_reopen(b);
	assert_warned(b, "events.log");
	assert_int_equal(journal_last(b->journal) > 6, 1);
}

static void test_lost(void **state)
{
	struct box *b = *state;
	uint64_t gone;
	add_many(b, 5);
	box_close(b);
	unlink(box_path(b, "events.log"));
	box_reopen(b);
	add_many(b, 1);
	assert_int_equal(journal_last(b->journal), 6);
	assert_int_equal(read_all(b, 2, &gone), 1);
	assert_int_equal(gone, 4);
	box_write(b, "events.seq", 0, "garbagegarbagega", 16);
	box_reopen(b);
	assert_int_equal(journal_last(b->journal), 6);
}

/* A daemon that died in the middle of a rotation. */
static void test_half_rotated(void **state)
{
	struct box *b = *state;
	char old[160];
	add_many(b, 5);
	box_close(b);
	snprintf(old, sizeof(old), "%s", box_path(b, "events.log.1"));
	assert_int_equal(rename(box_path(b, "events.log"), old), 0);
	unlink(box_path(b, "events.seq"));
	box_reopen(b);
	assert_int_equal(journal_last(b->journal), 5);
	add_many(b, 5);
	assert_all(b, 1, 10);
}

/* ---------------------------------------------------------------- a full disk */

static void test_disk_full(void **state)
{
	struct box *b = *state;
	uint64_t gone;
	add_many(b, 10);
	limit_files((rlim_t)box_size(b, "events.log") + 20); /* a part of the next one fits */
	add_many(b, 1);
	assert_int_equal(journal_last(b->journal), 12);
	assert_warned(b, "in memory only");
	add_many(b, 50);
	assert_all(b, 1, 62);
	limit_files(RLIM_INFINITY);
	add_many(b, 1);
	assert_warned(b, "written again, 0 were lost");
	assert_all(b, 1, 64);
	box_reopen(b);
	assert_all(b, 1, 64);
	limit_files((rlim_t)box_size(b, "events.log"));
	add_many(b, 3000); /* more than is kept */
	assert_true(read_all(b, 1, &gone) >= 64 + 1000);
	assert_int_equal(gone, journal_last(b->journal) - 64 - 1024);
	limit_files(RLIM_INFINITY);
	add_many(b, 1);
	assert_warned(b, "were lost");
	uint64_t kept = read_all(b, 1, &gone);
	assert_int_equal(kept + gone, journal_last(b->journal));
}

/* As for a daemon that is killed meanwhile: the events are lost, the numbers are not. */
static void test_end_while_full(void **state)
{
	struct box *b = *state;
	uint64_t gone;
	add_many(b, 10);
	limit_files((rlim_t)box_size(b, "events.log"));
	add_many(b, 10);
	limit_files(RLIM_INFINITY);
	box_reopen(b);
	assert_int_equal(journal_last(b->journal), 21);
	add_many(b, 1);
	assert_int_equal(read_all(b, 1, &gone), 11);
	assert_int_equal(gone, 11);
}

static void test_no_directory(void **state)
{
	struct box *b = *state;
	box_close(b);
	b->journal = journal_open(b->base, "/nowhere/at/all");
	add_many(b, 10);
	assert_true(journal_last(b->journal) >= 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
		T(test_reopen),
		T(test_none),
		T(test_content),
		T(test_texts_are_utf8),
		T(test_rotation),
		T(test_many_readers),
		T(test_reader_of_one_instance),
		T(test_reader_over_rotation),
		T(test_truncation),
		T(test_truncation_without_number),
		T(test_corruption),
		T(test_no_journal),
		T(test_no_regular_file),
		T(test_lost),
		T(test_half_rotated),
		T(test_disk_full),
		T(test_end_while_full),
		T(test_no_directory),
	};
	if (log_setup("/dev/null", LOG_LEVEL_ERROR, NULL) < 0)
		return 1;
	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
