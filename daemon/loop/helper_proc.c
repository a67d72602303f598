/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new process does its first job with what it has inherited. A fork of the daemon costs more than most jobs, so one that stays gets the
 * next one as a message: the function, whose address is the same in both, the job's bytes and the socket for the reply. It says with a byte
 * that it has done it. It has become its user for good and no user can look into it (its memory was root's), but he can end it.
 */
#include "loop/helper_proc.h"

#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/fdpass.h"
#include "wire/mem.h"

#define PROC_JOB_MAX  65536 /* bytes of a job that one may get as a message; a longer one comes by the fork alone */
#define PROC_JOBS     1024  /* of one process */
#define PROC_IDLE_S   1     /* long enough for who does one thing after the other */
#define PROC_IDLE_MAX 4     /* that wait for jobs of one user */

struct helper_proc {
	LIST_ENTRY(helper_proc) link;
	struct event_base *base;
	struct user user;
	bool is_own; /* it has the daemon's identity; no user */
	pid_t pid;
	int pidfd;
	int control;        /* of one that stays; -1 */
	struct helper *job; /* NULL: it waits, or ends */
	bool is_ending;
	unsigned jobs_left;
	struct event *exit_event, *done_event, *idle_event;
};

/* All of them, so that those left behind at the end of the process are not lost memory. */
static LIST_HEAD(, helper_proc) procs = LIST_HEAD_INITIALIZER(procs);

struct proc_message {
	void (*serve)(const void *job, size_t len, int reply_fd);
	char job[PROC_JOB_MAX];
};

#define MESSAGE_HEAD offsetof(struct proc_message, job)

static struct proc_message message; /* large; of the process that is at it */

/* ---------------------------------------------------------------- in the child */

static _Noreturn void child_quit(const char *what)
{
	dprintf(STDERR_FILENO, "helper: %s: %s\n", what, strerror(errno));
	_exit(126);
}

static void child_become(const struct user *user)
{
	if (user == NULL || (geteuid() != 0 && geteuid() == user->uid && getegid() == user->gid))
		return;
	if (setgroups(user->group_count, user->groups) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
	    setresuid(user->uid, user->uid, user->uid) != 0)
		child_quit("change of identity");
}

/* The lowest of those from `from` on that are kept; -1: there is none. */
static int child_next_kept(const struct helper_spec *spec, const int own[2], int from)
{
	int next = -1;
	for (size_t i = 0; i < spec->keep_count + 2; i++) {
		int fd = i < 2 ? own[i] : spec->keep_fds[i - 2];
		if (fd >= from && (next < 0 || fd < next))
			next = fd;
	}
	return next;
}

static void child_close_others(const struct helper_spec *spec, const int own[2])
{
	int from = STDERR_FILENO + 1;
	for (int kept; (kept = child_next_kept(spec, own, from)) >= 0; from = kept + 1)
		if (kept > from && close_range((unsigned)from, (unsigned)kept - 1, 0) != 0)
			child_quit("close_range");
	if (close_range((unsigned)from, ~0u, 0) != 0)
		child_quit("close_range");
}

static void child_reset_signals(void)
{
	for (int sig = 1; sig < _NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_stay(int control, mode_t mask)
{
	struct pollfd ready = { .fd = control, .events = POLLIN };
	while (send(control, "", 1, MSG_NOSIGNAL) == 1) {
		int reply_fd = -1;
		while (poll(&ready, 1, -1) < 0 && errno == EINTR)
			;
		ssize_t n = fdpass_receive(control, &message, sizeof(message), &reply_fd);
		if (n == 0)
			break;
		if (n < (ssize_t)MESSAGE_HEAD || reply_fd < 0)
			_exit(126); /* what it was given is not done */
		message.serve(message.job, (size_t)n - MESSAGE_HEAD, reply_fd);
		close(reply_fd);
		umask(mask);
	}
	_exit(0);
}

static _Noreturn void child_run(const struct helper_spec *spec, const int own[2], pid_t parent)
{
	mode_t mask = umask(0);
	umask(mask);
	child_reset_signals();
	child_close_others(spec, own);
	child_become(spec->user);
	/* after the change of the uid, which clears it */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
		_exit(126);
	if (spec->work != NULL)
		spec->work(spec->arg, own[0]);
	else
		spec->serve(spec->job, spec->job_len, own[0]);
	if (own[1] < 0)
		_exit(0);
	(void)prctl(PR_SET_NAME, "pwemud-helper", 0, 0, 0);
	close(own[0]);
	umask(mask);
	child_stay(own[1], mask);
}

/* ---------------------------------------------------------------- in the daemon */

static void proc_free(struct helper_proc *proc)
{
	struct event **events[] = { &proc->exit_event, &proc->done_event, &proc->idle_event };
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (*events[i] != NULL)
			event_free(*events[i]);
	if (proc->pidfd >= 0)
		close(proc->pidfd);
	if (proc->control >= 0)
		close(proc->control);
	if (!proc->is_own)
		user_fini(&proc->user);
	LIST_REMOVE(proc, link);
	free(proc);
}

bool helper_proc_stays(const struct helper_proc *proc)
{
	return proc->control >= 0;
}

void helper_proc_kill(struct helper_proc *proc)
{
	if (proc == NULL)
		return;
	proc->is_ending = true;
	pidfd_send_signal(proc->pidfd, SIGKILL, NULL, 0);
}

static bool proc_is_of(const struct helper_proc *proc, const struct event_base *base, const struct user *user)
{
	if (proc->base != base || proc->is_own || user == NULL)
		return proc->base == base && proc->is_own && user == NULL;
	return user_is_same(&proc->user, user);
}

static bool proc_waits(const struct helper_proc *proc)
{
	return helper_proc_stays(proc) && proc->job == NULL && proc->jobs_left > 0 && !proc->is_ending;
}

static unsigned proc_count_waiting(const struct helper_proc *like)
{
	unsigned count = 0;
	const struct helper_proc *proc;
	LIST_FOREACH (proc, &procs, link)
		count += proc_waits(proc) && proc_is_of(proc, like->base, like->is_own ? NULL : &like->user);
	return count;
}

void helper_proc_answered(struct helper_proc *proc)
{
	static const struct timeval idle = { .tv_sec = PROC_IDLE_S };
	if (evtimer_add(proc->idle_event, &idle) != 0)
		helper_proc_kill(proc);
}

static void proc_wait_for_job(struct helper_proc *proc)
{
	if (proc->jobs_left == 0 || proc_count_waiting(proc) > PROC_IDLE_MAX)
		helper_proc_kill(proc);
	else
		helper_proc_answered(proc);
}

/* False: it does not say so, or anything else. */
static bool proc_take_done(struct helper_proc *proc)
{
	char byte[2];
	ssize_t n = helper_proc_stays(proc) ? recv(proc->control, byte, sizeof(byte), MSG_DONTWAIT) : -1;
	if (n < 0)
		return false;
	struct helper *job = n == 1 ? proc->job : NULL;
	proc->job = job != NULL ? NULL : proc->job;
	if (job != NULL)
		helper_on_end(job, NULL);
	else
		helper_proc_kill(proc); /* it has ended, or is not itself */
	return job != NULL;
}

static void proc_on_done(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct helper_proc *proc = arg;
	if (proc_take_done(proc) && proc->job == NULL) /* nobody has given it another at once */
		proc_wait_for_job(proc);
	else if (proc->is_ending)
		event_del(proc->done_event);
}

static void proc_on_idle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	helper_proc_kill(arg);
}

static void proc_on_exit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct helper_proc *proc = arg;
	siginfo_t info = { 0 };
	int rc = waitid(P_PIDFD, (id_t)proc->pidfd, &info, WEXITED | WNOHANG);
	if (rc == 0 ? info.si_pid == 0 : errno == EINTR)
		return; /* the event comes again */
	proc->is_ending = true;
	if (proc->job != NULL && !proc_take_done(proc))
		helper_on_end(proc->job, &info);
	proc_free(proc);
}

static void proc_watch(struct helper_proc *proc)
{
	proc->exit_event = event_new(proc->base, proc->pidfd, EV_READ | EV_PERSIST, proc_on_exit, proc);
	if (proc->exit_event == NULL || event_add(proc->exit_event, NULL) != 0)
		abort(); /* out of memory */
	if (!helper_proc_stays(proc))
		return;
	proc->done_event = event_new(proc->base, proc->control, EV_READ | EV_PERSIST, proc_on_done, proc);
	proc->idle_event = evtimer_new(proc->base, proc_on_idle, proc);
	if (proc->done_event == NULL || proc->idle_event == NULL || event_add(proc->done_event, NULL) != 0)
		abort(); /* out of memory */
}

/* With every signal blocked, so that no handler of the daemon runs in the child. */
static pid_t proc_fork(const struct helper_spec *spec, const int own[2])
{
	sigset_t all, before;
	pid_t parent = getpid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		child_run(spec, own, parent);
	int sys = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = sys;
	return pid;
}

static int proc_open_pidfd(pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	if (fd >= 0)
		return fd;
	int sys = errno;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = sys;
	return -1;
}

/* A control socket (or -1), whose other end is the child's: of messages, since a job is one. */
static struct helper_proc *proc_start(struct event_base *base, const struct helper_spec *spec, int reply_fd, const int control[2])
{
	const int own[2] = { reply_fd, control[1] };
	pid_t pid = proc_fork(spec, own);
	int pidfd = pid > 0 ? proc_open_pidfd(pid) : -1;
	if (pidfd < 0)
		return NULL;
	struct helper_proc *proc = xcalloc(1, sizeof(*proc));
	LIST_INSERT_HEAD(&procs, proc, link);
	proc->base = base;
	proc->is_own = spec->user == NULL;
	if (!proc->is_own)
		user_init(&proc->user, spec->user->uid, spec->user->gid, spec->user->groups, spec->user->group_count, NULL);
	proc->pid = pid;
	proc->pidfd = pidfd;
	proc->control = control[0];
	proc->jobs_left = PROC_JOBS - 1;
	proc_watch(proc);
	return proc;
}

static struct helper_proc *proc_new(struct event_base *base, const struct helper_spec *spec, int reply_fd, struct err *err)
{
	int control[2] = { -1, -1 };
	bool stays = spec->serve != NULL && spec->job_len <= PROC_JOB_MAX;
	if (stays && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
		return err_sys(err, errno, "start helper \"%s\"", spec->name), NULL;
	struct helper_proc *proc = proc_start(base, spec, reply_fd, control);
	if (proc == NULL)
		err_sys(err, errno, "start helper \"%s\"", spec->name);
	if (proc == NULL && stays)
		close(control[0]);
	if (stays)
		close(control[1]);
	return proc;
}

static bool proc_give(struct helper_proc *proc, const struct helper_spec *spec, int reply_fd)
{
	message.serve = spec->serve;
	memcpy(message.job, spec->job, spec->job_len);
	bool is_given = fdpass_send(proc->control, &message, MESSAGE_HEAD + spec->job_len, reply_fd, MSG_DONTWAIT | MSG_NOSIGNAL);
	explicit_bzero(message.job, spec->job_len);
	if (!is_given)
		helper_proc_kill(proc); /* somebody has ended it */
	return is_given;
}

static struct helper_proc *proc_reuse(const struct event_base *base, const struct helper_spec *spec, int reply_fd)
{
	struct helper_proc *proc;
	if (spec->serve == NULL || spec->job_len > PROC_JOB_MAX)
		return NULL;
	LIST_FOREACH (proc, &procs, link) {
		if (!proc_waits(proc) || !proc_is_of(proc, base, spec->user) || !proc_give(proc, spec, reply_fd))
			continue;
		evtimer_del(proc->idle_event);
		proc->jobs_left--;
		return proc;
	}
	return NULL;
}

struct helper_proc *helper_proc_begin(struct event_base *base, const struct helper_spec *spec, struct helper *job, int reply_fd,
				      struct err *err)
{
	struct helper_proc *proc = proc_reuse(base, spec, reply_fd);
	if (proc == NULL)
		proc = proc_new(base, spec, reply_fd, err);
	if (proc != NULL)
		proc->job = job;
	return proc;
}

void helper_dismiss(struct event_base *base)
{
	struct helper_proc *proc, *next;
	for (proc = LIST_FIRST(&procs); proc != NULL; proc = next) {
		next = LIST_NEXT(proc, link);
		if (proc->base != base || !helper_proc_stays(proc) || proc->job != NULL)
			continue;
		helper_proc_kill(proc);
		(void)waitpid(proc->pid, NULL, WNOHANG); /* if it takes longer it is our successor's, or init's */
		proc_free(proc);
	}
}
