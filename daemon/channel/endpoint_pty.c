/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel moves every byte: sendfile(2) from the log to the master moves the file offset of the cursor, a description that the shim
 * holds too; splice(2) takes from the master what it has put into the FIFO. Neither can be cut in two by a SIGKILL.
 *
 * Whether a user has the slave open is told by inotify, which counts opens and closes. Who has not seen all of them (a new daemon, a
 * lost event, a revived slave) looks into /proc after each close. What must survive the daemon besides the position is whether the
 * position is that of a reader: O_APPEND, which means nothing on a description that is only read, is set on the cursor while it is.
 *
 * Nothing of the master is watched that lies there on purpose: no input while another has the writer role.
 */
#include "channel/endpoint_priv.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "loop/pty.h"
#include "loop/pty_scan.h"
#include "wire/mem.h"

#define PTY_PIECE 65536

struct endpoint_pty {
	struct endpoint endpoint;
	char *who;
	int notify_fd, watch; /* inotify on the slave */
	bool is_certain;
	unsigned opens;        /* when certain: descriptions of users */
	struct pty_scan *scan; /* NULL: none is going on */
	bool scan_again;       /* something was closed during it */
	struct cursor *news;   /* while a user has it open: tells of output, is never read */
	struct writer *writer; /* while there is input */
	struct event notified, readable, writable;
};

/* ---------------------------------------------------------------- hang-up */

static void pty_tell_trouble(struct endpoint_pty *pty, struct err *err)
{
	err_prefix(err, "%s", pty->who);
	endpoint_tell_trouble(&pty->endpoint, err);
}

static void pty_look_again(struct endpoint_pty *pty);

static int pty_watch(struct endpoint_pty *pty, struct err *err)
{
	char slave[32];
	(void)snprintf(slave, sizeof(slave), "/proc/self/fd/%d", pty->endpoint.fds.slave);
	pty->watch = inotify_add_watch(pty->notify_fd, slave, IN_OPEN | IN_CLOSE);
	return pty->watch < 0 ? err_sys(err, errno, "watch who opens the terminal") : 0;
}

/* True: it was hung up, and is no more. That opening a new slave is no user's doing must not be seen; the end of the old one will be, when
 * the shims that hold it go: from now on it is not certain who has it open. */
static bool pty_heal(struct endpoint_pty *pty)
{
	struct err err;
	if (!pty_is_hung_up(pty->endpoint.fds.master))
		return false;
	(void)inotify_rm_watch(pty->notify_fd, pty->watch);
	pty->is_certain = false;
	int rc = pty_revive(pty->endpoint.fds.master, pty->endpoint.fds.slave, &err);
	if (rc < 0 || pty_watch(pty, &err) < 0)
		pty_tell_trouble(pty, &err);
	pty_look_again(pty);
	return rc == 0;
}

/* ---------------------------------------------------------------- output */

static uint64_t pty_position(const struct endpoint_pty *pty)
{
	off_t at = lseek(pty->endpoint.fds.cursor, 0, SEEK_CUR);
	return at < 0 ? 0 : (uint64_t)at;
}

static void pty_go_to(struct endpoint_pty *pty, uint64_t offset)
{
	(void)lseek(pty->endpoint.fds.cursor, (off_t)offset, SEEK_SET);
}

/* Moves one piece; what is more follows when there is room. */
static void pty_send(struct endpoint_pty *pty)
{
	const struct endpoint_fds *fds = &pty->endpoint.fds;
	uint64_t first = hub_first_offset(pty->endpoint.config.hub), end = hub_end_offset(pty->endpoint.config.hub);
	if (pty_position(pty) < first)
		pty_go_to(pty, first);
	uint64_t at = pty_position(pty);
	size_t len = at >= end ? 0 : end - at < PTY_PIECE ? (size_t)(end - at) : PTY_PIECE;
	ssize_t n = len > 0 ? sendfile(fds->master, fds->cursor, NULL, len) : 0;
	int sys = errno;
	if (n < 0 && sys != EAGAIN && sys != EINTR && !pty_heal(pty)) {
		struct err err;
		err_sys(&err, sys, "write to the terminal; it is given up until it is opened again");
		pty_tell_trouble(pty, &err);
		return;
	}
	at = pty_position(pty);
	cursor_seek(pty->news, n != 0 && at < end ? at : end);
	if (n != 0 && at < end)
		event_add(&pty->writable, NULL);
}

