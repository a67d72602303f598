/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdout as the loop writes to it. It never blocks the program and its flags are not changed for others that share it: pipes and
 * terminals are opened once more, sockets are written with MSG_DONTWAIT. What it does not take is kept, and sink_is_full() tells the
 * readers to pause. With `terminal` set a lone LF becomes CR LF.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct sink;

struct sink_ops {
	/* It has taken what was kept. */
	void (*on_drained)(void *ctx);
	/* Whoever read it has closed it (error EPIPE), or writing failed. Once. */
	void (*on_broken)(void *ctx, int error);
};

struct sink *sink_new(struct event_base *base, int fd, const struct sink_ops *ops, void *ctx);
void sink_free(struct sink *sink); /* takes NULL; what is kept is dropped */

void sink_write(struct sink *sink, const void *bytes, size_t len);
bool sink_is_full(const struct sink *sink);  /* more than 64 KiB are kept */
bool sink_is_empty(const struct sink *sink); /* nothing is kept, or it is broken */
void sink_set_terminal(struct sink *sink, bool terminal);
