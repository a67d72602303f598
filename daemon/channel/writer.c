/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The role changes at once and is told from the loop: an owner is told when what it was told last is no longer so, and nothing when
 * the role came back meanwhile.
 */
#include "channel/hub_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "loop/timer.h"
#include "wire/mem.h"

#define WRITER_NAME_MAX 100
#define WRITER_CHUNK    65536 /* the most one call hands over */
#define WRITER_YIELD_MS 5000

/* ---------------------------------------------------------------- the role */

static void writer_set_reason(struct writer *writer, char *reason)
{
	free(writer->reason);
	writer->reason = reason;
}

/* Who has waited longest; NULL: nobody. */
static struct writer *writer_waiting(const struct hub *hub)
{
	struct writer *writer = TAILQ_FIRST(&hub->writers);
	return writer != NULL && writer == hub->holder ? TAILQ_NEXT(writer, queue) : writer;
}

static uint64_t role_idle_ms(const struct hub *hub)
{
	return clock_monotonic_ms() - hub->holder->active_ms;
}

/* The timer of a holder that yields, only while somebody waits. */
static void role_watch(struct hub *hub)
{
	event_del(&hub->yield);
	if (hub->holder == NULL || !hub->holder->yields || writer_waiting(hub) == NULL)
		return;
	uint64_t idle_ms = role_idle_ms(hub), rest_ms = idle_ms < WRITER_YIELD_MS ? WRITER_YIELD_MS - idle_ms : 0;
	struct timeval delay = { (time_t)(rest_ms / 1000), (suseconds_t)(rest_ms % 1000) * 1000 };
	event_add(&hub->yield, &delay);
}

/* `writer` gets the role from whoever has it; NULL: it is free. Takes the reason of who gets it. */
static void role_give(struct hub *hub, struct writer *writer, char *reason)
{
	hub->holder = writer;
	hub->role_changed = true;
	hub->wants_room = hub->has_room = false;
	input_forget_room(&hub->input);
	if (writer != NULL) {
		writer->active_ms = clock_monotonic_ms();
		writer_set_reason(writer, reason);
	} else {
		free(reason);
	}
	role_watch(hub);
	hub_schedule(hub);
}

/* Who loses it may have it again after all who wait. */
static void role_pass(struct hub *hub, struct writer *writer, char *why_lost, char *why_given)
{
	struct writer *loser = hub->holder;
	writer_set_reason(loser, why_lost);
	TAILQ_REMOVE(&hub->writers, loser, queue);
	TAILQ_INSERT_TAIL(&hub->writers, loser, queue);
	role_give(hub, writer, why_given);
}

static void role_steal(struct hub *hub, struct writer *thief)
{
	role_pass(hub, thief, xasprintf("%s has taken over", thief->name), xasprintf("taken from %s", hub->holder->name));
}

void writers_on_yield(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct hub *hub = ctx;
	struct writer *next = writer_waiting(hub);
	if (role_idle_ms(hub) < WRITER_YIELD_MS)
		role_watch(hub);
	else
		role_pass(hub, next, xasprintf("%s has waited", next->name), xasprintf("%s is silent", hub->holder->name));
}

static struct writer *writer_untold(const struct hub *hub)
{
	struct writer *writer;
	TAILQ_FOREACH (writer, &hub->writers, queue)
		if (writer->was_told != (writer == hub->holder))
			return writer;
	return NULL;
}

static void role_tell(struct hub *hub)
{
	struct writer *writer;
	hub->role_changed = false;
	while (!hub->is_freed && (writer = writer_untold(hub)) != NULL) {
		writer->was_told = writer == hub->holder;
		char *reason = writer->reason; /* the callback may close the writer */
		writer->reason = NULL;
		writer->ops->on_role(writer->ctx, writer->was_told, reason != NULL ? reason : "");
		free(reason);
	}
	if (!hub->is_freed && hub->config.on_writer != NULL)
		hub->config.on_writer(hub->config.ctx);
}

void writers_tell(struct hub *hub)
{
	if (hub->role_changed)
		role_tell(hub);
	if (hub->is_freed || !hub->has_room)
		return;
	hub->has_room = hub->wants_room = false;
	hub->holder->ops->on_writable(hub->holder->ctx);
}

void writers_abandon(struct hub *hub)
{
	struct writer *writer;
	while ((writer = TAILQ_FIRST(&hub->writers)) != NULL) {
		TAILQ_REMOVE(&hub->writers, writer, queue);
		writer->hub = NULL;
		if (writer->was_told)
			writer->ops->on_role(writer->ctx, false, "the channel is gone");
	}
	hub->holder = NULL;
}

/* ---------------------------------------------------------------- room in the FIFO */

