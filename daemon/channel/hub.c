/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/hub_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/timer.h"
#include "wire/mem.h"

#define HUB_NAME_MAX 200 /* with ".idx.bad" still a file name */

/* ---------------------------------------------------------------- telling the outside */

void hub_schedule(struct hub *hub)
{
	event_active(&hub->notify, EV_TIMEOUT, 0);
}

void hub_enter(struct hub *hub)
{
	hub->depth++;
}

void hub_leave(struct hub *hub)
{
	assert(hub->depth > 0);
	if (--hub->depth == 0 && hub->is_freed)
		free(hub);
}

void hub_tell_later(struct hub *hub, const struct err *err)
{
	struct trouble *trouble = xcalloc(1, sizeof(*trouble));
	trouble->err = *err;
	err_prefix(&trouble->err, "channel \"%s\"", hub->name);
	STAILQ_INSERT_TAIL(&hub->troubles, trouble, next);
	hub_schedule(hub);
}

static void hub_tell_troubles(struct hub *hub)
{
	struct trouble *trouble;
	while ((trouble = STAILQ_FIRST(&hub->troubles)) != NULL) { /* none when the hub is freed */
		STAILQ_REMOVE_HEAD(&hub->troubles, next);
		if (hub->config.on_trouble != NULL)
			hub->config.on_trouble(hub->config.ctx, &trouble->err);
		free(trouble);
	}
}

static void hub_forget_troubles(struct hub *hub)
{
	hub->config.on_trouble = NULL;
	hub_tell_troubles(hub);
}

static void hub_tell_end(struct hub *hub)
{
	if (!hub->is_ended)
		return;
	hub->is_ended = false;
	void (*on_done)(void *ctx) = hub->on_end_done;
	hub->on_end_done = NULL;
	if (on_done != NULL)
		on_done(hub->end_ctx);
}

static void hub_on_notify(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct hub *hub = ctx;
	hub_enter(hub);
	hub_tell_troubles(hub);
	if (!hub->is_freed)
		writers_tell(hub);
	if (!hub->is_freed)
		besides_tell(hub);
	if (!hub->is_freed && !cursors_tell(hub)) {
		/* Others first: a timer of zero fires only after the loop has looked at every fd. */
		static const struct timeval next_turn = { 0, 0 };
		event_add(&hub->notify, &next_turn);
	}
	if (!hub->is_freed)
		hub_tell_end(hub);
	hub_leave(hub);
}

/* ---------------------------------------------------------------- output */

static void hub_note_time(struct hub *hub, uint64_t offset)
{
	uint64_t now_ms = clock_monotonic_ms();
	hub->last_output_ms = now_ms;
	if (hub->last_time_ms != 0 && now_ms - hub->last_time_ms < index_time_step_ms(&hub->index))
		return;
	hub->last_time_ms = now_ms;
	index_add_time(&hub->index, offset, clock_wall_ns());
}

static void hub_on_moved(void *ctx, uint64_t offset, bool first)
{
	struct hub *hub = ctx;
	hub_note_time(hub, offset);
	if (first)
		input_saw_output(&hub->input);
	cursors_wake(hub);
	bound_check(hub);
}

static bool hub_on_full(void *ctx, int sys)
{
	return bound_make_room(ctx, sys);
}

static void hub_on_drained(void *ctx)
{
	struct hub *hub = ctx;
	hub->is_ended = true;
	if (hub->is_final)
		cursors_wake(hub);
	hub_schedule(hub);
}

static void hub_on_trouble(void *ctx, const struct err *err)
{
	hub_tell_later(ctx, err);
}

static const struct pump_ops hub_pump_ops = { hub_on_moved, hub_on_full, hub_on_drained, hub_on_trouble };

/* ---------------------------------------------------------------- opening, freeing */

static int hub_check_name(const char *name, struct err *err)
{
	size_t len = strlen(name);
	if (len > 0 && len <= HUB_NAME_MAX && name[0] != '.' && strchr(name, '/') == NULL)
		return 0;
	return err_set(err, ERR_INVALID_ARGUMENT, "channel \"%.80s\": not a plain file name of at most %d characters", name, HUB_NAME_MAX);
}

static int hub_open_files(struct hub *hub, struct err *err)
{
	struct err repaired = ERR_INIT;
	char *log_file = xasprintf("%s.log", hub->name), *index_file = xasprintf("%s.idx", hub->name);
	int rc = log_open(&hub->log, hub->config.log_dir, log_file, err);
	if (rc == 0)
		rc = index_open(&hub->index, hub->config.log_dir, index_file, hub->log.end, &repaired, err);
	free(log_file);
	free(index_file);
	if (rc < 0)
		return err_prefix(err, "channel \"%s\"", hub->name);
	bound_settle(hub);
	if (err_is_set(&repaired))
		hub_tell_later(hub, &repaired);
	return 0;
}

