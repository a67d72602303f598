/* SPDX-License-Identifier: Apache-2.0 */
/* A growing, NULL-terminated array of owned strings: argument vectors and environments. */
#pragma once

#include <stddef.h>

struct strv {
	char **items; /* never NULL after strv_init; items[count] is NULL */
	size_t count;
};

void strv_init(struct strv *v);
void strv_fini(struct strv *v);
void strv_add(struct strv *v, const char *text);
void strv_addf(struct strv *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_add_all(struct strv *v, char *const *items, size_t count);
/* "NAME=value", in place of what there is of that name. */
void strv_set_env(struct strv *v, const char *variable);
/* Only where there is none of that name. */
void strv_add_env(struct strv *v, const char *variable);
/* Value of NAME in a list of "NAME=value"; NULL if absent. The last one counts, as for execve's users. */
const char *strv_env(char *const *items, size_t count, const char *name);
