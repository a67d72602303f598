/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SO_REUSEADDR, so that connections in TIME_WAIT do not refuse a port. With it two sockets can both be bound, but only one can listen:
 * listen(2) says EADDRINUSE to the other. SO_REUSEPORT would let both listen.
 */
#include "loop/ports.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS_BACKLOG 64

static int ports_bind(int fd, uint16_t port)
{
	static const int on = 1;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	return listen(fd, PORTS_BACKLOG);
}

/* The listener, or -errno. */
static int ports_try(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && ports_bind(fd, port) == 0)
		return fd;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	return -sys;
}

static int ports_listen_on(uint16_t wanted, struct err *err)
{
	int fd = ports_try(wanted);
	if (fd >= 0)
		return fd;
	if (fd != -EADDRINUSE)
		return err_sys(err, -fd, "listen on port %u of 127.0.0.1", wanted);
	err_set(err, ERR_ALREADY_EXISTS, "port %u of 127.0.0.1 is taken: choose another one, or none to be given one", wanted);
	return err_reason(err, "port-taken");
}

/* Where the next search begins; a new daemon begins anywhere. */
static uint32_t ports_next(void)
{
	static uint32_t next;
	static bool is_seeded;
	if (!is_seeded && getrandom(&next, sizeof(next), GRND_NONBLOCK) == sizeof(next))
		is_seeded = true;
	return next++;
}

static int ports_search(uint32_t first, uint32_t last, struct err *err)
{
	if (first == 0 || first > last || last > UINT16_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "ports %" PRIu32 " to %" PRIu32 " are no range of TCP ports", first, last);
	uint32_t count = last - first + 1;
	for (uint32_t i = 0; i < count; i++) {
		int fd = ports_try((uint16_t)(first + ports_next() % count));
		if (fd >= 0)
			return fd;
		if (fd != -EADDRINUSE && fd != -EACCES) /* EACCES: reserved ports at the range's low end */
			return err_sys(err, -fd, "listen on a port of 127.0.0.1");
	}
	return err_set(err, ERR_RESOURCE_EXHAUSTED,
		       "no port of 127.0.0.1 from %" PRIu32 " to %" PRIu32 " is free: widen the range in the daemon's settings", first,
		       last);
}

int ports_listen(uint16_t wanted, uint32_t first, uint32_t last, int *fd, uint16_t *port, struct err *err)
{
	int listener = wanted != 0 ? ports_listen_on(wanted, err) : ports_search(first, last, err);
	if (listener < 0)
		return -1;
	struct sockaddr_in addr = { 0 };
	socklen_t len = sizeof(addr);
	if (getsockname(listener, (struct sockaddr *)&addr, &len) < 0) {
		err_sys(err, errno, "ask for a listener's port");
		close(listener);
		return -1;
	}
	*fd = listener;
	*port = ntohs(addr.sin_port);
	return 0;
}

#define PORTS_RESERVED 1024 /* where the host says nothing */

bool ports_is_reserved(uint16_t port)
{
	unsigned first = PORTS_RESERVED;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	if (file != NULL && fscanf(file, "%5u", &first) != 1)
		first = PORTS_RESERVED;
	if (file != NULL)
		fclose(file);
	return port < first;
}

/* ---------------------------------------------------------------- who has it */

#define PORTS_STATE_LISTEN 0x0a

/* Inode of the socket that listens on the port of 127.0.0.1 or of all addresses; 0: none. */
static unsigned long ports_inode(uint16_t port)
{
	FILE *table = fopen("/proc/net/tcp", "re");
	char *line = NULL;
	size_t size = 0;
	unsigned long inode = 0;
	while (table != NULL && inode == 0 && getline(&line, &size, table) > 0) {
		char *words[12], *rest = line, *word;
		size_t count = 0;
		while (count < 12 && (word = strsep(&rest, " \n")) != NULL)
			if (*word != '\0')
				words[count++] = word;
		char *colon = count >= 10 ? strchr(words[1], ':') : NULL;
		if (colon != NULL && strtoul(colon + 1, NULL, 16) == port && strtoul(words[3], NULL, 16) == PORTS_STATE_LISTEN)
			inode = strtoul(words[9], NULL, 10);
	}
	free(line);
	if (table != NULL)
		fclose(table);
	return inode;
}

static bool ports_has(const char *pid, const char *socket)
{
	char path[320], target[64];
	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	DIR *dir = opendir(path);
	bool found = false;
	for (struct dirent *entry; dir != NULL && !found && (entry = readdir(dir)) != NULL;) {
		snprintf(path, sizeof(path), "/proc/%.16s/fd/%.16s", pid, entry->d_name);
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		found = n > 0 && strlen(socket) == (size_t)n && memcmp(target, socket, (size_t)n) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static void ports_describe(const char *pid, char out[PORTS_HOLDER_MAX])
{
	char path[48], name[32] = "";
	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	FILE *file = fopen(path, "re");
	if (file != NULL && fgets(name, sizeof(name), file) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (file != NULL)
		fclose(file);
	snprintf(out, PORTS_HOLDER_MAX, "process %.16s (%s)", pid, name);
}

void ports_holder(uint16_t port, char out[PORTS_HOLDER_MAX])
{
	char socket[48];
	unsigned long inode = ports_inode(port);
	DIR *dir = inode != 0 ? opendir("/proc") : NULL;
	out[0] = '\0';
	snprintf(socket, sizeof(socket), "socket:[%lu]", inode);
	for (struct dirent *entry; dir != NULL && out[0] == '\0' && (entry = readdir(dir)) != NULL;)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && ports_has(entry->d_name, socket))
			ports_describe(entry->d_name, out);
	if (dir != NULL)
		closedir(dir);
}
