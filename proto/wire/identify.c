/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls on a connection from the network. Each call brings its own token, as gRPC has it, so one connection may speak for several;
 * what was found out about a token, good or bad, stays with the connection. It may show a few: more are guesses.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire/mem.h"
#include "wire/peer.h"
#include "wire/server_int.h"

#define IDENTITIES_MAX 8
#define TOKEN_MAX      256

static bool identity_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What follows "Bearer "; NULL: it is something else, or too long for a token. */
static const char *bearer_of(const char *authorization)
{
	static const char scheme[] = "Bearer ";
	if (authorization == NULL || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
		return NULL;
	const char *token = authorization + sizeof(scheme) - 1;
	return strlen(token) <= TOKEN_MAX ? token : NULL;
}

static void identity_free(struct rpc_identity *identity)
{
	peer_fini(&identity->peer);
	free(identity->token);
	free(identity);
}

/* NULL: not known yet. */
static struct rpc_identity *identity_new(struct rpc_conn *conn, const char *token)
{
	const struct rpc_server_config *config = &conn->server->config;
	struct rpc_identity *identity = xcalloc(1, sizeof(*identity));
	identity->token = xstrdup(token);
	identity->peer = conn->peer;
	identity->peer.groups = NULL;
	identity->peer.group_count = 0;
	int rv = config->authenticate != NULL ? config->authenticate(config->ctx, &identity->peer, conn->certificate, token, &identity->err)
					      : err_set(&identity->err, ERR_UNAUTHENTICATED, "nobody is served over the network");
	if (rv > 0) {
		identity_free(identity);
		return NULL;
	}
	if (rv == 0)
		conn->is_known = true;
	SLIST_INSERT_HEAD(&conn->identities, identity, link);
	conn->identity_count++;
	return identity;
}

int conn_identify(struct rpc_conn *conn, const char *authorization, const struct rpc_peer **out, struct err *err)
{
	const char *token = bearer_of(authorization);
	struct rpc_identity *identity;
	if (!conn->has_looked) {
		conn->has_looked = true;
		conn->certificate = io_subject(&conn->h2.io);
	}
	SLIST_FOREACH (identity, &conn->identities, link)
		if (identity_same(identity->token, token))
			break;
	if (identity == NULL && conn->identity_count >= IDENTITIES_MAX) {
		h2_session_end(&conn->h2, NGHTTP2_ENHANCE_YOUR_CALM);
		return err_set(err, ERR_UNAUTHENTICATED, "more than %d tokens on one connection", IDENTITIES_MAX);
	}
	if (identity == NULL)
		identity = identity_new(conn, token);
	if (identity == NULL)
		return 1;
	if (err_is_set(&identity->err)) {
		*err = identity->err;
		return -1;
	}
	*out = &identity->peer;
	return 0;
}

void conn_forget_identities(struct rpc_conn *conn)
{
	struct rpc_identity *identity;
	while ((identity = SLIST_FIRST(&conn->identities)) != NULL) {
		SLIST_REMOVE_HEAD(&conn->identities, link);
		identity_free(identity);
	}
	free(conn->certificate);
	conn->certificate = NULL;
}
