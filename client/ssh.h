/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh://[user@]host[:port][?pwemu=PATH]: the daemon of another machine, through `ssh host pwemu proxy`. $PWEMU_SSH is the command to use
 * instead of ssh, split into words as by a shell.
 */
#pragma once

#include <stdbool.h>

#include "wire/err.h"

/* INVALID_ARGUMENT when it is no such address. */
int ssh_check(const char *url, struct err *err) __attribute__((warn_unused_result));
/* Starts ssh, which keeps stderr and the terminal for its questions. *fd, non-blocking, is the way to the daemon; that it can be reached
 * shows later only. */
int ssh_connect(const char *url, int *fd, struct err *err) __attribute__((warn_unused_result));
/* The connection has ended before the daemon said a word: puts into err why, as far as the end of ssh tells. Returns true when another try
 * may do better: ssh and the proxy ended in good order, so the daemon was just leaving. */
bool ssh_explain(const char *url, struct err *err);
