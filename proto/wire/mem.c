/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_check(void *p)
{
	if (p == NULL) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xmalloc(size_t size)
{
	return mem_check(malloc(size > 0 ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return mem_check(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *xrealloc(void *old, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		return mem_check(NULL);
	return mem_check(realloc(old, bytes > 0 ? bytes : 1));
}

char *xstrdup(const char *text)
{
	return text != NULL ? mem_check(strdup(text)) : NULL;
}

char *xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return mem_check(text);
}
