/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/pump.h"

#include <fcntl.h>
#include <unistd.h>

#define PUMP_STEP_BYTES  (256 * 1024)  /* the most one callback moves */
#define PUMP_PIPE_BYTES  (1024 * 1024) /* what a FIFO is enlarged to */
#define PUMP_BURST_BYTES 4096          /* a FIFO that has printed more than this in one go is worth enlarging */

static const struct timeval at_once = { 0, 0 }, while_flowing = { 0, 1000 }, while_in_trouble = { 1, 0 };

static void pump_wait(struct pump *pump, const struct timeval *delay)
{
	if (delay != NULL)
		event_add(&pump->timer, delay);
	else
		event_add(&pump->readable, NULL);
}

/* Room for the time a daemon is being replaced, without stopping the guest. Only for channels that print a lot: pipes are counted per
 * user, and past a limit the kernel gives the user's other programs tiny ones. Failure is no matter. */
static void pump_enlarge(struct pump *pump, size_t moved)
{
	if (pump->burst_bytes == SIZE_MAX)
		return;
	pump->burst_bytes += moved;
	if (pump->burst_bytes <= PUMP_BURST_BYTES)
		return;
	pump->burst_bytes = SIZE_MAX;
	if (fcntl(pump->fd, F_GETPIPE_SZ) < PUMP_PIPE_BYTES)
		(void)fcntl(pump->fd, F_SETPIPE_SZ, PUMP_PIPE_BYTES);
}

static void pump_trouble(struct pump *pump, int sys)
{
	pump_wait(pump, &while_in_trouble);
	if (pump->is_in_trouble)
		return;
	pump->is_in_trouble = true;
	struct err err;
	err_sys(&err, sys, "write \"%s\"; the emulator waits until it can be written", pump->log->file);
	pump->ops->on_trouble(pump->ctx, &err);
}

static void pump_recovered(struct pump *pump)
{
	if (!pump->is_in_trouble)
		return;
	pump->is_in_trouble = false;
	struct err err = ERR_INIT;
	err_set(&err, ERR_OK, "\"%s\" can be written again", pump->log->file);
	pump->ops->on_trouble(pump->ctx, &err);
}

static void pump_empty(struct pump *pump)
{
	if (pump->burst_bytes != SIZE_MAX)
		pump->burst_bytes = 0;
	if (pump->is_draining) {
		pump_stop(pump);
		pump->ops->on_drained(pump->ctx);
		return;
	}
	pump_wait(pump, NULL);
}

static ssize_t pump_move(struct pump *pump)
{
	ssize_t n;
	do
		n = log_splice(pump->log, pump->fd, PUMP_STEP_BYTES);
	while (n < 0 && pump->ops->on_full(pump->ctx, (int)-n));
	return n;
}

static void pump_step(struct pump *pump, bool first)
{
	uint64_t offset = pump->log->end;
	ssize_t n = pump_move(pump);
	if (n < 0) {
		pump_trouble(pump, (int)-n);
		return;
	}
	pump_recovered(pump);
	if (n == 0) {
		pump_empty(pump);
		return;
	}
	pump_enlarge(pump, (size_t)n);
	pump_wait(pump, pump->is_draining ? &at_once : &while_flowing);
	pump->ops->on_moved(pump->ctx, offset, first);
}

static void pump_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	pump_step(ctx, true);
}

static void pump_on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	pump_step(ctx, false);
}

void pump_init(struct pump *pump, struct event_base *base, struct log *log, const struct pump_ops *ops, void *ctx)
{
	*pump = (struct pump){ .log = log, .ops = ops, .ctx = ctx, .fd = -1 };
	event_assign(&pump->readable, base, -1, EV_READ, pump_on_readable, pump);
	event_assign(&pump->timer, base, -1, EV_TIMEOUT, pump_on_timer, pump);
}

void pump_start(struct pump *pump, int fd)
{
	pump->fd = fd;
	pump->is_draining = pump->is_in_trouble = false;
	pump->burst_bytes = 0;
	event_assign(&pump->readable, event_get_base(&pump->timer), fd, EV_READ, pump_on_readable, pump);
	pump_wait(pump, NULL);
}

void pump_drain(struct pump *pump)
{
	pump->is_draining = true;
	event_del(&pump->readable);
	pump_wait(pump, &at_once);
}

void pump_stop(struct pump *pump)
{
	if (pump->fd < 0)
		return;
	event_del(&pump->readable);
	event_del(&pump->timer);
	close(pump->fd);
	pump->fd = -1;
}

bool pump_is_running(const struct pump *pump)
{
	return pump->fd >= 0;
}
