/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP port on 127.0.0.1 for a channel that is a UNIX socket of the emulator's (gdb): bytes are copied both ways, through one bounded
 * buffer each. One connection at a time, since the other end takes one; who comes meanwhile waits in the listener's queue.
 *
 * Only the owner and root get in, as at other TCP endpoints. When either side has closed and what it sent is delivered, the other one
 * is closed too.
 *
 * Callbacks come from the event loop; the bridge must not be freed in there.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "wire/err.h"

struct event_base;
struct bridge;

struct bridge_config {
	struct event_base *base;
	int listener; /* stays the caller's, outlives the bridge */
	uid_t owner;
	const char *path; /* of the UNIX socket, which need not be there yet */
	/* As in struct endpoint_config; both may be NULL. */
	void (*on_party)(void *ctx, bool attached, const char *who);
	void (*on_trouble)(void *ctx, const struct err *err);
	void *ctx;
};

struct bridge *bridge_new(const struct bridge_config *config);
void bridge_free(struct bridge *bridge); /* closes the connection; takes NULL */
bool bridge_is_connected(const struct bridge *bridge);
