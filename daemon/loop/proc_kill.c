/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pidfd is opened before a process is looked at and the signal goes through it, so a number given anew in between is never hit.
 * The daemon itself is spared: a client that runs inside an instance may have started it, mark and all.
 *
 * One empty round proves nothing: the list of processes is older than the look at each, so one that forks and dies in between hides
 * its child, and one in the middle of execve shows no environment. Both are settled a moment later: the end is several in a row.
 */
#include "loop/proc_kill.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "wire/mem.h"

#define KILL_DEADLINE_MS  30000
#define KILL_ENVIRON_MAX  (8u << 20)
#define KILL_ROUND_MIN_MS 2
#define KILL_EMPTY_ROUNDS 4
#define KILL_ROUND_MAX_MS 200

struct kill_job {
	struct proc_run run;
	bool fresh;
	pid_t daemon;
	char *buf; /* KILL_ENVIRON_MAX + 1 */
};

static ssize_t read_file(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t used = 0;
	ssize_t n = 1;
	while (n > 0 && used < size - 1) {
		n = read(fd, buf + used, size - 1 - used);
		used += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	buf[used] = '\0';
	return (ssize_t)used;
}

/* Session of a process that is not dead yet; -1 otherwise. */
static pid_t session_of(pid_t pid, char *buf)
{
	char state;
	const char *at = read_file(pid, "stat", buf, 1024) > 0 ? strrchr(buf, ')') : NULL;
	if (at == NULL || strlen(at) < 4)
		return -1;
	state = at[2];
	at += 3;
	long fields[3] = { 0 }; /* parent, group, session */
	for (int i = 0; i < 3; i++) {
		char *end;
		fields[i] = strtol(at, &end, 10);
		at = end;
	}
	return state == 'Z' || state == 'X' ? -1 : (pid_t)fields[2];
}

static bool has_uid(pid_t pid, uid_t uid, char *buf)
{
	const char *line = read_file(pid, "status", buf, 4096) > 0 ? strstr(buf, "\nUid:") : NULL;
	return line != NULL && strtoul(line + 5, NULL, 10) == uid;
}

static bool has_mark(pid_t pid, const char *mark, char *buf)
{
	static const char variable[] = "PWEMU_INSTANCE=";
	ssize_t len = mark[0] != '\0' ? read_file(pid, "environ", buf, KILL_ENVIRON_MAX + 1) : -1;
	for (const char *at = buf; len > 0 && at < buf + len; at += strlen(at) + 1)
		if (strncmp(at, variable, sizeof(variable) - 1) == 0 && strcmp(at + sizeof(variable) - 1, mark) == 0)
			return true;
	return false;
}

static bool is_wanted(const struct kill_job *job, pid_t pid)
{
	pid_t session = session_of(pid, job->buf);
	if (session < 0 || pid == getpid() || pid == job->daemon || !has_uid(pid, job->run.uid, job->buf))
		return false;
	if (pid == job->run.pid && proc_is_same(pid, job->run.start))
		return true;
	if (job->fresh && session == job->run.shim_pid && pid != job->run.shim_pid)
		return true;
	return has_mark(pid, job->run.mark, job->buf);
}

static bool kill_one(const struct kill_job *job, pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	if (fd < 0)
		return false;
	bool wanted = is_wanted(job, pid) && pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0;
	close(fd);
	return wanted;
}

/* False: there was none to be killed. */
static bool kill_round(const struct kill_job *job)
{
	unsigned killed = 0;
	DIR *dir = opendir("/proc");
	if (dir == NULL)
		return true; /* nobody knows */
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		long pid = isdigit((unsigned char)entry->d_name[0]) ? strtol(entry->d_name, NULL, 10) : 0;
		killed += pid > 0 && kill_one(job, (pid_t)pid);
	}
	closedir(dir);
	return killed > 0;
}

static void kill_work(void *arg, int reply_fd)
{
	struct kill_job *job = arg;
	(void)reply_fd;
	job->buf = xmalloc(KILL_ENVIRON_MAX + 1);
	long pause_ms = KILL_ROUND_MIN_MS;
	unsigned empty_rounds = 0;
	for (;;) {
		empty_rounds = kill_round(job) ? 0 : empty_rounds + 1;
		if (empty_rounds == KILL_EMPTY_ROUNDS)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = pause_ms * 1000000 }, NULL);
		pause_ms = pause_ms * 2 < KILL_ROUND_MAX_MS ? pause_ms * 2 : KILL_ROUND_MAX_MS;
	}
}

int proc_kill_marked(struct event_base *base, const struct proc_run *run, bool fresh,
		     void (*on_done)(void *ctx, const void *reply, size_t len, const struct err *err), void *ctx, struct helper **out,
		     struct err *err)
{
	struct kill_job job = { .run = *run, .fresh = fresh, .daemon = getpid() };
	struct helper_spec spec = {
		.name = "kill what is left",
		.deadline_ms = KILL_DEADLINE_MS,
		.work = kill_work,
		.arg = &job,
		.on_done = on_done,
		.ctx = ctx,
	};
	return helper_run(base, &spec, out, err);
}
