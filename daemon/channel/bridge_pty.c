/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PTY of a bridge. Whoever opens its slave is the party, all of them together, until the last one has closed it; inotify tells. A new
 * daemon, and one that has lost count, looks into /proc. While another party is there the PTY is dead: what is written to it waits.
 */
#include "channel/bridge_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "loop/pty.h"
#include "loop/pty_scan.h"
#include "wire/mem.h"

#define PTY_PIECE 4096

struct bridge_pty {
	struct bridge *bridge;
	struct endpoint_fds fds;
	char *path, *who;
	int notify_fd, watch;
	bool is_open;               /* somebody has the slave open, as far as is known */
	struct pty_scan *scan;      /* NULL: none is going on */
	bool scan_again;            /* something was closed during it */
	struct bridge_party *party; /* NULL: not joined */
	struct event notified, readable, writable, retry;
	char in[PTY_PIECE];
	size_t in_start, in_end;
};

static const struct timeval pty_again = { 0, 200000 };

static void pty_tell_trouble(struct bridge_pty *pty, struct err *err)
{
	err_prefix(err, "%s", pty->who);
	bridge_tell_trouble(pty->bridge, err);
}

/* ---------------------------------------------------------------- bytes */

static void pty_send(struct bridge_pty *pty)
{
	if (bridge_read_to(pty->party, pty->fds.master) < 0)
		return; /* hung up: the end of its user shows that */
	if (bridge_has_output(pty->party))
		event_add(&pty->writable, NULL);
}

static void pty_on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct bridge_pty *pty = ctx;
	if (pty->party != NULL)
		pty_send(pty);
}

static void pty_hand_on(struct bridge_pty *pty)
{
	pty->in_start += bridge_write(pty->party, pty->in + pty->in_start, pty->in_end - pty->in_start);
	if (pty->in_start == pty->in_end)
		event_add(&pty->readable, NULL);
}

static void pty_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct bridge_pty *pty = ctx;
	ssize_t n = read(fd, pty->in, sizeof(pty->in));
	pty->in_start = 0;
	pty->in_end = n > 0 ? (size_t)n : 0;
	if (pty->party != NULL)
		pty_hand_on(pty);
}

/* ---------------------------------------------------------------- the party */

static void pty_join(struct bridge_pty *pty);

static void pty_part(struct bridge_pty *pty)
{
	struct err err = ERR_INIT;
	pty->party = NULL;
	event_del(&pty->readable);
	event_del(&pty->writable);
	if (pty_reset(pty->fds.master, pty->fds.slave, &err) < 0)
		pty_tell_trouble(pty, &err);
}

static void pty_on_output(void *ctx)
{
	pty_send(ctx);
}

static void pty_on_room(void *ctx)
{
	pty_hand_on(ctx);
}

/* A user who keeps it open gets the next boot. */
static void pty_on_end(void *ctx, const struct err *err)
{
	(void)err;
	struct bridge_pty *pty = ctx;
	pty_part(pty);
	if (pty->is_open)
		event_add(&pty->retry, &pty_again);
}

static const struct bridge_party_ops pty_party_ops = { .on_output = pty_on_output, .on_room = pty_on_room, .on_end = pty_on_end };

static void pty_join(struct bridge_pty *pty)
{
	struct err err = ERR_INIT;
	if (pty->party != NULL || !pty->is_open)
		return;
	if (bridge_join(pty->bridge, pty->who, &pty_party_ops, pty, &pty->party, &err) < 0) {
		pty->party = NULL;
		event_add(&pty->retry, &pty_again);
		return;
	}
	event_add(&pty->readable, NULL);
}

static void pty_on_retry(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	pty_join(ctx);
}

/* What the last user has sent is taken before it is gone. */
static void pty_close(struct bridge_pty *pty)
{
	pty->is_open = false;
	event_del(&pty->retry);
	struct bridge_party *party = pty->party;
	if (party == NULL)
		return;
	ssize_t n;
	while (pty->in_start == pty->in_end && (n = read(pty->fds.master, pty->in, sizeof(pty->in))) > 0)
		pty->in_start = pty->in_end = bridge_write(party, pty->in, (size_t)n) > 0 ? (size_t)n : 0;
	pty_part(pty);
	bridge_leave(party);
}

