/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spawned and an adopted program differ in nothing but where the connection to the shim comes from. What is known is told by the
 * shim's packets; when the connection ends, proc_locate() looks at what is there (lock, end, run), exactly as adoption does, and
 * each answer leads to one of: connected again, ended, or "the shim was killed" with the search for what carries the mark.
 *
 * News is put down in the object as it arrives and told to the owner by proc_tell() from the loop, so that no callback is ever run
 * from inside a call of the owner.
 */
#include "loop/proc.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

#include "loop/fdpass.h"
#include "loop/proc_kill.h"
#include "loop/proc_launch.h"
#include "loop/proc_record.h"
#include "loop/timer.h"
#include "shim/protocol.h"
#include "wire/mem.h"

#define PROC_NEWS_DEADLINE_MS 10000 /* for a shim that lives to tell what it knows */
#define PROC_LOCATE_AGAIN_MS  10
#define PROC_SAY_AGAIN_MS     10
#define PROC_KILL_AGAIN_MS    200
#define PROC_HELD_FD_MS       1000
#define PROC_PACKETS_A_TURN   16

struct proc {
	LIST_ENTRY(proc) link;
	struct event_base *base;
	const struct proc_ops *ops;
	void *ctx;
	char *name;
	int run_dir;

	int conn; /* to the shim, -1 when there is none */
	struct event *conn_event;
	pid_t shim;      /* 0: not known, or gone */
	int shim_fd;     /* its pidfd, -1 when gone or not to be had */
	int shim_status; /* it exited with this errno: it could not begin; 0 */
	struct event *shim_event;
	struct timer *timer;  /* the next look, or the deadline for news */
	uint64_t deadline_ms; /* of the search for a shim that must be there */
	struct timer *tell_timer;
	struct helper *killer;

	struct proc_run run;
	struct proc_end end;
	bool has_run, has_end;
	bool adopted;  /* a start before our time is told only when it still runs */
	bool searched; /* was found dead, not seen dying */
	bool stop_wanted;
	bool is_unsaid; /* what is wanted of the shim could not be sent */
	uint32_t stop_grace_ms;

	bool told_started, told_ended, told_released;
	bool released; /* its owner wants no more of it */
	bool files_gone;
	bool freed; /* by its owner, who must not be called any more */
	bool in_call;
};

/* All of them, so that those who wait for a released shim at the end of the process are not lost memory. */
static LIST_HEAD(, proc) procs = LIST_HEAD_INITIALIZER(procs);

static void proc_look(struct proc *proc);

/* ---- creation and destruction */

static void proc_drop_event(struct event **event, int *fd)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void proc_destroy(struct proc *proc)
{
	proc_drop_event(&proc->conn_event, &proc->conn);
	proc_drop_event(&proc->shim_event, &proc->shim_fd);
	timer_free(proc->timer);
	timer_free(proc->tell_timer);
	helper_cancel(proc->killer);
	if (proc->run_dir >= 0)
		close(proc->run_dir);
	LIST_REMOVE(proc, link);
	free(proc->name);
	free(proc);
}

/* Nothing of it is left but the object: no file, no process, not even a zombie. */
static bool proc_is_gone(const struct proc *proc)
{
	return proc->files_gone && proc->shim_fd < 0;
}

static bool proc_is_over(const struct proc *proc)
{
	return proc->freed && (!proc->released || proc_is_gone(proc));
}

static void proc_destroy_if_over(struct proc *proc)
{
	if (!proc->in_call && proc_is_over(proc))
		proc_destroy(proc);
}

/* ---- telling the owner */

static void proc_tell(void *arg)
{
	struct proc *proc = arg;
	proc->in_call = true;
	if (!proc->freed && proc->has_run && !proc->told_started && !(proc->has_end && proc->adopted)) {
		proc->told_started = true;
		proc->ops->on_started(proc->ctx, proc->run.pid);
	}
	if (!proc->freed && proc->has_end && !proc->told_ended) {
		proc->told_ended = true;
		proc->ops->on_ended(proc->ctx, &proc->end);
	}
	if (!proc->freed && proc_is_gone(proc) && !proc->told_released) {
		proc->told_released = true;
		if (proc->ops->on_released != NULL)
			proc->ops->on_released(proc->ctx);
	}
	proc->in_call = false;
	proc_destroy_if_over(proc);
}

