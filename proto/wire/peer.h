/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a UNIX socket, as the kernel tells it. */
#pragma once

#include "wire/rpc.h"

/* Fills in everything but `connection`, which it leaves alone. Without credentials (no UNIX socket) uid, gid and pid are -1. */
int peer_fill(struct rpc_peer *peer, int fd, struct err *err) __attribute__((warn_unused_result));
void peer_fini(struct rpc_peer *peer);
