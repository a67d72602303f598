/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls from the network. In a one-user daemon it can only be that user; in one of many the name service is asked by a helper, and the
 * call waits for its answer, which is kept until the settings are read again.
 */
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "base/log.h"
#include "config/settings.h"
#include "loop/timer.h"
#include "rpc/remote_int.h"
#include "wire/mem.h"

#define USERS_KEPT      1024
#define ASK_AGAIN_MS    30000 /* for a user that was not there */
#define EXPIRY_MAX_MS   (24 * UINT64_C(3600000))
#define CREDENTIAL_CERT "certificate "
#define CREDENTIAL_TOK  "token "

static uint64_t now_s(void)
{
	return clock_wall_ns() / 1000000000;
}

/* ---------------------------------------------------------------- users */

static void user_on_found(void *ctx, const struct users_found *found, const struct err *err)
{
	struct remote_user *user = ctx;
	bool is_answer = err == NULL || err->code == ERR_NOT_FOUND; /* else what was known stays */
	user->is_asked = false;
	if (is_answer)
		user->is_known = false;
	if (found != NULL && !found->is_group) {
		user_fini(&user->user);
		user_init(&user->user, found->user.uid, found->user.gid, found->user.groups, found->user.group_count, found->user.name);
		user->is_known = true;
	} else if (err != NULL && err->code != ERR_NOT_FOUND) {
		log_warn(NULL, "user \"%s\" of the network: %s", user->name, err->msg);
	}
	if (user->remote->server != NULL)
		rpc_server_look_again(user->remote->server);
}

static void user_ask(struct remote_user *user)
{
	if (user->is_asked)
		return;
	user->is_asked = true;
	user->asked_ms = clock_monotonic_ms();
	users_find(user->remote->config.users, user->name, false, user_on_found, user);
}

static struct remote_user *user_of(struct remote *remote, const char *name)
{
	struct remote_user *user;
	TAILQ_FOREACH (user, &remote->users, link)
		if (strcmp(user->name, name) == 0)
			return user;
	if (remote->user_count >= USERS_KEPT || strlen(name) >= sizeof(user->name))
		return NULL;
	user = xcalloc(1, sizeof(*user));
	user->remote = remote;
	snprintf(user->name, sizeof(user->name), "%s", name);
	TAILQ_INSERT_TAIL(&remote->users, user, link);
	remote->user_count++;
	return user;
}

void remote_auth_refresh(struct remote *remote)
{
	struct remote_user *user;
	TAILQ_FOREACH (user, &remote->users, link)
		user_ask(user);
}

static void peer_become(struct rpc_peer *peer, const struct user *user)
{
	gid_t *groups = user->group_count > 0 ? xcalloc(user->group_count, sizeof(*groups)) : NULL;
	for (size_t i = 0; i < user->group_count; i++)
		groups[i] = user->groups[i];
	peer->uid = user->uid;
	peer->gid = user->gid;
	peer->groups = groups;
	peer->group_count = user->group_count;
}

static int identify_one(const struct remote *remote, struct rpc_peer *peer, const char *name, uid_t uid, struct err *err)
{
	const struct user *own = remote->config.own;
	if (uid != own->uid && strcmp(name, own->name) != 0) {
		err_set(err, ERR_UNAUTHENTICATED, "this daemon serves user %s only, not %s", own->name, name);
		return err_reason(err, "bad-token");
	}
	peer_become(peer, own);
	return 0;
}

