/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens: "ID.SECRET", 8 hex digits and 32 random bytes in base64url. The file <state>/tokens (0600, replaced by rename) has one
 * line for each, with the SHA-256 of the whole and not the token: of 256 random bits nothing slower is needed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

#define TOKEN_ID_LEN     8
#define TOKEN_SECRET_LEN 43
#define TOKEN_LEN        (TOKEN_ID_LEN + 1 + TOKEN_SECRET_LEN)
#define TOKEN_USER_MAX   64
#define TOKEN_NOTE_MAX   128
#define TOKENS_MAX       10000

struct token {
	char id[TOKEN_ID_LEN + 1];
	uint8_t hash[32];
	char user[TOKEN_USER_MAX];
	uid_t uid;
	uint64_t created_s, expires_s; /* Unix time; expires 0: never */
	char note[TOKEN_NOTE_MAX];
};

struct tokens;

/* An empty set whose file is `path`. */
struct tokens *tokens_new(const char *path);
void tokens_free(struct tokens *tokens);
/* Replaces the set by what is in the file; none is an empty set. On failure the set stays. */
int tokens_load(struct tokens *tokens, struct err *err) __attribute__((warn_unused_result));
/* The same from memory; `name` is for messages. */
int tokens_parse(struct tokens *tokens, const char *name, const char *text, size_t len, struct err *err)
	__attribute__((warn_unused_result));

size_t tokens_count(const struct tokens *tokens);
const struct token *tokens_at(const struct tokens *tokens, size_t i);
const struct token *tokens_by_id(const struct tokens *tokens, const char *id);

/* Makes a token and stores the file. id, hash and created_s are filled in; `text` is the token, told once. */
int tokens_add(struct tokens *tokens, const struct token *wanted, char text[TOKEN_LEN + 1], struct err *err)
	__attribute__((warn_unused_result));
/* False: there is none. */
int tokens_remove(struct tokens *tokens, const char *id, struct err *err) __attribute__((warn_unused_result));

/* Whose token this is; NULL: nobody's. Takes as long for a wrong secret as for the right one. Also one that has expired is found. */
const struct token *tokens_check(const struct tokens *tokens, const char *text);
bool token_has_expired(const struct token *token, uint64_t now_s);
/* No control characters, so no tabs and line ends, and short enough. */
int token_check_note(const char *note, struct err *err) __attribute__((warn_unused_result));
