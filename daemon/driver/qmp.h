/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QMP client: JSON lines over a UNIX socket. Commands are queued and sent one at a time, each with a deadline from the moment it
 * is sent. Of a pair the second is sent with the first, its deadline begins with the
 * answer to that; when the first misses its own, both have. Callbacks only queue further commands; qmp_free() from inside one is allowed
 * and takes effect after it returns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/err.h"

struct event_base;
struct json_object;
struct qmp;

struct qmp_ops {
	void (*on_greeting)(void *ctx, const char *version);                     /* "7.2.22 (Debian 1:7.2+dfsg-7)" */
	void (*on_event)(void *ctx, const char *name, struct json_object *data); /* data is borrowed, may be NULL */
	void (*on_closed)(void *ctx, const struct err *err);                     /* once; queued commands have failed before */
};

/* `value` is what the command returned, borrowed, NULL when err is set. */
typedef void (*qmp_reply_fn)(void *ctx, struct json_object *value, const struct err *err);

/* Takes a connected, non-blocking socket. */
struct qmp *qmp_new(struct event_base *base, int fd, const struct qmp_ops *ops, void *ctx);
void qmp_free(struct qmp *qmp); /* queued commands fail with CANCELLED first; takes NULL */

/* arguments: a JSON text of an object, or NULL. on_reply may be NULL; it is called at once when the
 * connection is closed already. */
void qmp_execute(struct qmp *qmp, const char *command, const char *arguments, uint32_t timeout_ms, qmp_reply_fn on_reply, void *ctx);

struct qmp_ask {
	const char *command;   /* a literal */
	const char *arguments; /* as for qmp_execute() */
	uint32_t timeout_ms;
	qmp_reply_fn on_reply;
};

/* Two that do not depend on each other's answer: QEMU has the second when it is done with the first. Both are answered, in order;
 * nothing but an answer (or what stands for it) of the first comes between them. */
void qmp_execute_pair(struct qmp *qmp, const struct qmp_ask asks[2], void *ctx);

/* Reads and handles what lies in the socket now. */
void qmp_drain(struct qmp *qmp);

/* Members of a JSON object; "" and false when absent or of another type. */
const char *qmp_string(struct json_object *object, const char *key);
bool qmp_bool(struct json_object *object, const char *key);