/* uid: what it has to be; -1: whatever it is. */
static int identify_user(struct remote *remote, struct rpc_peer *peer, const char *name, uid_t uid, struct err *err)
{
	if (!remote->config.is_system)
		return identify_one(remote, peer, name, uid, err);
	struct remote_user *user = user_of(remote, name);
	bool is_stale = user != NULL && !user->is_known && (user->asked_ms == 0 || clock_monotonic_ms() - user->asked_ms > ASK_AGAIN_MS);
	if (is_stale)
		user_ask(user);
	if (user != NULL && user->is_asked && !user->is_known)
		return 1;
	if (user == NULL || !user->is_known || (uid != (uid_t)-1 && user->user.uid != uid)) {
		err_set(err, ERR_UNAUTHENTICATED, "user \"%s\" is %s", name,
			user == NULL || !user->is_known ? "not known on this host"
							: "another one than when the token was made; make a new token");
		return err_reason(err, "bad-token");
	}
	peer_become(peer, &user->user);
	return 0;
}

/* ---------------------------------------------------------------- certificates */

/* "NAME=USER NAME=USER"; a name that is not there is its user's. Whether it is there. */
static bool certificate_user(const struct settings *settings, const char *name, char out[TOKEN_USER_MAX])
{
	char *copy = xstrdup(settings->tls_users), *rest = copy, *word;
	const char *user = name;
	bool is_listed = false;
	while ((word = strsep(&rest, " ")) != NULL) {
		char *equals = strrchr(word, '=');
		if (equals == NULL || (size_t)(equals - word) != strlen(name) || strncmp(word, name, strlen(name)) != 0)
			continue;
		user = equals + 1;
		is_listed = true;
		break;
	}
	snprintf(out, TOKEN_USER_MAX, "%s", user);
	free(copy);
	return is_listed;
}

/* A CA gives many names to many holders: none of them makes somebody root, or whoever has that number, without a word of root's. */
static int certificate_check_unlisted(const char *name, struct err *err)
{
	if (strcmp(name, "root") != 0 && (name[0] < '0' || name[0] > '9'))
		return 0;
	err_set(err, ERR_UNAUTHENTICATED,
		"a certificate of \"%s\" is root's, or of a user by number, only where the daemon's setting tls-users says so", name);
	return err_reason(err, "bad-token");
}

static int identify_certificate(struct remote *remote, struct rpc_peer *peer, const char *name, struct err *err)
{
	char user[TOKEN_USER_MAX];
	bool is_listed = certificate_user(remote->config.settings, name, user);
	if (!is_listed && remote->config.is_system && certificate_check_unlisted(name, err) < 0)
		return -1;
	snprintf(peer->credential, sizeof(peer->credential), CREDENTIAL_CERT "%s", name);
	return identify_user(remote, peer, user, (uid_t)-1, err);
}

/* ---------------------------------------------------------------- tokens */

static int identify_token(struct remote *remote, struct rpc_peer *peer, const char *text, struct err *err)
{
	const struct token *token = tokens_check(remote->tokens, text);
	if (token == NULL) {
		err_set(err, ERR_UNAUTHENTICATED, "the token is not one of this daemon; make one there: pwemu token add");
		return err_reason(err, "bad-token");
	}
	if (token_has_expired(token, now_s())) {
		err_set(err, ERR_UNAUTHENTICATED, "token %s has expired; make a new one on the daemon's host: pwemu token add", token->id);
		return err_reason(err, "bad-token");
	}
	snprintf(peer->credential, sizeof(peer->credential), CREDENTIAL_TOK "%s", token->id);
	return identify_user(remote, peer, token->user, token->uid, err);
}

static int identify_nobody(struct err *err)
{
	err_set(err, ERR_UNAUTHENTICATED,
		"who calls over the network must tell who it is: metadata \"authorization: Bearer TOKEN\" with a token that `pwemu token "
		"add` "
		"makes on the daemon's host, or a client certificate");
	return err_reason(err, "no-token");
}

/* The log gets nothing of a token, not even of a wrong one: it may be the right one of another daemon. */
static void remote_failed(struct remote *remote, const struct rpc_peer *peer, const struct err *err)
{
	uint64_t unsaid = 0;
	if (failures_count(remote->failures, peer->address, clock_monotonic_ms(), &unsaid)) {
		log_warn(NULL, "%s was sent away: %s", peer->address, err->msg);
		if (unsaid > 0)
			log_warn(NULL, "%s: and %llu times more before", peer->address, (unsigned long long)unsaid);
		return;
	}
	rpc_server_drop(remote->server, peer->connection);
}

