/* SPDX-License-Identifier: Apache-2.0 */
#include "base/user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

void user_init(struct user *user, uid_t uid, gid_t gid, const gid_t *groups, size_t group_count, const char *name)
{
	*user = (struct user){ .uid = uid, .gid = gid, .group_count = group_count };
	if (group_count > 0) {
		user->groups = xcalloc(group_count, sizeof(gid_t));
		memcpy(user->groups, groups, group_count * sizeof(gid_t));
	}
	user->is_named = name != NULL;
	user->name = name != NULL ? xstrdup(name) : xasprintf("%u", (unsigned)uid);
}

void user_fini(struct user *user)
{
	free(user->groups);
	free(user->name);
	user->groups = NULL;
	user->group_count = 0;
	user->name = NULL;
}

void user_set(struct user *to, const struct user *from)
{
	struct user made;
	const struct user *named = from->is_named || to->uid != from->uid ? from : to;
	user_init(&made, from->uid, from->gid, from->groups, from->group_count, named->is_named ? named->name : NULL);
	user_fini(to);
	*to = made;
}

void user_set_name(struct user *user, const char *name)
{
	char *old = user->name;
	user->name = xstrdup(name);
	user->is_named = true;
	free(old);
}

bool user_is_same(const struct user *a, const struct user *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->group_count == b->group_count &&
	       (a->group_count == 0 || memcmp(a->groups, b->groups, a->group_count * sizeof(gid_t)) == 0);
}

bool user_is_in(const struct user *user, gid_t group)
{
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == group)
			return true;
	return user->gid == group;
}

bool user_is_called(const struct user *user, const char *text, size_t len)
{
	char number[16];
	snprintf(number, sizeof(number), "%u", (unsigned)user->uid);
	return (strlen(user->name) == len && memcmp(user->name, text, len) == 0) ||
	       (strlen(number) == len && memcmp(number, text, len) == 0);
}
