/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows a file that somebody else appends to, and moves what is new into a FIFO. How far it has come is the file offset of the
 * descriptor, which whoever else holds it shares: a daemon that is killed loses and doubles nothing. What was moved is given back to the
 * disk.
 */
#pragma once

#include <stdbool.h>

#include "wire/err.h"

struct event_base;
struct tail;

/* Takes the fds: `file` open for both ways, `fifo` non-blocking and open for both ways. */
int tail_new(struct event_base *base, int file, int fifo, struct tail **out, struct err *err) __attribute__((warn_unused_result));
void tail_free(struct tail *tail);  /* takes NULL */
void tail_drain(struct tail *tail); /* moves what is there now, as far as the FIFO takes it */
