/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what a channel holds now, to its end, in one go. */
#pragma once

#include <stddef.h>

#include "client/feed.h"

struct conn;

/* Calls on_data for each piece until `config` (without follow) is read to its end; runs the loop meanwhile, at most 30 s without data. */
int drain_feed(struct conn *conn, const struct feed_config *config, void (*on_data)(void *ctx, const Pwemu__V1__Data *data), void *ctx,
	       struct err *err) __attribute__((warn_unused_result));

/* Writes the end (16 KiB at most) of what the latest start has printed on a channel to an fd; trouble is no trouble here. */
void drain_channel(struct conn *conn, const char *instance_id, const char *channel, int fd);
