/* SPDX-License-Identifier: Apache-2.0 */
/* What endpoint.c and the kinds of endpoints share; nobody else includes it. */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include "channel/endpoint.h"
#include "channel/hub.h"

struct endpoint_ops {
	size_t size; /* of the kind's struct, which is zero when opened */
	int (*open)(struct endpoint *endpoint, bool adopted, struct err *err);
	void (*begin_boot)(struct endpoint *endpoint);
	void (*end)(struct endpoint *endpoint);             /* nobody may come any more */
	bool (*has_ended)(const struct endpoint *endpoint); /* everybody has what is left; asked now and then after end */
	void (*review)(struct endpoint *endpoint);          /* NULL: there is no list */
	void (*fini)(struct endpoint *endpoint);            /* also after a failed open */
};

/* The first member of each kind's struct. */
struct endpoint {
	struct endpoint_config config; /* its fds are copied, its path is owned */
	struct endpoint_fds fds;
	const struct endpoint_ops *ops;
	unsigned party_count;
	bool had_party; /* in this boot */
	/* After endpoint_end: */
	struct event linger;
	unsigned linger_turns;
	void (*on_ended)(void *ctx);
};

extern const struct endpoint_ops endpoint_tcp_ops, endpoint_pty_ops;

/* Where a party that comes now begins. */
uint64_t endpoint_start_offset(const struct endpoint *endpoint);
/* Somebody has attached or left: counted, and told unless who is NULL. */
void endpoint_party(struct endpoint *endpoint, bool attached, const char *who);
void endpoint_tell_trouble(const struct endpoint *endpoint, const struct err *err);

/* Bytes that can be read from fd now; 0 when that is not known. */
int endpoint_unread(int fd);
