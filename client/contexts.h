/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named daemons: $XDG_CONFIG_HOME/pwemu/contexts.json (0600, replaced by rename), {"current": NAME, "contexts": {NAME: {"url", "ca"}}}.
 * `ca` is the pinned certificate in PEM, for clients that cannot pin by themselves (gRPC's).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "wire/err.h"

struct context {
	char *name, *url;
	char *ca; /* NULL: none */
};

struct contexts {
	char *path; /* "": there is no home */
	struct context *rows;
	size_t count;
	char *current; /* NULL: none */
};

/* Without a file it is empty. */
int contexts_load(const char *path, struct contexts *out, struct err *err) __attribute__((warn_unused_result));
int contexts_store(const struct contexts *contexts, struct err *err) __attribute__((warn_unused_result));
void contexts_fini(struct contexts *contexts);

/* "-" and "default": not a context but what there is without. */
bool context_is_none(const char *name);
int context_check_name(const char *name, struct err *err) __attribute__((warn_unused_result));
/* NULL with NOT_FOUND, which names the nearest. */
const struct context *contexts_find(const struct contexts *contexts, const char *name, struct err *err);
/* In place of what has that name. ca may be NULL. */
void contexts_set(struct contexts *contexts, const char *name, const char *url, const char *ca);
void contexts_use(struct contexts *contexts, const char *name); /* NULL: none */
void contexts_remove(struct contexts *contexts, const char *name);
