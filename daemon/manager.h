/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon tells the service manager that has started it: that it is ready, what it does, that it lives. Nothing, where there is
 * none. */
#pragma once

#include <stdbool.h>

struct event_base;
struct manager;
struct registry;

/* Ready: what was left running is adopted, clients are served. Begins the watchdog's pings where they are wanted. NULL: nobody is told. */
struct manager *manager_ready(struct event_base *base, struct registry *registry);
/* Around a reload. */
void manager_reloading(void);
void manager_reloaded(const struct manager *manager);
/* The daemon ends, or begins again in the same process. */
void manager_leaving(bool begins_again);
void manager_free(struct manager *manager); /* takes NULL */
