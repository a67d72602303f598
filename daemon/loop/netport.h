/* SPDX-License-Identifier: Apache-2.0 */
/* TCP ports that a process tree listens on, and connections to them, also when the tree has a network namespace of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

struct event_base;
struct netport;

#define NETPORT_MAX 64

struct netport_list {
	uint16_t ports[NETPORT_MAX];
	size_t count;
};

/* Ports that the process or a descendant of it listens on, by what /proc says: a socket that is not one of theirs does not count. */
void netport_list(pid_t root, struct netport_list *out);
/* A port of `after` that is not in `before`; 0: none. */
uint16_t netport_fresh(const struct netport_list *before, const struct netport_list *after);

/* Opens what another process has to join to see the network that this one sees, in this order: the user namespace that owns it, where it is
 * not the daemon's, and it. How many; 0: it is the daemon's network, or cannot be opened. */
size_t netport_namespaces(pid_t pid, int fds[2]);
/* Whether its network is another than the daemon's. */
bool netport_is_private(pid_t pid);

/* Connects to 127.0.0.1:port as the process sees it. on_done comes from the loop, once, not after netport_cancel(): fd, the callee's and
 * non-blocking, or -1 and why. */
int netport_connect(struct event_base *base, pid_t pid, uint16_t port, void (*on_done)(void *ctx, int fd, const struct err *err), void *ctx,
		    struct netport **out, struct err *err) __attribute__((warn_unused_result));
void netport_cancel(struct netport *netport); /* takes NULL */
