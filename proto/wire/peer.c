/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a container arrives with the uid that its user namespace maps to: root of a container without one is uid 0 here. Where it
 * lives is asked through its pid, which is that of another process once it has ended: the pidfd of the socket tells, where the kernel has
 * that (6.5). What cannot be found out counts as elsewhere.
 */
#include "wire/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/mem.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define PEER_GROUPS_MAX 65536

static int peer_groups(struct rpc_peer *peer, int fd, struct err *err)
{
	socklen_t len = 32 * sizeof(gid_t);
	gid_t *groups = xmalloc(len);
	int rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	if (rc < 0 && errno == ERANGE && len <= PEER_GROUPS_MAX * sizeof(gid_t)) {
		groups = xrealloc(groups, len, 1);
		rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	}
	if (rc < 0) {
		free(groups);
		return err_sys(err, errno, "find out the groups of who asks");
	}
	peer->groups = groups;
	peer->group_count = len / sizeof(gid_t);
	return 0;
}

static bool peer_same_namespace(pid_t pid, const char *kind)
{
	char path[64];
	struct stat ours, theirs;
	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	if (stat(path, &ours) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	return stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* Whether the process that made the connection lives: then its pid was its own all the time. */
static bool peer_lives(int fd, pid_t pid)
{
	int pidfd = -1;
	socklen_t len = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return pid > 0 && errno == ENOPROTOOPT; /* an older kernel: nothing better is to be had */
	struct pollfd poll_row = { .fd = pidfd, .events = POLLIN };
	bool lives = poll(&poll_row, 1, 0) == 0;
	close(pidfd);
	return lives;
}

int peer_fill(struct rpc_peer *peer, int fd, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	peer->uid = (uid_t)-1;
	peer->gid = (gid_t)-1;
	peer->pid = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_sys(err, errno, "find out who asks");
	if (len != sizeof(cred) || cred.pid == 0)
		return 0;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	peer->pid = cred.pid;
	peer->is_alien = !peer_same_namespace(cred.pid, "user") || !peer_same_namespace(cred.pid, "mnt") || !peer_lives(fd, cred.pid);
	return peer_groups(peer, fd, err);
}

void peer_fini(struct rpc_peer *peer)
{
	free((gid_t *)(uintptr_t)peer->groups);
	peer->groups = NULL;
}
