/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of one JSON file. Internal to config/: use target.h. */
#pragma once

#include <stddef.h>

#include "config/json.h"
#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

struct target_list {
	Pwemu__V1__Target **targets; /* each to be freed with pwemu__v1__target__free_unpacked, the array with free */
	size_t count;
};

/* On failure the list may hold some targets, which are to be freed all the same. Each was checked with target_validate(). */
int target_json_load(const char *path, struct target_list *list, struct err *err) __attribute__((warn_unused_result));

/* How strictly a file is read, and what its texts mean. */
struct target_json_rules {
	/* What this program does not know: an error set by json_fail(). NULL: such a key is an error. */
	void (*on_unknown)(void *ctx, const struct err *what);
	/* What a text stands for, owned by the caller; NULL: an error was set. NULL: a text is what it is. */
	char *(*expand)(void *ctx, const struct json_at *at, const char *text, struct err *err);
	void *ctx;
};

/* Fills in what the JSON object of a target says, not checked as a whole yet. */
int target_json_read(const struct json_at *at, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
	__attribute__((warn_unused_result));

/* Parts of it, for defaults that stand elsewhere. An absent member leaves `out` alone. */
int target_json_text(const struct json_at *object, const char *key, const struct target_json_rules *rules, char **out, struct err *err)
	__attribute__((warn_unused_result));
int target_json_texts(const struct json_at *object, const char *key, const struct target_json_rules *rules, char ***out, size_t *count,
		      struct err *err) __attribute__((warn_unused_result));
/* Fails on, or tells of, the keys that are not in the list, as the rules have it. */
int target_json_keys(const struct json_at *object, const struct target_json_rules *rules, const char *const *keys, size_t count,
		     struct err *err) __attribute__((warn_unused_result));
/* Where no type was given: that of one channel, or of all (NULL). */
void target_json_set_type(Pwemu__V1__Target *target, const char *channel, const char *type);
/* The same with what the object's "type" says, if it is there. */
int target_json_type(const struct json_at *object, const char *channel, const struct target_json_rules *rules, Pwemu__V1__Target *target,
		     struct err *err) __attribute__((warn_unused_result));
