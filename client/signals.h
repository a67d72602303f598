/* SPDX-License-Identifier: Apache-2.0 */
/* The signals that end a command which has something to put right first. One that was ignored when we began (nohup) stays so. */
#pragma once

struct event_base;
struct signals;

/* on_signal: SIGINT, SIGTERM or SIGHUP came. SIGTSTP suspends with the terminal restored. */
struct signals *signals_new(struct event_base *base, void (*on_signal)(void *ctx, int number), void *ctx);
void signals_free(struct signals *signals); /* takes NULL */
