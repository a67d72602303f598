/* SPDX-License-Identifier: Apache-2.0 */
/* Daemon.AddToken, ListTokens, RemoveToken: one's own tokens, and for root everybody's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "loop/timer.h"
#include "pwemu/v1/daemon.pb-c.h"
#include "rpc/remote.h"
#include "rpc/service.h"
#include "wire/mem.h"

static void token_describe(const struct token *token, Pwemu__V1__Token *out)
{
	pwemu__v1__token__init(out);
	out->id = (char *)(uintptr_t)token->id;
	out->user = (char *)(uintptr_t)token->user;
	out->uid = token->uid;
	out->created_s = token->created_s;
	out->expires_s = token->expires_s;
	out->note = (char *)(uintptr_t)token->note;
}

static bool token_is_for(const struct token *token, const struct rpc_peer *peer)
{
	return token->uid == peer->uid || peer->uid == 0;
}

/* ---------------------------------------------------------------- AddToken */

/* One that waits for the name service. */
struct adding {
	struct rpc_call *call; /* NULL: it has ended */
	struct services *services;
	struct token wanted;
	uid_t caller;
	bool is_found;
};

static void adding_reply(struct rpc_call *call, const struct token *token, const char *secret)
{
	const struct remote *remote = service_of(call)->remote;
	Pwemu__V1__AddTokenReply reply = PWEMU__V1__ADD_TOKEN_REPLY__INIT;
	Pwemu__V1__Token message;
	size_t count = remote_address_count(remote);
	token_describe(token, &message);
	reply.token = &message;
	reply.secret = (char *)(uintptr_t)secret;
	reply.url = xasprintf("%s?ca=%s&token=%s", remote_address(remote, 0), remote_pin(remote), secret);
	reply.context = (char *)(uintptr_t)remote_host_name(remote);
	reply.ca_pin = (char *)(uintptr_t)remote_pin(remote);
	reply.listen = xcalloc(count, sizeof(*reply.listen));
	for (size_t i = 0; i < count; i++)
		reply.listen[reply.n_listen++] = (char *)(uintptr_t)remote_address(remote, i);
	rpc_call_reply(call, &reply.base);
	explicit_bzero(reply.url, strlen(reply.url));
	free(reply.url);
	free(reply.listen);
}

static void adding_store(struct rpc_call *call, const struct token *wanted)
{
	struct services *services = service_of(call);
	char secret[TOKEN_LEN + 1], who[SERVICE_ACTOR_MAX];
	struct err err = ERR_INIT;
	if (remote_add_token(services->remote, wanted, secret, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	const struct tokens *tokens = remote_tokens(services->remote);
	const struct token *token = tokens_at(tokens, tokens_count(tokens) - 1);
	service_actor(call, who);
	log_info(NULL, "token %s for user %s made, asked by %s", token->id, token->user, who);
	adding_reply(call, token, secret);
	explicit_bzero(secret, sizeof(secret));
}

static void adding_refuse(struct rpc_call *call, const char *user)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_PERMISSION_DENIED, "a token for user %s can only be made by that user or root", user);
	err_reason(&err, "permission");
	service_fail(call, &err);
}

static void adding_release(struct adding *adding)
{
	if (adding->is_found && adding->call == NULL)
		free(adding);
}

static void adding_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct adding *adding = ctx;
	adding->call = NULL;
	adding_release(adding);
}

static void adding_on_found(void *ctx, const struct users_found *found, const struct err *err)
{
	struct adding *adding = ctx;
	struct err none = ERR_INIT;
	adding->is_found = true;
	if (adding->call != NULL && (err != NULL || found->is_group)) {
		if (err == NULL)
			err_set(&none, ERR_NOT_FOUND, "\"%s\" is a group, not a user", found->user.name);
		service_fail(adding->call, err != NULL ? err : &none);
	} else if (adding->call != NULL && adding->caller != 0 && adding->caller != found->user.uid) {
		adding_refuse(adding->call, found->user.name);
	} else if (adding->call != NULL) {
		adding->wanted.uid = found->user.uid;
		snprintf(adding->wanted.user, sizeof(adding->wanted.user), "%s", found->user.name);
		adding_store(adding->call, &adding->wanted);
	}
	adding_release(adding);
}

static void adding_look_up(struct rpc_call *call, const struct token *wanted, const char *user)
{
	static const struct rpc_call_ops ops = { .on_end = adding_on_end };
	struct adding *adding = xcalloc(1, sizeof(*adding));
	char number[24];
	adding->call = call;
	adding->services = service_of(call);
	adding->wanted = *wanted;
	adding->caller = rpc_call_peer(call)->uid;
	snprintf(number, sizeof(number), "%u", (unsigned)adding->caller);
	rpc_call_adopt(call, &ops, adding);
	users_find(adding->services->users, user[0] != '\0' ? user : number, false, adding_on_found, adding);
}

