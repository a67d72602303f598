/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON files as configuration: json-c plus what it lacks. Loading refuses duplicate keys, trailing text and too much depth, and
 * remembers lines, so that every error reads "FILE:LINE: PATH: what is wrong". A `struct json_at` is a place in a file: a value and
 * the way to it. It lives on the caller's stack and refers to its parent, which must outlive it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/err.h"

#define JSON_MAX_BYTES (4u << 20)
#define JSON_MAX_DEPTH 32

struct json_object;

struct json_file {
	char *name;               /* for messages */
	struct json_object *root; /* never NULL once loaded */
};

struct json_at {
	const struct json_file *file;
	const struct json_at *parent; /* NULL at the root */
	const char *key;              /* member of the parent; NULL: element `index` of it */
	size_t index;
	struct json_object *value; /* NULL: JSON null */
};

/* The root is an object. `file` is to be released with json_fini(); on failure there is nothing to release. */
int json_load(const char *path, struct json_file *file, struct err *err) __attribute__((warn_unused_result));
/* The same from memory; `name` is for messages. */
int json_parse(const char *name, const char *text, size_t len, struct json_file *file, struct err *err) __attribute__((warn_unused_result));
void json_fini(struct json_file *file);

struct json_at json_root(const struct json_file *file);

/* A member that is absent or null gives false and leaves `out` alone. `object` must be an object. */
bool json_member(const struct json_at *object, const char *key, struct json_at *out);

/* Members of an object in the order of the file: for (struct json_iter i = {0}; json_next(&object, &i, &member);) */
struct json_iter {
	const void *entry;
	bool begun;
};
bool json_next(const struct json_at *object, struct json_iter *iter, struct json_at *out);

size_t json_count(const struct json_at *array);
struct json_at json_element(const struct json_at *array, size_t index);

/* Where it is: its line, and its path ("targets.t.args[0]", "" at the root), of which the length is returned. */
unsigned json_line(const struct json_at *at);
size_t json_path(const struct json_at *at, char *buf, size_t size);

/* Sets INVALID_ARGUMENT with file, line, path and this text. Returns -1. */
int json_fail(const struct json_at *at, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Each fails when the value is of another type or beyond the limit. Strings belong to the file, have no NUL inside. */
int json_get_object(const struct json_at *at, struct err *err) __attribute__((warn_unused_result));
int json_get_array(const struct json_at *at, size_t max_count, struct err *err) __attribute__((warn_unused_result));
int json_get_string(const struct json_at *at, size_t max_len, const char **out, struct err *err) __attribute__((warn_unused_result));
/* A string, or a number as it is written. */
int json_get_word(const struct json_at *at, const char **out, struct err *err) __attribute__((warn_unused_result));
int json_get_bool(const struct json_at *at, bool *out, struct err *err) __attribute__((warn_unused_result));
int json_get_uint(const struct json_at *at, uint64_t max, uint64_t *out, struct err *err) __attribute__((warn_unused_result));
/* A number, or a string: decimal or 0x, with K, M or G behind it: "0x08000000", "64K". */
int json_get_size(const struct json_at *at, uint64_t *out, struct err *err) __attribute__((warn_unused_result));

/* Fails when the member's key is not in the list, naming the nearest one that is. */
int json_known_key(const struct json_at *member, const char *const *keys, size_t count, struct err *err)
	__attribute__((warn_unused_result));
