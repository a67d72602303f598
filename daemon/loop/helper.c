/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper is done when its process has ended (pidfd), not at the EOF of its reply: a grandchild may hold that open. One that does
 * not die (hung file system) is reported at its deadline all the same and stays behind, silent, until it can be reaped.
 */
#include "loop/helper.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/fdpass.h"
#include "wire/mem.h"

#define HELPER_READ_MAX 65536

struct helper {
	LIST_ENTRY(helper) link;
	char *name;
	pid_t pid;
	int pidfd, reply_fd;
	struct event *exit_event, *reply_event, *deadline_event;
	char *reply;
	size_t len, max_reply;
	uint32_t deadline_ms;
	bool is_exact;
	bool silent;  /* cancelled, or told already */
	bool in_call; /* a callback of it is on the stack */
	void (*on_fd)(void *ctx, int fd);
	void (*on_done)(void *ctx, const void *reply, size_t len, const struct err *err);
	void *ctx;
};

/* All of them, so that those left behind at the end of the process are not lost memory. */
static LIST_HEAD(, helper) helpers = LIST_HEAD_INITIALIZER(helpers);

/* ---- in the child */

static _Noreturn void child_quit(const char *what)
{
	dprintf(STDERR_FILENO, "helper: %s: %s\n", what, strerror(errno));
	_exit(126);
}

static void child_become(const struct helper_spec *spec)
{
	const struct user *user = spec->user;
	if (user == NULL || (geteuid() != 0 && geteuid() == user->uid && getegid() == user->gid))
		return;
	if (setgroups(user->group_count, user->groups) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
	    setresuid(user->uid, user->uid, user->uid) != 0)
		child_quit("change of identity");
}

static bool child_keeps(const struct helper_spec *spec, int reply_fd, int fd)
{
	for (size_t i = 0; i < spec->keep_count; i++)
		if (spec->keep_fds[i] == fd)
			return true;
	return fd == reply_fd;
}

static void child_close_others(const struct helper_spec *spec, int reply_fd)
{
	int top = reply_fd;
	for (size_t i = 0; i < spec->keep_count; i++)
		top = spec->keep_fds[i] > top ? spec->keep_fds[i] : top;
	for (int fd = 3; fd < top; fd++)
		if (!child_keeps(spec, reply_fd, fd))
			close(fd);
	if (close_range((unsigned)top + 1, ~0u, 0) != 0)
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

static _Noreturn void child_run(const struct helper_spec *spec, int reply_fd, pid_t parent)
{
	child_reset_signals();
	child_close_others(spec, reply_fd);
	child_become(spec);
	/* after the change of the uid, which clears it */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
		_exit(126);
	spec->work(spec->arg, reply_fd);
	_exit(0);
}

bool helper_send_fd(int reply_fd, int fd)
{
	return fdpass_send(reply_fd, "", 1, fd, MSG_NOSIGNAL);
}

/* ---- in the daemon */

static void helper_drop_event(struct event **event)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
}

static void helper_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Only the wait for its death is left. */
static void helper_hush(struct helper *helper)
{
	helper->silent = true;
	helper_drop_event(&helper->reply_event);
	helper_drop_event(&helper->deadline_event);
	helper_close(&helper->reply_fd);
	free(helper->reply);
	helper->reply = NULL;
}

static void helper_free(struct helper *helper)
{
	helper_hush(helper);
	helper_drop_event(&helper->exit_event);
	helper_close(&helper->pidfd);
	LIST_REMOVE(helper, link);
	free(helper->name);
	free(helper);
}

static void helper_kill(const struct helper *helper)
{
	if (helper->pidfd >= 0)
		pidfd_send_signal(helper->pidfd, SIGKILL, NULL, 0);
}

/* Tells it, once. The process may live on: it is killed and reaped later. */
static void helper_finish(struct helper *helper, const struct err *err)
{
	if (helper->silent)
		return;
	helper->silent = true;
	helper->in_call = true;
	helper->on_done(helper->ctx, err == NULL ? helper->reply : NULL, err == NULL ? helper->len : 0, err);
	helper->in_call = false;
	helper_hush(helper);
}

static void helper_give_up(struct helper *helper, enum err_code code, const char *why)
{
	struct err err = ERR_INIT;
	err_set(&err, code, "%s %s", helper->name, why);
	helper_kill(helper);
	helper_finish(helper, &err);
}

/* What it would do now is to end. */
static void helper_have_all(struct helper *helper)
{
	helper_kill(helper);
	helper_finish(helper, NULL);
}

static void helper_take_fd(struct helper *helper, int fd)
{
	if (helper->on_fd == NULL || helper->silent) {
		close(fd);
		return;
	}
	helper->in_call = true;
	helper->on_fd(helper->ctx, fd);
	helper->in_call = false;
}

