/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups (v2) of emulators and their commands, in a directory that the administrator has delegated: <base>/user-<uid>/<id>. What
 * limits they keep is the kernel's business; the daemon and the shims stay where they are.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

struct event_base;

struct cgroup_spec {
	const char *base; /* absolute path */
	uid_t uid;
	const char *id;
	uint64_t user_memory_bytes; /* of all the user's groups together; 0: no limit */
	uint64_t user_cpu_percent;  /* likewise; 100: one CPU */
	uint64_t memory_bytes;      /* of this group */
};

/* What is to be removed is: just after its last process was waited for the kernel may still call a group busy. */
struct cgroups;
struct cgroups *cgroups_new(struct event_base *loop);
void cgroups_free(struct cgroups *cgroups); /* takes NULL; what is not removed yet stays */

/* Makes the group, or finds it. *procs: its cgroup.procs, for who writes "0" there to enter it; the caller's. FAILED_PRECONDITION (cgroup)
 * when there is no such place, or it has no controller for a limit. */
int cgroups_begin(struct cgroups *cgroups, const struct cgroup_spec *spec, int *procs, struct err *err) __attribute__((warn_unused_result));
/* How many processes in it the kernel has ended for want of memory. */
uint64_t cgroups_oom_kills(const char *base, uid_t uid, const char *id);
/* Ends what is left in it, and removes it, soon. */
void cgroups_end(struct cgroups *cgroups, const char *base, uid_t uid, const char *id);
