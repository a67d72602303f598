/* SPDX-License-Identifier: Apache-2.0 */
/* A user of the host: whose things are whose, and what a process becomes to act for him. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones */
	size_t group_count;
	char *name;    /* its number, as a text, … */
	bool is_named; /* … unless it is known */
};

/* groups may be NULL; name too. The copy is to be ended with user_fini. */
void user_init(struct user *user, uid_t uid, gid_t gid, const gid_t *groups, size_t group_count, const char *name);
void user_fini(struct user *user); /* may be called twice */
/* `to` is one already. A name that is known stays where the other has none. */
void user_set(struct user *to, const struct user *from);
void user_set_name(struct user *user, const char *name);
/* Whether that is his name or number; `len`: of the text. */
bool user_is_called(const struct user *user, const char *text, size_t len);
/* The same rights; the names do not count. */
bool user_is_same(const struct user *a, const struct user *b);
bool user_is_in(const struct user *user, gid_t group);
