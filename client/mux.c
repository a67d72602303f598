/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mux.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define HELD_MAX 65536 /* more does not wait */
#define NOBODY   ((size_t)-1)

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

/* ---------------------------------------------------------------- what is on the output */

static void begin_line(struct mux *mux, size_t channel)
{
	if (mux->kind == MUX_PLAIN || mux->shown == channel)
		return;
	if (mux->shown != NOBODY)
		mux->write(mux->ctx, "\n", 1);
	mux->write(mux->ctx, mux->channels[channel].name, strlen(mux->channels[channel].name));
}

static void show(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *newline = mux->kind == MUX_NAMED ? memchr(bytes, '\n', len) : memrchr(bytes, '\n', len);
		size_t n = newline != NULL ? (size_t)(newline - bytes) + 1 : len;
		begin_line(mux, channel);
		mux->write(mux->ctx, bytes, n);
		mux->shown = newline != NULL ? NOBODY : channel;
		bytes += n;
		len -= n;
	}
}

/* forced: also while a line is unfinished. */
static void show_held(struct mux *mux, bool forced)
{
	for (size_t i = 0; i < mux->count && (forced || mux->shown == NOBODY); i++) {
		struct mux_channel *c = &mux->channels[i];
		show(mux, i, c->held, c->held_len);
		c->held_len = 0;
	}
}

void mux_write(struct mux *mux, size_t channel, const char *bytes, size_t len)
{
	struct mux_channel *c = &mux->channels[channel];
	if (mux->shown != NOBODY && mux->shown != channel) {
		hold(c, bytes, len);
		if (c->held_len > HELD_MAX)
			show_held(mux, true);
		return;
	}
	show(mux, channel, bytes, len);
	show_held(mux, false);
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
	show_held(mux, true);
}

void mux_finish(struct mux *mux)
{
	show_held(mux, true);
	if (mux->kind == MUX_NAMED && mux->shown != NOBODY)
		mux->write(mux->ctx, "\n", 1);
	mux->shown = NOBODY;
}
