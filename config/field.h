/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs whose members people write as texts: policies of targets, settings of the daemon. Each is described by one table of keys,
 * which drives JSON, command line, checks, the way back to text, and help. A member that is 0 (without its case, where it belongs to
 * a oneof) is not set, and means the default.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/json.h"
#include "wire/err.h"

enum field_kind {
	FIELD_DURATION, /* "500ms", in milliseconds */
	FIELD_SIZE,     /* "64M", in bytes */
	FIELD_COUNT,    /* "5" */
	FIELD_PERCENT,  /* "20%" */
	FIELD_FACTOR,   /* "1.5", in percent */
	FIELD_WORD,     /* one of `words`, as its index */
	FIELD_RANGE,    /* "20000-29999": two numbers of 32 bits, one behind the other */
	FIELD_NAME,     /* a text, owned (char *) */
	FIELD_TEXT,     /* a text in an array of the member's size */
	FIELD_KIND_COUNT
};

struct field {
	const char *key;
	enum field_kind kind;
	size_t offset, size; /* of the member */
	uint64_t min, max;   /* of a number; of the length of a name */
	const char *initial; /* the default, as text; NULL: none */
	const char *help;
	const char *const *words;       /* ended by NULL; [0] is "" where 0 means not set */
	size_t case_offset, case_value; /* of a member of a oneof; otherwise case_value is 0 */
};

/* A row: the place of the member, and whatever else is given. */
#define FIELD(type, member, key_, kind_, ...)                                                                                              \
	{                                                                                                                                  \
		.key = key_, .kind = kind_, .offset = offsetof(type, member), .size = sizeof(((type *)0)->member), __VA_ARGS__             \
	}

struct fields {
	const struct field *rows;
	size_t count;
};
#define FIELDS(rows_)                                                                                                                      \
	{                                                                                                                                  \
		.rows = (rows_), .count = sizeof(rows_) / sizeof((rows_)[0])                                                               \
	}

/* NULL, INVALID_ARGUMENT with the nearest keys, when there is none. `len`: of the key. '_' is taken for '-'. */
const struct field *field_find(const struct fields *fields, const char *key, size_t len, struct err *err);

/* Sets the member from a text, within its limits. The error does not name the key. */
int field_set(const struct field *field, void *object, const char *text, struct err *err) __attribute__((warn_unused_result));
bool field_is_set(const struct field *field, const void *object);
/* As field_set() takes it. Returns buf. */
const char *field_text(const struct field *field, const void *object, char *buf, size_t size);
/* Whether it says something else than the default. */
bool field_differs(const struct field *field, const void *object);

/* Sets what the JSON object has; unknown keys are errors. */
int fields_read(const struct fields *fields, const struct json_at *at, void *object, struct err *err) __attribute__((warn_unused_result));
/* Every member to its default, "not set" where it has none. */
void fields_reset(const struct fields *fields, void *object);
/* Whether what is set (by somebody else, on the wire) is within its limits. The error names the key. */
int fields_check(const struct fields *fields, const void *object, struct err *err) __attribute__((warn_unused_result));
/* "key=text,key=text" of what differs from the default, from row `first` on. Returns buf. */
const char *fields_text(const struct fields *fields, size_t first, const void *object, char *buf, size_t size);