static struct hub *hub_new(const struct hub_config *config)
{
	struct hub *hub = xcalloc(1, sizeof(*hub));
	hub->config = *config;
	hub->config.name = hub->name = xstrdup(config->name);
	LIST_INIT(&hub->cursors);
	TAILQ_INIT(&hub->waiting);
	TAILQ_INIT(&hub->ready);
	TAILQ_INIT(&hub->writers);
	TAILQ_INIT(&hub->besides);
	STAILQ_INIT(&hub->troubles);
	log_init(&hub->log);
	index_init(&hub->index);
	pump_init(&hub->pump, config->base, &hub->log, &hub_pump_ops, hub);
	input_init(&hub->input, config->base, &writer_input_ops, hub);
	event_assign(&hub->notify, config->base, -1, EV_TIMEOUT, hub_on_notify, hub);
	event_assign(&hub->report, config->base, -1, EV_TIMEOUT, bound_report, hub);
	event_assign(&hub->yield, config->base, -1, EV_TIMEOUT, writers_on_yield, hub);
	event_assign(&hub->turn, config->base, -1, EV_TIMEOUT, besides_on_turn_over, hub);
	return hub;
}

int hub_open(const struct hub_config *config, struct hub **out, struct err *err)
{
	if (hub_check_name(config->name, err) < 0)
		return -1;
	struct hub *hub = hub_new(config);
	if (hub_open_files(hub, err) < 0) {
		hub_free(hub);
		return -1;
	}
	*out = hub;
	return 0;
}

void hub_free(struct hub *hub)
{
	if (hub == NULL || hub->is_freed)
		return;
	hub_enter(hub);
	hub->is_freed = true;
	event_del(&hub->notify);
	event_del(&hub->report);
	event_del(&hub->yield);
	event_del(&hub->turn);
	pump_stop(&hub->pump);
	input_close(&hub->input);
	writers_abandon(hub);
	besides_abandon(hub);
	cursors_abandon(hub);
	index_fini(&hub->index);
	log_fini(&hub->log);
	hub_forget_troubles(hub);
	free(hub->name);
	hub_leave(hub);
}

void hub_set_bounds(struct hub *hub, uint64_t limit_bytes, bool drop_oldest)
{
	hub->config.limit_bytes = limit_bytes;
	hub->config.drop_oldest = drop_oldest;
}

/* ---------------------------------------------------------------- boots */

static int hub_check_idle(const struct hub *hub, uint32_t boot, struct err *err)
{
	if (boot == 0 || boot > INT32_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\": boots are numbered from 1, not %" PRIu32, hub->name, boot);
	if (pump_is_running(&hub->pump) || hub->is_ended)
		return err_set(err, ERR_FAILED_PRECONDITION,
			       "channel \"%s\": boot %" PRIu32 " cannot begin: boot %" PRIu32 " has not ended", hub->name, boot,
			       hub->index.last.number);
	if (boot < hub->index.last.number)
		return err_set(err, ERR_FAILED_PRECONDITION,
			       "channel \"%s\": boot %" PRIu32 " cannot follow boot %" PRIu32 ", which its log holds", hub->name, boot,
			       hub->index.last.number);
	return 0;
}

static int hub_mark_boot(struct hub *hub, uint32_t number, bool explicit_start, struct err *err)
{
	struct index_boot boot = { number, hub->log.end, clock_wall_ns(), explicit_start, false };
	struct err full = ERR_INIT;
	while (index_add_boot(&hub->index, &boot, &full) < 0) {
		if (bound_make_room(hub, full.sys))
			continue;
		if (err != NULL)
			*err = full;
		return err_prefix(err, "channel \"%s\"", hub->name);
	}
	hub->last_time_ms = 0; /* the boot's first byte gets a time of its own */
	return 0;
}

static void hub_take_fifos(struct hub *hub, int out_fd, int in_fd)
{
	hub->is_final = false;
	pump_start(&hub->pump, out_fd);
	if (in_fd >= 0)
		input_open(&hub->input, in_fd);
	writers_boot_begun(hub);
	besides_boot_begun(hub);
}

