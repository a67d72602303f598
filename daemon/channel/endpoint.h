/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a channel can be reached besides the control socket: a TCP port on 127.0.0.1, or a PTY.
 *
 * An endpoint's descriptors (struct endpoint_fds) live as long as the instance: over its boots, and over daemons, since the shim holds
 * them too. What serves them (struct endpoint) is of this daemon and of one hub. Readers are cursors into the log, input goes through
 * the hub's writer role, which an endpoint asks for with its first byte of input; until it has it, input stays unread.
 *
 * Callbacks come from the event loop; the endpoint must not be freed in there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "channel/gate.h"
#include "wire/err.h"

struct event_base;
struct hub;
struct endpoint;

enum endpoint_kind { ENDPOINT_NONE, ENDPOINT_TCP, ENDPOINT_PTY, ENDPOINT_KIND_COUNT };

/* -1: not there. */
struct endpoint_fds {
	int listener;              /* ENDPOINT_TCP */
	int master, slave, cursor; /* ENDPOINT_PTY; the cursor is a description of the log whose file offset is the reader's position */
};

#define ENDPOINT_FDS_NONE                                                                                                                  \
	{                                                                                                                                  \
		-1, -1, -1, -1                                                                                                             \
	}

void endpoint_fds_close(struct endpoint_fds *fds);

/* "tcp"; "none" for ENDPOINT_NONE. */
const char *endpoint_kind_name(enum endpoint_kind kind);
/* False: there is none of that name. "" is ENDPOINT_NONE. */
bool endpoint_kind_parse(const char *name, enum endpoint_kind *out);

/* Listens on 127.0.0.1: on `wanted`, or (0) on a free port between first and last. Ports that others have are skipped; a wanted one
 * that is taken is ALREADY_EXISTS. */
int endpoint_make_tcp(uint16_t wanted, uint32_t first, uint32_t last, struct endpoint_fds *fds, uint16_t *port, struct err *err)
	__attribute__((warn_unused_result));

#define ENDPOINT_PATH_MAX 64
/* A PTY whose slave is raw, 0600 and the owner's; its cursor stands at the end of <log_dir>/<channel>.log; log_dir -1: it has none. */
int endpoint_make_pty(int log_dir, const char *channel, uid_t uid, struct endpoint_fds *fds, char path[ENDPOINT_PATH_MAX], struct err *err)
	__attribute__((warn_unused_result));

struct endpoint_config {
	struct event_base *base;
	struct hub *hub; /* outlives the endpoint */
	enum endpoint_kind kind;
	const struct endpoint_fds *fds; /* the caller's; they outlive the endpoint */
	const char *path;               /* of a PTY's slave */
	struct gate_list list;          /* who may connect to a TCP port */
	/* The party that comes first in a boot begins at the boot's first byte, later ones at the end. Whether one has come already in the
	 * boot that runs (a new daemon takes over). */
	bool had_party;
	/* Somebody attached (true) or left, by its name for people: "tcp client of uid 1000 (127.0.0.1:40002)", "pty /dev/pts/3". A user of
	 * the PTY who has stayed since an earlier daemon told of it is counted, not told again. May be NULL. */
	void (*on_party)(void *ctx, bool attached, const char *who);
	/* Something to tell the owner: a stranger was refused, the endpoint is broken. May be NULL. */
	void (*on_trouble)(void *ctx, const struct err *err);
	void *ctx;
};

/* adopted: an earlier daemon served it; whether somebody has the PTY open is found out. */
int endpoint_open(const struct endpoint_config *config, bool adopted, struct endpoint **out, struct err *err)
	__attribute__((warn_unused_result));
/* The list has changed: who may not be there any more is not. */
void endpoint_review(struct endpoint *endpoint);
/* A boot has begun on the hub. */
void endpoint_begin_boot(struct endpoint *endpoint);
/* The hub is final: nobody may come any more, who is there gets what is left, for a bounded time. on_done, once and from the loop, is
 * where it may be freed. */
void endpoint_end(struct endpoint *endpoint, void (*on_done)(void *ctx));
/* Connections are closed; the descriptors stay. Takes NULL. */
void endpoint_free(struct endpoint *endpoint);
unsigned endpoint_party_count(const struct endpoint *endpoint);
