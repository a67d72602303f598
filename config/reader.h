/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How JSON becomes a message: one table of keys an object, one function a key. The reader knows how strict the file is, expands its
 * texts, keeps who set what, and either ends at the first error or reports each and goes on. Internal to config/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/json.h"
#include "config/origin.h"
#include "config/subst.h"
#include "wire/err.h"

/* Whose file it is; a set of them where a key says in which files it is known. */
enum reader_flavour {
	READER_PRESET = 1,  /* a file of the daemon */
	READER_PWEMU = 2,   /* pwemu.json */
	READER_PIGWEED = 4, /* pigweed.json */
	READER_PROJECT = READER_PWEMU | READER_PIGWEED,
	READER_ANY = READER_PROJECT | READER_PRESET,
};

typedef void (*reader_report_fn)(void *ctx, const struct err *what);

/* A $pw_emu_channel_...{} that is to be looked at once all channels are known. */
struct reader_use {
	enum subst_kind kind;
	char *channel;
	char *where; /* "FILE:LINE: PATH" */
};

#define READER_PREFIX_MAX 128

struct reader {
	enum reader_flavour flavour; /* a pigweed.json may be newer than this program: what it does not know is a warning there */
	bool expands;                /* $pw_...{} mean something */
	reader_report_fn on_warning; /* NULL: nobody wants to know */
	reader_report_fn on_error;   /* NULL: the first error ends it */
	void *ctx;
	struct origins *origins; /* NULL: nobody wants to know */
	const char *dir;         /* relative file names begin here */
	const char *emulator;    /* the one whose keys are read; those of others are not looked at */
	unsigned errors;         /* that were reported */

	char prefix[READER_PREFIX_MAX]; /* before the names of values: "qemu." */
	struct reader_use *uses;
	size_t use_count;
	char *target_type_text;
	char *target_type_where;
};

/* Frees what was collected, not the origins. */
void reader_fini(struct reader *reader);

/* An error was set: reports it and returns 0 to go on, or -1 when the first one is to end it. */
int reader_failed(struct reader *reader, struct err *err);
void reader_warn(struct reader *reader, const struct err *what);

/* ---------------------------------------------------------------- objects */

struct key {
	const char *name;
	int (*read)(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
	enum reader_flavour flavours; /* 0: any */
	size_t offset;                /* of the member that the read function fills in */
	size_t count_offset;          /* … and of its count, where it is a list */
};

struct keys {
	const struct key *rows;
	size_t count;
};
#define KEYS(rows_)                                                                                                                        \
	{                                                                                                                                  \
		.rows = (rows_), .count = sizeof(rows_) / sizeof((rows_)[0])                                                               \
	}

/* Reads the members that are not null, in the order of the file. */
int reader_object(struct reader *reader, const struct json_at *at, const struct keys *keys, void *object, struct err *err)
	__attribute__((warn_unused_result));
/* Only reports the members that no row is for. */
int reader_unknown(struct reader *reader, const struct json_at *at, const struct keys *keys, struct err *err)
	__attribute__((warn_unused_result));
/* Sets the error for a key that is none of `names`: where it belongs, which of them may be meant, or all that are valid. */
void reader_unknown_key(const struct json_at *member, const char *const *names, size_t count, struct err *err);
/* As reader_object() for members that have any name: `each` gets them with their key. */
int reader_members(struct reader *reader, const struct json_at *at,
		   int (*each)(struct reader *reader, const struct json_at *at, void *object, struct err *err), void *object,
		   struct err *err) __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- values */

/* Says that the file set this value; the name follows the reader's prefix. */
void reader_set_by(struct reader *reader, const struct json_at *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "FILE:LINE", owned by the caller. */
char *reader_where(const struct json_at *at);

enum reader_text { READER_PLAIN, READER_COMMAND }; /* COMMAND: $pw_emu_...{} may stand in it */

/* What the text stands for, owned by the caller. */
int reader_expand(struct reader *reader, const struct json_at *at, enum reader_text kind, char **out, struct err *err)
	__attribute__((warn_unused_result));
/* The same into a member of a message, whose old text is freed. */
int reader_text(struct reader *reader, const struct json_at *at, enum reader_text kind, char **member, struct err *err)
	__attribute__((warn_unused_result));
/* Appends a list of texts to a repeated member; with `or_one` a text alone is a list of one. */
int reader_texts(struct reader *reader, const struct json_at *at, enum reader_text kind, bool or_one, char ***list, size_t *count,
		 struct err *err) __attribute__((warn_unused_result));
void reader_free_texts(char ***list, size_t *count);

/* Read functions for rows of a table: a text; a list of texts instead of the old one; a list of texts behind the old one that are
 * arguments; nothing at all. */
int key_text(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
int key_texts(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
int key_args(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
int key_ignore(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
