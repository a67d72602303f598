/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of remote: listening and certificates, and who calls. */
#pragma once

#include <sys/queue.h>

#include "rpc/failures.h"
#include "rpc/remote.h"
#include "wire/tls.h"

#define REMOTE_HOST_MAX 256
#define REMOTE_PIN_MAX  44

/* A user for whom somebody has a token or a certificate, in a daemon of many. */
struct remote_user {
	TAILQ_ENTRY(remote_user) link;
	struct remote *remote;
	char name[TOKEN_USER_MAX];
	bool is_asked; /* an answer is to come */
	bool is_known;
	uint64_t asked_ms;
	struct user user; /* once known */
};

TAILQ_HEAD(remote_users, remote_user);

struct remote_listener {
	int fd; /* -1: handed over */
};

struct remote {
	struct remote_config config;
	struct rpc_server *server; /* NULL: does not serve yet */
	const struct tls_ops *ops; /* NULL: there are no addresses */
	struct tls *tls;
	char host_name[REMOTE_HOST_MAX];
	char pin[REMOTE_PIN_MAX];
	char **addresses; /* for clients */
	size_t address_count;
	char **names; /* of hosts, for our own certificate */
	size_t name_count;
	int *fds; /* listening; the server's once it serves */
	size_t fd_count;
	struct tokens *tokens;
	struct failures *failures;
	struct remote_users users;
	size_t user_count;
	struct timer *expiry;  /* of the next token */
	struct timer *renewal; /* our own certificate is looked at */
};

/* remote_auth.c */
int remote_auth_init(struct remote *remote, struct err *err);
void remote_auth_fini(struct remote *remote);
/* Users may have changed. */
void remote_auth_refresh(struct remote *remote);
