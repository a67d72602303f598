/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/pidwatch.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "loop/loop.h"
#include "loop/proc_record.h"
#include "loop/timer.h"
#include "wire/mem.h"

#define PIDWATCH_AGAIN_MS 1000

struct pidwatch {
	struct event_base *base;
	pid_t pid;
	uint64_t start;
	int fd; /* -1: none */
	struct loop_watch *readable;
	struct timer *timer;
	void (*on_death)(void *ctx);
	void *ctx;
};

int pidwatch_start_of(pid_t pid, uint64_t *start)
{
	uint64_t found;
	bool is_zombie;
	if (!proc_started_at(pid, &found, &is_zombie) || is_zombie)
		return -1;
	*start = found;
	return 0;
}

/* Once more after the pidfd was had: from then on the number is nobody else's. */
static bool pidwatch_is_alive(const struct pidwatch *watch)
{
	uint64_t start;
	return pidwatch_start_of(watch->pid, &start) == 0 && (watch->start == 0 || watch->start == start);
}

static void pidwatch_tell(struct pidwatch *watch)
{
	loop_watch_free(watch->readable);
	watch->readable = NULL;
	watch->on_death(watch->ctx); /* the last thing done with it */
}

static void pidwatch_on_readable(void *ctx)
{
	pidwatch_tell(ctx);
}

static void pidwatch_open(struct pidwatch *watch)
{
	watch->fd = pidfd_open(watch->pid, 0);
	if (watch->fd >= 0)
		watch->readable = loop_watch_fd(watch->base, watch->fd, pidwatch_on_readable, watch);
}

/* It was dead from the beginning, or could not be watched. */
static void pidwatch_on_timer(void *ctx)
{
	struct pidwatch *watch = ctx;
	if (!pidwatch_is_alive(watch)) {
		pidwatch_tell(watch);
		return;
	}
	pidwatch_open(watch);
	if (watch->fd < 0)
		timer_arm(watch->timer, PIDWATCH_AGAIN_MS);
}

struct pidwatch *pidwatch_new(struct event_base *base, pid_t pid, uint64_t start, void (*on_death)(void *ctx), void *ctx)
{
	struct pidwatch *watch = xcalloc(1, sizeof(*watch));
	*watch = (struct pidwatch){ .base = base, .pid = pid, .start = start, .fd = -1, .on_death = on_death, .ctx = ctx };
	watch->timer = timer_new(base, pidwatch_on_timer, watch);
	if (pid > 0)
		pidwatch_open(watch);
	if (watch->fd < 0 || !pidwatch_is_alive(watch))
		timer_arm(watch->timer, 0);
	return watch;
}

void pidwatch_free(struct pidwatch *watch)
{
	if (watch == NULL)
		return;
	loop_watch_free(watch->readable);
	timer_free(watch->timer);
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch);
}
