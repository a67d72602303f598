/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks of their own for emulators: whether the host allows that, and for each user one that those of his emulators share which need no
 * network at all. To make one and to let it go costs more than the rest of a start, emulator aside. It is that of one that has been
 * started, and goes soon after the last of them has ended.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct event_base;
struct netshare;

struct netshare *netshare_new(struct event_base *base);
void netshare_free(struct netshare *share); /* takes NULL */

/* One has had a network of its own: the host allows it. */
void netshare_saw(struct netshare *share);
/* False also as long as that is not known. */
bool netshare_is_allowed(const struct netshare *share);
/* One could not have it, or not join the user's. */
void netshare_failed(struct netshare *share, uid_t uid);

/* An emulator of the user's that shares begins; descriptors to be joined in this order, as many as are returned: 0, or the user namespace
 * that owns the network, if need be, and it. */
size_t netshare_take(struct netshare *share, uid_t uid, int fds[2]);
/* It has ended. */
void netshare_leave(struct netshare *share, uid_t uid);
/* One that has begun has this process: its network is the user's, unless he has one already. What cannot be opened is not shared. */
void netshare_offer(struct netshare *share, uid_t uid, pid_t pid);
