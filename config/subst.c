/* SPDX-License-Identifier: Apache-2.0 */
#include "config/subst.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

size_t subst_match(const char *text, size_t *argument)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
	if (strncmp(text, "$pw_", 4) != 0)
		return 0;
	size_t name = 4 + strspn(text + 4, letters);
	const char *end = text[name] == '{' ? strchr(text + name, '}') : NULL;
	*argument = name + 1;
	return end != NULL ? (size_t)(end - text) + 1 : 0;
}

/* What stands for the expression; NULL: an error was set. */
static const char *subst_value(const char *expression, size_t len, size_t argument, struct err *err)
{
	static const char env[] = "$pw_env{";
	if (argument != strlen(env) || strncmp(expression, env, argument) != 0) {
		err_set(err, ERR_INVALID_ARGUMENT, "%.*s is not supported here: only $pw_env{NAME} is", (int)(len < 80 ? len : 80),
			expression);
		return NULL;
	}
	char *name = xasprintf("%.*s", (int)(len - argument - 1), expression + argument);
	const char *value = getenv(name);
	if (value == NULL)
		err_set(err, ERR_INVALID_ARGUMENT, "environment variable %.80s is not set", name);
	free(name);
	return value;
}

static void subst_append(char **out, const char *text, size_t len)
{
	size_t used = *out != NULL ? strlen(*out) : 0;
	*out = xrealloc(*out, used + len + 1, 1);
	memcpy(*out + used, text, len);
	(*out)[used + len] = '\0';
}

char *subst_env(const char *text, struct err *err)
{
	char *out = NULL;
	size_t argument;
	subst_append(&out, "", 0);
	for (size_t plain; *text != '\0'; text += plain) {
		size_t len = subst_match(text, &argument);
		plain = len > 0 ? len : 1 + strcspn(text + 1, "$");
		const char *value = len > 0 ? subst_value(text, len, argument, err) : text;
		if (value == NULL) {
			free(out);
			return NULL;
		}
		subst_append(&out, value, len > 0 ? strlen(value) : plain);
	}
	return out;
}