int remote_authenticate(struct remote *remote, struct rpc_peer *peer, const char *certificate, const char *token, struct err *err)
{
	int rc = token != NULL         ? identify_token(remote, peer, token, err)
		 : certificate != NULL ? identify_certificate(remote, peer, certificate, err)
				       : identify_nobody(err);
	if (rc < 0)
		remote_failed(remote, peer, err);
	else if (rc == 0)
		log_debug(NULL, "%s is uid %u by %s", peer->address, (unsigned)peer->uid, peer->credential);
	return rc;
}

/* ---------------------------------------------------------------- the end of tokens */

static const char *credential_token(const struct rpc_peer *peer)
{
	size_t len = strlen(CREDENTIAL_TOK);
	return strncmp(peer->credential, CREDENTIAL_TOK, len) == 0 ? peer->credential + len : NULL;
}

/* It is not there any more, or has expired. */
static bool token_is_over(void *ctx, const struct rpc_peer *peer)
{
	const struct remote *remote = ctx;
	const char *id = credential_token(peer);
	const struct token *token = id != NULL ? tokens_by_id(remote->tokens, id) : NULL;
	return id != NULL && (token == NULL || token_has_expired(token, now_s()));
}

static void remote_arm_expiry(struct remote *remote)
{
	uint64_t now = now_s(), next = 0;
	for (size_t i = 0; i < tokens_count(remote->tokens); i++) {
		uint64_t its = tokens_at(remote->tokens, i)->expires_s;
		if (its > now && (next == 0 || its < next))
			next = its;
	}
	if (next == 0)
		timer_disarm(remote->expiry);
	else
		timer_arm(remote->expiry, (next - now) * 1000 < EXPIRY_MAX_MS ? (next - now) * 1000 : EXPIRY_MAX_MS);
}

static void remote_end_tokens(struct remote *remote)
{
	if (remote->server != NULL)
		rpc_server_revoke(remote->server, token_is_over, remote);
	remote_arm_expiry(remote);
}

static void remote_on_expiry(void *ctx)
{
	remote_end_tokens(ctx);
}

const struct tokens *remote_tokens(const struct remote *remote)
{
	return remote->tokens;
}

int remote_add_token(struct remote *remote, const struct token *wanted, char text[TOKEN_LEN + 1], struct err *err)
{
	if (tokens_add(remote->tokens, wanted, text, err) < 0)
		return -1;
	remote_arm_expiry(remote);
	return 0;
}

int remote_remove_token(struct remote *remote, const char *id, struct err *err)
{
	if (tokens_remove(remote->tokens, id, err) < 0)
		return -1;
	remote_end_tokens(remote);
	return 0;
}

/* ---------------------------------------------------------------- life */

int remote_auth_init(struct remote *remote, struct err *err)
{
	char *path = xasprintf("%s/tokens", remote->config.state_dir);
	remote->tokens = tokens_new(path);
	free(path);
	remote->failures = failures_new();
	remote->expiry = timer_new(remote->config.base, remote_on_expiry, remote);
	if (tokens_load(remote->tokens, err) < 0)
		return -1;
	for (size_t i = 0; remote->config.is_system && i < tokens_count(remote->tokens); i++) {
		struct remote_user *user = user_of(remote, tokens_at(remote->tokens, i)->user);
		if (user != NULL)
			user_ask(user);
	}
	remote_arm_expiry(remote);
	return 0;
}

void remote_auth_fini(struct remote *remote)
{
	struct remote_user *user;
	while ((user = TAILQ_FIRST(&remote->users)) != NULL) {
		TAILQ_REMOVE(&remote->users, user, link);
		user_fini(&user->user);
		free(user);
	}
	timer_free(remote->expiry);
	tokens_free(remote->tokens);
	failures_free(remote->failures);
}
