/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "loop/helper.h"
#include "wire/mem.h"

#define USERS_DEADLINE_MS 10000
#define USERS_GROUPS_MAX  1024
#define USERS_FILE_MAX    (256 << 10)
#define USERS_NAMES_MAX   4096 /* then all are forgotten, and learned again */

struct users_name {
	TAILQ_ENTRY(users_name) link;
	uid_t uid;
	char *name; /* NULL: it is being asked for, or there is none */
};

TAILQ_HEAD(users_names, users_name);

struct users {
	struct event_base *base;
	struct users_names names;
	size_t count;
};

/* Travels through a pipe as it is. */
struct users_answer {
	bool is_there, is_group;
	uid_t uid;
	gid_t gid;
	char name[64];
	uint32_t group_count;
	gid_t groups[USERS_GROUPS_MAX];
};

struct users_search {
	char text[64];
	bool want_group;
	void (*on_done)(void *ctx, const struct users_found *found, const struct err *err);
	void *ctx;
};

/* ---------------------------------------------------------------- in the helper */

/* A number is one of 32 bits: what is longer is not to become another user's. */
static bool search_number(const char *text, uint32_t *out)
{
	char *end;
	errno = 0;
	unsigned long number = strtoul(text, &end, 10);
	*out = (uint32_t)number;
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && number < UINT32_MAX;
}

static const struct passwd *search_user(const char *text)
{
	const struct passwd *entry = getpwnam(text);
	uint32_t number;
	return entry == NULL && search_number(text, &number) ? getpwuid(number) : entry;
}

static const struct group *search_group(const char *text)
{
	const struct group *entry = getgrnam(text);
	uint32_t number;
	return entry == NULL && search_number(text, &number) ? getgrgid(number) : entry;
}

static void answer_user(struct users_answer *answer, const struct passwd *entry)
{
	int count = USERS_GROUPS_MAX;
	answer->is_there = true;
	answer->uid = entry->pw_uid;
	answer->gid = entry->pw_gid;
	snprintf(answer->name, sizeof(answer->name), "%s", entry->pw_name);
	if (getgrouplist(entry->pw_name, entry->pw_gid, answer->groups, &count) >= 0)
		answer->group_count = (uint32_t)count;
}

static void answer_group(struct users_answer *answer, const struct group *entry)
{
	answer->is_there = answer->is_group = true;
	answer->gid = entry->gr_gid;
	snprintf(answer->name, sizeof(answer->name), "%s", entry->gr_name);
	for (char **name = entry->gr_mem; *name != NULL && answer->group_count < USERS_GROUPS_MAX; name++) {
		const struct passwd *member = getpwnam(*name);
		if (member != NULL)
			answer->groups[answer->group_count++] = member->pw_uid;
	}
}

static void users_work(void *arg, int reply_fd)
{
	const struct users_search *search = arg;
	static struct users_answer answer;
	const struct passwd *user = search->want_group ? NULL : search_user(search->text);
	const struct group *group = user == NULL ? search_group(search->text) : NULL;
	if (user != NULL)
		answer_user(&answer, user);
	else if (group != NULL)
		answer_group(&answer, group);
	if (write(reply_fd, &answer, sizeof(answer)) != sizeof(answer))
		_exit(1);
}

/* ---------------------------------------------------------------- searching */

static void search_on_done(void *ctx, const void *reply, size_t len, const struct err *err)
{
	struct users_search *search = ctx;
	static struct users_answer answer;
	struct err trouble = ERR_INIT;
	if (err == NULL && len == sizeof(answer))
		memcpy(&answer, reply, len);
	else
		answer.is_there = false;
	if (err != NULL) {
		trouble = *err;
		err_prefix(&trouble, "looking up \"%s\"", search->text);
	} else if (!answer.is_there) {
		err_set(&trouble, ERR_NOT_FOUND, "no %s \"%s\" on this host; see: getent %s",
			search->want_group ? "group" : "user or group", search->text, search->want_group ? "group" : "passwd");
		err_reason(&trouble, "no-user");
	}
	if (err_is_set(&trouble)) {
		search->on_done(search->ctx, NULL, &trouble);
	} else {
		struct users_found found = { .is_group = answer.is_group };
		user_init(&found.user, answer.uid, answer.gid, answer.groups, answer.group_count, answer.name);
		search->on_done(search->ctx, &found, NULL);
		user_fini(&found.user);
	}
	free(search);
}

