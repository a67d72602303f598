/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "loop/loop.h"
#include "wire/addr.h"
#include "wire/mem.h"

#define CONTROL_LOCK_FD 10 /* at least: the next program has its passed socket below */

struct control {
	char *socket;
	mode_t mode;
	int lock_fd;
	int passed_fd; /* -1: the socket is of our own making */
	ino_t inode;   /* of the socket that is ours */
	dev_t device;
	int notify_fd;
	struct loop_watch *watch;
	void (*on_listen)(void *ctx, int listen_fd);
	void *ctx;
};

/* Before the loop runs: nobody waits for us meanwhile but who started us. */
static int control_await_lock(int fd, unsigned wait_ms)
{
	const unsigned step_ms = 20;
	for (unsigned waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0;) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || waited_ms >= wait_ms)
			return -1;
		nanosleep(&(struct timespec){ .tv_nsec = (long)step_ms * 1000000 }, NULL);
		waited_ms += step_ms;
	}
	return 0;
}

static int control_taken(const struct control *control, const char *state_dir, struct err *err)
{
	char holder[512] = "";
	if (errno != EWOULDBLOCK)
		return err_sys(err, errno, "lock \"daemon.lock\" in \"%s\"", state_dir);
	ssize_t n = pread(control->lock_fd, holder, sizeof(holder) - 1, 0);
	holder[n > 0 ? n : 0] = '\0';
	err_set(err, ERR_ALREADY_EXISTS, "a daemon already uses the state directory \"%s\" (%s)", state_dir, holder);
	return err_reason(err, "already-running");
}

/* For people: the lock holds without. */
static void control_sign(const struct control *control)
{
	char holder[512];
	int n = snprintf(holder, sizeof(holder), "process %d, socket %s", (int)getpid(), control->socket);
	if (ftruncate(control->lock_fd, 0) < 0 || pwrite(control->lock_fd, holder, (size_t)n, 0) < 0)
		log_warn(NULL, "daemon.lock cannot be written, it does not tell whose it is: %s", strerror(errno));
}

static int control_lock(struct control *control, const struct control_config *config, struct err *err)
{
	char *path = xasprintf("%s/daemon.lock", config->state_dir);
	control->lock_fd = config->lock_fd >= 0 ? config->lock_fd : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = control->lock_fd < 0 ? err_sys(err, errno, "open \"%s\"", path) : 0;
	free(path);
	if (rc < 0)
		return rc;
	if (control_await_lock(control->lock_fd, config->wait_ms) < 0)
		return control_taken(control, config->state_dir, err);
	control_sign(control);
	return 0;
}

static int control_listen(struct control *control, int *listen_fd, struct err *err)
{
	struct stat st;
	if (control->passed_fd >= 0) {
		*listen_fd = fcntl(control->passed_fd, F_DUPFD_CLOEXEC, 0);
		if (*listen_fd < 0)
			return err_sys(err, errno, "listen on the passed socket \"%s\"", control->socket);
	} else if (addr_unlink_stale(control->socket, err) < 0 || addr_publish_unix(control->socket, control->mode, listen_fd, err) < 0) {
		return -1;
	}
	if (stat(control->socket, &st) == 0) {
		control->inode = st.st_ino;
		control->device = st.st_dev;
	}
	return 0;
}

int control_open(const struct control_config *config, struct control **out, int *listen_fd, struct err *err)
{
	struct control *control = xcalloc(1, sizeof(*control));
	control->lock_fd = control->notify_fd = -1;
	control->passed_fd = config->listen_fd;
	control->socket = xstrdup(config->socket);
	control->mode = config->mode;
	if (control_lock(control, config, err) < 0 || control_listen(control, listen_fd, err) < 0) {
		control_close(control);
		return -1;
	}
	*out = control;
	return 0;
}

static bool control_is_there(const struct control *control)
{
	struct stat st;
	return stat(control->socket, &st) == 0 && st.st_ino == control->inode && st.st_dev == control->device;
}

static char *control_dir(const struct control *control)
{
	char *dir = xstrdup(control->socket);
	char *slash = strrchr(dir, '/');
	if (slash != NULL)
		*slash = '\0';
	return dir;
}

static int control_watch_dir(const struct control *control, struct err *err)
{
	char *dir = control_dir(control);
	int rc = dirs_make(dir, err);
	if (rc == 0 &&
	    inotify_add_watch(control->notify_fd, dir, IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0)
		rc = err_sys(err, errno, "watch directory \"%s\"", dir);
	free(dir);
	return rc;
}

static void control_drop_passed(struct control *control)
{
	if (control->passed_fd >= 0)
		close(control->passed_fd);
	control->passed_fd = -1;
}

static void control_on_notify(void *ctx)
{
	struct control *control = ctx;
	char events[4096];
	while (read(control->notify_fd, events, sizeof(events)) > 0) {
	}
	if (control_is_there(control))
		return;
	struct err err = ERR_INIT;
	int fd;
	control_drop_passed(control); /* nobody finds it any more */
	if (control_watch_dir(control, &err) < 0 || control_listen(control, &fd, &err) < 0) {
		log_error(NULL, "the control socket \"%s\" is gone and cannot be made again: %s", control->socket, err.msg);
		return;
	}
	log_warn(NULL, "the control socket \"%s\" was gone; made it again", control->socket);
	control->on_listen(control->ctx, fd);
}

void control_guard(struct control *control, struct event_base *base, void (*on_listen)(void *ctx, int listen_fd), void *ctx)
{
	struct err err = ERR_INIT;
	control->on_listen = on_listen;
	control->ctx = ctx;
	control->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (control->notify_fd < 0 || control_watch_dir(control, &err) < 0) {
		log_warn(NULL, "the control socket is not guarded against removal: %s", control->notify_fd < 0 ? strerror(errno) : err.msg);
		return;
	}
	control->watch = loop_watch_fd(base, control->notify_fd, control_on_notify, control);
}

int control_keep_passed(const struct control *control)
{
	return control->passed_fd >= 0 ? fcntl(control->passed_fd, F_DUPFD_CLOEXEC, CONTROL_LOCK_FD) : -1;
}

int control_keep_lock(const struct control *control)
{
	return fcntl(control->lock_fd, F_DUPFD, CONTROL_LOCK_FD);
}

void control_close(struct control *control)
{
	if (control == NULL)
		return;
	loop_watch_free(control->watch);
	if (control->notify_fd >= 0)
		close(control->notify_fd);
	if (control->inode != 0 && control->passed_fd < 0 && control_is_there(control))
		(void)unlink(control->socket);
	control_drop_passed(control);
	if (control->lock_fd >= 0)
		close(control->lock_fd);
	free(control->socket);
	free(control);
}
