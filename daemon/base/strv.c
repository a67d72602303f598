/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

static void strv_take(struct strv *v, char *text)
{
	v->items = xrealloc(v->items, v->count + 2, sizeof(*v->items));
	v->items[v->count++] = text;
	v->items[v->count] = NULL;
}

void strv_init(struct strv *v)
{
	v->items = xcalloc(1, sizeof(*v->items));
	v->count = 0;
}

void strv_fini(struct strv *v)
{
	for (size_t i = 0; i < v->count; i++)
		free(v->items[i]);
	free(v->items);
	*v = (struct strv){ 0 };
}

void strv_add(struct strv *v, const char *text)
{
	strv_take(v, xstrdup(text));
}

void strv_addf(struct strv *v, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	strv_take(v, text);
}

void strv_add_all(struct strv *v, char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		strv_add(v, items[i]);
}

void strv_set_env(struct strv *v, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1, kept = 0;
	for (size_t i = 0; i < v->count; i++) {
		if (strncmp(v->items[i], variable, len) == 0)
			free(v->items[i]);
		else
			v->items[kept++] = v->items[i];
	}
	v->count = kept;
	v->items[kept] = NULL;
	strv_add(v, variable);
}

void strv_add_env(struct strv *v, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;
	for (size_t i = 0; i < v->count; i++)
		if (strncmp(v->items[i], variable, len) == 0)
			return;
	strv_add(v, variable);
}

const char *strv_env(char *const *items, size_t count, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = count; i > 0; i--)
		if (strncmp(items[i - 1], name, len) == 0 && items[i - 1][len] == '=')
			return items[i - 1] + len + 1;
	return NULL;
}