void users_find(struct users *users, const char *text, bool want_group,
		void (*on_done)(void *ctx, const struct users_found *found, const struct err *err), void *ctx)
{
	struct users_search *search = xcalloc(1, sizeof(*search));
	struct err err = ERR_INIT;
	search->want_group = want_group;
	search->on_done = on_done;
	search->ctx = ctx;
	snprintf(search->text, sizeof(search->text), "%s", text);
	struct helper_spec helper = {
		.name = "search for a user",
		.deadline_ms = USERS_DEADLINE_MS,
		.max_reply = sizeof(struct users_answer),
		.is_exact = true,
		.work = users_work,
		.arg = search,
		.on_done = search_on_done,
		.ctx = search,
	};
	if (helper_run(users->base, &helper, NULL, &err) == 0)
		return;
	on_done(ctx, NULL, &err);
	free(search);
}

/* ---------------------------------------------------------------- names */

struct users *users_new(struct event_base *base)
{
	struct users *users = xcalloc(1, sizeof(*users));
	users->base = base;
	TAILQ_INIT(&users->names);
	users_learn(users, 0, "root");
	return users;
}

static void users_forget(struct users *users)
{
	struct users_name *row, *next;
	for (row = TAILQ_FIRST(&users->names); row != NULL; row = next) {
		next = TAILQ_NEXT(row, link);
		free(row->name);
		free(row);
	}
	TAILQ_INIT(&users->names);
	users->count = 0;
}

void users_free(struct users *users)
{
	if (users == NULL)
		return;
	users_forget(users);
	free(users);
}

static struct users_name *users_row(const struct users *users, uid_t uid)
{
	struct users_name *row;
	TAILQ_FOREACH (row, &users->names, link)
		if (row->uid == uid)
			return row;
	return NULL;
}

static struct users_name *users_add(struct users *users, uid_t uid)
{
	if (users->count == USERS_NAMES_MAX)
		users_forget(users);
	struct users_name *row = xcalloc(1, sizeof(*row));
	row->uid = uid;
	TAILQ_INSERT_HEAD(&users->names, row, link);
	users->count++;
	return row;
}

void users_learn(struct users *users, uid_t uid, const char *name)
{
	struct users_name *row = users_row(users, uid);
	if (row == NULL)
		row = users_add(users, uid);
	free(row->name);
	row->name = xstrdup(name);
}

static void users_on_named(void *ctx, const struct users_found *found, const struct err *err)
{
	if (err == NULL && !found->is_group)
		users_learn(ctx, found->user.uid, found->user.name);
}

/* The host's own users are in a file, which is no name service; the first action of one is put down with his name. */
static const char *users_look_up(struct users *users, uid_t uid)
{
	struct stat st;
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *entry = NULL;
	if (file != NULL && fstat(fileno(file), &st) == 0 && st.st_size <= USERS_FILE_MAX)
		while ((entry = fgetpwent(file)) != NULL && entry->pw_uid != uid) {
		}
	if (entry != NULL)
		users_learn(users, uid, entry->pw_name);
	if (file != NULL)
		fclose(file);
	const struct users_name *row = users_row(users, uid);
	return row != NULL ? row->name : NULL;
}

const char *users_name(struct users *users, uid_t uid)
{
	const struct users_name *row = users_row(users, uid);
	if (row != NULL)
		return row->name;
	char text[16];
	const char *name = users_look_up(users, uid);
	if (name != NULL)
		return name;
	snprintf(text, sizeof(text), "%u", (unsigned)uid);
	users_add(users, uid);
	users_find(users, text, false, users_on_named, users);
	return NULL;
}