/* One bounded piece of the reply; false when there is no more for now. */
static bool helper_read(struct helper *helper)
{
	size_t left = helper->max_reply - helper->len, size = left < HELPER_READ_MAX ? left + 1 : HELPER_READ_MAX;
	helper->reply = xrealloc(helper->reply, helper->len + size, 1);
	int fd;
	ssize_t n = fdpass_receive(helper->reply_fd, helper->reply + helper->len, size, &fd);
	if (n < 0 && errno != EAGAIN) { /* also when it has ended already: an answer without its end is none */
		char why[64];
		snprintf(why, sizeof(why), "cannot be heard: %s", strerror(errno));
		helper_give_up(helper, ERR_INTERNAL, why);
		return false;
	}
	if (n <= 0) {
		if (n == 0 && helper->reply_event != NULL)
			event_del(helper->reply_event); /* EOF; the end itself is told by the pidfd */
		return false;
	}
	helper->len += (size_t)n - (fd >= 0);
	if (fd >= 0)
		helper_take_fd(helper, fd);
	if (!helper->silent && helper->len > helper->max_reply)
		helper_give_up(helper, ERR_RESOURCE_EXHAUSTED, "answered more than it may");
	else if (!helper->silent && helper->is_exact && helper->len == helper->max_reply)
		helper_have_all(helper);
	return !helper->silent;
}

static void helper_on_reply(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	helper_read(arg);
}

static void helper_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct helper *helper = arg;
	char why[64];
	snprintf(why, sizeof(why), "took longer than %u ms", helper->deadline_ms);
	helper_give_up(helper, ERR_DEADLINE_EXCEEDED, why);
}

static void helper_on_exit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct helper *helper = arg;
	siginfo_t info = { 0 };
	int rc = waitid(P_PIDFD, (id_t)helper->pidfd, &info, WEXITED | WNOHANG);
	if (rc == 0 ? info.si_pid == 0 : errno == EINTR)
		return; /* the event comes again */
	/* the reply is bounded and so is what a socket holds */
	while (!helper->silent && helper_read(helper))
		;
	if (info.si_code == CLD_EXITED && info.si_status == 0) {
		helper_finish(helper, NULL);
	} else if (!helper->silent) {
		char why[64];
		snprintf(why, sizeof(why), info.si_code == CLD_EXITED ? "exited with %d" : "died of signal %d", info.si_status);
		helper_give_up(helper, ERR_INTERNAL, why);
	}
	helper_free(helper);
}

static void helper_watch(struct helper *helper, struct event_base *base)
{
	struct timeval deadline = { .tv_sec = helper->deadline_ms / 1000, .tv_usec = (suseconds_t)(helper->deadline_ms % 1000 * 1000) };
	helper->exit_event = event_new(base, helper->pidfd, EV_READ | EV_PERSIST, helper_on_exit, helper);
	helper->reply_event = event_new(base, helper->reply_fd, EV_READ | EV_PERSIST, helper_on_reply, helper);
	helper->deadline_event = evtimer_new(base, helper_on_deadline, helper);
	if (helper->exit_event == NULL || helper->reply_event == NULL || helper->deadline_event == NULL ||
	    event_add(helper->exit_event, NULL) != 0 || event_add(helper->reply_event, NULL) != 0 ||
	    evtimer_add(helper->deadline_event, &deadline) != 0)
		abort(); /* out of memory */
}

/* With every signal blocked, so that no handler of the daemon runs in the child. */
static pid_t helper_fork(const struct helper_spec *spec, int reply_fd)
{
	sigset_t all, before;
	pid_t parent = getpid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		child_run(spec, reply_fd, parent);
	int sys = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = sys;
	return pid;
}

static int helper_open_pidfd(pid_t pid, const char *name, struct err *err)
{
	int fd = pidfd_open(pid, 0);
	if (fd >= 0)
		return fd;
	int sys = errno;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return err_sys(err, sys, "watch helper \"%s\"", name);
}

int helper_run(struct event_base *base, const struct helper_spec *spec, struct helper **out, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return err_sys(err, errno, "start helper \"%s\"", spec->name);
	pid_t pid = helper_fork(spec, pair[1]);
	int sys = errno;
	close(pair[1]);
	int pidfd = pid > 0 ? helper_open_pidfd(pid, spec->name, err) : err_sys(err, sys, "start helper \"%s\"", spec->name);
	if (pidfd < 0) {
		close(pair[0]);
		return -1;
	}
	struct helper *helper = xcalloc(1, sizeof(*helper));
	LIST_INSERT_HEAD(&helpers, helper, link);
	helper->name = xstrdup(spec->name);
	helper->pid = pid;
	helper->pidfd = pidfd;
	helper->reply_fd = pair[0];
	helper->max_reply = spec->max_reply;
	helper->is_exact = spec->is_exact;
	helper->deadline_ms = spec->deadline_ms;
	helper->on_fd = spec->on_fd;
	helper->on_done = spec->on_done;
	helper->ctx = spec->ctx;
	helper_watch(helper, base);
	if (out != NULL)
		*out = helper;
	return 0;
}

void helper_cancel(struct helper *helper)
{
	if (helper == NULL)
		return;
	helper_kill(helper);
	helper->silent = true;
	if (!helper->in_call)
		helper_hush(helper);
}
