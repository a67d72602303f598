/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links are only read, never followed: what they lead to may hang (FUSE, NFS). A scan that is asked for during a walk has missed its
 * beginning and takes part in the next one.
 */
#include "loop/pty_scan.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wire/mem.h"

#define PTY_SCAN_STEP   16 /* processes in one turn of the loop */
#define PTY_SCAN_SHIM   "pwemu-shim\n"
#define PTY_SCAN_DEVPTS "/dev/pts/"

struct pty_scan {
	LIST_ENTRY(pty_scan) link;
	char *path;
	int slave;
	bool takes_part; /* in the walk that is going on */
	bool is_open;
	void (*on_done)(void *ctx, bool is_open);
	void *ctx;
};

/* The one walk of this process. */
static struct {
	LIST_HEAD(, pty_scan) scans;
	DIR *proc;     /* NULL: not walking */
	bool is_blind; /* something could not be opened for want of an fd */
	struct event turn;
} pty_walk = { .scans = LIST_HEAD_INITIALIZER(pty_walk.scans) };

/* ---------------------------------------------------------------- one process */

static bool pty_scan_is_shim(int process)
{
	char comm[sizeof(PTY_SCAN_SHIM)] = "";
	int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, comm, sizeof(comm) - 1);
	close(fd);
	return n > 0 && strcmp(comm, PTY_SCAN_SHIM) == 0;
}

/* The same open description as ours, inherited: a helper of the daemon that has not closed it yet. */
static bool pty_scan_is_ours(const struct pty_scan *scan, pid_t pid, unsigned fd)
{
	return syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, (unsigned long)scan->slave, (unsigned long)fd) == 0;
}

static void pty_scan_found(const char *target, pid_t pid, unsigned fd)
{
	struct pty_scan *scan;
	LIST_FOREACH (scan, &pty_walk.scans, link)
		if (scan->takes_part && !scan->is_open && strcmp(scan->path, target) == 0 && !pty_scan_is_ours(scan, pid, fd))
			scan->is_open = true;
}

static void pty_scan_fds(DIR *fds, pid_t pid)
{
	const struct dirent *entry;
	char target[64];
	while ((entry = readdir(fds)) != NULL) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);
		if (n <= 0 || (size_t)n == sizeof(target) - 1)
			continue;
		target[n] = '\0';
		if (strncmp(target, PTY_SCAN_DEVPTS, strlen(PTY_SCAN_DEVPTS)) == 0)
			pty_scan_found(target, pid, (unsigned)strtoul(entry->d_name, NULL, 10));
	}
}

static void pty_scan_process(pid_t pid, const char *name)
{
	int process = openat(dirfd(pty_walk.proc), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = process < 0 ? -1 : openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pty_walk.is_blind |= fd < 0 && (errno == EMFILE || errno == ENFILE);
	DIR *fds = fd < 0 ? NULL : fdopendir(fd);
	if (fds != NULL && !pty_scan_is_shim(process))
		pty_scan_fds(fds, pid);
	if (fds != NULL)
		closedir(fds);
	else if (fd >= 0)
		close(fd);
	if (process >= 0)
		close(process);
}

/* ---------------------------------------------------------------- the walk */

static const struct timeval at_once = { 0, 0 }, when_fds_are_free = { 1, 0 };

static void pty_walk_begin(void)
{
	struct pty_scan *scan;
	pty_walk.proc = opendir("/proc");
	pty_walk.is_blind = false;
	LIST_FOREACH (scan, &pty_walk.scans, link)
		scan->takes_part = pty_walk.proc != NULL;
	event_add(&pty_walk.turn, pty_walk.proc != NULL ? &at_once : &when_fds_are_free);
}

/* False: that was all. */
static bool pty_walk_step(void)
{
	for (unsigned i = 0; i < PTY_SCAN_STEP; i++) {
		const struct dirent *entry = readdir(pty_walk.proc);
		if (entry == NULL)
			return false;
		pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
		if (pid > 0 && pid != getpid())
			pty_scan_process(pid, entry->d_name);
	}
	return true;
}

static void pty_walk_stop(void)
{
	if (pty_walk.proc != NULL)
		closedir(pty_walk.proc);
	pty_walk.proc = NULL;
	event_del(&pty_walk.turn);
}

static struct pty_scan *pty_walk_finished(void)
{
	struct pty_scan *scan;
	LIST_FOREACH (scan, &pty_walk.scans, link)
		if (scan->takes_part)
			return scan;
	return NULL;
}

static void pty_walk_end(void)
{
	struct pty_scan *scan;
	pty_walk_stop();
	while (!pty_walk.is_blind && (scan = pty_walk_finished()) != NULL) {
		void (*on_done)(void *ctx, bool is_open) = scan->on_done;
		void *ctx = scan->ctx;
		bool is_open = scan->is_open;
		pty_scan_cancel(scan);
		on_done(ctx, is_open);
	}
	if (!LIST_EMPTY(&pty_walk.scans))
		event_add(&pty_walk.turn, pty_walk.is_blind ? &when_fds_are_free : &at_once);
}

static void pty_walk_on_turn(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what, (void)ctx;
	if (pty_walk.proc == NULL)
		pty_walk_begin();
	else if (pty_walk_step())
		event_add(&pty_walk.turn, &at_once);
	else
		pty_walk_end();
}

/* ---------------------------------------------------------------- one scan */

struct pty_scan *pty_scan_start(struct event_base *base, const char *path, int slave, void (*on_done)(void *ctx, bool is_open), void *ctx)
{
	struct pty_scan *scan = xcalloc(1, sizeof(*scan));
	scan->path = xstrdup(path);
	scan->slave = slave;
	scan->on_done = on_done;
	scan->ctx = ctx;
	if (LIST_EMPTY(&pty_walk.scans)) {
		event_assign(&pty_walk.turn, base, -1, EV_TIMEOUT, pty_walk_on_turn, NULL);
		event_add(&pty_walk.turn, &at_once);
	}
	LIST_INSERT_HEAD(&pty_walk.scans, scan, link);
	return scan;
}

void pty_scan_cancel(struct pty_scan *scan)
{
	if (scan == NULL)
		return;
	LIST_REMOVE(scan, link);
	free(scan->path);
	free(scan);
	if (LIST_EMPTY(&pty_walk.scans))
		pty_walk_stop();
}
