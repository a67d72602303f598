/* SPDX-License-Identifier: Apache-2.0 */
/* The FIFOs of a channel in the run directory: NAME.out, and NAME.in when it takes input. */
#pragma once

#include <stdbool.h>

#include "base/user.h"
#include "wire/err.h"

/* The hub's ends; -1: not there. */
struct fifo_ends {
	int out, in;
};

#define FIFO_ENDS_NONE                                                                                                                     \
	{                                                                                                                                  \
		-1, -1                                                                                                                     \
	}

/* Makes it anew, 0600; owner NULL: the daemon's user. */
int fifo_make(int run_dir, const char *file, const struct user *owner, struct err *err) __attribute__((warn_unused_result));
/* Opens it for reading and writing, non-blocking: no end of file, no waiting for the other side. */
int fifo_open(int run_dir, const char *file, int *fd, struct err *err) __attribute__((warn_unused_result));
/* Opens both of an earlier daemon's; on failure none is open. */
int fifo_open_ends(int run_dir, const char *channel, bool has_input, struct fifo_ends *ends, struct err *err)
	__attribute__((warn_unused_result));
void fifo_close_ends(struct fifo_ends *ends);
