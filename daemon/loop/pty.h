/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PTY that outlives those who open it: a slave is held so that the master never shows a hang-up, and what one user leaves behind
 * (settings, exclusive mode, bytes) is taken away before the next one comes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "wire/err.h"

/* A pair whose slave is raw before anybody can write to it, owned by `uid`, 0600. Both fds are CLOEXEC, non-blocking and no controlling
 * terminal. path: of the slave. */
int pty_make(uid_t uid, int *master, int *slave, char *path, size_t path_size, struct err *err) __attribute__((warn_unused_result));

/* The slave of somebody else's PTY, raw from now on; CLOEXEC, non-blocking, no controlling terminal. */
int pty_open_raw(const char *path, int *slave, struct err *err) __attribute__((warn_unused_result));

/* The last user has left: raw again, no exclusive mode, output not stopped; what was written to the master and not read is dropped. What
 * the user wrote stays. */
int pty_reset(int master, int slave, struct err *err) __attribute__((warn_unused_result));

/* A session leader whose controlling terminal the slave was has exited: the kernel has hung up every open slave, the held one too. */
bool pty_is_hung_up(int master);
/* Puts a new slave in place of the held one, under the same fd number. */
int pty_revive(int master, int slave, struct err *err) __attribute__((warn_unused_result));