static void proc_tell_later(struct proc *proc)
{
	timer_arm(proc->tell_timer, 0);
}

static void proc_end_unknown(struct proc *proc)
{
	proc->has_end = true;
	proc->end = (struct proc_end){ .code = -1, .shim_died = true, .time_ns = clock_wall_ns() };
	timer_disarm(proc->timer);
	proc_tell_later(proc);
}

/* The shim went before it forked. Its status says why, where it is our child. */
static void proc_end_unborn(struct proc *proc)
{
	if (proc->shim_fd >= 0 && clock_monotonic_ms() < proc->deadline_ms) { /* in a moment it is reaped */
		timer_arm(proc->timer, PROC_LOCATE_AGAIN_MS);
		return;
	}
	proc_end_unknown(proc);
	if (proc->shim_status == 0)
		return;
	proc->end.shim_died = false;
	proc->end.exec_errno = proc->shim_status;
	snprintf(proc->end.exec_what, sizeof(proc->end.exec_what), "pwemu-shim");
}

/* ---- the shim's process */

static void proc_on_shim_exit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct proc *proc = arg;
	siginfo_t info = { 0 };
	/* ECHILD: an earlier daemon's child, init reaps it */
	int rc = waitid(P_PIDFD, (id_t)proc->shim_fd, &info, WEXITED | WNOHANG);
	if (rc == 0 ? info.si_pid == 0 : errno == EINTR)
		return; /* the event comes again */
	if (rc == 0 && info.si_code == CLD_EXITED)
		proc->shim_status = info.si_status;
	proc_drop_event(&proc->shim_event, &proc->shim_fd);
	proc->shim = 0;
	proc_tell(proc);
}

/* Without a pidfd the end of the connection tells as much; only a child would not be reaped. */
static void proc_watch_shim(struct proc *proc, pid_t shim)
{
	proc->shim = shim;
	proc->shim_fd = pidfd_open(shim, 0);
	if (proc->shim_fd < 0)
		return;
	proc->shim_event = event_new(proc->base, proc->shim_fd, EV_READ | EV_PERSIST, proc_on_shim_exit, proc);
	if (proc->shim_event == NULL || event_add(proc->shim_event, NULL) != 0)
		abort(); /* out of memory */
}

/* The pidfd was opened first: if the process has the start time now, it is the one. */
static void proc_find_shim(struct proc *proc)
{
	if (proc->shim != 0 || proc->run.shim_pid <= 0)
		return;
	proc_watch_shim(proc, proc->run.shim_pid);
	if (proc_is_same(proc->run.shim_pid, proc->run.shim_start))
		return;
	proc_drop_event(&proc->shim_event, &proc->shim_fd);
	proc->shim = 0;
}

static void proc_signal_shim(const struct proc *proc, int sig)
{
	if (proc->shim_fd >= 0)
		pidfd_send_signal(proc->shim_fd, sig, NULL, 0);
}

/* ---- packets */

static bool proc_is_waiting_for_news(const struct proc *proc)
{
	return !proc->has_run && !proc->has_end;
}

static bool packet_starts(const char *packet, size_t len, const char *title)
{
	return len >= strlen(title) && memcmp(packet, title, strlen(title)) == 0;
}

