/* SPDX-License-Identifier: Apache-2.0 */
/* A hub with a PTY for an endpoint, and users who open it. */
#pragma once

#include "test_endpoint.h"

#include <sys/prctl.h>
#include <sys/wait.h>

static inline void bench_make_pty(struct bench *b, uid_t uid)
{
	struct err err = ERR_INIT;
	if (endpoint_make_pty(b->f->dir, "serial0", uid, &b->fds, b->path, &err) != 0)
		fail_msg("%s", err.msg);
}

static inline int pty_setup(void **state)
{
	struct bench *b = bench_new(ENDPOINT_PTY);
	bench_make_pty(b, getuid());
	bench_open(b, false);
	*state = b;
	return 0;
}

static inline int user_open(struct bench *b)
{
	int fd = open(b->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fail_msg("open %s: %s", b->path, strerror(errno));
	return fd;
}

static inline int user_attach(struct bench *b)
{
	unsigned attached = b->attached;
	int fd = user_open(b);
	LOOP_UNTIL(b->f, b->attached == attached + 1);
	return fd;
}

static inline void user_leave(struct bench *b, int fd)
{
	unsigned left = b->left;
	close(fd);
	LOOP_UNTIL(b->f, b->left == left + 1);
}

static inline void user_type(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* ---------------------------------------------------------------- a user in a process of its own */

struct user {
	pid_t pid;
	int wish; /* closed: the user leaves */
};

/* Opens the slave, as the controlling terminal of a new session if so wished; returns when it has. */
static inline struct user user_start(struct bench *b, bool is_leader)
{
	int wish[2], ready[2];
	char c;
	assert_int_equal(pipe2(wish, O_CLOEXEC) + pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int fd = 3; fd < 256; fd++) /* other users' wishes, too */
			if (fd != wish[0] && fd != ready[1])
				close(fd);
		if (is_leader && setsid() < 0)
			_exit(1);
		if (open(b->path, O_RDWR | (is_leader ? 0 : O_NOCTTY)) < 0)
			_exit(2);
		close(ready[1]);
		_exit(read(wish[0], &c, 1) == 0 ? 0 : 3);
	}
	close(wish[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 0);
	close(ready[0]);
	return (struct user){ pid, wish[1] };
}

static inline void user_end(struct user *user)
{
	int status;
	close(user->wish);
	assert_int_equal(waitpid(user->pid, &status, 0), user->pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGHUP) /* of the session leader it may be the hang-up itself */
		assert_int_equal(status, 0);
}
