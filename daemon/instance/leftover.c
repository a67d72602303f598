/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory is renamed first, so that a start of the same instance finds its place free. A shim knows its directory by descriptor
 * and does not mind.
 */
#include "instance/leftover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "instance/priv.h"
#include "wire/mem.h"

struct leftover {
	char *path;
	struct proc *proc;
};

static void leftover_remove(struct leftover *left)
{
	struct err err = ERR_INIT;
	if (dirs_remove(left->path, &err) < 0)
		log_warn(NULL, "%s", err.msg);
	free(left->path);
	free(left);
}

static void leftover_on_started(void *ctx, pid_t pid)
{
	struct leftover *left = ctx;
	log_warn(NULL, "process %d in \"%s\" belongs to no instance and is ended", (int)pid, left->path);
	proc_stop(left->proc, 0);
}

static void leftover_on_ended(void *ctx, const struct proc_end *end)
{
	(void)end;
	struct leftover *left = ctx;
	proc_release(left->proc);
	proc_free(left->proc);
	leftover_remove(left);
}

static const struct proc_ops leftover_ops = { .on_started = leftover_on_started, .on_ended = leftover_on_ended };

static bool leftover_is_aside(const char *name)
{
	size_t len = strlen(name);
	return len > 4 && strcmp(name + len - 4, ".old") == 0;
}

bool leftover_report(const char *run, const char *name)
{
	struct err err = ERR_INIT;
	pid_t pid, shim;
	int dir;
	char *path = xasprintf("%s/%s", run, name);
	int rc = dirs_open(path, &dir, &err);
	if (rc < 0 && err.code != ERR_NOT_FOUND)
		log_error(NULL, "instance %s may have an emulator that nobody supervises: %s", name, err.msg);
	free(path);
	if (rc < 0)
		return err.code != ERR_NOT_FOUND;
	bool lives = proc_peek(dir, BOOT_PROC, &pid, &shim);
	close(dir);
	if (lives && shim > 0)
		log_error(NULL, "instance %s is not supervised: its emulator, process %d, runs on; end it with: kill %d", name, (int)pid,
			  (int)shim);
	else if (lives)
		log_error(NULL, "instance %s is not supervised: its emulator may run on, see: pgrep -af %s", name, name);
	return lives;
}

void leftover_clear(struct event_base *base, const char *run, const char *name)
{
	struct err err = ERR_INIT;
	int dir;
	char *path = xasprintf("%s/%s", run, name);
	struct leftover *left = xcalloc(1, sizeof(*left));
	left->path = leftover_is_aside(name) ? xstrdup(path) : xasprintf("%s.old", path);
	int rc = leftover_is_aside(name) ? 0 : rename(path, left->path);
	free(path);
	if (rc < 0 || dirs_open(left->path, &dir, &err) < 0) {
		log_warn(NULL, "run directory \"%s\" is of no use and stays: %s", left->path, rc < 0 ? strerror(errno) : err.msg);
		free(left->path);
		free(left);
		return;
	}
	if (proc_adopt(base, dir, BOOT_PROC, &leftover_ops, left, &left->proc, &err) < 0)
		leftover_remove(left);
	close(dir);
}
