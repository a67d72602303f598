/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network namespace for the program. Without privilege it takes a user namespace, in which the user is himself; some hosts allow making
 * one and deny using it, so that the whole is tried before it is relied on.
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

static bool unshare_network(void)
{
	uint64_t uid = geteuid(), gid = getegid();
	if (unshare(CLONE_NEWNET) == 0)
		return true;
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && write_file("/proc/self/setgroups", "deny") &&
	       map_id("/proc/self/uid_map", uid) && map_id("/proc/self/gid_map", gid);
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

bool network_isolate(void)
{
	return unshare_network() && bring_up_lo();
}

bool network_can_isolate(void)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(network_isolate() ? 0 : 1);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}