static int adding_check(const struct rpc_call *call, const Pwemu__V1__AddTokenRequest *request, struct err *err)
{
	const struct services *services = rpc_call_server_ctx(call);
	if (rpc_call_peer(call)->is_remote) {
		err_set(err, ERR_PERMISSION_DENIED, "tokens are made on the daemon's host, so that one that was lost makes no others");
		return err_reason(err, "permission");
	}
	if (remote_address_count(services->remote) == 0) {
		err_set(err, ERR_FAILED_PRECONDITION,
			"this daemon does not serve the network; start it with `pwemud --listen tcp://HOST:PORT`, or set \"listen\" in its "
			"settings");
		return err_reason(err, "not-listening");
	}
	if (strlen(request->user) >= TOKEN_USER_MAX || strpbrk(request->user, "\t\n") != NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "no user has such a name");
	if (request->ttl_ms / 1000 > INT32_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "no token is good for so long; leave the time away for one without an end");
	return token_check_note(request->note, err);
}

static void handle_add(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__AddTokenRequest *request = (const Pwemu__V1__AddTokenRequest *)message;
	const struct user *own = service_of(call)->own;
	struct token wanted = { .uid = 0 };
	struct err err = ERR_INIT;
	if (adding_check(call, request, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	if (request->ttl_ms > 0)
		wanted.expires_s = (clock_wall_ns() / 1000000 + request->ttl_ms + 999) / 1000;
	snprintf(wanted.note, sizeof(wanted.note), "%s", request->note);
	if (service_of(call)->is_system) {
		adding_look_up(call, &wanted, request->user);
	} else if (request->user[0] != '\0' && strcmp(request->user, own->name) != 0) {
		err_set(&err, ERR_FAILED_PRECONDITION,
			"this daemon serves user %s only; a token for %s needs one of many users (pwemud --system)", own->name,
			request->user);
		service_fail(call, &err);
	} else {
		wanted.uid = own->uid;
		snprintf(wanted.user, sizeof(wanted.user), "%s", own->name);
		adding_store(call, &wanted);
	}
}

/* ---------------------------------------------------------------- the others */

static void handle_list(struct rpc_call *call, const ProtobufCMessage *message)
{
	(void)message;
	const struct tokens *tokens = remote_tokens(service_of(call)->remote);
	Pwemu__V1__ListTokensReply reply = PWEMU__V1__LIST_TOKENS_REPLY__INIT;
	size_t count = tokens_count(tokens);
	Pwemu__V1__Token *rows = xcalloc(count + 1, sizeof(*rows));
	reply.tokens = xcalloc(count + 1, sizeof(*reply.tokens));
	for (size_t i = 0; i < count; i++) {
		if (!token_is_for(tokens_at(tokens, i), rpc_call_peer(call)))
			continue;
		token_describe(tokens_at(tokens, i), &rows[i]);
		reply.tokens[reply.n_tokens++] = &rows[i];
	}
	rpc_call_reply(call, &reply.base);
	free(reply.tokens);
	free(rows);
}

static void handle_remove(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Pwemu__V1__RemoveTokenRequest *request = (const Pwemu__V1__RemoveTokenRequest *)message;
	struct remote *remote = service_of(call)->remote;
	const struct token *found = tokens_by_id(remote_tokens(remote), request->id);
	const struct token token = found != NULL ? *found : (struct token){ .uid = 0 };
	struct err err = ERR_INIT;
	char who[SERVICE_ACTOR_MAX];
	if (found != NULL && !token_is_for(found, rpc_call_peer(call))) { /* others' are not told from none */
		err_set(&err, ERR_NOT_FOUND, "there is no token \"%s\" of yours; see: pwemu token ls", request->id);
		err_reason(&err, "no-such-token");
		service_fail(call, &err);
		return;
	}
	service_actor(call, who);
	if (remote_remove_token(remote, request->id, &err) < 0) {
		service_fail(call, &err);
		return;
	}
	log_info(NULL, "token %s of user %s removed, asked by %s", token.id, token.user, who);
	Pwemu__V1__RemoveTokenReply reply = PWEMU__V1__REMOVE_TOKEN_REPLY__INIT;
	Pwemu__V1__Token row;
	token_describe(&token, &row);
	reply.token = &row;
	rpc_call_reply(call, &reply.base);
}

const struct rpc_method svc_tokens_methods[] = {
	SERVICE_METHOD("Daemon", "AddToken", RPC_UNARY, add_token_request, add_token_reply, 4096, RIGHT_NONE, handle_add),
	SERVICE_METHOD("Daemon", "ListTokens", RPC_UNARY, list_tokens_request, list_tokens_reply, 1024, RIGHT_NONE, handle_list),
	SERVICE_METHOD("Daemon", "RemoveToken", RPC_UNARY, remove_token_request, remove_token_reply, 1024, RIGHT_NONE, handle_remove),
	{ 0 },
};
