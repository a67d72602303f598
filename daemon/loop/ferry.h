/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries bytes between the slave of a PTY whose master is an emulator's and a pair of FIFOs: what the guest prints goes from the
 * slave to `out`, what is typed from `in` to the slave. The kernel moves them (splice(2), for terminals since Linux 5.11): a daemon that
 * is killed loses and doubles none of them, as long as somebody else holds slave and FIFOs open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "wire/err.h"

struct event_base;
struct ferry;

struct ferry_fds {
	int slave, out, in; /* non-blocking; FIFOs are open for both ways, so that neither ever shows an end */
};

/* Takes the fds. on_trouble: bytes cannot be moved, once; it goes on trying. Callbacks come from the loop. */
struct ferry *ferry_new(struct event_base *base, const struct ferry_fds *fds, void (*on_trouble)(void *ctx, const struct err *err),
			void *ctx);
void ferry_free(struct ferry *ferry); /* takes NULL */
/* Moves what the guest has printed, as far as `out` takes it. True: the slave is empty, or its master is closed. */
bool ferry_drain(struct ferry *ferry);
