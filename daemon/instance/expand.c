/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/expand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/subst.h"
#include "wire/mem.h"

#define EXPAND_SHOWN 64 /* of an expression in a message */

/* An argument, and where what stands for its expression goes. */
struct expand_job {
	const struct expand_scope *scope;
	const char *argument;
	char **out;
};

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
static const struct expand_channel *expand_channel(const struct expand_job *job, enum endpoint_kind kind, struct err *err)
{
	const struct expand_scope *scope = job->scope;
	char known[512];
	for (size_t i = 0; i < scope->channel_count; i++) {
		const struct expand_channel *channel = &scope->channels[i];
		if (strcmp(channel->name, job->argument) != 0)
			continue;
		if (channel->kind == kind)
			return channel;
		err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\" is of type %s, not %s; its \"type\" must be \"%s\"", channel->name,
			endpoint_kind_name(channel->kind), endpoint_kind_name(kind), endpoint_kind_name(kind));
		return NULL;
	}
	expand_known_channels(scope, known, sizeof(known));
	err_set(err, ERR_INVALID_ARGUMENT, "there is no channel \"%.*s\"; there is: %s", EXPAND_SHOWN, job->argument, known);
	return NULL;
}

static int expand_port(const struct expand_job *job, struct err *err)
{
	const struct expand_channel *channel = expand_channel(job, ENDPOINT_TCP, err);
	if (channel == NULL)
		return -1;
	*job->out = xasprintf("%u", channel->port);
	return 0;
}

static int expand_host(const struct expand_job *job, struct err *err)
{
	if (expand_channel(job, ENDPOINT_TCP, err) == NULL)
		return -1;
	*job->out = xstrdup(EXPAND_HOST);
	return 0;
}

static int expand_path(const struct expand_job *job, struct err *err)
{
	const struct expand_channel *channel = expand_channel(job, ENDPOINT_PTY, err);
	if (channel == NULL)
		return -1;
	*job->out = xstrdup(channel->path);
	return 0;
}

static int expand_wdir(const struct expand_job *job, struct err *err)
{
	(void)err;
	*job->out = job->argument[0] == '/' ? xstrdup(job->argument) : xasprintf("%s/%s", job->scope->working_dir, job->argument);
	return 0;
}

/* ---------------------------------------------------------------- texts */

static int (*const expressions[SUBST_KIND_COUNT])(const struct expand_job *job, struct err *err) = {
	[SUBST_WDIR] = expand_wdir,
	[SUBST_CHANNEL_PORT] = expand_port,
	[SUBST_CHANNEL_HOST] = expand_host,
	[SUBST_CHANNEL_PATH] = expand_path,
};

static int expand_unknown(const char *name, struct err *err)
{
	const char *known[SUBST_KIND_COUNT];
	char hint[160];
	for (int i = 0; i < SUBST_KIND_COUNT; i++)
		known[i] = subst_name((enum subst_kind)i);
	nearest_hint(name, known, SUBST_KIND_COUNT, hint, sizeof(hint));
	return err_set(err, ERR_INVALID_ARGUMENT, "this expression is unknown%s", hint);
}

static int expand_one(const struct expand_scope *scope, const char *text, size_t len, size_t argument, char **out, struct err *err)
{
	char *name = xasprintf("%.*s", (int)(argument - 1), text);
	char *word = xasprintf("%.*s", (int)(len - argument - 1), text + argument);
	struct expand_job job = { scope, word, out };
	int kind = 0;
	while (kind < SUBST_KIND_COUNT && strcmp(subst_name((enum subst_kind)kind), name) != 0)
		kind++;
	int rc = kind < SUBST_KIND_COUNT ? expressions[kind](&job, err) : expand_unknown(name, err);
	free(name);
	free(word);
	return rc;
}

static void expand_append(char **out, const char *text, size_t len)
{
	char *longer = xasprintf("%s%.*s", *out, (int)len, text);
	free(*out);
	*out = longer;
}

bool expand_is_needed(const char *text)
{
	size_t argument;
	for (const char *at = strchr(text, '$'); at != NULL; at = strchr(at + 1, '$'))
		if (subst_match(at, &argument) > 0)
			return true;
	return false;
}

static void expand_failed(const struct expand_scope *scope, const char *where, const char *text, size_t len, struct err *err)
{
	err_prefix(err, "target \"%s\": %s: %.*s", scope->target, where, (int)(len < EXPAND_SHOWN ? len : EXPAND_SHOWN), text);
	err_reason(err, "invalid-target");
}

char *expand_text(const struct expand_scope *scope, const char *where, const char *text, struct err *err)
{
	char *out = xstrdup("");
	for (size_t len; *text != '\0'; text += len) {
		size_t argument;
		len = subst_match(text, &argument);
		if (len == 0) {
			len = 1 + strcspn(text + 1, "$");
			expand_append(&out, text, len);
			continue;
		}
		char *value = NULL;
		if (expand_one(scope, text, len, argument, &value, err) < 0) {
			expand_failed(scope, where, text, len, err);
			free(out);
			return NULL;
		}
		expand_append(&out, value, strlen(value));
		free(value);
	}
	return out;
}