/* What the shim tells of itself. Anything else is of a later version and is passed over. */
static void proc_take_packet(struct proc *proc, const char *packet, size_t len)
{
	struct err err = ERR_INIT;
	if (packet_starts(packet, len, "pwemu-run ") && proc_is_waiting_for_news(proc))
		proc->has_run = proc_run_parse(packet, len, &proc->run, &err) == 0;
	else if (packet_starts(packet, len, "pwemu-end ") && !proc->has_end)
		proc->has_end = proc_end_parse(packet, len, &proc->run, &proc->end, &err) == 0;
	else
		return;
	if (proc_is_waiting_for_news(proc))
		return; /* unreadable: as if it had said nothing, the deadline runs */
	timer_disarm(proc->timer);
	if (proc->is_unsaid)
		timer_arm(proc->timer, PROC_SAY_AGAIN_MS);
	proc_find_shim(proc);
}

/* Length of the packet, 0 at the end of the connection, -1 with errno. A descriptor that comes with it is the caller's. */
static ssize_t proc_receive(struct proc *proc, char packet[SHIM_PACKET_MAX + 1], int *fd)
{
	ssize_t n = fdpass_receive(proc->conn, packet, SHIM_PACKET_MAX, fd);
	packet[n > 0 ? n : 0] = '\0';
	return n;
}

static void proc_lose_connection(struct proc *proc)
{
	proc_drop_event(&proc->conn_event, &proc->conn);
	if (proc->has_end && !proc->released)
		return; /* all is known; held descriptors are lost */
	proc->deadline_ms = clock_monotonic_ms() + PROC_NEWS_DEADLINE_MS;
	proc_look(proc);
}

