/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: daemons come and go, the newest record is told to each. Nothing here ever blocks. */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
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
	for (unsigned i = 0; i < shim->added_count; i++)
		if (strcmp(shim->added[i].name, name) == 0)
			return shim->added[i].fd;
	return -1;
}

static bool added_make_room(struct shim *shim)
{
	if (shim->added == NULL) {
		void *room = mmap(NULL, SHIM_ADDED_MAX * sizeof(*shim->added), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		shim->added = room != MAP_FAILED ? room : NULL;
	}
	return shim->added != NULL && shim->added_count < SHIM_ADDED_MAX;
}

/* Holds a descriptor from now on; false: it stays the caller's. */
static bool held_add(struct shim *shim, const char *name, int fd)
{
	int old = held_find(shim, name);
	if (old >= 0 && dup3(fd, old, O_CLOEXEC) == old) {
		close(fd);
		return true;
	}
	size_t len = strlen(name);
	if (old >= 0 || len == 0 || len > SHIM_HELD_NAME_MAX || !added_make_room(shim))
		return false;
	memcpy(shim->added[shim->added_count].name, name, len + 1);
	shim->added[shim->added_count++].fd = fd;
	return true;
}

/* Takes the descriptor out of *fd if it can. */
static bool command_hold(struct shim *shim, int peer_fd, const char *name, int *fd)
{
	struct text reply = { 0 };
	bool is_held = *fd >= 0 && held_add(shim, name, *fd);
	if (is_held)
		*fd = -1;
	text_line(&reply, is_held ? "held" : "full", name);
	reply.len--; /* the line's end */
	return peer_send(peer_fd, &reply, -1);
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
static bool command_run(struct shim *shim, int peer_fd, const char *command, int *passed_fd)
{
	uint64_t grace_ms;
	if (strncmp(command, "stop ", 5) == 0 && text_parse_number(command + 5, strlen(command + 5), &grace_ms)) {
		shim_stop(shim, grace_ms);
		return true;
	}
	if (strncmp(command, "get ", 4) == 0)
		return command_get(shim, peer_fd, command + 4);
	if (strncmp(command, "hold ", 5) == 0)
		return command_hold(shim, peer_fd, command + 5, passed_fd);
	if (strcmp(command, "release") == 0 && shim->phase == PHASE_END)
		shim_release(shim);
	if (strcmp(command, "ping") == 0) {
		struct text reply = { 0 };
		text_add(&reply, "pong");
		return peer_send(peer_fd, &reply, -1);
	}
	return false;
}

/* One packet, with at most one descriptor: the kernel drops those for which there is no room. */
static ssize_t peer_receive(int peer_fd, char *command, size_t size, int *passed_fd)
{
	struct iovec iov = { .iov_base = command, .iov_len = size };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(peer_fd, &msg, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	*passed_fd = -1;
	if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS && cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(passed_fd, CMSG_DATA(cmsg), sizeof(int));
	return n;
}

void control_receive(struct shim *shim, unsigned peer)
{
	char command[SHIM_HELD_NAME_MAX + 32];
	int passed_fd;
	ssize_t n = peer_receive(shim->peers[peer], command, sizeof(command) - 1, &passed_fd);
	/* Without memory it is still there, and so is who is to release this shim. */
	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOMEM || errno == ENOBUFS))
		return;
	bool is_good = n > 0 && n < (ssize_t)sizeof(command);
	command[is_good ? n : 0] = '\0';
	if (!is_good || !command_run(shim, shim->peers[peer], command, &passed_fd))
		peer_drop(shim, peer);
	if (passed_fd >= 0)
		close(passed_fd);
}
