/* SPDX-License-Identifier: Apache-2.0 */
/* Images for a daemon that cannot see our files. */
#pragma once

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct conn;

/* Sends what image->path holds, unless the daemon has it; with a progress bar on a terminal when it takes its time. image->digest is set,
 * to be freed with upload_forget. Goes on over a lost connection. Not from a callback. */
int upload_image(struct conn *conn, Pwemu__V1__Image *image, struct err *err) __attribute__((warn_unused_result));
void upload_forget(Pwemu__V1__Image *image);
