/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of processes share: a run directory, a loop with a deadline, and a count of what must not be left behind. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/proc.h"
#include "loop/proc_launch.h"
#include "loop/proc_record.h"
#include "loop/timer.h"

#define DEADLINE_MS 30000

struct seen {
	int started, ended, released;
	pid_t pid;
	struct proc_end end;
};

struct fixture {
	struct event_base *base;
	char dir[64];
	int run_dir;
	char shim[512];
	int fds_before;
	char mark[64]; /* unlike any other's: what carries it may be killed */
};

/* Beside the test: build/VARIANT/tests/unit/x and build/VARIANT/libexec/pwemu/pwemu-shim. PWEMU_SHIM overrides. */
static inline void find_shim(char *path, size_t size)
{
	const char *given = getenv("PWEMU_SHIM");
	char self[400] = "";
	if (given != NULL) {
		snprintf(path, size, "%s", given);
		return;
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	for (int i = 0; i < 3; i++)
		*strrchr(self, '/') = '\0';
	snprintf(path, size, "%s/libexec/pwemu/pwemu-shim", self);
}

static inline void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static inline int count_dir(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;
	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2;
}

static inline int count_fds(void)
{
	return count_dir("/proc/self/fd");
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	find_shim(f->shim, sizeof(f->shim));
	assert_int_equal(access(f->shim, X_OK), 0);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); /* PID 1 here is slow to reap */
	signal(SIGPIPE, SIG_IGN);
	snprintf(f->dir, sizeof(f->dir), "/tmp/pwemu-proc-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->mark, sizeof(f->mark), "PWEMU_INSTANCE=test:%d:%s", (int)getpid(), f->dir + strlen(f->dir) - 6);
	f->fds_before = count_fds();
	f->run_dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->run_dir >= 0);
	f->base = event_base_new();
	*state = f;
	return 0;
}

/* Waits until no child is left; false at the deadline. */
static inline bool reap_all(int deadline_ms)
{
	pid_t pid;
	uint64_t deadline = clock_monotonic_ms() + (uint64_t)deadline_ms;
	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && clock_monotonic_ms() < deadline)
		if (pid == 0)
			pause_ms(1);
	return pid == -1 && errno == ECHILD;
}

/* A test has failed in the middle: what it started must not make the next one fail too. */
static inline void kill_left(struct fixture *f)
{
	struct proc_run run;
	struct err err = ERR_INIT;
	if (proc_run_read(f->run_dir, "main", &run, &err) == 0 && proc_is_same(run.shim_pid, run.shim_start))
		kill(run.shim_pid, SIGKILL);
	reap_all(2000);
}

/* Every test: no process, no file, no descriptor is left. */
static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	event_base_free(f->base);
	bool reaped = reap_all(3000);
	if (!reaped)
		kill_left(f);
	close(f->run_dir);
	if (!reaped)
		fail_msg("a process is left");
	assert_int_equal(count_fds(), f->fds_before);
	if (rmdir(f->dir) != 0) {
		int left = count_dir(f->dir);
		char command[256];
		snprintf(command, sizeof(command), "ls -l %s; rm -rf %s", f->dir, f->dir);
		if (system(command) != 0)
			return -1;
		assert_int_equal(left, 0);
	}
	free(f);
	return 0;
}

static inline void seen_on_started(void *ctx, pid_t pid)
{
	struct seen *seen = ctx;
	assert_int_equal(seen->ended, 0);
	seen->started++;
	seen->pid = pid;
}

static inline void seen_on_ended(void *ctx, const struct proc_end *end)
{
	struct seen *seen = ctx;
	seen->ended++;
	seen->end = *end;
}

static inline void seen_on_released(void *ctx)
{
	((struct seen *)ctx)->released++;
}

static const struct proc_ops seen_ops = { seen_on_started, seen_on_ended, seen_on_released };

static inline void too_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* Runs the loop until *counter reaches `wanted`; fails at the deadline. */
static inline void run_until(struct fixture *f, const int *counter, int wanted)
{
	bool late = false;
	struct event *timer = evtimer_new(f->base, too_late, &late);
	evtimer_add(timer, &(struct timeval){ .tv_sec = DEADLINE_MS / 1000 });
	while (*counter < wanted && !late)
		event_base_loop(f->base, EVLOOP_ONCE);
	event_free(timer);
	assert_false(late);
	assert_int_equal(*counter, wanted);
}

/* /bin/sh -c script */
struct shell {
	struct proc_spec spec;
	const char *argv[4];
	const char *envp[4];
};

static inline struct shell *shell_init(struct shell *shell, struct fixture *f, const char *name, const char *script)
{
	*shell = (struct shell){
		.argv = { "sh", "-c", script, NULL },
		.envp = { "PATH=/usr/bin:/bin", f->mark, NULL },
	};
	shell->spec = (struct proc_spec){
		.run_dir = f->run_dir,
		.name = name,
		.program = "/bin/sh",
		.argv = shell->argv,
		.envp = shell->envp,
		.cwd = "/",
		.umask = 022,
	};
	return shell;
}

static inline struct proc *spawn(struct fixture *f, const struct proc_spec *spec, struct seen *seen)
{
	struct err err = ERR_INIT;
	struct proc *proc = NULL;
	if (proc_spawn(f->base, f->shim, spec, &seen_ops, seen, &proc, &err) != 0)
		fail_msg("proc_spawn: %s", err.msg);
	return proc;
}

static inline struct proc *adopt(struct fixture *f, const char *name, struct seen *seen)
{
	struct err err = ERR_INIT;
	struct proc *proc = NULL;
	if (proc_adopt(f->base, f->run_dir, name, &seen_ops, seen, &proc, &err) != 0)
		fail_msg("proc_adopt: %s", err.msg);
	return proc;
}

static inline void finish(struct fixture *f, struct proc *proc, struct seen *seen)
{
	if (!proc_has_ended(proc))
		proc_stop(proc, 0);
	run_until(f, &seen->ended, 1);
	proc_release(proc);
	run_until(f, &seen->released, 1);
	proc_free(proc);
}

/* Reads exactly one line, with a deadline, from a non-blocking or blocking pipe. */
static inline void read_line(int fd, char *buf, size_t size)
{
	size_t len = 0;
	for (int tries = 0; tries < DEADLINE_MS && len < size - 1; tries++) {
		struct timespec wait = { .tv_nsec = 1000000 };
		ssize_t n = read(fd, buf + len, 1);
		if (n == 1 && buf[len++] == '\n')
			break;
		if (n == 0)
			break;
		if (n < 0)
			nanosleep(&wait, NULL);
	}
	buf[len] = '\0';
}

static inline bool file_exists(const struct fixture *f, const char *file)
{
	return faccessat(f->run_dir, file, F_OK, 0) == 0;
}

/* Alive or a zombie. */
static inline bool process_exists(pid_t pid)
{
	return kill(pid, 0) == 0;
}
