/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serial channels. Renode makes a PTY for each UART and a link to it, NAME.pty; from its slave a ferry carries the bytes to and from the
 * channel's FIFOs, where they are like those of any emulator. The shim holds slave and FIFOs: what the guest prints while there is no
 * daemon waits in the terminal. Renode's own log is a file, which is followed into the FIFO of the emulator's messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "driver/renode_int.h"
#include "loop/ferry.h"
#include "loop/pty.h"
#include "loop/tail.h"
#include "wire/mem.h"

#define UART_TERMINALS "/dev/pts/"
#define UART_PATH_MAX  64
#define UART_HELD      ".uart" /* suffix of the name under which the shim holds a slave */

static void uart_on_trouble(void *ctx, const struct err *err)
{
	const struct renode_uart *uart = ctx;
	uart->link->events->on_trouble(uart->link->ctx, uart->channel, err);
}

static int uart_open_fifo(const struct driver_link *link, const char *channel, const char *suffix, int *fd, struct err *err)
{
	char name[PLAN_NAME_MAX + 8];
	snprintf(name, sizeof(name), "%s%s", channel, suffix);
	*fd = openat(link->run_dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	return *fd >= 0 ? 0 : err_sys(err, errno, "open FIFO \"%s\"", name);
}

/* Its link is in a directory where the emulator's user can put what he likes: it is read, not followed, and leads to a terminal … */
static int uart_find_terminal(const struct driver_link *link, const char *channel, char path[UART_PATH_MAX], struct err *err)
{
	char name[PLAN_NAME_MAX + 8];
	snprintf(name, sizeof(name), "%s.pty", channel);
	ssize_t len = readlinkat(link->own_dir, name, path, UART_PATH_MAX - 1);
	if (len < 0)
		return err_sys(err, errno, "read link \"%s\" of Renode", name);
	path[len] = '\0';
	size_t prefix = strlen(UART_TERMINALS);
	if (strncmp(path, UART_TERMINALS, prefix) == 0 && strspn(path + prefix, "0123456789") == (size_t)len - prefix)
		return 0;
	return err_set(err, ERR_FAILED_PRECONDITION, "link \"%s\" of Renode leads to \"%s\", which is no terminal", name, path);
}

/* … of his own. */
static int uart_check_owner(const struct driver_link *link, int fd, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "look at Renode's terminal");
	if (st.st_uid == link->uid)
		return 0;
	return err_set(err, ERR_PERMISSION_DENIED, "Renode's terminal belongs to uid %u", (unsigned)st.st_uid);
}

static int uart_open_slave(struct driver_link *link, const char *channel, bool is_adopted, int *fd, struct err *err)
{
	char name[PLAN_NAME_MAX + 8];
	snprintf(name, sizeof(name), "%s%s", channel, UART_HELD);
	if (is_adopted && link->events->held(link->ctx, name, fd, err) == 0)
		return 0;
	*err = (struct err)ERR_INIT;
	char path[UART_PATH_MAX];
	if (uart_find_terminal(link, channel, path, err) < 0 || pty_open_raw(path, fd, err) < 0 || uart_check_owner(link, *fd, err) < 0)
		return -1;
	return link->events->hold(link->ctx, name, *fd, err);
}

static int uart_open(struct driver_link *link, const char *channel, bool is_adopted, struct err *err)
{
	struct ferry_fds fds = { -1, -1, -1 };
	struct renode_uart *uart = &link->uarts[link->uart_count];
	if (uart_open_slave(link, channel, is_adopted, &fds.slave, err) == 0 && uart_open_fifo(link, channel, ".out", &fds.out, err) == 0 &&
	    uart_open_fifo(link, channel, ".in", &fds.in, err) == 0) {
		*uart = (struct renode_uart){ .link = link, .channel = channel };
		uart->ferry = ferry_new(link->base, &fds, uart_on_trouble, uart);
		link->uart_count++;
		return 0;
	}
	const int open_fds[] = { fds.slave, fds.out, fds.in };
	for (size_t i = 0; i < sizeof(open_fds) / sizeof(open_fds[0]); i++)
		if (open_fds[i] >= 0)
			close(open_fds[i]);
	return err_prefix(err, "channel \"%s\"", channel);
}

/* ---------------------------------------------------------------- log */

static int log_open_file(struct driver_link *link, bool is_adopted, int *fd, struct err *err)
{
	struct stat st;
	if (is_adopted && link->events->held(link->ctx, RENODE_LOG, fd, err) == 0)
		return 0;
	*err = (struct err)ERR_INIT;
	if (dirs_open_in(link->own_dir, RENODE_LOG, O_RDWR, fd, err) < 0)
		return -1;
	if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != link->uid)
		return err_set(err, ERR_PERMISSION_DENIED, "\"" RENODE_LOG "\" is no file of uid %u", (unsigned)link->uid);
	return link->events->hold(link->ctx, RENODE_LOG, *fd, err);
}

/* The board runs without; what Renode says is lost then. */
static void log_follow(struct driver_link *link, bool is_adopted)
{
	struct err err = ERR_INIT;
	int file = -1, fifo = -1;
	if (log_open_file(link, is_adopted, &file, &err) < 0 || uart_open_fifo(link, "emulator", ".out", &fifo, &err) < 0 ||
	    tail_new(link->base, file, fifo, &link->log, &err) < 0) {
		err_prefix(&err, "Renode's log");
		link->events->on_trouble(link->ctx, "emulator", &err);
		if (file >= 0)
			close(file);
		if (fifo >= 0)
			close(fifo);
	}
}

int renode_uarts_open(struct driver_link *link, bool is_adopted, struct err *err)
{
	log_follow(link, is_adopted);
	for (size_t i = 0; i < link->target->n_channels; i++)
		if (uart_open(link, link->target->channels[i]->name, is_adopted, err) < 0)
			return -1;
	return 0;
}

bool renode_uarts_drain(struct driver_link *link)
{
	bool is_empty = true;
	if (link->log != NULL)
		tail_drain(link->log);
	for (size_t i = 0; i < link->uart_count; i++)
		is_empty = ferry_drain(link->uarts[i].ferry) && is_empty;
	return is_empty;
}

void renode_uarts_close(struct driver_link *link)
{
	for (size_t i = 0; i < link->uart_count; i++)
		ferry_free(link->uarts[i].ferry);
	link->uart_count = 0;
	tail_free(link->log);
	link->log = NULL;
}
