/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of daemon/channel/ share: a directory, a pair of FIFOs, a loop, and waiting for a state with a deadline. */
#pragma once

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel/hub.h"
#include "loop/timer.h"
#include "wire/mem.h"

#define DEADLINE_MS 20000

struct fixture {
	char path[64];
	int dir;
	struct event_base *base;
	struct event *tick; /* ends a turn of the loop in which nothing happens */
	struct hub *hub;
	uint64_t limit_bytes; /* of the hub that is opened next, as the next one */
	bool drop_oldest;
	int guest_out; /* the emulator's ends */
	int guest_in;
	unsigned troubles;
	struct err trouble; /* the last */
	unsigned stucks;
	unsigned writer_changes;
	unsigned ends;
};

/* ---- callbacks of the hub */

static inline void fixture_on_trouble(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;
	f->troubles++;
	f->trouble = *err;
}

static inline void fixture_on_stuck(void *ctx)
{
	((struct fixture *)ctx)->stucks++;
}

static inline void fixture_on_writer(void *ctx)
{
	((struct fixture *)ctx)->writer_changes++;
}

static inline void fixture_on_end(void *ctx)
{
	((struct fixture *)ctx)->ends++;
}

/* ---- set-up */

static inline void fixture_noop(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what, (void)ctx;
}

static inline struct hub_config fixture_config(struct fixture *f)
{
	return (struct hub_config){ .base = f->base,
				    .name = "serial0",
				    .log_dir = f->dir,
				    .limit_bytes = f->limit_bytes,
				    .drop_oldest = f->drop_oldest,
				    .on_input_stuck = fixture_on_stuck,
				    .on_trouble = fixture_on_trouble,
				    .on_writer = fixture_on_writer,
				    .ctx = f };
}

static inline void fixture_open(struct fixture *f)
{
	struct hub_config config = fixture_config(f);
	struct err err = ERR_INIT;
	if (hub_open(&config, &f->hub, &err) != 0)
		fail_msg("%s", err.msg);
}

static inline void fixture_close(struct fixture *f)
{
	hub_free(f->hub);
	f->hub = NULL;
}

static inline struct fixture *fixture_new_at(const char *parent)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	snprintf(f->path, sizeof(f->path), "%s/pwemu-channel-XXXXXX", parent);
	assert_non_null(mkdtemp(f->path));
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dir >= 0);
	f->base = event_base_new();
	f->tick = event_new(f->base, -1, EV_TIMEOUT, fixture_noop, NULL);
	f->guest_out = f->guest_in = -1;
	return f;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = fixture_new_at("/tmp");
	fixture_open(f);
	*state = f;
	return 0;
}

