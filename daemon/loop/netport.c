/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who listens: the inodes of the sockets that the tree's processes have open, and the lines of /proc/PID/net/tcp that have one of them.
 * A connection into another network namespace is made by a helper that enters it, and the user namespace that owns it first.
 */
#include "loop/netport.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/helper.h"
#include "wire/mem.h"

#define NETPORT_PIDS_MAX    256
#define NETPORT_INODES_MAX  256
#define NETPORT_DEADLINE_MS 5000
#define TCP_LISTEN_STATE    0x0a

/* ---------------------------------------------------------------- the tree */

struct tree {
	pid_t pids[NETPORT_PIDS_MAX];
	size_t count;
	unsigned long inodes[NETPORT_INODES_MAX];
	size_t inode_count;
};

static pid_t tree_parent(const char *pid)
{
	char path[64], text[512];
	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *after = strrchr(text, ')'); /* the name before it may hold anything */
	return after != NULL && strlen(after) > 4 ? (pid_t)strtol(after + 4, NULL, 10) : 0;
}

static bool tree_has(const struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->pids[i] == pid)
			return true;
	return false;
}

/* One round; true when one was found: its children may come before it in the directory. */
static bool tree_grow(struct tree *tree)
{
	DIR *dir = opendir("/proc");
	bool has_grown = false;
	for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid <= 0 || tree->count == NETPORT_PIDS_MAX || tree_has(tree, pid) || !tree_has(tree, tree_parent(entry->d_name)))
			continue;
		tree->pids[tree->count++] = pid;
		has_grown = true;
	}
	if (dir != NULL)
		closedir(dir);
	return has_grown;
}

static void tree_add_socket(struct tree *tree, const char *link)
{
	static const char prefix[] = "socket:[";
	if (strncmp(link, prefix, sizeof(prefix) - 1) == 0 && tree->inode_count < NETPORT_INODES_MAX)
		tree->inodes[tree->inode_count++] = strtoul(link + sizeof(prefix) - 1, NULL, 10);
}

static void tree_find_sockets(struct tree *tree, pid_t pid)
{
	char path[64], link[64];
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		tree_add_socket(tree, link);
	}
	if (dir != NULL)
		closedir(dir);
}

static bool tree_has_inode(const struct tree *tree, unsigned long inode)
{
	for (size_t i = 0; i < tree->inode_count; i++)
		if (tree->inodes[i] == inode)
			return true;
	return false;
}

/* ---------------------------------------------------------------- ports */

/* "  0: 00000000:0D05 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 12345 ..." */
static bool netport_parse(const char *line, uint16_t *port, unsigned long *inode)
{
	const char *at = strchr(line, ':'); /* of the number */
	at = at != NULL ? strchr(at + 1, ':') : NULL;
	if (at == NULL)
		return false;
	char *end;
	*port = (uint16_t)strtoul(at + 1, &end, 16);
	unsigned field = 2;
	unsigned long state = 0;
	for (char *save = NULL, *word = strtok_r(end, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save), field++) {
		if (field == 3)
			state = strtoul(word, NULL, 16);
		if (field == 9)
			*inode = strtoul(word, NULL, 10);
	}
	return state == TCP_LISTEN_STATE && field > 9;
}

static void netport_scan(const struct tree *tree, pid_t root, const char *table, struct netport_list *out)
{
	char path[64], line[512];
	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)root, table);
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		uint16_t port = 0;
		unsigned long inode = 0;
		if (netport_parse(line, &port, &inode) && inode != 0 && tree_has_inode(tree, inode) && out->count < NETPORT_MAX)
			out->ports[out->count++] = port;
	}
	if (file != NULL)
		fclose(file);
}

void netport_list(pid_t root, struct netport_list *out)
{
	struct tree *tree = xcalloc(1, sizeof(*tree));
	out->count = 0;
	tree->pids[tree->count++] = root;
	while (tree_grow(tree)) {
	}
	for (size_t i = 0; i < tree->count; i++)
		tree_find_sockets(tree, tree->pids[i]);
	netport_scan(tree, root, "tcp", out);
	netport_scan(tree, root, "tcp6", out);
	free(tree);
}

uint16_t netport_fresh(const struct netport_list *before, const struct netport_list *after)
{
	for (size_t i = 0; i < after->count; i++) {
		bool is_old = false;
		for (size_t k = 0; k < before->count; k++)
			is_old = is_old || before->ports[k] == after->ports[i];
		if (!is_old)
			return after->ports[i];
	}
	return 0;
}

/* ---------------------------------------------------------------- namespaces */

