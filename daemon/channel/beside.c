/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing beside the writer. A text begins with its first byte and ends with the last write that promises no more; until then its writer
 * is the hub's speaker, whose turn it is. Then the turn goes to who has waited longest of those that write beside, else the holder of the
 * role goes on. Whoever is given the turn is told from the loop and loses it, as one that falls silent in the middle of a text does, when
 * nothing comes.
 */
#include "channel/hub_priv.h"

#include <stdlib.h>

#include "wire/mem.h"

#define BESIDE_SILENCE_S 5

static void beside_await_more(struct hub *hub)
{
	static const struct timeval silence = { BESIDE_SILENCE_S, 0 };
	event_add(&hub->turn, &silence);
}

static struct writer *beside_waiting(const struct hub *hub)
{
	struct writer *writer;
	TAILQ_FOREACH (writer, &hub->besides, queue)
		if (writer->wants_turn)
			return writer;
	return NULL;
}

/* The speaker's turn is over. */
static void beside_pass_turn(struct hub *hub)
{
	struct writer *last = hub->speaker;
	last->has_begun = false;
	TAILQ_REMOVE(&hub->besides, last, queue);
	TAILQ_INSERT_TAIL(&hub->besides, last, queue);
	event_del(&hub->turn);
	input_forget_pace(&hub->input);
	hub->speaker = beside_waiting(hub);
	hub->has_turn = hub->speaker != NULL;
	if (hub->has_turn)
		beside_await_more(hub);
	else if (hub->wants_room && input_is_open(&hub->input))
		hub->has_room = true;
	if (hub->has_turn || hub->has_room)
		hub_schedule(hub);
}

void besides_on_turn_over(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	beside_pass_turn(ctx);
}

void besides_tell(struct hub *hub)
{
	struct writer *writer, *next;
	for (writer = TAILQ_FIRST(&hub->besides); !hub->is_freed && writer != NULL; writer = next) {
		next = TAILQ_NEXT(writer, queue);
		if (!writer->is_cut || !writer->was_told)
			continue;
		writer->was_told = false;
		writer->ops->on_role(writer->ctx, false, "the emulator has ended");
		next = hub->is_freed ? NULL : TAILQ_FIRST(&hub->besides); /* anybody may have gone meanwhile */
	}
	if (hub->is_freed || !hub->has_turn)
		return;
	hub->has_turn = false;
	hub->speaker->ops->on_writable(hub->speaker->ctx);
}

void besides_on_pace(void *ctx)
{
	struct hub *hub = ctx;
	if (hub->speaker == NULL)
		return;
	hub_enter(hub);
	hub->speaker->ops->on_writable(hub->speaker->ctx);
	hub_leave(hub);
}

void besides_boot_begun(struct hub *hub)
{
	if (hub->speaker == NULL || !input_is_open(&hub->input))
		return;
	hub->has_turn = true;
	hub_schedule(hub);
}

void besides_boot_ended(struct hub *hub)
{
	struct writer *speaker = hub->speaker;
	if (speaker == NULL || !speaker->has_begun)
		return;
	speaker->is_cut = true;
	speaker->wants_turn = false;
	beside_pass_turn(hub);
	hub_schedule(hub);
}

void besides_abandon(struct hub *hub)
{
	struct writer *writer;
	while ((writer = TAILQ_FIRST(&hub->besides)) != NULL) {
		TAILQ_REMOVE(&hub->besides, writer, queue);
		writer->hub = NULL;
		if (writer->was_told)
			writer->ops->on_role(writer->ctx, false, "the channel is gone");
	}
	hub->speaker = NULL;
}

/* ---------------------------------------------------------------- one of them */

int writer_open_beside(struct hub *hub, const char *name, const struct writer_ops *ops, void *ctx, struct writer **out, struct err *err)
{
	if (writers_check(hub, err) < 0)
		return -1;
	struct writer *writer = xcalloc(1, sizeof(*writer));
	writer_init(writer, hub, name, ops, ctx);
	writer->is_beside = writer->was_told = true;
	TAILQ_INSERT_TAIL(&hub->besides, writer, queue);
	*out = writer;
	return 0;
}

void writer_set_more(struct writer *writer, bool more)
{
	writer->more = more;
}

ssize_t beside_write(struct writer *writer, const void *buf, size_t len)
{
	struct hub *hub = writer->hub;
	if (len == 0 && hub->speaker != writer)
		return 0; /* no text is to be ended */
	if (hub->speaker != NULL && hub->speaker != writer) {
		writer->wants_turn = true;
		return 0;
	}
	hub->speaker = writer;
	writer->wants_turn = false;
	event_del(&hub->turn);
	size_t taken = input_write_paced(&hub->input, buf, len);
	writer->has_begun |= taken > 0;
	if (taken < len)
		input_await_pace(&hub->input);
	else if (writer->more)
		beside_await_more(hub);
	else
		beside_pass_turn(hub);
	return (ssize_t)taken;
}

void beside_close(struct writer *writer)
{
	struct hub *hub = writer->hub;
	writer->wants_turn = false;
	if (hub->speaker == writer)
		beside_pass_turn(hub);
	TAILQ_REMOVE(&hub->besides, writer, queue);
}
