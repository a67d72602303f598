/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a channel's log within its limit, and makes room on a full disk where that is wanted: its oldest bytes are dropped.
 *
 * The index is told first, then the blocks are given back: whoever dies in between leaves bytes that nobody looks at, which the next
 * daemon gives back, but never a hole that looks like output. Dropping is done in steps: each may wait for the disk, since file systems
 * write out what is dirty before they give it back.
 */
#include "channel/hub_priv.h"

#include <errno.h>
#include <inttypes.h>

#define BOUND_STEP_MIN UINT64_C(65536)
#define BOUND_STEP_MAX (UINT64_C(4) << 20)
#define BOUND_ROOM_MIN (UINT64_C(1) << 20) /* of a full disk's channel at least this goes at once */

static const struct timeval between_reports = { 10, 0 };

static uint64_t bound_step(uint64_t limit)
{
	uint64_t step = limit / 16;
	return step < BOUND_STEP_MIN ? BOUND_STEP_MIN : step > BOUND_STEP_MAX ? BOUND_STEP_MAX : step;
}

/* Drops what is before `first`. 0 or -errno. */
static int bound_drop(struct hub *hub, uint64_t first)
{
	int rc = hub->log.first == 0 ? log_can_punch(&hub->log) : 0;
	if (rc == 0)
		rc = index_drop(&hub->index, first);
	return rc < 0 ? rc : log_punch(&hub->log, first);
}

static void bound_failed(struct hub *hub, int sys)
{
	struct err err = ERR_INIT;
	if (hub->bound_failed)
		return;
	hub->bound_failed = true;
	if (sys == EOPNOTSUPP)
		err_sys(&err, sys,
			"the file system cannot give back the oldest data of \"%s\", which grows beyond its limit of %" PRIu64 " bytes",
			hub->log.file, hub->config.limit_bytes);
	else
		err_sys(&err, sys, "give back the oldest data of \"%s\", which is beyond its limit of %" PRIu64 " bytes; it is tried again",
			hub->log.file, hub->config.limit_bytes);
	hub_tell_later(hub, &err);
}

void bound_check(struct hub *hub)
{
	uint64_t limit = hub->config.limit_bytes;
	if (limit == 0 || hub->log.end - hub->log.first <= limit + bound_step(limit))
		return;
	int rc = bound_drop(hub, log_floor(&hub->log, hub->log.end - limit));
	if (rc < 0)
		bound_failed(hub, -rc);
	else
		hub->bound_failed = false;
}

void bound_settle(struct hub *hub)
{
	if (hub->log.first < hub->index.first_offset)
		(void)log_punch(&hub->log, hub->index.first_offset); /* a daemon died in between */
	else if (hub->log.first > hub->index.first_offset)
		(void)index_drop(&hub->index, hub->log.first); /* the index was lost with the host's power */
}

/* ---------------------------------------------------------------- a full disk */

void bound_report(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct hub *hub = ctx;
	struct err err = ERR_INIT;
	if (hub->dropped_bytes == 0)
		return;
	err_set(&err, ERR_RESOURCE_EXHAUSTED,
		"the disk is full: the oldest %" PRIu64 " bytes of \"%s\" are gone, it now begins at offset %" PRIu64, hub->dropped_bytes,
		hub->log.file, hub->log.first);
	hub->dropped_bytes = 0;
	event_add(&hub->report, &between_reports);
	hub_tell_later(hub, &err);
}

bool bound_make_room(struct hub *hub, int sys)
{
	if (!hub->config.drop_oldest || (sys != ENOSPC && sys != EDQUOT) || hub->log.end == 0)
		return false; /* EFBIG: a file that is too long does not get shorter */
	uint64_t step = (hub->log.end - hub->log.first) / 4, before = hub->log.first;
	uint64_t last = log_floor(&hub->log, hub->log.end - 1); /* the block that is being written */
	uint64_t first = log_floor(&hub->log, before + (step > BOUND_ROOM_MIN ? step : BOUND_ROOM_MIN));
	first = first < last ? first : last;
	if (first <= before || bound_drop(hub, first) < 0)
		return false;
	hub->dropped_bytes += first - before;
	if (!event_pending(&hub->report, EV_TIMEOUT, NULL))
		bound_report(-1, EV_TIMEOUT, hub);
	return true;
}
