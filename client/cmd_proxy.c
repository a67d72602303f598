/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdin and stdout joined to the daemon's control socket, byte for byte: what `-H ssh://` runs on the other machine. The end of stdin ends
 * that direction alone; it is over when the daemon has closed or nobody reads stdout any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/say.h"

#define FLOW_BYTES   65536
#define FLOW_CAREFUL 512 /* what a pipe that cannot be opened again takes without blocking */

/* One direction. */
struct flow {
	int from, to;
	char bytes[FLOW_BYTES];
	size_t len, done;
	bool is_careful; /* writes to `to` may block */
	bool has_ended;  /* nothing more comes … */
	bool is_over;    /* … and all of it was written, or nobody takes it */
	int error;
};

static void flow_read(struct flow *flow)
{
	ssize_t n = read(flow->from, flow->bytes, sizeof(flow->bytes));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	flow->done = 0;
	flow->len = n > 0 ? (size_t)n : 0;
	flow->has_ended = n <= 0;
}

static ssize_t flow_put(const struct flow *flow, const char *bytes, size_t len)
{
	ssize_t n = send(flow->to, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0 || errno != ENOTSOCK)
		return n;
	return write(flow->to, bytes, flow->is_careful && len > FLOW_CAREFUL ? FLOW_CAREFUL : len);
}

static void flow_write(struct flow *flow)
{
	ssize_t n = flow_put(flow, flow->bytes + flow->done, flow->len - flow->done);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		flow->error = errno;
		flow->is_over = true;
		return;
	}
	flow->done += (size_t)n;
}

static bool flow_is_full(const struct flow *flow)
{
	return flow->done < flow->len;
}

static void flow_ask(const struct flow *flow, struct pollfd poll_fd[2])
{
	bool reads = !flow->has_ended && !flow->is_over && !flow_is_full(flow);
	poll_fd[0] = (struct pollfd){ .fd = reads ? flow->from : -1, .events = POLLIN };
	/* also without anything to write: that nobody reads is to be noticed */
	poll_fd[1] = (struct pollfd){ .fd = flow->is_over ? -1 : flow->to, .events = flow_is_full(flow) ? POLLOUT : 0 };
}

static void flow_go(struct flow *flow, const struct pollfd poll_fd[2])
{
	if (poll_fd[0].revents != 0)
		flow_read(flow);
	if (!flow->is_over && flow_is_full(flow) && (poll_fd[0].revents != 0 || poll_fd[1].revents != 0))
		flow_write(flow);
	else if ((poll_fd[1].revents & POLLERR) != 0)
		flow->is_over = true;
	if (flow->has_ended && !flow_is_full(flow))
		flow->is_over = true;
}

/* An own opening of a pipe or terminal is non-blocking without being so for others. */
static int open_stdout(bool *is_careful)
{
	struct stat st;
	int own = -1;
	*is_careful = false;
	if (fstat(STDOUT_FILENO, &st) < 0 || S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode))
		return STDOUT_FILENO;
	own = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	*is_careful = own < 0;
	return own >= 0 ? own : STDOUT_FILENO;
}

static int join(int daemon)
{
	static struct flow up, down;
	bool was_shut = false;
	up.from = STDIN_FILENO;
	up.to = down.from = daemon;
	down.to = open_stdout(&down.is_careful);
	while (!down.is_over) {
		struct pollfd fds[4];
		if (up.is_over && !was_shut) {
			was_shut = true;
			(void)shutdown(daemon, SHUT_WR);
		}
		flow_ask(&up, fds);
		flow_ask(&down, fds + 2);
		if (poll(fds, 4, -1) < 0 && errno != EINTR)
			return errno;
		flow_go(&up, fds);
		flow_go(&down, fds + 2);
	}
	return down.error == EPIPE ? 0 : down.error;
}

int cmd_proxy(struct cli *cli)
{
	struct err err = ERR_INIT;
	int fd;
	if (conn_init(&cli->conn, opt_text(&cli->opts, "host"), opt_text(&cli->opts, "context"), &err) < 0 ||
	    conn_dial(&cli->conn, CONN_NO_CHECK, &fd, &err) < 0)
		return cli_refused(&err);
	int error = join(fd);
	close(fd);
	if (error == 0)
		return EXIT_DONE;
	say_error("proxy: write to stdout: %s", strerror(error));
	return EXIT_REFUSED;
}