static void proc_on_packet(evutil_socket_t event_fd, short what, void *arg)
{
	(void)event_fd;
	(void)what;
	struct proc *proc = arg;
	char packet[SHIM_PACKET_MAX + 1];
	ssize_t n = 1;
	for (int i = 0; i < PROC_PACKETS_A_TURN && n > 0; i++) {
		int fd;
		n = proc_receive(proc, packet, &fd);
		if (n > 0)
			proc_take_packet(proc, packet, (size_t)n);
		if (fd >= 0)
			close(fd); /* the answer to a question that was given up */
	}
	/* Without memory the event comes again: a shim that is there must not lose who is to release it. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS))
		proc_lose_connection(proc);
	proc_tell(proc);
}

/* With a descriptor, or -1. */
static bool proc_send_fd(struct proc *proc, const char *command, int fd)
{
	return proc->conn >= 0 && fdpass_send(proc->conn, command, strlen(command), fd, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool proc_send(struct proc *proc, const char *command)
{
	return proc_send_fd(proc, command, -1);
}

/* Tells the shim what is wanted of it; what the kernel does not take now, for lack of memory, is said again. */
static void proc_say(struct proc *proc)
{
	char command[32] = "release";
	if (proc->conn < 0 || (!proc->released && !proc->stop_wanted))
		return;
	if (!proc->released)
		snprintf(command, sizeof(command), "stop %u", proc->stop_grace_ms);
	proc_signal_shim(proc, SIGCONT);                                                      /* somebody may have stopped it */
	proc->is_unsaid = !proc_send(proc, command) && errno != EPIPE && errno != ECONNRESET; /* those end the connection */
	if (proc->is_unsaid)
		timer_arm(proc->timer, PROC_SAY_AGAIN_MS);
}

static void proc_expect_news(struct proc *proc)
{
	if (proc_is_waiting_for_news(proc))
		timer_arm(proc->timer, PROC_NEWS_DEADLINE_MS);
}

static void proc_watch_connection(struct proc *proc, int conn)
{
	proc->conn = conn;
	proc->conn_event = event_new(proc->base, conn, EV_READ | EV_PERSIST, proc_on_packet, proc);
	if (proc->conn_event == NULL || event_add(proc->conn_event, NULL) != 0)
		abort(); /* out of memory */
	proc_expect_news(proc);
	proc_say(proc);
}

/* ---- where is the shim */

static void proc_on_killed(void *ctx, const void *reply, size_t len, const struct err *err)
{
	(void)reply;
	(void)len;
	(void)err; /* what could not be killed in that time nobody can kill */
	struct proc *proc = ctx;
	proc->killer = NULL;
	proc_end_unknown(proc);
}

/* The shim is dead and left no end. */
static void proc_kill_rest(struct proc *proc)
{
	struct err err = ERR_INIT;
	if (proc->killer != NULL)
		return;
	if (!proc_boot_is_current(&proc->run))
		proc_end_unknown(proc);
	else if (proc_kill_marked(proc->base, &proc->run, !proc->searched, proc_on_killed, proc, &proc->killer, &err) != 0)
		timer_arm(proc->timer, PROC_KILL_AGAIN_MS);
}

static void proc_finish_release(struct proc *proc)
{
	proc_remove_files(proc->run_dir, proc->name);
	proc->files_gone = true;
	proc_tell_later(proc);
}

/* The shim lives, so somebody listens or did a moment ago. */
static void proc_reconnect(struct proc *proc)
{
	int conn = proc_connect(proc->run_dir, proc->name);
	if (conn >= 0)
		proc_watch_connection(proc, conn);
	else
		timer_arm(proc->timer, PROC_LOCATE_AGAIN_MS);
}

/* Finds out what became of the shim and goes on from there; -1: its records cannot be read, or there are none. */
static int proc_locate(struct proc *proc, struct err *err)
{
	if (proc_lock_is_held(proc->run_dir, proc->name)) {
		proc_reconnect(proc);
		return 0;
	}
	if (proc->released) {
		proc_finish_release(proc);
		return 0;
	}
	struct err end_err = ERR_INIT;
	if (proc_end_read(proc->run_dir, proc->name, &proc->run, &proc->end, &end_err) == 0) {
		proc->has_end = true;
		proc_tell_later(proc);
		return 0;
	}
	if (end_err.code != ERR_NOT_FOUND) {
		*err = end_err;
		return -1;
	}
	if (!proc->has_run) {
		if (proc_run_read(proc->run_dir, proc->name, &proc->run, err) != 0)
			return -1;
		proc->has_run = proc->told_started = true; /* it is over, nobody needs to hear that it began */
	}
	proc_kill_rest(proc);
	return 0;
}

static void proc_look(struct proc *proc)
{
	struct err err = ERR_INIT;
	bool too_late = clock_monotonic_ms() > proc->deadline_ms;
	if (too_late && proc->released) {
		proc_finish_release(proc);
		return;
	}
	if (too_late && !proc->has_run) {
		proc_end_unknown(proc);
		return;
	}
	if (too_late)
		proc_signal_shim(proc, SIGKILL); /* it lives and cannot be reached */
	if (proc_locate(proc, &err) == 0)
		return;
	if (proc->has_run)
		proc_kill_rest(proc); /* the end's record is unreadable */
	else
		proc_end_unborn(proc);
}

/* It lives and says nothing: stopped by somebody, or stuck. Once killed it is dealt with like any other that was. */
static void proc_give_up_on_shim(struct proc *proc)
{
	struct proc_run run;
	struct err err = ERR_INIT;
	if (proc->shim == 0 && proc_run_read(proc->run_dir, proc->name, &run, &err) == 0) {
		proc->run = run;
		proc_find_shim(proc);
	}
	if (proc->shim_fd >= 0) {
		proc_signal_shim(proc, SIGKILL);
		timer_arm(proc->timer, PROC_NEWS_DEADLINE_MS);
	} else {
		proc_drop_event(&proc->conn_event, &proc->conn);
		proc_end_unknown(proc);
	}
}

static void proc_on_timer(void *ctx)
{
	struct proc *proc = ctx;
	if (proc->conn >= 0 && proc->is_unsaid) {
		proc_expect_news(proc);
		proc_say(proc);
	} else if (proc->conn >= 0)
		proc_give_up_on_shim(proc);
	else
		proc_look(proc);
}

/* ---- the owner's calls */

static struct proc *proc_new(struct event_base *base, int run_dir, const char *name, const struct proc_ops *ops, void *ctx)
{
	struct proc *proc = xcalloc(1, sizeof(*proc));
	LIST_INSERT_HEAD(&procs, proc, link);
	proc->base = base;
	proc->ops = ops;
	proc->ctx = ctx;
	proc->name = xstrdup(name);
	proc->conn = proc->shim_fd = -1;
	proc->timer = timer_new(base, proc_on_timer, proc);
	proc->tell_timer = timer_new(base, proc_tell, proc);
	proc->run_dir = fcntl(run_dir, F_DUPFD_CLOEXEC, 3);
	proc->deadline_ms = clock_monotonic_ms() + PROC_NEWS_DEADLINE_MS;
	return proc;
}

int proc_spawn(struct event_base *base, const char *shim_path, const struct proc_spec *spec, const struct proc_ops *ops, void *ctx,
	       struct proc **out, struct err *err)
{
	struct proc *proc = proc_new(base, spec->run_dir, spec->name, ops, ctx);
	pid_t shim;
	int conn;
	if (proc->run_dir < 0)
		err_sys(err, errno, "run directory of \"%s\"", spec->name);
	else if (proc_launch(shim_path, spec, &shim, &conn, err) == 0) {
		proc_watch_shim(proc, shim);
		proc_watch_connection(proc, conn);
		*out = proc;
		return 0;
	}
	proc_destroy(proc);
	return -1;
}

/* What the records say holds until the shim answers, so that an adopted process has its pid from the first moment on. */
static void proc_take_record(struct proc *proc)
{
	struct proc_run run;
	struct proc_end end;
	struct err err = ERR_INIT;
	if (proc_end_read(proc->run_dir, proc->name, &run, &end, &err) != 0 && err.code == ERR_NOT_FOUND &&
	    proc_run_read(proc->run_dir, proc->name, &run, &err) == 0)
		proc->run = run;
}

int proc_adopt(struct event_base *base, int run_dir, const char *name, const struct proc_ops *ops, void *ctx, struct proc **out,
	       struct err *err)
{
	if (!proc_name_is_valid(name))
		return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no name for a program's files", name);
	struct err why = ERR_INIT;
	struct proc *proc = proc_new(base, run_dir, name, ops, ctx);
	proc->adopted = true;
	proc->searched = !proc_lock_is_held(run_dir, name);
	if (!proc->searched)
		proc_take_record(proc);
	int result = proc->run_dir >= 0 ? proc_locate(proc, &why) : err_sys(&why, errno, "run directory of \"%s\"", name);
	if (result == 0) {
		*out = proc;
		return 0;
	}
	proc_destroy(proc);
	if (why.code == ERR_NOT_FOUND)
		proc_remove_files(run_dir, name); /* a daemon died before it had forked */
	if (err != NULL)
		*err = why;
	return -1;
}

int proc_adopt_lost(struct event_base *base, int run_dir, const char *name, const char *mark, uid_t uid, const struct proc_ops *ops,
		    void *ctx, struct proc **out, struct err *err)
{
	struct proc *proc = proc_new(base, run_dir, name, ops, ctx);
	if (proc->run_dir < 0) {
		err_sys(err, errno, "run directory of \"%s\"", name);
		proc_destroy(proc);
		return -1;
	}
	proc->adopted = proc->searched = proc->has_run = proc->told_started = true;
	proc->run.uid = uid;
	snprintf(proc->run.mark, sizeof(proc->run.mark), "%s", mark);
	proc_kill_rest(proc);
	*out = proc;
	return 0;
}

bool proc_peek(int run_dir, const char *name, pid_t *pid, pid_t *shim)
{
	struct proc_run run = { 0 };
	struct err err = ERR_INIT;
	bool is_known = proc_run_read(run_dir, name, &run, &err) == 0;
	*pid = is_known ? run.pid : 0;
	*shim = is_known ? run.shim_pid : 0;
	return proc_lock_is_held(run_dir, name);
}

pid_t proc_pid(const struct proc *proc)
{
	return proc->has_end ? 0 : proc->run.pid;
}

pid_t proc_shim_pid(const struct proc *proc)
{
	return proc->shim;
}

bool proc_has_ended(const struct proc *proc)
{
	return proc->has_end;
}

void proc_stop(struct proc *proc, uint32_t grace_ms)
{
	if (proc->has_end)
		return;
	if (!proc->stop_wanted || grace_ms < proc->stop_grace_ms)
		proc->stop_grace_ms = grace_ms;
	proc->stop_wanted = true;
	proc_say(proc);
}

/* A question about a held descriptor, "WORD NAME", and its answers. */
struct held_question {
	const char *name;
	const char *yes, *no;
	const char *refusal; /* for people, with the names of program and descriptor */
	bool wants_fd;
	int fd; /* that came with the answer, -1 */
};

static bool held_is(const char *packet, const char *word, const char *name)
{
	size_t len = strlen(word);
	return strncmp(packet, word, len) == 0 && packet[len] == ' ' && strcmp(packet + len + 1, name) == 0;
}

/* 0 when it was granted, -1 with an error, 1 for a packet that was something else. */
static int held_answer(struct proc *proc, struct held_question *question, struct err *err)
{
	char packet[SHIM_PACKET_MAX + 1];
	int passed;
	ssize_t n = proc_receive(proc, packet, &passed);
	if (n < 0 && errno == EAGAIN)
		return 1;
	if (n <= 0) /* the event tells the rest */
		return err_set(err, ERR_UNAVAILABLE, "the shim of \"%s\" is gone", proc->name);
	if ((passed >= 0) == question->wants_fd && held_is(packet, question->yes, question->name)) {
		question->fd = passed;
		return 0;
	}
	if (passed >= 0)
		close(passed);
	if (held_is(packet, question->no, question->name))
		return err_set(err, ERR_NOT_FOUND, "the shim of \"%s\" %s \"%s\"", proc->name, question->refusal, question->name);
	proc_take_packet(proc, packet, (size_t)n);
	proc_tell_later(proc);
	return 1;
}

static int held_ask(struct proc *proc, const char *word, int fd, struct held_question *question, struct err *err)
{
	char command[SHIM_HELD_NAME_MAX + 8];
	if (snprintf(command, sizeof(command), "%s %s", word, question->name) >= (int)sizeof(command))
		return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no name for a descriptor", question->name);
	if (!proc_send_fd(proc, command, fd))
		return err_set(err, ERR_UNAVAILABLE, "the shim of \"%s\" is gone", proc->name);
	uint64_t deadline = clock_monotonic_ms() + PROC_HELD_FD_MS;
	for (;;) {
		int result = held_answer(proc, question, err);
		if (result <= 0)
			return result;
		uint64_t now = clock_monotonic_ms();
		if (now >= deadline)
			return err_set(err, ERR_DEADLINE_EXCEEDED, "the shim of \"%s\" does not answer", proc->name);
		poll(&(struct pollfd){ .fd = proc->conn, .events = POLLIN }, 1, (int)(deadline - now));
	}
}

int proc_held_fd(struct proc *proc, const char *name, int *fd, struct err *err)
{
	struct held_question question = { name, "fd", "none", "holds no", true, -1 };
	if (held_ask(proc, "get", -1, &question, err) < 0)
		return -1;
	*fd = question.fd;
	return 0;
}

int proc_hold_fd(struct proc *proc, const char *name, int fd, struct err *err)
{
	struct held_question question = { name, "held", "full", "has no room for", false, -1 };
	return held_ask(proc, "hold", fd, &question, err);
}

void proc_release(struct proc *proc)
{
	assert(!proc->released);
	proc->released = true;
	if (proc->conn >= 0) {
		proc_say(proc); /* its going ends the connection */
		return;
	}
	proc->deadline_ms = clock_monotonic_ms() + PROC_NEWS_DEADLINE_MS;
	timer_arm(proc->timer, 0);
}

void proc_free(struct proc *proc)
{
	if (proc == NULL)
		return;
	proc->freed = true;
	proc_destroy_if_over(proc);
}
