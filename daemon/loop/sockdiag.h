/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the other end of a TCP connection within this host is, from the kernel's table of sockets. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

#define SOCKDIAG_NAME_MAX 24 /* "127.255.255.255:65535" */

struct sockdiag_peer {
	uid_t uid;                    /* who made the peer's socket */
	char name[SOCKDIAG_NAME_MAX]; /* its address: "127.0.0.1:40002" */
};

/*
 * fd: a connected IPv4 socket, whose peer is a socket of this network namespace. NOT_FOUND when the peer has closed, also when its other
 * half still lingers (the kernel then says uid 0, which must not be believed). peer->name is set whenever the address is known, else "".
 * Does not wait: the kernel answers at once.
 */
int sockdiag_peer(int fd, struct sockdiag_peer *peer, struct err *err) __attribute__((warn_unused_result));
