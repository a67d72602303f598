/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mux.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define HELD_MAX 4096 /* a longer unfinished line is shown in pieces */
#define NOBODY   ((size_t)-1)

struct mux_channel {
	char *name;
	char *held; /* an unfinished line that waits */
	size_t held_len;
};

struct mux {
	void (*write)(void *ctx, const char *bytes, size_t len);
	void *ctx;
	struct mux_channel *channels;
	size_t count;
	size_t shown; /* channel whose unfinished line is on the output */
};

struct mux *mux_new(void (*write)(void *ctx, const char *bytes, size_t len), void *ctx)
{
	struct mux *mux = xcalloc(1, sizeof(*mux));
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
	mux->channels[mux->count] = (struct mux_channel){ .name = xasprintf("%s: ", name), .held = xmalloc(HELD_MAX) };
	return mux->count++;
}

static void begin_line(struct mux *mux, size_t channel)
{
	if (mux->shown == channel)
		return;
	if (mux->shown != NOBODY)
		mux->write(mux->ctx, "\n", 1);
	struct mux_channel *c = &mux->channels[channel];
	mux->write(mux->ctx, c->name, strlen(c->name));
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
	if (mux->shown != channel && mux->shown != NOBODY && c->held_len + len <= HELD_MAX) {
		memcpy(c->held + c->held_len, bytes, len);
		c->held_len += len;
		return;
	}
	begin_line(mux, channel);
	mux->write(mux->ctx, bytes, len);
}

void mux_write(struct mux *mux, size_t channel, const char *bytes, size_t len)
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

void mux_finish(struct mux *mux)
{
	while (mux->shown != NOBODY) {
		mux->write(mux->ctx, "\n", 1);
		end_line(mux);
	}
}
