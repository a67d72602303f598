/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener on 127.0.0.1 that lets in only whom it may: before a byte flows either way, the client's own row in the kernel's table of
 * sockets is looked up. It must be the owner's or root's, or of somebody whom the owner lets in.
 *
 * Callbacks come from the loop; the gate must not be closed in there.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop/sockdiag.h"
#include "wire/err.h"

struct gate_ops {
	/* fd (CLOEXEC, non-blocking, TCP_NODELAY) becomes the callee's. */
	void (*on_client)(void *ctx, int fd, const struct sockdiag_peer *peer);
	/* Somebody was sent away; at most once a minute for one user. */
	void (*on_refused)(void *ctx, const struct err *err);
};

/* Who may come. */
struct gate_list {
	uid_t owner;
	bool (*may)(void *ctx, uid_t uid); /* others than him and root; NULL: nobody else */
	void *ctx;
};

struct gate_limit {
	uint64_t until_ms; /* nothing is told before; 0: tell */
	uid_t uid;
};

struct gate {
	const struct gate_ops *ops;
	void *ctx;
	struct gate_list list;
	bool is_paused;
	struct gate_limit stranger, gone, broken;
	struct event acceptable;
	struct event again; /* timer; pending while there is no free fd */
};

/* The listener stays the caller's. */
void gate_init(struct gate *gate, struct event_base *base, int listener, const struct gate_list *list, const struct gate_ops *ops,
	       void *ctx);
bool gate_list_has(const struct gate_list *list, uid_t uid);
/* While paused, who comes waits in the listener's queue. */
void gate_pause(struct gate *gate, bool paused);
void gate_fini(struct gate *gate);

/* Whether a thing of this kind may be told now; counts as told if so. */
bool gate_limit_pass(struct gate_limit *limit, uid_t uid);