static void pty_on_news(void *ctx)
{
	pty_send(ctx);
}

static void pty_on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct endpoint_pty *pty = ctx;
	if (pty->news != NULL)
		pty_send(pty);
}

/* ---------------------------------------------------------------- input */

static void pty_receive(struct endpoint_pty *pty);

static void pty_on_change(void *ctx)
{
	pty_receive(ctx);
}

static void pty_on_role(void *ctx, bool has_role, const char *reason)
{
	(void)has_role, (void)reason;
	pty_receive(ctx);
}

static void pty_end_writer(struct endpoint_pty *pty)
{
	writer_close(pty->writer);
	pty->writer = NULL;
}

/* What the last user has written before it closed is still moved. */
static void pty_end_input(struct endpoint_pty *pty)
{
	if (pty->writer != NULL && (pty->news == NULL || !writer_has_role(pty->writer)))
		pty_end_writer(pty);
	event_add(&pty->readable, NULL);
}

static bool pty_ask_role(struct endpoint_pty *pty)
{
	static const struct writer_ops ops = { pty_on_change, pty_on_role };
	struct err err;
	if (pty->writer != NULL)
		return writer_has_role(pty->writer);
	/* A read-only channel: it lies until a boot can take it. */
	if (writer_open(pty->endpoint.config.hub, pty->who, false, &ops, pty, &pty->writer, &err) < 0)
		return false;
	writer_set_yielding(pty->writer);
	return writer_has_role(pty->writer);
}

static void pty_receive(struct endpoint_pty *pty)
{
	int master = pty->endpoint.fds.master;
	if (endpoint_unread(master) == 0) {
		pty_end_input(pty);
		return;
	}
	event_del(&pty->readable);
	if (!pty_ask_role(pty))
		return;
	bool is_left;
	if (writer_splice(pty->writer, master, &is_left) < 0) {
		struct err err;
		err_sys(&err, errno, "read from the terminal; its input is given up until the next boot");
		pty_end_writer(pty);
		pty_tell_trouble(pty, &err);
		return;
	}
	if (!is_left)
		pty_end_input(pty);
}

static void pty_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct endpoint_pty *pty = ctx;
	if (endpoint_unread(fd) == 0 && pty_is_hung_up(fd) && !pty_heal(pty))
		return; /* it would be readable for ever */
	pty_receive(pty);
}

/* ---------------------------------------------------------------- who has it open */

static void pty_mark_reader(const struct endpoint_pty *pty, bool has_reader)
{
	int fd = pty->endpoint.fds.cursor, flags = fcntl(fd, F_GETFL);
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, has_reader ? flags | O_APPEND : flags & ~O_APPEND);
}

static bool pty_has_reader_mark(const struct endpoint_pty *pty)
{
	int flags = fcntl(pty->endpoint.fds.cursor, F_GETFL);
	return flags >= 0 && (flags & O_APPEND) != 0;
}

/* who: NULL when an earlier daemon has told. */
static void pty_attach(struct endpoint_pty *pty, const char *who)
{
	static const struct cursor_ops ops = { pty_on_news };
	struct hub *hub = pty->endpoint.config.hub;
	struct err err;
	if (cursor_open(hub, hub_end_offset(hub), UINT64_MAX, false, &ops, pty, &pty->news, &err) < 0)
		return;
	pty_mark_reader(pty, true);
	endpoint_party(&pty->endpoint, true, who);
	pty_send(pty);
}

static void pty_detach(struct endpoint_pty *pty)
{
	struct err err;
	event_del(&pty->writable);
	cursor_close(pty->news);
	pty->news = NULL;
	if (pty_reset(pty->endpoint.fds.master, pty->endpoint.fds.slave, &err) < 0 && !pty_heal(pty))
		pty_tell_trouble(pty, &err);
	pty_mark_reader(pty, false);
	pty_receive(pty);
	endpoint_party(&pty->endpoint, false, pty->who);
}

static void pty_set_open(struct endpoint_pty *pty, bool is_open)
{
	if (is_open == (pty->news != NULL))
		return;
	if (!is_open) {
		pty_detach(pty);
		return;
	}
	pty_go_to(pty, endpoint_start_offset(&pty->endpoint));
	pty_attach(pty, pty->who);
}

