/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: the lock that admits one daemon for each state directory, the listening socket, and its re-creation when
 * somebody removed it.
 */
#pragma once

#include "wire/err.h"

struct control;
struct event_base;

struct control_config {
	const char *state_dir;
	const char *socket;
	unsigned mode;    /* of the socket */
	int listen_fd;    /* a socket that listens at `socket` and was passed to us, now the control's; -1: one is made */
	int lock_fd;      /* the lock that control_keep_lock() kept, now the control's; -1: none */
	unsigned wait_ms; /* how long to wait for a daemon that is just ending to give up the lock */
};

/* Takes the lock and listens. ALREADY_EXISTS names the daemon that has the lock. */
int control_open(const struct control_config *config, struct control **out, int *listen_fd, struct err *err)
	__attribute__((warn_unused_result));
/* From now on: when the socket's file is gone a new one is made and given to on_listen, which owns it. */
void control_guard(struct control *control, struct event_base *base, void (*on_listen)(void *ctx, int listen_fd), void *ctx);
/* A descriptor of the socket that was passed, which lasts over control_close(); -1: none was, or it is not the one at `socket` any more. */
int control_keep_passed(const struct control *control);
/* A descriptor that holds the lock over control_close() and exec. -1: there is none to be had. */
int control_keep_lock(const struct control *control);
/* Removes the socket if it is still ours, and not of who passed it; takes NULL. */
void control_close(struct control *control);