static inline void fixture_remove_files(struct fixture *f)
{
	DIR *dir = opendir(f->path);
	struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(f->dir, entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(f->path);
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	clock_override(NULL);
	fixture_close(f);
	event_free(f->tick);
	event_base_free(f->base);
	if (f->guest_out >= 0)
		close(f->guest_out);
	if (f->guest_in >= 0)
		close(f->guest_in);
	fixture_remove_files(f);
	close(f->dir);
	free(f);
	return 0;
}

/* Makes a FIFO and returns one end; the other, which the emulator has, replaces *guest. */
static inline int fixture_fifo(struct fixture *f, const char *name, int *guest)
{
	unlinkat(f->dir, name, 0);
	assert_int_equal(mkfifoat(f->dir, name, 0600), 0);
	if (*guest >= 0)
		close(*guest);
	*guest = openat(f->dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int fd = openat(f->dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0 && *guest >= 0);
	return fd;
}

static inline void fixture_boot(struct fixture *f, uint32_t number, bool explicit_start)
{
	struct err err = ERR_INIT;
	int out = fixture_fifo(f, "out", &f->guest_out), in = fixture_fifo(f, "in", &f->guest_in);
	if (hub_begin_boot(f->hub, number, explicit_start, out, in, &err) != 0)
		fail_msg("%s", err.msg);
}

/* ---- running the loop */

static inline uint64_t test_now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void fixture_turn(struct fixture *f)
{
	static const struct timeval most = { 0, 5000 };
	event_add(f->tick, &most);
	event_base_loop(f->base, EVLOOP_ONCE);
	event_del(f->tick);
}

#define LOOP_UNTIL(f, condition)                                                                                                           \
	do {                                                                                                                               \
		uint64_t until_ms = test_now_ms() + DEADLINE_MS;                                                                           \
		while (!(condition)) {                                                                                                     \
			if (test_now_ms() > until_ms)                                                                                      \
				fail_msg("not in time: %s", #condition);                                                                   \
			fixture_turn(f);                                                                                                   \
		}                                                                                                                          \
	} while (0)

static inline int fixture_count_timer(const struct event_base *base, const struct event *event, void *ctx)
{
	(void)base;
	*(unsigned *)ctx += event_pending(event, EV_TIMEOUT, NULL) ? 1 : 0;
	return 0;
}

/* Timers that will wake the loop though nothing happens. */
static inline unsigned fixture_timers(struct fixture *f)
{
	unsigned count = 0;
	event_base_foreach_event(f->base, fixture_count_timer, &count);
	return count;
}

static inline void fixture_end_boot(struct fixture *f)
{
	unsigned ends = f->ends;
	hub_end_boot(f->hub, fixture_on_end, f);
	LOOP_UNTIL(f, f->ends == ends + 1);
}

/* ---- the emulator */

static inline void guest_print(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->guest_out, text, strlen(text)), (ssize_t)strlen(text));
}

/* Prints and waits until it is in the log. */
static inline void guest_print_logged(struct fixture *f, const char *text)
{
	uint64_t end = hub_end_offset(f->hub) + strlen(text);
	guest_print(f, text);
	LOOP_UNTIL(f, hub_end_offset(f->hub) == end);
}

static inline int fifo_unread(int fd)
{
	int n = -1;
	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

/* ---- a guest that prints a sequence of lines */

enum { LINE = 16 };

/* Line i of the sequence. */
static inline void line_of(uint64_t i, char *out)
{
	out[LINE - 1] = '\n';
	for (int at = LINE - 2; at >= 0; at--, i /= 10)
		out[at] = (char)('0' + i % 10);
}

/* The bytes are those of the sequence at this offset. */
static inline void assert_sequence(const char *bytes, size_t len, uint64_t offset)
{
	char wanted[LINE];
	for (size_t i = 0; i < len; i++) {
		if (i == 0 || (offset + i) % LINE == 0)
			line_of((offset + i) / LINE, wanted);
		if (bytes[i] != wanted[(offset + i) % LINE])
			fail_msg("byte %llu is 0x%02x, not '%c'", (unsigned long long)(offset + i), bytes[i], wanted[(offset + i) % LINE]);
	}
}

/* What the log has from `first` on; returns where it ends. */
static inline uint64_t assert_log_is_sequence(struct fixture *f, uint64_t first)
{
	static char block[65536];
	int fd = openat(f->dir, "serial0.log", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	assert_true(fd >= 0);
	while ((n = pread(fd, block, sizeof(block), (off_t)first)) > 0) {
		assert_sequence(block, (size_t)n, first);
		first += (uint64_t)n;
	}
	close(fd);
	return first;
}

/* ---- a reader that keeps what it read */

struct reader {
	struct cursor *cursor;
	char text[4096];
	size_t len;
	unsigned calls;
	unsigned chunks;
	struct chunk chunk[16];
	bool is_at_end;
	bool close_at_once; /* closes itself in the callback */
	bool is_lazy;       /* never reads */
};

static inline void reader_on_readable(void *ctx)
{
	struct reader *r = ctx;
	struct err err = ERR_INIT;
	struct chunk chunk;
	int rc;
	r->calls++;
	if (r->is_lazy)
		return;
	while (!r->close_at_once && (rc = cursor_read(r->cursor, r->text + r->len, sizeof(r->text) - 1 - r->len, &chunk, &err)) != 0) {
		if (rc < 0)
			fail_msg("%s", err.msg);
		r->len += chunk.len;
		r->text[r->len] = '\0';
		if (r->chunks < 16)
			r->chunk[r->chunks] = chunk;
		r->chunks++;
	}
	r->is_at_end = cursor_is_at_end(r->cursor);
	if (r->close_at_once || r->is_at_end) {
		cursor_close(r->cursor);
		r->cursor = NULL;
	}
}

static const struct cursor_ops reader_ops = { reader_on_readable };

static inline void reader_open(struct reader *r, struct fixture *f, uint64_t offset, uint64_t limit, bool times)
{
	struct err err = ERR_INIT;
	memset(r, 0, offsetof(struct reader, is_at_end));
	if (cursor_open(f->hub, offset, limit, times, &reader_ops, r, &r->cursor, &err) != 0)
		fail_msg("%s", err.msg);
}
