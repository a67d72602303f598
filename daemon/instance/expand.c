/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/expand.h"

#include <stdio.h>
#include <string.h>

#include "config/subst.h"
#include "wire/mem.h"

#define EXPAND_SHOWN 64 /* of an expression in a message */

/* ---------------------------------------------------------------- channels */

static void expand_known_channels(const struct expand_scope *scope, char *known, size_t size)
{
	size_t used = 0;
	snprintf(known, size, "none");
	for (size_t i = 0; i < scope->channel_count && used < size; i++)
		used += (size_t)snprintf(known + used, size - used, "%s%s (%s)", i > 0 ? ", " : "", scope->channels[i].name,
					 endpoint_kind_name(scope->channels[i].kind));
}

/* The channel that the argument names, with an endpoint of this kind. */
static const struct expand_channel *expand_channel(const struct expand_scope *scope, const char *name, enum endpoint_kind kind,
						   struct err *err)
{
	char known[512];
	for (size_t i = 0; i < scope->channel_count; i++) {
		const struct expand_channel *channel = &scope->channels[i];
		if (strcmp(channel->name, name) != 0)
			continue;
		if (channel->kind == kind)
			return channel;
		err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\" is of type %s, not %s; its \"type\" must be \"%s\"", channel->name,
			endpoint_kind_name(channel->kind), endpoint_kind_name(kind), endpoint_kind_name(kind));
		return NULL;
	}
	expand_known_channels(scope, known, sizeof(known));
	err_set(err, ERR_INVALID_ARGUMENT, "there is no channel \"%.*s\"; there is: %s", EXPAND_SHOWN, name, known);
	return NULL;
}

static char *expand_port(const struct expand_scope *scope, const char *name, struct err *err)
{
	const struct expand_channel *channel = expand_channel(scope, name, ENDPOINT_TCP, err);
	return channel != NULL ? xasprintf("%u", channel->port) : NULL;
}

static char *expand_host(const struct expand_scope *scope, const char *name, struct err *err)
{
	return expand_channel(scope, name, ENDPOINT_TCP, err) != NULL ? xstrdup(EXPAND_HOST) : NULL;
}

static char *expand_path(const struct expand_scope *scope, const char *name, struct err *err)
{
	const struct expand_channel *channel = expand_channel(scope, name, ENDPOINT_PTY, err);
	return channel != NULL ? xstrdup(channel->path) : NULL;
}

static char *expand_wdir(const struct expand_scope *scope, const char *path, struct err *err)
{
	(void)err;
	return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", scope->working_dir, path);
}

static char *expand_env(const struct expand_scope *scope, const char *name, struct err *err)
{
	(void)scope, (void)name;
	err_set(err, ERR_INVALID_ARGUMENT, "the environment is the client's, which has to replace this");
	return NULL;
}

/* ---------------------------------------------------------------- texts */

static char *(*const values[SUBST_KIND_COUNT])(const struct expand_scope *scope, const char *argument, struct err *err) = {
	[SUBST_ENV] = expand_env,           [SUBST_WDIR] = expand_wdir,         [SUBST_CHANNEL_PORT] = expand_port,
	[SUBST_CHANNEL_HOST] = expand_host, [SUBST_CHANNEL_PATH] = expand_path,
};

static char *expand_value(void *ctx, enum subst_kind kind, const char *whole, const char *argument, struct err *err)
{
	char *value = values[kind](ctx, argument, err);
	if (value == NULL)
		err_prefix(err, "%.*s", EXPAND_SHOWN, whole);
	return value;
}

char *expand_text(const struct expand_scope *scope, const char *where, const char *text, struct err *err)
{
	char *out = subst_text(text, expand_value, (void *)(uintptr_t)scope, err);
	if (out != NULL)
		return out;
	err_prefix(err, "target \"%s\": %s", scope->target, where);
	err_reason(err, "invalid-target");
	return NULL;
}
