/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is always there: running out of it aborts (the emulators outlive the daemon and are adopted again). */
#pragma once

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t count, size_t size); /* count * size is checked for overflow */
char *xstrdup(const char *text);                      /* NULL gives NULL */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
