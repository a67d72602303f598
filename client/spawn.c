/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon is a grandchild in a session of its own, in "/", with /dev/null as stdin, stdout and stderr: of ours it keeps the
 * environment only. A pipe on fd 3 says "ok\n" or why not.
 */
#include "client/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/clock.h"
#include "client/say.h"
#include "wire/addr.h"

#define READY_FD      3
#define READY_MS      10000
#define LOCK_MS       20000 /* somebody else's start and ours */
#define LOCK_ROUND_MS 10
#define LEAVING_MS    10000 /* an earlier daemon that is ending */

/* ---------------------------------------------------------------- the child's side */

static void child_fail(const char *what, const char *which)
{
	dprintf(READY_FD, "%s \"%s\": %s", what, which, strerror(errno));
	_exit(1);
}

static void reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* dup2 onto itself would leave CLOEXEC set. */
static void arrange_fds(int ready)
{
	int pipe_fd = fcntl(ready, F_DUPFD, READY_FD + 1);
	int null_fd = open("/dev/null", O_RDWR);
	if (pipe_fd < 0 || null_fd < 0 || dup2(pipe_fd, READY_FD) < 0)
		_exit(1);
	for (int fd = 0; fd <= 2; fd++)
		if (null_fd != fd && dup2(null_fd, fd) < 0)
			child_fail("prepare", "/dev/null");
	close_range(READY_FD + 1, ~0U, 0);
}

static void run_daemon(const char *program, int ready)
{
	setsid();
	pid_t pid = fork();
	if (pid != 0)
		_exit(pid < 0);
	arrange_fds(ready);
	reset_signals();
	if (chdir("/") < 0)
		child_fail("enter", "/");
	char *argv[] = { (char *)(uintptr_t)program, "--auto", "--ready-fd", "3", NULL };
	execv(program, argv);
	child_fail("execute", program);
}

/* ---------------------------------------------------------------- our side */

/* Reads what the daemon says until it closes the pipe, says "ok", or time is up. */
static int read_answer(int fd, char *text, size_t size, struct err *err)
{
	uint64_t deadline = clock_now_ms() + READY_MS;
	size_t used = 0;
	text[0] = '\0';
	while (used + 1 < size) {
		uint64_t now = clock_now_ms();
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		int n = poll(&poll_fd, 1, now < deadline ? (int)(deadline - now) : 0);
		if (n == 0)
			return err_set(err, ERR_DEADLINE_EXCEEDED, "not ready within %d s", READY_MS / 1000);
		ssize_t got = n < 0 ? -1 : read(fd, text + used, size - 1 - used);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return 0;
		used += (size_t)got;
		text[used] = '\0';
		if (strcmp(text, "ok\n") == 0)
			return 0;
	}
	return 0;
}

static int wait_ready(int fd, struct err *err)
{
	char text[ERR_MSG_MAX];
	if (read_answer(fd, text, sizeof(text), err) < 0)
		return -1;
	if (strcmp(text, "ok\n") == 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	if (text[0] == '\0')
		return err_set(err, ERR_UNAVAILABLE, "it ended without saying why");
	err_set(err, ERR_UNAVAILABLE, "%s", text);
	return err_reason(err, SPAWN_REFUSED);
}

static int start_daemon(const struct paths *paths, struct err *err)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_sys(err, errno, "make a pipe");
	pid_t pid = fork();
	if (pid < 0) {
		err_sys(err, errno, "fork");
		close(ready[0]);
		close(ready[1]);
		return -1;
	}
	if (pid == 0)
		run_daemon(paths->daemon, ready[1]);
	close(ready[1]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	int result = wait_ready(ready[0], err);
	close(ready[0]);
	return result;
}

/* The socket answers, or the lock is ours. 1: *fd is connected, 0: *lock is held. */
static int connect_or_lock(const struct paths *paths, int lock, int *fd, struct err *err)
{
	uint64_t deadline = clock_now_ms() + LOCK_MS;
	for (;;) {
		bool locked = flock(lock, LOCK_EX | LOCK_NB) == 0;
		if (!locked && errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(err, errno, "lock \"%s/start.lock\"", paths->runtime_dir);
		/* Tried with the lock held: who had it before may have started one. */
		if (addr_connect_unix(paths->control_socket, fd, err) == 0)
			return 1;
		if (locked)
			return 0;
		if (clock_now_ms() >= deadline)
			return err_set(err, ERR_UNAVAILABLE, "another client has been starting the daemon for %d s", LOCK_MS / 1000);
		poll(NULL, 0, LOCK_ROUND_MS);
	}
}

/* One that is ending has closed its socket but still holds its state directory. These are the daemon's words for it. */
static bool is_leaving(const struct err *err)
{
	return strstr(err->msg, "already uses the state directory") != NULL;
}

/* Another session of the user's (ssh, cron) has another XDG_RUNTIME_DIR, but the same state directory, whose lock names the socket. */
static bool connect_to_holder(const struct paths *paths, int *fd)
{
	char path[PATHS_MAX + 16], text[PATHS_MAX + 64];
	snprintf(path, sizeof(path), "%s/daemon.lock", paths->state_dir);
	int lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	ssize_t n = lock >= 0 ? read(lock, text, sizeof(text) - 1) : -1;
	if (lock >= 0)
		close(lock);
	text[n > 0 ? n : 0] = '\0';
	const char *socket = strstr(text, ", socket ");
	struct err ignored = ERR_INIT;
	return socket != NULL && addr_connect_unix(socket + strlen(", socket "), fd, &ignored) == 0;
}

static int start_and_connect(const struct paths *paths, int *fd, struct err *err)
{
	uint64_t deadline = clock_now_ms() + LEAVING_MS;
	if (connect_to_holder(paths, fd))
		return 0;
	say_detail("starting %s", paths->daemon);
	while (start_daemon(paths, err) < 0) {
		if (!is_leaving(err) || clock_now_ms() >= deadline)
			return err_prefix(err, "start the daemon");
		poll(NULL, 0, LOCK_ROUND_MS);
		struct err ignored = ERR_INIT;
		if (addr_connect_unix(paths->control_socket, fd, &ignored) == 0)
			return 0;
	}
	return addr_connect_unix(paths->control_socket, fd, err);
}

static int spawn_locked(const struct paths *paths, int lock, int *fd, struct err *err)
{
	int result = connect_or_lock(paths, lock, fd, err);
	if (result != 0)
		return result < 0 ? -1 : 0;
	return start_and_connect(paths, fd, err);
}

int spawn_daemon(const struct paths *paths, int *fd, struct err *err)
{
	if (paths_make_runtime_dir(paths, err) < 0)
		return -1;
	char path[PATHS_MAX + 16];
	snprintf(path, sizeof(path), "%s/start.lock", paths->runtime_dir);
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (lock < 0)
		return err_sys(err, errno, "open \"%s\"", path);
	int result = spawn_locked(paths, lock, fd, err);
	close(lock);
	return result;
}
