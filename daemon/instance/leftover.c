/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory that is to go is renamed first, so that a start of the same instance finds its place free. A shim knows its directory by
 * descriptor and does not mind.
 */
#include "instance/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "loop/proc.h"
#include "wire/mem.h"

#define LOCK_SUFFIX ".lock"

/* Removed with the last of its shims. */
struct leftover_dir {
	char *path; /* NULL: the directory stays */
	size_t shims;
};

struct leftover {
	struct leftover_dir *dir;
	struct proc *proc;
};

static void leftover_dir_put(struct leftover_dir *dir)
{
	struct err err = ERR_INIT;
	if (--dir->shims > 0)
		return;
	if (dir->path != NULL && dirs_remove(dir->path, &err) < 0)
		log_warn(NULL, "%s", err.msg);
	free(dir->path);
	free(dir);
}

static void leftover_on_started(void *ctx, pid_t pid)
{
	struct leftover *left = ctx;
	log_warn(NULL, "process %d in \"%s\" belongs to no instance and is ended", (int)pid,
		 left->dir->path != NULL ? left->dir->path : "its instance's directory");
	proc_stop(left->proc, 0);
}

static void leftover_on_ended(void *ctx, const struct proc_end *end)
{
	(void)end;
	struct leftover *left = ctx;
	proc_release(left->proc);
	proc_free(left->proc);
	leftover_dir_put(left->dir);
	free(left);
}

static const struct proc_ops leftover_ops = { .on_started = leftover_on_started, .on_ended = leftover_on_ended };

static void leftover_take(struct event_base *base, struct leftover_dir *dir, int run_dir, const char *name)
{
	struct err err = ERR_INIT;
	struct leftover *left = xcalloc(1, sizeof(*left));
	left->dir = dir;
	dir->shims++;
	if (proc_adopt(base, run_dir, name, &leftover_ops, left, &left->proc, &err) == 0)
		return;
	free(left);
	dir->shims--;
}

/* Name of the process whose lock this is, in `out`; false for another file. */
static bool leftover_proc_name(const char *file, char *out, size_t size)
{
	size_t len = strlen(file), suffix = strlen(LOCK_SUFFIX);
	if (len <= suffix || len - suffix >= size || strcmp(file + len - suffix, LOCK_SUFFIX) != 0)
		return false;
	snprintf(out, size, "%.*s", (int)(len - suffix), file);
	return true;
}

/* Every shim that has, or had, its lock there. */
static void leftover_each(int run_dir, void (*each)(void *ctx, int run_dir, const char *name), void *ctx)
{
	int fd = openat(run_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	char name[256];
	if (dir == NULL && fd >= 0)
		close(fd);
	for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir))
		if (leftover_proc_name(entry->d_name, name, sizeof(name)))
			each(ctx, run_dir, name);
	if (dir != NULL)
		closedir(dir);
}

struct leftover_scan {
	struct event_base *base;
	struct leftover_dir *dir;
	bool (*is_kept)(const void *ctx, const char *name); /* NULL: none is */
	const void *ctx;
};

static void leftover_take_other(void *ctx, int run_dir, const char *name)
{
	const struct leftover_scan *scan = ctx;
	if (scan->is_kept == NULL || !scan->is_kept(scan->ctx, name))
		leftover_take(scan->base, scan->dir, run_dir, name);
}

/* Takes the path. */
static void leftover_scan(struct leftover_scan *scan, int run_dir, char *path)
{
	scan->dir = xcalloc(1, sizeof(*scan->dir));
	scan->dir->path = path;
	scan->dir->shims = 1; /* until all are taken */
	leftover_each(run_dir, leftover_take_other, scan);
	leftover_dir_put(scan->dir);
}

void leftover_release(struct event_base *base, int run_dir, bool (*is_kept)(const void *ctx, const char *name), const void *ctx)
{
	struct leftover_scan scan = { .base = base, .is_kept = is_kept, .ctx = ctx };
	leftover_scan(&scan, run_dir, NULL);
}

static bool leftover_is_aside(const char *name)
{
	size_t len = strlen(name);
	return len > 4 && strcmp(name + len - 4, ".old") == 0;
}

struct leftover_alive {
	const char *id;
	bool lives;
};

static void leftover_look(void *ctx, int run_dir, const char *name)
{
	struct leftover_alive *alive = ctx;
	pid_t pid, shim;
	if (!proc_peek(run_dir, name, &pid, &shim))
		return;
	alive->lives = true;
	if (shim > 0)
		log_error(NULL, "instance %s is not supervised: its emulator, process %d, runs on; end it with: kill %d", alive->id,
			  (int)pid, (int)shim);
	else
		log_error(NULL, "instance %s is not supervised: its emulator may run on, see: pgrep -af %s", alive->id, alive->id);
}

bool leftover_report(const char *run, const char *name)
{
	struct err err = ERR_INIT;
	int dir;
	char *path = xasprintf("%s/%s", run, name);
	int rc = dirs_open(path, &dir, &err);
	if (rc < 0 && err.code != ERR_NOT_FOUND)
		log_error(NULL, "instance %s may have an emulator that nobody supervises: %s", name, err.msg);
	free(path);
	if (rc < 0)
		return err.code != ERR_NOT_FOUND;
	struct leftover_alive alive = { name, false };
	leftover_each(dir, leftover_look, &alive);
	close(dir);
	return alive.lives;
}

void leftover_clear(struct event_base *base, const char *run, const char *name)
{
	struct err err = ERR_INIT;
	int dir;
	char *path = xasprintf("%s/%s", run, name), *aside = leftover_is_aside(name) ? xstrdup(path) : xasprintf("%s.old", path);
	int rc = leftover_is_aside(name) ? 0 : rename(path, aside);
	free(path);
	if (rc < 0 || dirs_open(aside, &dir, &err) < 0) {
		log_warn(NULL, "run directory \"%s\" is of no use and stays: %s", aside, rc < 0 ? strerror(errno) : err.msg);
		free(aside);
		return;
	}
	struct leftover_scan scan = { .base = base };
	leftover_scan(&scan, dir, aside);
	close(dir);
}
