/* SPDX-License-Identifier: Apache-2.0 */
#include "config/subst.h"

#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "wire/mem.h"

#define SUBST_SHOWN 80

static const char *const names[] = {
	[SUBST_ENV] = "$pw_env",
	[SUBST_WDIR] = "$pw_emu_wdir",
	[SUBST_CHANNEL_PORT] = "$pw_emu_channel_port",
	[SUBST_CHANNEL_HOST] = "$pw_emu_channel_host",
	[SUBST_CHANNEL_PATH] = "$pw_emu_channel_path",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == SUBST_KIND_COUNT, "a name for each");

const char *subst_name(enum subst_kind kind)
{
	return names[kind];
}

/* The length of an expression "$pw_NAME{ARGUMENT}" at the beginning of a text, and where its argument is; 0: there is none. */
static size_t subst_match(const char *text, size_t *argument)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	if (strncmp(text, "$pw_", 4) != 0)
		return 0;
	size_t name = 4 + strspn(text + 4, letters);
	const char *end = text[name] == '{' ? strchr(text + name, '}') : NULL;
	*argument = name + 1;
	return end != NULL ? (size_t)(end - text) + 1 : 0;
}

bool subst_is_needed(const char *text)
{
	size_t argument;
	for (const char *at = strchr(text, '$'); at != NULL; at = strchr(at + 1, '$'))
		if (subst_match(at, &argument) > 0)
			return true;
	return false;
}

/* Its kind, or -1. */
static int subst_find(const char *name, struct err *err)
{
	char hint[200];
	for (int i = 0; i < SUBST_KIND_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return err_set(err, ERR_INVALID_ARGUMENT, "%.*s{} is no expression%s", SUBST_SHOWN, name,
		       nearest_hint(name, names, SUBST_KIND_COUNT, hint, sizeof(hint)));
}

static char *subst_one(const char *text, size_t len, size_t argument, subst_value_fn value, void *ctx, struct err *err)
{
	char *whole = xasprintf("%.*s", (int)len, text), *name = xasprintf("%.*s", (int)(argument - 1), text);
	char *word = xasprintf("%.*s", (int)(len - argument - 1), text + argument), *out = NULL;
	int kind = subst_find(name, err);
	if (kind >= 0)
		out = value(ctx, (enum subst_kind)kind, whole, word, err);
	free(whole);
	free(name);
	free(word);
	return out;
}

static void subst_append(char **out, const char *text, size_t len)
{
	size_t used = *out != NULL ? strlen(*out) : 0;
	*out = xrealloc(*out, used + len + 1, 1);
	memcpy(*out + used, text, len);
	(*out)[used + len] = '\0';
}

char *subst_text(const char *text, subst_value_fn value, void *ctx, struct err *err)
{
	char *out = NULL;
	size_t argument;
	subst_append(&out, "", 0);
	while (*text != '\0') {
		size_t len = subst_match(text, &argument);
		char *made = len > 0 ? subst_one(text, len, argument, value, ctx, err) : NULL;
		if (len > 0 && made == NULL) {
			free(out);
			return NULL;
		}
		size_t used = len > 0 ? len : 1 + strcspn(text + 1, "$");
		subst_append(&out, len > 0 ? made : text, len > 0 ? strlen(made) : used);
		free(made);
		text += used;
	}
	return out;
}

struct subst_client {
	subst_found_fn found;
	void *ctx;
};

static char *subst_client_value(void *ctx, enum subst_kind kind, const char *whole, const char *argument, struct err *err)
{
	const struct subst_client *client = ctx;
	if (kind != SUBST_ENV)
		return client->found(client->ctx, kind, argument, err) == 0 ? xstrdup(whole) : NULL;
	if (getenv(argument) != NULL)
		return xstrdup(getenv(argument));
	err_set(err, ERR_INVALID_ARGUMENT, "environment variable %.*s is not set", SUBST_SHOWN, argument);
	return NULL;
}

char *subst_env(const char *text, subst_found_fn found, void *ctx, struct err *err)
{
	struct subst_client client = { found, ctx };
	return subst_text(text, subst_client_value, &client, err);
}
