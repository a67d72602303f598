/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network namespace for the program. Without privilege it takes a user namespace, in which the user is himself; some hosts allow making
 * one and deny using it, so that the whole is tried before it is relied on. Who is to become another user has the privilege, or does
 * without: in a user namespace there would be no other.
 */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	errno = sys;
	return ok;
}

/* "ID ID 1": one is oneself. */
static bool map_id(const char *path, uint64_t id)
{
	struct text map = { 0 };
	text_add_number(&map, id);
	text_add(&map, " ");
	text_add_number(&map, id);
	text_add(&map, " 1");
	return write_file(path, map.buf);
}

/* Each of the two succeeds or changes nothing. */
static bool unshare_network(bool may_map, bool *needs_map)
{
	*needs_map = unshare(CLONE_NEWNET) != 0;
	return !*needs_map || (may_map && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
}

static bool bring_up_lo(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
	request.ifr_flags |= IFF_UP;
	ok = ok && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	errno = sys;
	return ok;
}

static bool map_user(uint64_t uid, uint64_t gid)
{
	return write_file("/proc/self/setgroups", "deny") && map_id("/proc/self/uid_map", uid) && map_id("/proc/self/gid_map", gid);
}

/* `or_host`: where it cannot even be made the host's network is as well. */
static bool make_network(bool may_map, bool or_host)
{
	uint64_t uid = geteuid(), gid = getegid();
	bool needs_map;
	if (!unshare_network(may_map, &needs_map))
		return or_host;
	return (!needs_map || map_user(uid, gid)) && bring_up_lo();
}

/* In a process of its own. */
static bool can_make_network(bool may_map)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(make_network(may_map, false) ? 0 : 1);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

/* What was joined of a part of them does no harm to what is made then. */
static bool join_network(const int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (setns(fds[i], 0) != 0)
			return false;
	return count > 0;
}

bool network_isolate(enum shim_network network, const int *join_fds, uint32_t join_count, bool may_map)
{
	if (network != SHIM_NETWORK_HOST && join_network(join_fds, join_count))
		return true;
	if (network == SHIM_NETWORK_HOST || (network == SHIM_NETWORK_TRY && !can_make_network(may_map)))
		return true;
	return make_network(may_map, network == SHIM_NETWORK_TRUST);
}
