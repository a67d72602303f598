/* SPDX-License-Identifier: Apache-2.0 */
/* The one event loop, for code that must not see libevent. */
#pragma once

#include "wire/err.h"

struct event_base;
struct loop_watch;

struct event_base *loop_new(void);
void loop_free(struct event_base *base);
void loop_run(struct event_base *base);  /* until loop_stop */
void loop_stop(struct event_base *base); /* after the callback that is running */

/* Calls on_event when fd is readable, or when the signal arrives, until freed. */
struct loop_watch *loop_watch_fd(struct event_base *base, int fd, void (*on_event)(void *ctx), void *ctx);
struct loop_watch *loop_watch_signal(struct event_base *base, int sig, void (*on_event)(void *ctx), void *ctx);
void loop_watch_free(struct loop_watch *watch); /* takes NULL; the fd stays the caller's */
