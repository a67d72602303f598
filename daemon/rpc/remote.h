/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network: where the daemon listens, under which certificate, and who comes from there. It is always TLS. Without configured
 * certificates the daemon has a CA of its own in <state>/tls, which clients pin.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/user.h"
#include "rpc/tokens.h"
#include "rpc/users.h"
#include "wire/rpc.h"

struct event_base;
struct remote;
struct settings;

struct remote_config {
	struct event_base *base;
	const char *module, *state_dir;
	const struct settings *settings;
	char *const *listen; /* "tcp://HOST:PORT", beside those of the settings */
	size_t listen_count;
	const struct user *own; /* the daemon's user: the only one there is, unless … */
	bool is_system;         /* … it serves many */
	struct users *users;
};

/* Before the loop runs: asks for names of hosts. Without addresses nothing is loaded. The strings of the config are needed all the time. */
int remote_open(const struct remote_config *config, struct remote **out, struct err *err) __attribute__((warn_unused_result));
void remote_serve(struct remote *remote, struct rpc_server *server);
/* After the settings have changed, or files that they name: new connections get what is there now. On failure all stays. */
int remote_reload(struct remote *remote, struct err *err) __attribute__((warn_unused_result));
void remote_close(struct remote *remote); /* takes NULL; after the server and the users */

/* rpc_server_config.authenticate, with the remote as ctx. */
int remote_authenticate(struct remote *remote, struct rpc_peer *peer, const char *certificate, const char *token, struct err *err);

/* "tcp://host:port", with the port that it became; the host's name for an address that means all of them. First those of config.listen. */
size_t remote_address_count(const struct remote *remote);
const char *remote_address(const struct remote *remote, size_t i);
const char *remote_host_name(const struct remote *remote);
const char *remote_pin(const struct remote *remote); /* base64url; "" without addresses */

const struct tokens *remote_tokens(const struct remote *remote);
int remote_add_token(struct remote *remote, const struct token *wanted, char text[TOKEN_LEN + 1], struct err *err)
	__attribute__((warn_unused_result));
/* Also ends the connections of who has used it. */
int remote_remove_token(struct remote *remote, const char *id, struct err *err) __attribute__((warn_unused_result));
