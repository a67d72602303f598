/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exact look-up: the row asked for is the peer's own, so source and destination are swapped. The kernel falls back to a listener on
 * the source's port when there is no such connection, and so the row that comes is compared with what was asked for.
 */
#include "loop/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sockdiag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

union sockdiag_answer {
	struct nlmsghdr header;
	char space[4096];
};

static int sockdiag_addresses(int fd, struct sockaddr_in *own, struct sockaddr_in *peer, struct err *err)
{
	socklen_t own_len = sizeof(*own), peer_len = sizeof(*peer);
	if (getpeername(fd, (struct sockaddr *)peer, &peer_len) < 0)
		return errno == ENOTCONN ? err_set(err, ERR_NOT_FOUND, "the client has closed already")
					 : err_sys(err, errno, "ask for a client's address");
	if (getsockname(fd, (struct sockaddr *)own, &own_len) < 0)
		return err_sys(err, errno, "ask for a connection's own address");
	if (own->sin_family != AF_INET || peer->sin_family != AF_INET)
		return err_set(err, ERR_INVALID_ARGUMENT, "not an IPv4 connection");
	return 0;
}

static struct sockdiag_request sockdiag_request(const struct sockaddr_in *own, const struct sockaddr_in *peer)
{
	struct sockdiag_request request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.diag = { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u },
	};
	struct inet_diag_sockid *id = &request.diag.id;
	id->idiag_sport = peer->sin_port;
	id->idiag_dport = own->sin_port;
	id->idiag_src[0] = peer->sin_addr.s_addr;
	id->idiag_dst[0] = own->sin_addr.s_addr;
	id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return request;
}

/* Bytes of the answer, or -errno. */
static ssize_t sockdiag_ask(const struct sockdiag_request *request, union sockdiag_answer *answer)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return -errno;
	ssize_t n = send(fd, request, sizeof(*request), MSG_DONTWAIT);
	if (n >= 0)
		n = recv(fd, answer, sizeof(*answer), MSG_DONTWAIT);
	int sys = errno;
	close(fd);
	return n < 0 ? -sys : n;
}

/* A client's IPv6 socket can be connected to an IPv4 one; its addresses are ::ffff:a.b.c.d. */
static in_addr_t sockdiag_ipv4(int family, const __be32 addr[4])
{
	if (family == AF_INET)
		return addr[0];
	return addr[0] == 0 && addr[1] == 0 && addr[2] == htonl(0xffff) ? addr[3] : INADDR_ANY;
}

static bool sockdiag_is_row_of(const struct inet_diag_msg *row, const struct inet_diag_sockid *wanted)
{
	const struct inet_diag_sockid *id = &row->id;
	return id->idiag_sport == wanted->idiag_sport && id->idiag_dport == wanted->idiag_dport &&
	       sockdiag_ipv4(row->idiag_family, id->idiag_src) == wanted->idiag_src[0] &&
	       sockdiag_ipv4(row->idiag_family, id->idiag_dst) == wanted->idiag_dst[0];
}

static int sockdiag_take_row(const struct inet_diag_msg *row, const struct inet_diag_sockid *wanted, uid_t *uid, struct err *err)
{
	if (!sockdiag_is_row_of(row, wanted) || row->idiag_inode == 0)
		return err_set(err, ERR_NOT_FOUND, "the client has closed already");
	*uid = row->idiag_uid;
	return 0;
}

static int sockdiag_read_row(const union sockdiag_answer *answer, ssize_t len, const struct inet_diag_sockid *wanted, uid_t *uid,
			     struct err *err)
{
	const struct nlmsghdr *header = &answer->header;
	int sys = EBADMSG;
	if (len < 0)
		sys = (int)-len;
	else if (!NLMSG_OK(header, (size_t)len))
		sys = EBADMSG;
	else if (header->nlmsg_type == NLMSG_ERROR && header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		sys = -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
	else if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY && header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return sockdiag_take_row(NLMSG_DATA(header), wanted, uid, err);
	if (sys == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "the client has closed already");
	return err_sys(err, sys, "ask the kernel who a client is");
}

int sockdiag_peer(int fd, struct sockdiag_peer *peer, struct err *err)
{
	struct sockaddr_in own = { 0 }, other = { 0 };
	union sockdiag_answer answer = { .header = { 0 } };
	peer->name[0] = '\0';
	if (sockdiag_addresses(fd, &own, &other, err) < 0)
		return -1;
	char text[INET_ADDRSTRLEN] = "";
	(void)inet_ntop(AF_INET, &other.sin_addr, text, sizeof(text));
	(void)snprintf(peer->name, sizeof(peer->name), "%s:%u", text, ntohs(other.sin_port));
	struct sockdiag_request request = sockdiag_request(&own, &other);
	ssize_t len = sockdiag_ask(&request, &answer);
	return sockdiag_read_row(&answer, len, &request.diag.id, &peer->uid, err);
}
