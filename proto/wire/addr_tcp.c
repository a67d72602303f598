/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire/addr.h"
#include "wire/mem.h"

#define TCP_BACKLOG 512
#define TCP_SHARE   2 /* of the time that is left an address gets this part, so that the next has its turn */

void addr_text(const struct sockaddr *addr, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN];
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;
	buf[0] = '\0';
	if (addr->sa_family == AF_INET && inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)) != NULL)
		snprintf(buf, size, "%s:%u", host, (unsigned)ntohs(in->sin_port));
	else if (addr->sa_family == AF_INET6 && inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)) != NULL)
		snprintf(buf, size, "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
}

/* ---------------------------------------------------------------- names */

static int split_port(const char *text, uint16_t *port)
{
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return -1;
	unsigned long number = strtoul(text, &end, 10);
	if (*end != '\0' || number > 65535)
		return -1;
	*port = (uint16_t)number;
	return 0;
}

int addr_split(const char *text, char *host, size_t size, uint16_t *port, struct err *err)
{
	bool is_bracketed = text[0] == '[';
	const char *begin = text + is_bracketed;
	const char *end = is_bracketed ? strchr(begin, ']') : strrchr(begin, ':');
	const char *colon = end != NULL && is_bracketed ? end + 1 : end;
	size_t len = end != NULL ? (size_t)(end - begin) : 0;
	if (len == 0 || len >= size || colon[0] != ':' || split_port(colon + 1, port) < 0 ||
	    (!is_bracketed && memchr(begin, ':', len) != NULL))
		return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no HOST:PORT or [ADDRESS]:PORT", text);
	memcpy(host, begin, len);
	host[len] = '\0';
	return 0;
}

static int tcp_look_up(const char *host, uint16_t port, int flags, struct addrinfo **out, struct err *err)
{
	char service[8];
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
	snprintf(service, sizeof(service), "%u", (unsigned)port);
	int rc = getaddrinfo(host, service, &hints, out);
	if (rc == 0)
		return 0;
	err_set(err, rc == EAI_NONAME ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "host \"%s\" is not found: %s", host,
		rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	return err_reason(err, "no-such-host");
}

/* ---------------------------------------------------------------- listening */

static void tcp_set_port(struct sockaddr *addr, uint16_t port)
{
	if (addr->sa_family == AF_INET)
		((struct sockaddr_in *)(void *)addr)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)(void *)addr)->sin6_port = htons(port);
}

static uint16_t tcp_port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} addr;
	socklen_t len = sizeof(addr);
	memset(&addr, 0, sizeof(addr));
	(void)getsockname(fd, &addr.any, &len);
	return ntohs(addr.any.sa_family == AF_INET ? addr.v4.sin_port : addr.v6.sin6_port);
}

static int tcp_listen_at(const struct addrinfo *row, int *out)
{
	const int on = 1;
	int fd = socket(row->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (row->ai_family == AF_INET6) /* 0.0.0.0 is an address of its own */
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, row->ai_addr, row->ai_addrlen) == 0 && listen(fd, TCP_BACKLOG) == 0) {
		*out = fd;
		return 0;
	}
	int sys = errno;
	close(fd);
	errno = sys;
	return -1;
}

int addr_listen_tcp(const char *host, uint16_t port, int **fds, size_t *count, struct err *err)
{
	struct addrinfo *rows;
	if (tcp_look_up(host, port, AI_PASSIVE, &rows, err) < 0)
		return -1;
	int *made = NULL, sys = 0;
	size_t n = 0;
	for (const struct addrinfo *row = rows; row != NULL; row = row->ai_next) {
		int fd;
		if (n > 0 && port == 0)
			tcp_set_port(row->ai_addr, tcp_port_of(made[0]));
		if (tcp_listen_at(row, &fd) < 0) {
			sys = errno;
			if (sys == EAFNOSUPPORT || sys == EADDRNOTAVAIL) /* a name may have addresses that this host has not */
				continue;
			break;
		}
		made = xrealloc(made, n + 1, sizeof(*made));
		made[n++] = fd;
		sys = 0;
	}
	freeaddrinfo(rows);
	if (n > 0 && (sys == 0 || sys == EAFNOSUPPORT || sys == EADDRNOTAVAIL)) {
		*fds = made;
		*count = n;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		close(made[i]);
	free(made);
	return err_sys(err, sys, "listen on TCP port %u of \"%s\"", (unsigned)port, host);
}

/* ---------------------------------------------------------------- connecting */

static uint64_t tcp_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* 0, or what went wrong. */
static int tcp_await(int fd, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = tcp_now_ms();
		struct pollfd row = { .fd = fd, .events = POLLOUT };
		int n = poll(&row, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0), sys = 0;
		socklen_t len = sizeof(sys);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			return ETIMEDOUT;
		return n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0 ? errno : sys;
	}
}

static int tcp_connect_to(const struct addrinfo *row, uint64_t deadline_ms, int *out)
{
	const int on = 1;
	int fd = socket(row->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	int sys = connect(fd, row->ai_addr, row->ai_addrlen) == 0 ? 0 : errno;
	if (sys == EINPROGRESS)
		sys = tcp_await(fd, deadline_ms);
	if (sys == 0)
		*out = fd;
	else
		close(fd);
	return sys;
}

static int tcp_unreachable(const char *host, uint16_t port, int sys, struct err *err)
{
	const char *hint = sys == ECONNREFUSED ? "; is pwemud started there with --listen?"
			   : sys == ETIMEDOUT  ? "; does a firewall drop it?"
					       : "";
	err_set(err, ERR_UNAVAILABLE, "connect to %s port %u: %s%s", host, (unsigned)port, strerror(sys), hint);
	err->sys = sys;
	return err_reason(err, "unreachable");
}

int addr_connect_tcp(const char *host, uint16_t port, uint32_t timeout_ms, int *fd, struct err *err)
{
	struct addrinfo *rows;
	uint64_t end_ms = tcp_now_ms() + timeout_ms;
	int sys = ETIMEDOUT;
	if (tcp_look_up(host, port, 0, &rows, err) < 0)
		return -1;
	for (const struct addrinfo *row = rows; row != NULL; row = row->ai_next) {
		uint64_t now = tcp_now_ms(), left = end_ms > now ? end_ms - now : 0;
		sys = tcp_connect_to(row, now + (row->ai_next != NULL ? left / TCP_SHARE : left), fd);
		if (sys == 0)
			break;
	}
	freeaddrinfo(rows);
	return sys == 0 ? 0 : tcp_unreachable(host, port, sys, err);
}
