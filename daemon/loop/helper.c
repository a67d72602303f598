/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper is done when its process says so or has ended, not at the EOF of its reply: a grandchild may hold that open. One that does
 * not die (hung file system) is reported at its deadline all the same and stays behind, silent, until it can be reaped.
 */
#include "loop/helper.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fdpass.h"
#include "loop/helper_proc.h"
#include "wire/mem.h"

#define HELPER_READ_MAX 65536

struct helper {
	LIST_ENTRY(helper) link;
	char *name;
	struct helper_proc *proc;
	int reply_fd;
	struct event *reply_event, *deadline_event;
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

bool helper_send_fd(int reply_fd, int fd)
{
	return fdpass_send(reply_fd, "", 1, fd, MSG_NOSIGNAL);
}

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
	LIST_REMOVE(helper, link);
	free(helper->name);
	free(helper);
}

/* Tells it, once. The process may live on: it is killed and reaped later, or does other jobs. */
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
	helper_proc_kill(helper->proc);
	helper_finish(helper, &err);
}

/* What it would do now is to end, or to wait for another job. */
static void helper_have_all(struct helper *helper)
{
	if (helper_proc_stays(helper->proc))
		helper_proc_answered(helper->proc);
	else
		helper_proc_kill(helper->proc);
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
			event_del(helper->reply_event); /* EOF; the end itself is told by the process */
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

void helper_on_end(struct helper *helper, const siginfo_t *how)
{
	/* the reply is bounded and so is what a socket holds */
	while (!helper->silent && helper_read(helper))
		;
	if (how == NULL || (how->si_code == CLD_EXITED && how->si_status == 0)) {
		helper_finish(helper, NULL);
	} else if (!helper->silent) {
		char why[64];
		snprintf(why, sizeof(why), how->si_code == CLD_EXITED ? "exited with %d" : "died of signal %d", how->si_status);
		helper_give_up(helper, ERR_INTERNAL, why);
	}
	helper_free(helper);
}

static void helper_watch(struct helper *helper, struct event_base *base)
{
	struct timeval deadline = { .tv_sec = helper->deadline_ms / 1000, .tv_usec = (suseconds_t)(helper->deadline_ms % 1000 * 1000) };
	helper->reply_event = event_new(base, helper->reply_fd, EV_READ | EV_PERSIST, helper_on_reply, helper);
	helper->deadline_event = evtimer_new(base, helper_on_deadline, helper);
	if (helper->reply_event == NULL || helper->deadline_event == NULL || event_add(helper->reply_event, NULL) != 0 ||
	    evtimer_add(helper->deadline_event, &deadline) != 0)
		abort(); /* out of memory */
}

int helper_run(struct event_base *base, const struct helper_spec *spec, struct helper **out, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return err_sys(err, errno, "start helper \"%s\"", spec->name);
	struct helper *helper = xcalloc(1, sizeof(*helper));
	helper->proc = helper_proc_begin(base, spec, helper, pair[1], err);
	close(pair[1]);
	if (helper->proc == NULL) {
		close(pair[0]);
		free(helper);
		return -1;
	}
	LIST_INSERT_HEAD(&helpers, helper, link);
	helper->name = xstrdup(spec->name);
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
	if (!helper->silent || !helper_proc_stays(helper->proc))
		helper_proc_kill(helper->proc);
	helper->silent = true;
	if (!helper->in_call)
		helper_hush(helper);
}