/* ---------------------------------------------------------------- who has it open */

static void pty_look(struct bridge_pty *pty);

static void pty_on_scanned(void *ctx, bool is_open)
{
	struct bridge_pty *pty = ctx;
	pty->scan = NULL;
	if (pty->scan_again) {
		pty_look(pty);
	} else if (is_open) {
		pty->is_open = true;
		pty_join(pty);
	} else {
		pty_close(pty);
	}
}

static void pty_look(struct bridge_pty *pty)
{
	pty->scan_again = pty->scan != NULL;
	if (pty->scan == NULL)
		pty->scan = pty_scan_start(bridge_configuration(pty->bridge)->base, pty->path, pty->fds.slave, pty_on_scanned, pty);
}

static int pty_watch(struct bridge_pty *pty, struct err *err)
{
	char slave[32];
	(void)snprintf(slave, sizeof(slave), "/proc/self/fd/%d", pty->fds.slave);
	pty->watch = inotify_add_watch(pty->notify_fd, slave, IN_OPEN | IN_CLOSE);
	return pty->watch < 0 ? err_sys(err, errno, "watch who opens the terminal") : 0;
}

/* A session leader who had it as controlling terminal has hung up all descriptions of it. */
static void pty_heal(struct bridge_pty *pty)
{
	struct err err = ERR_INIT;
	if (!pty_is_hung_up(pty->fds.master))
		return;
	(void)inotify_rm_watch(pty->notify_fd, pty->watch);
	if (pty_revive(pty->fds.master, pty->fds.slave, &err) < 0 || pty_watch(pty, &err) < 0)
		pty_tell_trouble(pty, &err);
}

static void pty_on_notified(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct bridge_pty *pty = ctx;
	_Alignas(struct inotify_event) char buf[4096];
	bool was_opened = false, was_closed = false;
	ssize_t n = read(fd, buf, sizeof(buf));
	for (char *at = buf; n > 0 && at < buf + n; at += sizeof(struct inotify_event) + ((struct inotify_event *)at)->len) {
		uint32_t mask = ((struct inotify_event *)at)->mask;
		was_opened |= (mask & IN_OPEN) != 0;
		was_closed |= (mask & (IN_CLOSE | IN_Q_OVERFLOW)) != 0;
	}
	if (was_closed) {
		pty_heal(pty);
		pty_look(pty);
	}
	if (was_opened) {
		pty->is_open = true;
		pty_join(pty);
	}
}

/* ---------------------------------------------------------------- the endpoint */

int bridge_pty_new(struct bridge *bridge, const struct endpoint_fds *fds, const char *path, struct bridge_pty **out, struct err *err)
{
	struct event_base *base = bridge_configuration(bridge)->base;
	struct bridge_pty *pty = xcalloc(1, sizeof(*pty));
	pty->bridge = bridge;
	pty->fds = *fds;
	pty->path = xstrdup(path);
	pty->who = xasprintf("pty %s", path);
	pty->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	event_assign(&pty->notified, base, pty->notify_fd, EV_READ | EV_PERSIST, pty_on_notified, pty);
	event_assign(&pty->readable, base, fds->master, EV_READ, pty_on_readable, pty);
	event_assign(&pty->writable, base, fds->master, EV_WRITE, pty_on_writable, pty);
	event_assign(&pty->retry, base, -1, EV_TIMEOUT, pty_on_retry, pty);
	if (pty->notify_fd < 0)
		err_sys(err, errno, "%s: make an inotify", pty->who);
	if (pty->notify_fd < 0 || pty_watch(pty, err) < 0) {
		bridge_pty_free(pty);
		return -1;
	}
	event_add(&pty->notified, NULL);
	pty_look(pty); /* an earlier daemon may have served it */
	*out = pty;
	return 0;
}

void bridge_pty_free(struct bridge_pty *pty)
{
	if (pty == NULL)
		return;
	event_del(&pty->notified);
	event_del(&pty->readable);
	event_del(&pty->writable);
	event_del(&pty->retry);
	if (pty->notify_fd >= 0)
		close(pty->notify_fd);
	pty_scan_cancel(pty->scan);
	free(pty->path);
	free(pty->who);
	free(pty);
}
