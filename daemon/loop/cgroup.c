/* SPDX-License-Identifier: Apache-2.0 */
/* In a group whose children are controlled there may be no process: hence one of the user's, with his limits, and one of each instance. */
#include "loop/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "loop/timer.h"
#include "wire/mem.h"

#define CGROUP_PERIOD_US 100000
#define CGROUP_AGAIN_MS  50
#define CGROUP_TRIES     100

/* Errors of the place: who has set it is to correct it. */
static int cgroup_fail(struct err *err, int sys, const char *base, const char *what, const char *advice)
{
	err_set(err, ERR_FAILED_PRECONDITION, "control group \"%s\" (setting cgroup): %s: %s%s", base, what, strerror(sys), advice);
	return err_reason(err, "cgroup");
}

static int cgroup_write(int dir, const char *file, const char *text)
{
	int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	errno = sys;
	return n >= 0 ? 0 : -1;
}

static bool cgroup_read(int dir, const char *file, char *text, size_t size)
{
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return n >= 0;
}

static int cgroup_open_base(const char *base, struct err *err)
{
	struct statfs fs;
	int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return cgroup_fail(err, errno, base, "open", "; make the directory, or correct the setting");
	if (fstatfs(dir, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return dir;
	close(dir);
	return cgroup_fail(err, ENOTSUP, base, "it is in no file system of control groups, version 2",
			   "; name a directory in one (findmnt -t cgroup2)");
}

/* What a group below may be controlled by. What is not there is missed when a limit needs it. */
static void cgroup_enable(int dir)
{
	(void)!cgroup_write(dir, "cgroup.subtree_control", "+memory");
	(void)!cgroup_write(dir, "cgroup.subtree_control", "+cpu");
}

static int cgroup_make(int parent, const char *name)
{
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* No limit needs no controller. */
static int cgroup_limit(const struct cgroup_spec *spec, int dir, const char *file, const char *text, bool is_limit, struct err *err)
{
	if (cgroup_write(dir, file, text) == 0 || !is_limit)
		return 0;
	return cgroup_fail(err, errno, spec->base, file,
			   "; is that controller in its cgroup.controllers, and no process in the group itself?");
}

static int cgroup_limit_memory(const struct cgroup_spec *spec, int dir, uint64_t bytes, struct err *err)
{
	char text[32] = "max";
	if (bytes > 0)
		snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return cgroup_limit(spec, dir, "memory.max", text, bytes > 0, err);
}

static int cgroup_limit_cpu(const struct cgroup_spec *spec, int dir, struct err *err)
{
	char text[48] = "max";
	if (spec->user_cpu_percent > 0)
		snprintf(text, sizeof(text), "%" PRIu64 " %d", spec->user_cpu_percent * (CGROUP_PERIOD_US / 100), CGROUP_PERIOD_US);
	return cgroup_limit(spec, dir, "cpu.max", text, spec->user_cpu_percent > 0, err);
}

static int cgroup_begin_in(const struct cgroup_spec *spec, int user, int *procs, struct err *err)
{
	if (cgroup_limit_memory(spec, user, spec->user_memory_bytes, err) < 0 || cgroup_limit_cpu(spec, user, err) < 0)
		return -1;
	cgroup_enable(user);
	int group = cgroup_make(user, spec->id);
	if (group < 0)
		return cgroup_fail(err, errno, spec->base, spec->id, "");
	(void)!cgroup_write(group, "memory.oom.group", "1"); /* an emulator without one of its processes is none */
	int rc = cgroup_limit_memory(spec, group, spec->memory_bytes, err);
	if (rc == 0 && (*procs = openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC)) < 0)
		rc = cgroup_fail(err, errno, spec->base, "cgroup.procs", "");
	close(group);
	return rc;
}

static int cgroup_open(const char *base, uid_t uid, const char *id)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/user-%u/%s", base, (unsigned)uid, id);
	return n < (int)sizeof(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
}

uint64_t cgroups_oom_kills(const char *base, uid_t uid, const char *id)
{
	char text[512];
	int dir = cgroup_open(base, uid, id);
	if (dir < 0)
		return 0;
	const char *line = cgroup_read(dir, "memory.events", text, sizeof(text)) ? strstr(text, "oom_kill ") : NULL;
	close(dir);
	return line != NULL ? strtoull(line + strlen("oom_kill "), NULL, 10) : 0;
}

/* ---------------------------------------------------------------- groups to be removed */

struct cgroups_row {
	LIST_ENTRY(cgroups_row) link;
	char *path;
	unsigned tries;
};

struct cgroups {
	LIST_HEAD(, cgroups_row) rows;
	struct timer *timer;
};

/* And the user's, where it was the last. False: not yet. */
static bool cgroup_remove(const char *path)
{
	char user[PATH_MAX];
	if (rmdir(path) < 0 && errno == EBUSY)
		return false;
	snprintf(user, sizeof(user), "%.*s", (int)(strrchr(path, '/') - path), path);
	(void)rmdir(user);
	return true;
}

static void cgroups_drop(struct cgroups_row *row)
{
	LIST_REMOVE(row, link);
	free(row->path);
	free(row);
}

static void cgroups_on_timer(void *ctx)
{
	struct cgroups *cgroups = ctx;
	for (struct cgroups_row *row = LIST_FIRST(&cgroups->rows), *next; row != NULL; row = next) {
		next = LIST_NEXT(row, link);
		if (cgroup_remove(row->path) || ++row->tries == CGROUP_TRIES)
			cgroups_drop(row);
	}
	if (!LIST_EMPTY(&cgroups->rows))
		timer_arm(cgroups->timer, CGROUP_AGAIN_MS);
}

struct cgroups *cgroups_new(struct event_base *loop)
{
	struct cgroups *cgroups = xcalloc(1, sizeof(*cgroups));
	LIST_INIT(&cgroups->rows);
	cgroups->timer = timer_new(loop, cgroups_on_timer, cgroups);
	return cgroups;
}

void cgroups_free(struct cgroups *cgroups)
{
	if (cgroups == NULL)
		return;
	cgroups_on_timer(cgroups);
	for (struct cgroups_row *row = LIST_FIRST(&cgroups->rows), *next; row != NULL; row = next) {
		next = LIST_NEXT(row, link);
		cgroups_drop(row);
	}
	timer_free(cgroups->timer);
	free(cgroups);
}

/* One that begins again is not removed for its last end. */
static void cgroups_keep(struct cgroups *cgroups, const struct cgroup_spec *spec)
{
	char *path = xasprintf("%s/user-%u/%s", spec->base, (unsigned)spec->uid, spec->id);
	for (struct cgroups_row *row = LIST_FIRST(&cgroups->rows), *next; row != NULL; row = next) {
		next = LIST_NEXT(row, link);
		if (strcmp(row->path, path) == 0)
			cgroups_drop(row);
	}
	free(path);
}

int cgroups_begin(struct cgroups *cgroups, const struct cgroup_spec *spec, int *procs, struct err *err)
{
	char name[32];
	int base = cgroup_open_base(spec->base, err);
	if (base < 0)
		return -1;
	cgroups_keep(cgroups, spec);
	cgroup_enable(base);
	snprintf(name, sizeof(name), "user-%u", (unsigned)spec->uid);
	int user = cgroup_make(base, name), rc;
	rc = user < 0 ? cgroup_fail(err, errno, spec->base, name, "") : cgroup_begin_in(spec, user, procs, err);
	if (user >= 0)
		close(user);
	if (rc < 0)
		(void)unlinkat(base, name, AT_REMOVEDIR); /* where it was made for this alone */
	close(base);
	return rc;
}

void cgroups_end(struct cgroups *cgroups, const char *base, uid_t uid, const char *id)
{
	int dir = cgroup_open(base, uid, id);
	if (dir < 0)
		return;
	(void)!cgroup_write(dir, "cgroup.kill", "1");
	close(dir);
	struct cgroups_row *row = xcalloc(1, sizeof(*row));
	row->path = xasprintf("%s/user-%u/%s", base, (unsigned)uid, id);
	LIST_INSERT_HEAD(&cgroups->rows, row, link);
	if (cgroup_remove(row->path))
		cgroups_drop(row);
	else if (!timer_is_armed(cgroups->timer))
		timer_arm(cgroups->timer, CGROUP_AGAIN_MS);
}
