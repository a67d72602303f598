/* SPDX-License-Identifier: Apache-2.0 */
/* Instances.Watch as the client sees it: events in order, going on at the exact next one with another daemon. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct conn;
struct rpc_stream;

/* The owner fills in the first part. It must stay until the stream has ended or conn_close() was called. */
struct watch {
	struct conn *conn;
	const char *instance_id; /* NULL: all, and the daemon */
	bool has_from;           /* false: only what comes */
	uint64_t from_seq;       /* number of the first event wanted; moves on with what has come */
	bool no_follow, snapshots;
	void (*on_event)(void *ctx, const Pwemu__V1__Event *event);
	void (*on_end)(void *ctx, const struct err *status);
	void *ctx;

	struct rpc_stream *stream; /* NULL: it has ended */
};

/* Begins, or goes on after the stream has ended. */
void watch_begin(struct watch *watch);
void watch_pause(struct watch *watch);
void watch_resume(struct watch *watch);
