/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the user's daemon. Race-free: of clients that start at once, one starts it and the others wait for it. */
#pragma once

#include "config/paths.h"
#include "wire/err.h"

#define SPAWN_REFUSED "daemon-refused" /* reason: it said why it does not start */

/* Starts a daemon unless one answers meanwhile, waits until it is ready, connects. *fd is a connected socket. UNAVAILABLE with
 * another reason or none: it was killed meanwhile. */
int spawn_daemon(const struct paths *paths, int *fd, struct err *err) __attribute__((warn_unused_result));
