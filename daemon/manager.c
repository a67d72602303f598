/* SPDX-License-Identifier: Apache-2.0 */
#include "manager.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/systemd.h"
#include "instance/registry.h"
#include "loop/timer.h"
#include "wire/mem.h"

struct manager {
	struct registry *registry;
	struct registry_observer observer;
	struct timer *ping; /* NULL: not wanted */
	uint64_t ping_ms;
	size_t running; /* as it was told */
};

static void manager_on_ping(void *ctx)
{
	struct manager *manager = ctx;
	systemd_notify("WATCHDOG=1");
	timer_arm(manager->ping, manager->ping_ms);
}

static void manager_on_change(void *ctx, struct instance *inst)
{
	struct manager *manager = ctx;
	size_t running = registry_running(manager->registry);
	(void)inst;
	if (running == manager->running)
		return;
	manager->running = running;
	systemd_notify("STATUS=%zu instances run", running);
}

struct manager *manager_ready(struct event_base *base, struct registry *registry)
{
	if (!systemd_is_notified())
		return NULL;
	struct manager *manager = xcalloc(1, sizeof(*manager));
	manager->registry = registry;
	manager->running = registry_running(registry);
	manager->observer = (struct registry_observer){ .on_change = manager_on_change, .ctx = manager };
	registry_observe(registry, &manager->observer);
	systemd_notify("READY=1\nSTATUS=%zu instances run", manager->running);
	manager->ping_ms = systemd_watchdog_ms() / 2;
	if (manager->ping_ms > 0) {
		manager->ping = timer_new(base, manager_on_ping, manager);
		manager_on_ping(manager);
	}
	return manager;
}

/* The time is for Type=notify-reload. */
void manager_reloading(void)
{
	struct timespec now;
	if (!systemd_is_notified())
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	systemd_notify("RELOADING=1\nMONOTONIC_USEC=%llu",
		       (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

void manager_reloaded(const struct manager *manager)
{
	if (manager != NULL)
		systemd_notify("READY=1\nSTATUS=%zu instances run", manager->running);
}

void manager_leaving(bool begins_again)
{
	if (begins_again)
		manager_reloading();
	else
		systemd_notify("STOPPING=1");
}

void manager_free(struct manager *manager)
{
	if (manager == NULL)
		return;
	timer_free(manager->ping);
	free(manager);
}
