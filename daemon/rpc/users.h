/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of users and groups. The name service may ask the network, so it is asked by helpers; what is known is kept. In the loop a name
 * that is not known yet is none.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/user.h"
#include "wire/err.h"

struct event_base;
struct users;

struct users *users_new(struct event_base *base);
void users_free(struct users *users); /* takes NULL; nobody is called any more */

/* NULL: not known; it is asked for, and perhaps known the next time. */
const char *users_name(struct users *users, uid_t uid);
/* From somebody who knows. */
void users_learn(struct users *users, uid_t uid, const char *name);

/* A user or group that was looked up. */
struct users_found {
	bool is_group;
	struct user user; /* of a group: name, gid as its number, and in `groups` the uids of its members (not of those whose first group it
			     is) */
};

/*
 * Looks a name or number up; a user's groups too. want_group: a group; else a user, or where there is none of that name a group. on_done
 * comes once, from the loop; NOT_FOUND (no-user) when there is none. It lives as long as that takes, whatever becomes of the caller.
 */
void users_find(struct users *users, const char *text, bool want_group,
		void (*on_done)(void *ctx, const struct users_found *found, const struct err *err), void *ctx);
