/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mux.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define LINE_MAX_HELD  4096        /* MUX_NAMED: a longer unfinished line is shown in pieces */
#define PLAIN_MAX_HELD (64 * 1024) /* MUX_PLAIN: more does not wait */
#define NOBODY         ((size_t)-1)

struct mux_channel {
	char *name;
	char *held; /* what waits */
	size_t held_len, held_size;
};

struct mux {
	enum mux_kind kind;
	void (*write)(void *ctx, const char *bytes, size_t len);
	void *ctx;
	struct mux_channel *channels;
	size_t count;
	size_t shown; /* channel whose unfinished line is on the output */
};

struct mux *mux_new(enum mux_kind kind, void (*write)(void *ctx, const char *bytes, size_t len), void *ctx)
{
	struct mux *mux = xcalloc(1, sizeof(*mux));
	mux->kind = kind;
	mux->write = write;
	mux->ctx = ctx;
	mux->shown = NOBODY;
	return mux;
}

void mux_free(struct mux *mux)
{
	if (mux == NULL)
		return;
	for (size_t i = 0; i < mux->count; i++) {
		free(mux->channels[i].name);
		free(mux->channels[i].held);
	}
	free(mux->channels);
	free(mux);
}

size_t mux_add(struct mux *mux, const char *name)
{
	mux->channels = xrealloc(mux->channels, mux->count + 1, sizeof(*mux->channels));
	mux->channels[mux->count] = (struct mux_channel){ .name = xasprintf("%s: ", name), .held = NULL };
	return mux->count++;
}

static void hold(struct mux_channel *c, const char *bytes, size_t len)
{
	if (c->held_len + len > c->held_size) {
		c->held_size = (c->held_len + len) * 2;
		c->held = xrealloc(c->held, c->held_size, 1);
	}
	memcpy(c->held + c->held_len, bytes, len);
	c->held_len += len;
}

/* ---------------------------------------------------------------- MUX_NAMED */

static void begin_line(struct mux *mux, size_t channel)
{
	if (mux->shown == channel)
		return;
	if (mux->shown != NOBODY)
		mux->write(mux->ctx, "\n", 1);
	struct mux_channel *c = &mux->channels[channel];
	mux->write(mux->ctx, c->name, strlen(c->name));
	if (c->held_len > 0)
		mux->write(mux->ctx, c->held, c->held_len);
	c->held_len = 0;
	mux->shown = channel;
}

/* The line on the output is complete: one that waits takes its place. */
static void end_line(struct mux *mux)
{
	mux->shown = NOBODY;
	for (size_t i = 0; i < mux->count; i++) {
		if (mux->channels[i].held_len > 0) {
			begin_line(mux, i);
			return;
		}
	}
}

static void write_line(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	begin_line(mux, channel);
	mux->write(mux->ctx, bytes, len);
	end_line(mux);
}

static void write_rest(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	struct mux_channel *c = &mux->channels[channel];
	if (mux->shown != channel && mux->shown != NOBODY && c->held_len + len <= LINE_MAX_HELD) {
		hold(c, bytes, len);
		return;
	}
	begin_line(mux, channel);
	mux->write(mux->ctx, bytes, len);
}

static void write_named(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline != NULL ? (size_t)(newline - bytes) + 1 : len;
		if (newline != NULL)
			write_line(mux, channel, bytes, n);
		else
			write_rest(mux, channel, bytes, n);
		bytes += n;
		len -= n;
	}
}

/* ---------------------------------------------------------------- MUX_PLAIN */

static void show(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	mux->write(mux->ctx, bytes, len);
	mux->shown = bytes[len - 1] == '\n' ? NOBODY : channel;
}

static void show_held(struct mux *mux, bool only_whole)
{
	for (size_t i = 0; i < mux->count && !(only_whole && mux->shown != NOBODY); i++) {
		struct mux_channel *c = &mux->channels[i];
		if (c->held_len > 0)
			show(mux, i, c->held, c->held_len);
		c->held_len = 0;
	}
}

static void write_plain(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	struct mux_channel *c = &mux->channels[channel];
	if (mux->shown != NOBODY && mux->shown != channel) {
		hold(c, bytes, len);
		if (c->held_len > PLAIN_MAX_HELD)
			show_held(mux, false);
		return;
	}
	show(mux, channel, bytes, len);
	show_held(mux, true);
}

/* ---------------------------------------------------------------- both */

void mux_write(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	if (len == 0)
		return;
	if (mux->kind == MUX_NAMED)
		write_named(mux, channel, bytes, len);
	else
		write_plain(mux, channel, bytes, len);
}

bool mux_is_holding(const struct mux *mux)
{
	for (size_t i = 0; i < mux->count; i++)
		if (mux->channels[i].held_len > 0)
			return true;
	return false;
}

void mux_release(struct mux *mux)
{
	if (mux->kind == MUX_PLAIN)
		show_held(mux, false);
}

void mux_finish(struct mux *mux)
{
	mux_release(mux);
	while (mux->kind == MUX_NAMED && mux->shown != NOBODY) {
		mux->write(mux->ctx, "\n", 1);
		end_line(mux);
	}
}
