/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/acl.h"
#include "instance/priv.h"
#include "wire/mem.h"

static const char *const right_names[RIGHT_COUNT] = {
	[RIGHT_NONE] = "none", [RIGHT_VIEW] = "view", [RIGHT_WRITE] = "write", [RIGHT_CONTROL] = "control"
};

const char *right_name(enum right right)
{
	return right_names[right];
}

bool right_parse(const char *name, enum right *out)
{
	for (enum right right = RIGHT_VIEW; right < RIGHT_COUNT; right++) {
		if (strcmp(right_names[right], name) != 0)
			continue;
		*out = right;
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- shares */

static struct share *shares_find(const struct shares *shares, bool is_group, uint32_t id)
{
	for (size_t i = 0; i < shares->count; i++)
		if (shares->rows[i].is_group == is_group && shares->rows[i].id == id)
			return &shares->rows[i];
	return NULL;
}

static void share_fini(struct share *share)
{
	free(share->name);
	free(share->members);
}

static void share_copy(struct share *to, const struct share *from)
{
	*to = *from;
	to->name = xstrdup(from->name);
	to->members = xcalloc(from->member_count + 1, sizeof(uid_t));
	if (from->member_count > 0)
		memcpy(to->members, from->members, from->member_count * sizeof(uid_t));
}

bool shares_put(struct shares *shares, const struct share *share)
{
	struct share *row = shares_find(shares, share->is_group, share->id);
	if (row == NULL && shares->count == SHARES_MAX)
		return false;
	if (row == NULL) {
		shares->rows = xrealloc(shares->rows, shares->count + 1, sizeof(*row));
		row = &shares->rows[shares->count++];
	} else {
		share_fini(row);
	}
	share_copy(row, share);
	return true;
}

bool shares_remove(struct shares *shares, bool is_group, uint32_t id)
{
	struct share *row = shares_find(shares, is_group, id);
	if (row == NULL)
		return false;
	share_fini(row);
	*row = shares->rows[--shares->count];
	return true;
}

enum right shares_right(const struct shares *shares, const struct user *user)
{
	enum right best = RIGHT_NONE;
	for (size_t i = 0; i < shares->count; i++) {
		const struct share *row = &shares->rows[i];
		bool is_meant = row->is_group ? user_is_in(user, row->id) : user->uid == row->id;
		if (is_meant && row->right > best)
			best = row->right;
	}
	return best;
}

static bool share_has_member(const struct share *share, uid_t uid)
{
	for (size_t i = 0; i < share->member_count; i++)
		if (share->members[i] == uid)
			return true;
	return false;
}

enum right shares_right_of_uid(const struct shares *shares, uid_t uid)
{
	enum right best = RIGHT_NONE;
	for (size_t i = 0; i < shares->count; i++) {
		const struct share *row = &shares->rows[i];
		bool is_meant = row->is_group ? share_has_member(row, uid) : uid == row->id;
		if (is_meant && row->right > best)
			best = row->right;
	}
	return best;
}

void shares_fini(struct shares *shares)
{
	for (size_t i = 0; i < shares->count; i++)
		share_fini(&shares->rows[i]);
	free(shares->rows);
	*shares = (struct shares){ 0 };
}

Pwemu__V1__Share **shares_messages(const struct shares *shares)
{
	Pwemu__V1__Share **rows = xcalloc(shares->count, sizeof(*rows));
	for (size_t i = 0; i < shares->count; i++) {
		const struct share *share = &shares->rows[i];
		rows[i] = xmalloc(sizeof(**rows));
		pwemu__v1__share__init(rows[i]);
		rows[i]->name = share->name;
		rows[i]->group = share->is_group;
		rows[i]->id = share->id;
		rows[i]->right = (char *)(uintptr_t)right_names[share->right];
		rows[i]->since_ns = share->since_ns;
		rows[i]->members = share->members;
		rows[i]->n_members = share->member_count;
	}
	return rows;
}

void shares_free_messages(Pwemu__V1__Share **rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(rows[i]);
	free(rows);
}

/* ---------------------------------------------------------------- instances */

enum right instance_right(const struct instance *inst, const struct caller *caller)
{
	if (caller->is_admin || caller->user->uid == inst->user.uid)
		return RIGHT_CONTROL;
	return shares_right(&inst->shares, caller->user);
}

int access_check(const struct instance *inst, const struct caller *caller, enum right right, struct err *err)
{
	enum right has = instance_right(inst, caller);
	if (has >= right)
		return 0;
	err_set(err, ERR_PERMISSION_DENIED,
		"instance \"%s\" belongs to %s, who lets you %s it; this needs \"%s\". %s can allow it with: pwemu share -i %s --with %s "
		"%s",
		instance_name(inst), inst->user.name, right_name(has), right_name(right), inst->user.name, instance_name(inst),
		caller->user->name, right_name(right));
	return err_reason(err, "permission");
}

void access_let_read(const struct instance *inst, int dir, const char *file)
{
	bool is_dir = strcmp(file, ".") == 0;
	struct err err = ERR_INIT;
	if (!inst->env->is_system || inst->user.uid == 0)
		return;
	int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int rc = fd < 0 ? err_sys(&err, errno, "open it") : acl_allow(fd, inst->user.uid, is_dir ? ACL_EXECUTE : ACL_READ, &err);
	if (rc < 0)
		log_debug(&inst->scope, "\"%s\" cannot be read by its owner: %s", file, err.msg);
	if (fd >= 0)
		close(fd);
}