int hub_begin_boot(struct hub *hub, uint32_t boot, bool explicit_start, int out_fd, int in_fd, struct err *err)
{
	if (hub_check_idle(hub, boot, err) < 0)
		return -1;
	const struct index_boot *last = &hub->index.last;
	if (boot == last->number && hub->log.end != last->offset)
		return err_set(err, ERR_ALREADY_EXISTS, "channel \"%s\": boot %" PRIu32 " has already been and printed %" PRIu64 " bytes",
			       hub->name, boot, hub->log.end - last->offset);
	if (hub_mark_boot(hub, boot, explicit_start, err) < 0)
		return -1;
	hub_take_fifos(hub, out_fd, in_fd);
	return 0;
}

int hub_resume_boot(struct hub *hub, uint32_t boot, bool explicit_start, int out_fd, int in_fd, struct err *err)
{
	if (hub_check_idle(hub, boot, err) < 0)
		return -1;
	if (boot != hub->index.last.number) {
		/* The emulator runs and its bytes come first: that its mark is lost is told, no more. */
		struct err lost = ERR_INIT;
		uint64_t end = hub->log.end;
		/* Of a log whose index is lost nobody knows where the latest start is: it may lie before the end. */
		bool is_known = hub->index.last.number != 0 || end == 0;
		if (hub_mark_boot(hub, boot, explicit_start && is_known, &lost) == 0)
			err_set(&lost, ERR_DATA_LOSS, "the mark of boot %" PRIu32 " was lost: it now begins at offset %" PRIu64, boot, end);
		hub_tell_later(hub, &lost);
	}
	hub_take_fifos(hub, out_fd, in_fd);
	return 0;
}

void hub_end_boot(struct hub *hub, void (*on_done)(void *ctx), void *ctx)
{
	hub->on_end_done = on_done;
	hub->end_ctx = ctx;
	input_close(&hub->input);
	besides_boot_ended(hub);
	if (pump_is_running(&hub->pump))
		pump_drain(&hub->pump);
	else
		hub_on_drained(hub);
}

void hub_drop_boot(struct hub *hub)
{
	input_close(&hub->input);
	besides_boot_ended(hub);
	if (!pump_is_running(&hub->pump))
		return;
	pump_stop(&hub->pump);
	hub_on_drained(hub);
}

void hub_set_final(struct hub *hub, bool final)
{
	if (hub->is_final == final)
		return;
	hub->is_final = final;
	if (final && !pump_is_running(&hub->pump))
		cursors_wake(hub);
}

uint64_t hub_end_offset(const struct hub *hub)
{
	return hub->log.end;
}

uint64_t hub_first_offset(const struct hub *hub)
{
	return hub->log.first;
}

bool hub_is_writable(const struct hub *hub)
{
	return input_is_open(&hub->input);
}

unsigned hub_cursor_count(const struct hub *hub)
{
	return hub->cursor_count;
}

bool hub_has_writer(const struct hub *hub)
{
	return hub->holder != NULL;
}

uint64_t hub_last_output_ms(const struct hub *hub)
{
	return hub->last_output_ms;
}

bool hub_is_in_trouble(const struct hub *hub)
{
	return hub->pump.is_in_trouble;
}

uint32_t hub_last_boot(const struct hub *hub)
{
	return hub->index.last.number;
}

static int hub_no_boot(const struct hub *hub, int64_t number, struct err *err)
{
	uint32_t first = index_first_boot(&hub->index), last = hub->index.last.number;
	if (last == 0)
		return err_set(err, ERR_NOT_FOUND, "channel \"%s\" has not had a boot yet", hub->name);
	return err_set(err, ERR_NOT_FOUND, "channel \"%s\" has no boot %" PRId64 ": it has %" PRIu32 " to %" PRIu32, hub->name, number,
		       first, last);
}

int hub_find_boot(const struct hub *hub, int32_t number, struct hub_boot *out, struct err *err)
{
	int64_t wanted = number > 0 ? number : (int64_t)hub->index.last.number + number;
	struct index_boot boot;
	if (wanted < 1 || !index_find_boot(&hub->index, (uint32_t)wanted, &boot))
		return hub_no_boot(hub, wanted < 1 ? number : wanted, err);
	uint64_t offset = boot.offset > hub->log.first ? boot.offset : hub->log.first;
	*out = (struct hub_boot){ boot.number, offset, boot.time_ns, boot.explicit_start, boot.tail_unknown };
	return 0;
}

void hub_mark_tail_unknown(struct hub *hub)
{
	struct err err = ERR_INIT;
	if (index_mark_tail_unknown(&hub->index, &err) < 0 && hub->config.on_trouble != NULL)
		hub->config.on_trouble(hub->config.ctx, &err);
}

uint64_t hub_start_offset(const struct hub *hub)
{
	uint64_t start = hub->index.start_offset;
	return start > hub->log.first ? start : hub->log.first;
}
