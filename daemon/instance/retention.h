/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long ended instances and their logs are kept: for settings.keep_ms, those that were numbered by themselves (StartRequest.fresh) for
 * a day at most; and of each user's together at most settings.keep_bytes on disk, oldest end first. The one that ended last is never too
 * large. One that is being read is spared until it is not. 0 in a setting: no limit.
 *
 * It looks when the daemon has started, soon after an instance has ended, and when the next one is due; else nothing wakes.
 */
#pragma once

struct event_base;
struct registry;
struct retention;
struct settings;

struct retention_config {
	struct event_base *base;
	struct registry *registry;       /* owns the retention */
	const struct settings *settings; /* outlives it */
};

struct retention *retention_new(const struct retention_config *config);
void retention_free(struct retention *retention); /* takes NULL */
/* Looks at all instances, from the loop, and removes what is due. Takes NULL. */
void retention_look(struct retention *retention);
