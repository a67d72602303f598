/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of a program whose shim was killed, found by the mark in its environment. */
#pragma once

#include "loop/helper.h"
#include "loop/proc_record.h"

/*
 * Kills every process of run->uid that carries the mark, the program itself, and (`fresh`: the shim died just now, so that its
 * number means nobody else) what is left of the shim's session, again until none is left. By a helper: reading the environment of a
 * process can block. on_done as with any helper; there is no reply.
 */
int proc_kill_marked(struct event_base *base, const struct proc_run *run, bool fresh,
		     void (*on_done)(void *ctx, const void *reply, size_t len, const struct err *err), void *ctx, struct helper **out,
		     struct err *err) __attribute__((warn_unused_result));