static bool netport_same(pid_t pid, const char *kind)
{
	char path[64], own[64];
	struct stat theirs, ours;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	snprintf(own, sizeof(own), "/proc/self/ns/%s", kind);
	return stat(path, &theirs) == 0 && stat(own, &ours) == 0 && theirs.st_ino == ours.st_ino;
}

bool netport_is_private(pid_t pid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return stat(path, &st) == 0 && !netport_same(pid, "net");
}

static int netport_open(pid_t pid, const char *kind)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	return open(path, O_RDONLY | O_CLOEXEC);
}

size_t netport_namespaces(pid_t pid, int fds[2])
{
	static const char *const kinds[] = { "user", "net" };
	size_t count = 0;
	if (!netport_is_private(pid))
		return 0;
	for (int i = 0; i < 2; i++) {
		if (netport_same(pid, kinds[i]))
			continue;
		fds[count] = netport_open(pid, kinds[i]);
		if (fds[count] >= 0) {
			count++;
			continue;
		}
		while (count > 0)
			close(fds[--count]);
		return 0;
	}
	return count;
}

static int netport_enter(pid_t pid, const char *kind, int type)
{
	if (netport_same(pid, kind))
		return 0;
	int fd = netport_open(pid, kind);
	int rc = fd >= 0 ? setns(fd, type) : -1;
	if (fd >= 0)
		close(fd);
	return rc;
}

struct netport_job {
	pid_t pid;
	uint16_t port;
};

struct netport_reply {
	int sys;
	char what[28];
};

static void netport_fail(struct netport_reply *reply, const char *what)
{
	reply->sys = errno;
	snprintf(reply->what, sizeof(reply->what), "%s", what);
}

/* In the helper; it may wait. */
static void netport_work(void *arg, int reply_fd)
{
	const struct netport_job *job = arg;
	struct netport_reply reply = { 0 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(job->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = -1;
	if (netport_enter(job->pid, "user", CLONE_NEWUSER) < 0 || netport_enter(job->pid, "net", CLONE_NEWNET) < 0)
		netport_fail(&reply, "enter its network");
	else if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		netport_fail(&reply, "connect");
	else if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || !helper_send_fd(reply_fd, fd))
		netport_fail(&reply, "pass the connection");
	ssize_t n = write(reply_fd, &reply, sizeof(reply));
	(void)n;
}

struct netport {
	struct helper *helper;
	uint16_t port;
	int fd;
	void (*on_done)(void *ctx, int fd, const struct err *err);
	void *ctx;
};

static void netport_on_fd(void *ctx, int fd)
{
	struct netport *netport = ctx;
	if (netport->fd >= 0)
		close(netport->fd);
	netport->fd = fd;
}

static void netport_on_done(void *ctx, const void *bytes, size_t len, const struct err *err)
{
	struct netport *netport = ctx;
	struct netport_reply reply = { 0 };
	struct err told = ERR_INIT;
	if (err != NULL)
		told = *err;
	else if (len == sizeof(reply))
		memcpy(&reply, bytes, sizeof(reply));
	if (err == NULL && (reply.sys != 0 || netport->fd < 0))
		err_sys(&told, reply.sys != 0 ? reply.sys : EPROTO, "%s", reply.what);
	bool is_good = !err_is_set(&told);
	if (!is_good) {
		err_prefix(&told, "port %u of the emulator", netport->port);
		if (netport->fd >= 0)
			close(netport->fd);
	}
	netport->on_done(netport->ctx, is_good ? netport->fd : -1, is_good ? NULL : &told);
	free(netport);
}

int netport_connect(struct event_base *base, pid_t pid, uint16_t port, void (*on_done)(void *ctx, int fd, const struct err *err), void *ctx,
		    struct netport **out, struct err *err)
{
	struct netport_job job = { pid, port };
	struct netport *netport = xcalloc(1, sizeof(*netport));
	*netport = (struct netport){ .port = port, .fd = -1, .on_done = on_done, .ctx = ctx };
	const struct helper_spec spec = {
		.name = "connection to the emulator",
		.deadline_ms = NETPORT_DEADLINE_MS,
		.max_reply = sizeof(struct netport_reply),
		.work = netport_work,
		.arg = &job,
		.on_fd = netport_on_fd,
		.on_done = netport_on_done,
		.ctx = netport,
	};
	if (helper_run(base, &spec, &netport->helper, err) < 0) {
		free(netport);
		return -1;
	}
	*out = netport;
	return 0;
}

void netport_cancel(struct netport *netport)
{
	if (netport == NULL)
		return;
	helper_cancel(netport->helper);
	if (netport->fd >= 0)
		close(netport->fd);
	free(netport);
}