static void pty_on_scanned(void *ctx, bool is_open)
{
	struct endpoint_pty *pty = ctx;
	pty->scan = NULL;
	if (pty->scan_again)
		pty_look_again(pty);
	else
		pty_set_open(pty, is_open);
}

static void pty_look_again(struct endpoint_pty *pty)
{
	pty->scan_again = pty->scan != NULL;
	if (pty->scan == NULL)
		pty->scan =
			pty_scan_start(pty->endpoint.config.base, pty->endpoint.config.path, pty->endpoint.fds.slave, pty_on_scanned, pty);
}

static void pty_on_inotify(struct endpoint_pty *pty, uint32_t mask)
{
	if (mask & IN_Q_OVERFLOW)
		pty->is_certain = false;
	if (mask & IN_OPEN)
		pty->opens++;
	else if ((mask & IN_CLOSE) && pty->opens > 0)
		pty->opens--;
	/* Who opens during a scan may have been passed over by it. */
	if (!pty->is_certain && (pty->scan != NULL || !(mask & IN_OPEN)))
		pty_look_again(pty);
	if (pty->is_certain || (mask & IN_OPEN))
		pty_set_open(pty, pty->opens > 0);
}

static void pty_on_notified(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct endpoint_pty *pty = ctx;
	_Alignas(struct inotify_event) char events[1024];
	ssize_t n = read(fd, events, sizeof(events));
	const struct inotify_event *event;
	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*event) + event->len)) {
		event = (const struct inotify_event *)(const void *)(events + at);
		pty_on_inotify(pty, event->mask);
	}
}

/* ---------------------------------------------------------------- the endpoint */

static int pty_open(struct endpoint *endpoint, bool adopted, struct err *err)
{
	struct endpoint_pty *pty = (struct endpoint_pty *)endpoint;
	struct event_base *base = endpoint->config.base;
	pty->who = xasprintf("pty %s", endpoint->config.path);
	event_assign(&pty->readable, base, endpoint->fds.master, EV_READ, pty_on_readable, pty);
	event_assign(&pty->writable, base, endpoint->fds.master, EV_WRITE, pty_on_writable, pty);
	pty->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	event_assign(&pty->notified, base, pty->notify_fd, EV_READ | EV_PERSIST, pty_on_notified, pty);
	if (pty->notify_fd < 0)
		return err_sys(err, errno, "%s: make an inotify", pty->who);
	if (pty_watch(pty, err) < 0)
		return err_prefix(err, "%s", pty->who);
	event_add(&pty->notified, NULL);
	event_add(&pty->readable, NULL);
	pty->is_certain = !adopted;
	if (!adopted)
		return 0;
	/* A reader of the old daemon's goes on where it was, until /proc says that it has left. */
	if (pty_has_reader_mark(pty))
		pty_attach(pty, NULL);
	pty_look_again(pty);
	return 0;
}

static void pty_begin_boot(struct endpoint *endpoint)
{
	struct endpoint_pty *pty = (struct endpoint_pty *)endpoint;
	event_add(&pty->readable, NULL); /* what lay there for want of an input may be taken now */
}

/* Input has nowhere to go any more. */
static void pty_end(struct endpoint *endpoint)
{
	struct endpoint_pty *pty = (struct endpoint_pty *)endpoint;
	event_del(&pty->readable);
	event_del(&pty->notified);
	pty_end_writer(pty);
}

/* A hang-up takes from the user what it has not read yet. */
static bool pty_has_ended(const struct endpoint *endpoint)
{
	const struct endpoint_pty *pty = (const struct endpoint_pty *)endpoint;
	return pty->news == NULL ||
	       (pty_position(pty) >= hub_end_offset(endpoint->config.hub) && endpoint_unread(endpoint->fds.slave) == 0);
}

static void pty_fini(struct endpoint *endpoint)
{
	struct endpoint_pty *pty = (struct endpoint_pty *)endpoint;
	event_del(&pty->notified);
	if (pty->notify_fd >= 0)
		close(pty->notify_fd);
	event_del(&pty->readable);
	event_del(&pty->writable);
	pty_scan_cancel(pty->scan);
	cursor_close(pty->news);
	writer_close(pty->writer);
	free(pty->who);
}

const struct endpoint_ops endpoint_pty_ops = {
	.size = sizeof(struct endpoint_pty),
	.open = pty_open,
	.begin_boot = pty_begin_boot,
	.end = pty_end,
	.has_ended = pty_has_ended,
	.fini = pty_fini,
};
