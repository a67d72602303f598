/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what with an instance: its owner and whoever administers the daemon everything, others what the owner has shared. The rights
 * contain one another: who may control may write, who may write may look.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/user.h"
#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct instance;

enum right {
	RIGHT_NONE,
	RIGHT_VIEW,    /* state, logs, output */
	RIGHT_WRITE,   /* input to its serial channels besides */
	RIGHT_CONTROL, /* everything; also what runs commands of the host: gdb, qmp, monitor */
	RIGHT_COUNT
};

const char *right_name(enum right right);
/* "view", "write", "control". */
bool right_parse(const char *name, enum right *out);

/* Who asks. */
struct caller {
	const struct user *user;
	bool is_admin; /* root, the daemon's own user, or the admin group */
};

struct share {
	bool is_group;
	uint32_t id; /* uid or gid */
	char *name;
	enum right right;
	uint64_t since_ns;
	uid_t *members; /* of a group: those that are known, for who comes without saying his groups (at a TCP port) */
	size_t member_count;
};

struct shares {
	struct share *rows;
	size_t count;
};

#define SHARES_MAX 64

/* Makes or changes one; copies it. False: there are SHARES_MAX already. */
bool shares_put(struct shares *shares, const struct share *share);
bool shares_remove(struct shares *shares, bool is_group, uint32_t id); /* false: there was none */
enum right shares_right(const struct shares *shares, const struct user *user);
enum right shares_right_of_uid(const struct shares *shares, uid_t uid); /* his groups are not known */
void shares_fini(struct shares *shares);
/* The same as messages; *rows and what is in them point into `shares`, *rows is to be freed with shares_free_messages(). */
Pwemu__V1__Share **shares_messages(const struct shares *shares);
void shares_free_messages(Pwemu__V1__Share **rows, size_t count);

/* The most that the caller may do with it. */
enum right instance_right(const struct instance *inst, const struct caller *caller);
/* PERMISSION_DENIED (permission) says who can allow it. For one of whom he may know. */
int access_check(const struct instance *inst, const struct caller *caller, enum right right, struct err *err)
	__attribute__((warn_unused_result));
