/* SPDX-License-Identifier: Apache-2.0 */
/* A cursor that waits stands in one queue, and only those are touched when bytes come; one that does not read stands in none. */
#include "channel/hub_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define CURSOR_TELL_MAX 64 /* callbacks in one turn of the loop */

static void cursor_set_state(struct cursor *cursor, enum cursor_state state)
{
	struct hub *hub = cursor->hub;
	if (cursor->state == CURSOR_WAITING)
		TAILQ_REMOVE(&hub->waiting, cursor, queue);
	else if (cursor->state == CURSOR_READY)
		TAILQ_REMOVE(&hub->ready, cursor, queue);
	cursor->state = state;
	if (state == CURSOR_WAITING)
		TAILQ_INSERT_TAIL(&hub->waiting, cursor, queue);
	else if (state == CURSOR_READY)
		TAILQ_INSERT_TAIL(&hub->ready, cursor, queue);
}

/* ---------------------------------------------------------------- telling */

void cursors_wake(struct hub *hub)
{
	struct cursor *cursor;
	if (TAILQ_EMPTY(&hub->waiting))
		return;
	TAILQ_FOREACH (cursor, &hub->waiting, queue)
		cursor->state = CURSOR_READY;
	TAILQ_CONCAT(&hub->ready, &hub->waiting, queue);
	hub_schedule(hub);
}

bool cursors_tell(struct hub *hub)
{
	for (unsigned i = 0; i < CURSOR_TELL_MAX; i++) {
		struct cursor *cursor = TAILQ_FIRST(&hub->ready);
		if (cursor == NULL)
			return true;
		cursor_set_state(cursor, CURSOR_TOLD);
		cursor->ops->on_readable(cursor->ctx);
		if (hub->is_freed)
			return true;
	}
	return TAILQ_EMPTY(&hub->ready);
}

void cursors_abandon(struct hub *hub)
{
	struct cursor *cursor;
	while ((cursor = LIST_FIRST(&hub->cursors)) != NULL) {
		cursor_set_state(cursor, CURSOR_TOLD);
		LIST_REMOVE(cursor, of_hub);
		cursor->hub = NULL;
		hub->cursor_count--;
		cursor->ops->on_readable(cursor->ctx);
	}
}

/* ---------------------------------------------------------------- one cursor */

int cursor_open(struct hub *hub, uint64_t offset, uint64_t limit, bool times, const struct cursor_ops *ops, void *ctx, struct cursor **out,
		struct err *err)
{
	if (offset > hub->log.end)
		return err_set(err, ERR_OUT_OF_RANGE, "channel \"%s\": offset %" PRIu64 " is beyond the end, which is %" PRIu64, hub->name,
			       offset, hub->log.end);
	struct cursor *cursor = xcalloc(1, sizeof(*cursor));
	cursor->hub = hub;
	cursor->ops = ops;
	cursor->ctx = ctx;
	cursor->offset = offset > hub->log.first ? offset : hub->log.first;
	cursor->limit = limit;
	cursor->times = times;
	LIST_INSERT_HEAD(&hub->cursors, cursor, of_hub);
	hub->cursor_count++;
	bool has_news = cursor->offset < hub->log.end || cursor_is_at_end(cursor);
	cursor_set_state(cursor, has_news ? CURSOR_READY : CURSOR_WAITING);
	if (has_news)
		hub_schedule(hub);
	*out = cursor;
	return 0;
}

/* Cuts the piece where the time or the boot changes, and says which they are. */
static size_t cursor_cut(struct cursor *cursor, size_t len, struct chunk *chunk)
{
	struct index_span span;
	index_locate(&cursor->hub->index, cursor->offset, &cursor->hint, &span);
	chunk->time_ns = span.time_ns;
	chunk->boot = span.boot;
	chunk->boot_time_ns = span.boot_time_ns;
	return len < span.next - cursor->offset ? len : (size_t)(span.next - cursor->offset);
}

int cursor_read(struct cursor *cursor, void *buf, size_t size, struct chunk *chunk, struct err *err)
{
	assert(size > 0);
	struct hub *hub = cursor->hub;
	if (hub == NULL)
		return 0;
	if (cursor->offset < hub->log.first)
		cursor->offset = hub->log.first;
	uint64_t stop = cursor->limit < hub->log.end ? cursor->limit : hub->log.end;
	if (cursor->offset >= stop) {
		/* At its limit nothing can come. */
		cursor_set_state(cursor, cursor->offset >= cursor->limit ? CURSOR_TOLD : CURSOR_WAITING);
		return 0;
	}
	struct chunk piece = { .offset = cursor->offset };
	size_t len = size < stop - cursor->offset ? size : (size_t)(stop - cursor->offset);
	if (cursor->times)
		len = cursor_cut(cursor, len, &piece);
	ssize_t n = log_read(&hub->log, cursor->offset, buf, len, err);
	if (n < 0)
		return err_prefix(err, "channel \"%s\"", hub->name);
	cursor->offset += (uint64_t)n;
	piece.len = (size_t)n;
	*chunk = piece;
	return 1;
}

uint64_t cursor_offset(const struct cursor *cursor)
{
	return cursor->offset;
}

void cursor_seek(struct cursor *cursor, uint64_t offset)
{
	struct hub *hub = cursor->hub;
	cursor->offset = offset;
	if (hub != NULL)
		cursor_set_state(cursor, offset >= hub->log.end && offset < cursor->limit ? CURSOR_WAITING : CURSOR_TOLD);
}

bool cursor_is_at_end(const struct cursor *cursor)
{
	const struct hub *hub = cursor->hub;
	if (hub == NULL || cursor->offset >= cursor->limit)
		return true;
	return hub->is_final && !pump_is_running(&hub->pump) && cursor->offset >= hub->log.end;
}

void cursor_close(struct cursor *cursor)
{
	if (cursor == NULL)
		return;
	if (cursor->hub != NULL) {
		cursor_set_state(cursor, CURSOR_TOLD);
		LIST_REMOVE(cursor, of_hub);
		cursor->hub->cursor_count--;
	}
	free(cursor);
}
