/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of endpoints share: a hub with one endpoint, and what it has told. */
#pragma once

#include "test_channel.h"

#include <errno.h>

#include "channel/endpoint.h"

#define BIG (8u << 20) /* more than any socket or PTY holds */

struct bench {
	struct fixture *f;
	struct endpoint_config config;
	struct endpoint_fds fds;
	struct endpoint *endpoint;
	uint16_t port;
	char path[ENDPOINT_PATH_MAX];
	unsigned attached, left;
	char who[200]; /* the last that attached or left */
	unsigned troubles;
	struct err trouble;
};

static inline void bench_on_party(void *ctx, bool attached, const char *who)
{
	struct bench *b = ctx;
	*(attached ? &b->attached : &b->left) += 1;
	snprintf(b->who, sizeof(b->who), "%s", who);
}

static inline void bench_on_trouble(void *ctx, const struct err *err)
{
	struct bench *b = ctx;
	b->troubles++;
	b->trouble = *err;
}

static inline void bench_open(struct bench *b, bool adopted)
{
	struct err err = ERR_INIT;
	if (endpoint_open(&b->config, adopted, &b->endpoint, &err) != 0)
		fail_msg("%s", err.msg);
}

static inline int bench_teardown(void **state)
{
	struct bench *b = *state;
	void *fixture = b->f;
	endpoint_free(b->endpoint);
	endpoint_fds_close(&b->fds);
	free(b);
	return fixture_teardown(&fixture);
}

static inline struct bench *bench_new(enum endpoint_kind kind)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	void *fixture;
	fixture_setup(&fixture);
	b->f = fixture;
	b->fds = (struct endpoint_fds)ENDPOINT_FDS_NONE;
	b->config = (struct endpoint_config){ .base = b->f->base,
					      .hub = b->f->hub,
					      .kind = kind,
					      .fds = &b->fds,
					      .path = b->path,
					      .list = { .owner = getuid() },
					      .on_party = bench_on_party,
					      .on_trouble = bench_on_trouble,
					      .ctx = b };
	return b;
}

/* A boot begins, for the endpoint too. */
static inline void bench_boot(struct bench *b, uint32_t number)
{
	if (number > 1)
		fixture_end_boot(b->f);
	fixture_boot(b->f, number, true);
	endpoint_begin_boot(b->endpoint);
}

/* ---- what has come at a non-blocking fd */

struct inbox {
	int fd;
	size_t len;
	char text[256]; /* the beginning */
	bool is_exact;  /* all of it is what big_byte() says, from `offset` on */
	uint64_t offset;
	bool is_ended;
	int sys; /* != 0: the error it ended with */
};

static inline char big_byte(uint64_t offset)
{
	return (char)('a' + (offset * 7 + offset / 26) % 26);
}

static inline void inbox_init(struct inbox *inbox, int fd, uint64_t offset)
{
	*inbox = (struct inbox){ .fd = fd, .is_exact = true, .offset = offset };
}

static inline size_t inbox_poll(struct inbox *inbox)
{
	static char buf[65536];
	ssize_t n;
	while (!inbox->is_ended && (n = read(inbox->fd, buf, sizeof(buf))) != 0) {
		if (n < 0) {
			inbox->is_ended = errno != EAGAIN;
			inbox->sys = inbox->is_ended ? errno : 0;
			return inbox->len;
		}
		for (ssize_t i = 0; i < n; i++, inbox->len++) {
			inbox->is_exact &= buf[i] == big_byte(inbox->offset + inbox->len);
			if (inbox->len < sizeof(inbox->text) - 1)
				inbox->text[inbox->len] = buf[i];
		}
	}
	inbox->is_ended = true;
	return inbox->len;
}

#define ASSERT_COMES(b, inbox, wanted)                                                                                                     \
	do {                                                                                                                               \
		LOOP_UNTIL((b)->f, inbox_poll(inbox) >= strlen(wanted));                                                                   \
		assert_string_equal((inbox)->text, wanted);                                                                                \
	} while (0)

/* The guest prints `total` bytes of the big text that begins at offset 0 of the log, as fast as the FIFO takes them. */
static inline void guest_print_big(struct bench *b, uint64_t total)
{
	char block[4096];
	uint64_t give_up_ms = test_now_ms() + DEADLINE_MS;
	for (uint64_t at = 0; at < total && test_now_ms() < give_up_ms;) {
		size_t len = total - at < sizeof(block) ? (size_t)(total - at) : sizeof(block);
		for (size_t i = 0; i < len; i++)
			block[i] = big_byte(at + i);
		ssize_t n = write(b->f->guest_out, block, len);
		at += n > 0 ? (uint64_t)n : 0;
		if (n < (ssize_t)len)
			fixture_turn(b->f);
	}
	LOOP_UNTIL(b->f, hub_end_offset(b->f->hub) == total);
}

/* Everything that can happen has happened: a turn of the loop ends by its tick alone, and so does a second one. */
static inline void assert_quiet(struct fixture *f)
{
	static const struct timeval long_time = { 0, 100000 };
	unsigned quiet = 0;
	for (unsigned turns = 0; quiet < 2; turns++) {
		assert_true(turns < 1000);
		event_add(f->tick, &long_time);
		event_base_loop(f->base, EVLOOP_ONCE);
		quiet = event_pending(f->tick, EV_TIMEOUT, NULL) ? 0 : quiet + 1;
		event_del(f->tick);
	}
}

static inline void assert_guest_gets(struct bench *b, const char *text)
{
	struct inbox inbox;
	inbox_init(&inbox, b->f->guest_in, 0);
	ASSERT_COMES(b, &inbox, text);
}

/* ---- another party that holds the role */

static inline void other_on_writable(void *ctx)
{
	(void)ctx;
}

static inline void other_on_role(void *ctx, bool has_role, const char *reason)
{
	(void)ctx, (void)has_role, (void)reason;
}

static inline struct writer *other_open(struct bench *b)
{
	static const struct writer_ops ops = { other_on_writable, other_on_role };
	struct err err = ERR_INIT;
	struct writer *writer = NULL;
	if (writer_open(b->f->hub, "term of alice", false, &ops, NULL, &writer, &err) != 0)
		fail_msg("%s", err.msg);
	return writer;
}