static void writer_on_room(void *ctx)
{
	struct hub *hub = ctx;
	if (!hub->wants_room || hub->speaker != NULL)
		return;
	hub->wants_room = false;
	hub_enter(hub);
	hub->holder->ops->on_writable(hub->holder->ctx);
	hub_leave(hub);
}

static void writer_on_stuck(void *ctx)
{
	struct hub *hub = ctx;
	if (hub->config.on_input_stuck == NULL)
		return;
	hub_enter(hub);
	hub->config.on_input_stuck(hub->config.ctx);
	hub_leave(hub);
}

const struct input_ops writer_input_ops = { writer_on_room, writer_on_stuck, besides_on_pace };

void writers_boot_begun(struct hub *hub)
{
	if (!hub->wants_room || hub->speaker != NULL || !input_is_open(&hub->input))
		return;
	hub->has_room = true;
	hub_schedule(hub);
}

/* ---------------------------------------------------------------- one writer */

int writers_check(const struct hub *hub, struct err *err)
{
	if (pump_is_running(&hub->pump) && !input_is_open(&hub->input))
		return err_set(err, ERR_PERMISSION_DENIED, "channel \"%s\" is read-only", hub->name);
	return 0;
}

void writer_init(struct writer *writer, struct hub *hub, const char *name, const struct writer_ops *ops, void *ctx)
{
	writer->hub = hub;
	writer->name = xasprintf("%.*s", WRITER_NAME_MAX, name);
	writer->ops = ops;
	writer->ctx = ctx;
}

int writer_open(struct hub *hub, const char *name, bool steal, const struct writer_ops *ops, void *ctx, struct writer **out,
		struct err *err)
{
	if (writers_check(hub, err) < 0)
		return -1;
	struct writer *writer = xcalloc(1, sizeof(*writer));
	writer_init(writer, hub, name, ops, ctx);
	TAILQ_INSERT_TAIL(&hub->writers, writer, queue);
	if (hub->holder == NULL)
		role_give(hub, writer, NULL);
	else if (steal)
		role_steal(hub, writer);
	else
		role_watch(hub);
	writer->was_told = hub->holder == writer; /* it asks when this returns */
	*out = writer;
	return 0;
}

bool writer_has_role(const struct writer *writer)
{
	return writer->hub != NULL && (writer->is_beside ? !writer->is_cut : writer->hub->holder == writer);
}

const char *writer_holder(const struct hub *hub)
{
	return hub->holder != NULL ? hub->holder->name : NULL;
}

static void writer_wrote(struct writer *writer, size_t taken, bool wants_more)
{
	struct hub *hub = writer->hub;
	if (taken > 0)
		writer->active_ms = clock_monotonic_ms();
	if (!wants_more)
		return;
	hub->wants_room = true;
	if (hub->speaker == NULL) /* else it is told when the text is over */
		input_await_room(&hub->input);
}

ssize_t writer_write(struct writer *writer, const void *buf, size_t len)
{
	struct hub *hub = writer->hub;
	if (!writer_has_role(writer))
		return -1;
	if (writer->is_beside)
		return beside_write(writer, buf, len);
	size_t taken = hub->speaker != NULL ? 0 : input_write(&hub->input, buf, len < WRITER_CHUNK ? len : WRITER_CHUNK);
	writer_wrote(writer, taken, taken < len);
	return (ssize_t)taken;
}

ssize_t writer_splice(struct writer *writer, int from, bool *is_left)
{
	int left = 0;
	ssize_t taken = -EPERM;
	if (writer_has_role(writer))
		taken = writer->hub->speaker != NULL ? 0 : input_splice(&writer->hub->input, from, WRITER_CHUNK);
	if (taken >= 0 && ioctl(from, FIONREAD, &left) < 0)
		taken = -errno;
	if (taken < 0) {
		errno = (int)-taken;
		return -1;
	}
	*is_left = left > 0;
	writer_wrote(writer, (size_t)taken, *is_left);
	return taken;
}

void writer_set_yielding(struct writer *writer)
{
	writer->yields = true;
	if (writer_has_role(writer))
		role_watch(writer->hub);
}

void writer_close(struct writer *writer)
{
	if (writer == NULL)
		return;
	struct hub *hub = writer->hub;
	if (hub != NULL && writer->is_beside) {
		beside_close(writer);
	} else if (hub != NULL) {
		TAILQ_REMOVE(&hub->writers, writer, queue);
		struct writer *next = TAILQ_FIRST(&hub->writers);
		if (hub->holder == writer)
			role_give(hub, next, next != NULL ? xasprintf("%s has left", writer->name) : NULL);
		else
			role_watch(hub);
	}
	free(writer->name);
	free(writer->reason);
	free(writer);
}
