/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that must not block the loop or that belongs to another user: a function in a child of the daemon that has become that user. Files
 * that a user can write to (links, FUSE, NFS) are touched only there. It can be given up at any time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/user.h"
#include "wire/err.h"

struct event_base;
struct helper;

struct helper_spec {
	const char *name;        /* for messages: "image check" */
	const struct user *user; /* what it becomes; NULL: it keeps the daemon's identity */
	uint32_t deadline_ms;    /* > 0 */
	size_t max_reply;        /* a longer reply: RESOURCE_EXHAUSTED */
	bool is_exact;           /* a reply has max_reply bytes: on_done comes with the last of them and does not wait for its death */
	const int *keep_fds;     /* the child closes every other fd from 3 on */
	size_t keep_count;
	/*
	 * Runs in the child, after the change of identity, every signal at its default. Writes its reply to reply_fd (a stream socket,
	 * blocking) and returns. It must not touch the event base nor anything whose state the parent shares.
	 */
	void (*work)(void *arg, int reply_fd);
	void *arg;
	/*
	 * Instead of work: a job that is bytes alone, without pointers. Its process may have done others for the same user and may do
	 * others afterwards, hence: no kept descriptors, and nothing may stay changed but the umask.
	 */
	void (*serve)(const void *job, size_t len, int reply_fd);
	const void *job;
	size_t job_len;
	/* A descriptor that work() sent with helper_send_fd(), in order, before on_done; it is the callee's. NULL: none is taken. */
	void (*on_fd)(void *ctx, int fd);
	/*
	 * From the loop, once; not after helper_cancel(). `err` is NULL when work() or serve() returned, else DEADLINE_EXCEEDED, INTERNAL
	 * (it died; the message says of what) or RESOURCE_EXHAUSTED, and there is no reply. The helper is gone when this returns.
	 */
	void (*on_done)(void *ctx, const void *reply, size_t len, const struct err *err);
	void *ctx;
};

/* `out` may be NULL. The spec is copied, what it points to is needed until this returns (in the child: arg and what it points to). */
int helper_run(struct event_base *base, const struct helper_spec *spec, struct helper **out, struct err *err)
	__attribute__((warn_unused_result));

/* Ends the processes that wait for jobs of this loop: before the loop is freed. */
void helper_dismiss(struct event_base *base);

/* Kills it; no callback follows. Takes NULL. */
void helper_cancel(struct helper *helper);

/* For work() and serve(): passes a descriptor, with one byte that is not part of the reply. */
bool helper_send_fd(int reply_fd, int fd);
