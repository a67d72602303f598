/* SPDX-License-Identifier: Apache-2.0 */
#include "config/subst.h"

#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "wire/mem.h"

#define SUBST_SHOWN 80

static const char *const names[SUBST_KIND_COUNT] = {
	[SUBST_WDIR] = "$pw_emu_wdir",
	[SUBST_CHANNEL_PORT] = "$pw_emu_channel_port",
	[SUBST_CHANNEL_HOST] = "$pw_emu_channel_host",
	[SUBST_CHANNEL_PATH] = "$pw_emu_channel_path",
};

const char *subst_name(enum subst_kind kind)
{
	return names[kind];
}

size_t subst_match(const char *text, size_t *argument)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	if (strncmp(text, "$pw_", 4) != 0)
		return 0;
	size_t name = 4 + strspn(text + 4, letters);
	const char *end = text[name] == '{' ? strchr(text + name, '}') : NULL;
	*argument = name + 1;
	return end != NULL ? (size_t)(end - text) + 1 : 0;
}

static int subst_unknown(const char *name, struct err *err)
{
	const char *known[SUBST_KIND_COUNT + 1] = { "$pw_env" };
	char hint[200];
	memcpy(known + 1, names, sizeof(names));
	return err_set(err, ERR_INVALID_ARGUMENT, "%.*s{} is no expression%s", SUBST_SHOWN, name,
		       nearest_hint(name, known, SUBST_KIND_COUNT + 1, hint, sizeof(hint)));
}

static int subst_other(const char *name, const char *argument, subst_found_fn found, void *ctx, struct err *err)
{
	for (size_t i = 0; i < SUBST_KIND_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return found(ctx, (enum subst_kind)i, argument, err);
	return subst_unknown(name, err);
}

/* What stands for the expression, owned by the caller; NULL: an error was set. */
static char *subst_value(const char *expression, size_t len, size_t argument, subst_found_fn found, void *ctx, struct err *err)
{
	char *name = xasprintf("%.*s", (int)(argument - 1), expression);
	char *value = xasprintf("%.*s", (int)(len - argument - 1), expression + argument), *out = NULL;
	if (strcmp(name, "$pw_env") != 0)
		out = subst_other(name, value, found, ctx, err) == 0 ? xasprintf("%.*s", (int)len, expression) : NULL;
	else if (getenv(value) != NULL)
		out = xstrdup(getenv(value));
	else
		err_set(err, ERR_INVALID_ARGUMENT, "environment variable %.*s is not set", SUBST_SHOWN, value);
	free(name);
	free(value);
	return out;
}

static void subst_append(char **out, const char *text, size_t len)
{
	size_t used = *out != NULL ? strlen(*out) : 0;
	*out = xrealloc(*out, used + len + 1, 1);
	memcpy(*out + used, text, len);
	(*out)[used + len] = '\0';
}

char *subst_env(const char *text, subst_found_fn found, void *ctx, struct err *err)
{
	char *out = NULL;
	size_t argument;
	subst_append(&out, "", 0);
	while (*text != '\0') {
		size_t len = subst_match(text, &argument);
		char *value = len > 0 ? subst_value(text, len, argument, found, ctx, err) : NULL;
		if (len > 0 && value == NULL) {
			free(out);
			return NULL;
		}
		size_t used = len > 0 ? len : 1 + strcspn(text + 1, "$");
		subst_append(&out, len > 0 ? value : text, len > 0 ? strlen(value) : used);
		free(value);
		text += used;
	}
	return out;
}
