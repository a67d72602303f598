/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves what an emulator prints from its FIFO into the log.
 *
 * Quiet: waits for POLLIN, no timer. Flowing: the first bytes are moved at once (a keystroke's echo is not delayed), then a timer
 * moves what has come every millisecond until nothing has. In trouble (the log cannot be written): the bytes stay in the FIFO, which
 * stops the emulator, and it is tried again every second.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/log.h"
#include "wire/err.h"

/* Called from the loop; they take note and schedule: the pump must not be stopped in there. */
struct pump_ops {
	/* Bytes were moved; they begin at `offset`. first: nothing had come for a while. */
	void (*on_moved)(void *ctx, uint64_t offset, bool first);
	/* The log cannot be written (errno): true when it is worth another try at once. */
	bool (*on_full)(void *ctx, int sys);
	/* After pump_drain: the FIFO is empty. */
	void (*on_drained)(void *ctx);
	/* The log cannot be written: why. Code ERR_OK: it can be written again. Once for each change. */
	void (*on_trouble)(void *ctx, const struct err *err);
};

struct pump {
	struct log *log;
	const struct pump_ops *ops;
	void *ctx;
	int fd; /* -1: stopped */
	bool is_draining;
	bool is_in_trouble;
	size_t burst_bytes; /* moved since it was quiet; SIZE_MAX: the FIFO was enlarged */
	struct event readable;
	struct event timer;
};

void pump_init(struct pump *pump, struct event_base *base, struct log *log, const struct pump_ops *ops, void *ctx);
void pump_start(struct pump *pump, int fd); /* fd becomes the pump's */
/* Nobody writes any more: move what is left, then on_drained, from the loop. */
void pump_drain(struct pump *pump);
/* Closes the FIFO; what is in it is left to whoever else holds it open. */
void pump_stop(struct pump *pump);
bool pump_is_running(const struct pump *pump);
