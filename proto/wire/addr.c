/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/mem.h"

#define LISTEN_BACKLOG 512

struct addr_place {
	struct sockaddr_un un;
	int dir; /* -1: the path fits */
};

static int addr_place_init(struct addr_place *place, const char *path, struct err *err)
{
	size_t len = strlen(path);
	place->dir = -1;
	place->un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "the path of the socket is empty");
	if (len < sizeof(place->un.sun_path)) {
		memcpy(place->un.sun_path, path, len + 1);
		return 0;
	}
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	char *dir = slash != NULL ? xasprintf("%.*s", slash == path ? 1 : (int)(slash - path), path) : xstrdup(".");
	place->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int sys = errno;
	free(dir);
	if (place->dir < 0)
		return err_sys(err, sys, "open the directory of \"%s\"", path);
	int n = snprintf(place->un.sun_path, sizeof(place->un.sun_path), "/proc/self/fd/%d/%s", place->dir, name);
	if (n > 0 && (size_t)n < sizeof(place->un.sun_path))
		return 0;
	close(place->dir);
	place->dir = -1;
	return err_set(err, ERR_INVALID_ARGUMENT, "the file name of the socket \"%s\" is too long", path);
}

static void addr_place_fini(struct addr_place *place)
{
	if (place->dir >= 0)
		close(place->dir);
	place->dir = -1;
}

static int addr_socket(int flags, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	return fd >= 0 ? fd : err_sys(err, errno, "make a socket");
}

/* The socket's own mode, set before bind, decides the mode of its file, together with the umask; chmod makes it exact. */
static int addr_bind(int fd, const struct addr_place *place, mode_t mode)
{
	if (fchmod(fd, mode & 0777) < 0 || bind(fd, (const struct sockaddr *)&place->un, sizeof(place->un)) < 0)
		return -1;
	return chmod(place->un.sun_path, mode) < 0 ? -1 : listen(fd, LISTEN_BACKLOG);
}

static int addr_listen_at(int fd, const char *path, mode_t mode, struct err *err)
{
	struct addr_place place;
	if (addr_place_init(&place, path, err) < 0)
		return -1;
	int rv = addr_bind(fd, &place, mode), sys = errno == EADDRINUSE ? EEXIST : errno;
	if (rv < 0 && sys != EEXIST)
		(void)unlink(place.un.sun_path); /* bound, but of no use */
	addr_place_fini(&place);
	return rv < 0 ? err_sys(err, sys, "listen on \"%s\"", path) : 0;
}

static int addr_publish_at(int fd, const char *path, mode_t mode, struct err *err)
{
	char *draft = xasprintf("%s.%d", path, (int)getpid());
	(void)unlink(draft); /* of a process that had our id and was killed right here */
	int rv = addr_listen_at(fd, draft, mode, err);
	if (rv == 0 && link(draft, path) < 0) /* unlike rename it never replaces */
		rv = err_sys(err, errno, "listen on \"%s\"", path);
	(void)unlink(draft);
	free(draft);
	return rv;
}

static int addr_make(int (*listen_at)(int fd, const char *path, mode_t mode, struct err *err), const char *path, mode_t mode, int *fd,
		     struct err *err)
{
	int sock = addr_socket(SOCK_NONBLOCK, err);
	if (sock < 0)
		return -1;
	int rv = listen_at(sock, path, mode, err);
	if (rv == 0)
		*fd = sock;
	else
		close(sock);
	return rv;
}

int addr_listen_unix(const char *path, mode_t mode, int *fd, struct err *err)
{
	return addr_make(addr_listen_at, path, mode, fd, err);
}

int addr_publish_unix(const char *path, mode_t mode, int *fd, struct err *err)
{
	return addr_make(addr_publish_at, path, mode, fd, err);
}

static int addr_connect(int fd, const struct addr_place *place)
{
	int rv;
	do
		rv = connect(fd, (const struct sockaddr *)&place->un, sizeof(place->un));
	while (rv < 0 && errno == EINTR);
	return rv < 0 ? errno : 0;
}

/* Connecting blocks only while the listener's queue is full (non-blocking it would fail with EAGAIN and nothing to wait for). */
static int addr_connect_with(int flags, const char *path, int *fd, struct err *err)
{
	struct addr_place place;
	if (addr_place_init(&place, path, err) < 0)
		return -1;
	int sock = addr_socket(flags, err);
	int sys = sock < 0 ? 0 : addr_connect(sock, &place);
	addr_place_fini(&place);
	if (sock < 0)
		return -1;
	if (sys == 0 && fcntl(sock, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		sys = errno;
	if (sys == 0) {
		*fd = sock;
		return 0;
	}
	close(sock);
	return err_sys(err, sys, "connect to \"%s\"", path);
}

int addr_connect_unix(const char *path, int *fd, struct err *err)
{
	return addr_connect_with(0, path, fd, err);
}

int addr_connect_unix_now(const char *path, int *fd, struct err *err)
{
	return addr_connect_with(SOCK_NONBLOCK, path, fd, err);
}

/* A listener whose queue is full is alive: the probe does not block. */
static int addr_probe(const struct addr_place *place, const char *path, struct err *err)
{
	struct stat st;
	if (lstat(place->un.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "look at \"%s\"", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_ALREADY_EXISTS, "\"%s\" exists and is no socket", path);
	int sock = addr_socket(SOCK_NONBLOCK, err);
	if (sock < 0)
		return -1;
	int sys = addr_connect(sock, place);
	close(sock);
	if (sys == 0 || sys == EAGAIN)
		return err_set(err, ERR_ALREADY_EXISTS, "somebody listens on \"%s\"", path);
	if (sys != ECONNREFUSED && sys != ENOENT)
		return err_sys(err, sys, "find out whether somebody listens on \"%s\"", path);
	if (unlink(place->un.sun_path) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove the old socket \"%s\"", path);
	return 0;
}

int addr_unlink_stale(const char *path, struct err *err)
{
	struct addr_place place;
	if (addr_place_init(&place, path, err) < 0)
		return -1;
	int rv = addr_probe(&place, path, err);
	addr_place_fini(&place);
	return rv;
}
