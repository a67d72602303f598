/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: daemons come and go, the newest record is told to each. Nothing here ever blocks. */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void peer_drop(struct shim *shim, unsigned peer)
{
	close(shim->peers[peer]);
	shim->peers[peer] = shim->peers[--shim->peer_count];
}

/* False: the peer does not take what it is told. It may connect again. */
static bool peer_send(int fd, const struct text *text, int passed_fd)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text->buf, .iov_len = text->len };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	memset(&control, 0, sizeof(control));
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (passed_fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &passed_fd, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)text->len;
}

void control_send_all(struct shim *shim, const struct text *text)
{
	for (unsigned i = shim->peer_count; i-- > 0;)
		if (!peer_send(shim->peers[i], text, -1))
			peer_drop(shim, i);
}

static bool peer_is_own(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == geteuid();
}

void control_accept(struct shim *shim)
{
	int fd = accept4(SHIM_FD_LISTENER, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (!peer_is_own(fd) || shim->peer_count == SHIM_PEERS_MAX) {
		close(fd);
		return;
	}
	shim->peers[shim->peer_count++] = fd;
	const struct text *news = shim->end.len > 0 ? &shim->end : &shim->run;
	if (shim->end.len > 0 && !shim->end_written) /* the directory was full at the time */
		shim->end_written = shim_record(shim, ".end", &shim->end);
	if (news->len > 0 && !peer_send(fd, news, -1))
		peer_drop(shim, shim->peer_count - 1);
}

static int held_find(const struct shim *shim, const char *name)
{
	const char *at = spec_next(spec_next(shim->kept));
	for (uint32_t i = 0; i < shim->held_count; i++, at = spec_next(at))
		if (strcmp(at, name) == 0)
			return shim->held_first + (int)i;
	return -1;
}

static bool command_get(struct shim *shim, int peer_fd, const char *name)
{
	struct text reply = { 0 };
	int fd = held_find(shim, name);
	text_line(&reply, fd >= 0 ? "fd" : "none", name);
	reply.len--; /* the line's end */
	return peer_send(peer_fd, &reply, fd);
}

/* False: to be hung up on. */
static bool command_run(struct shim *shim, int peer_fd, const char *command)
{
	uint64_t grace_ms;
	if (strncmp(command, "stop ", 5) == 0 && text_parse_number(command + 5, strlen(command + 5), &grace_ms)) {
		shim_stop(shim, grace_ms);
		return true;
	}
	if (strncmp(command, "get ", 4) == 0)
		return command_get(shim, peer_fd, command + 4);
	if (strcmp(command, "release") == 0 && shim->phase == PHASE_END)
		shim_release(shim);
	if (strcmp(command, "ping") == 0) {
		struct text reply = { 0 };
		text_add(&reply, "pong");
		return peer_send(peer_fd, &reply, -1);
	}
	return false;
}

void control_receive(struct shim *shim, unsigned peer)
{
	char command[SHIM_HELD_NAME_MAX + 32];
	/* descriptors that somebody sends along have nowhere to go: without a control buffer the kernel drops them */
	ssize_t n = recv(shim->peers[peer], command, sizeof(command) - 1, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || n >= (ssize_t)sizeof(command)) {
		peer_drop(shim, peer);
		return;
	}
	command[n] = '\0';
	if (!command_run(shim, shim->peers[peer], command))
		peer_drop(shim, peer);
}
