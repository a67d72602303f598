/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of words, and the splitting of one text into words as a POSIX shell does it. */
#pragma once

#include <stddef.h>

#include "wire/err.h"

struct words {
	char **list; /* each word is owned */
	size_t count;
};

#define WORDS_INIT                                                                                                                         \
	{                                                                                                                                  \
		NULL, 0                                                                                                                    \
	}

void words_add(struct words *words, const char *word);
void words_take(struct words *words, char *word); /* owns `word` from now on */
void words_fini(struct words *words);

/* Appends the words of `text`: blanks separate, '…' is literal, in "…" a backslash quotes $ ` " \ and newline, elsewhere it quotes
 * any character. Nothing is expanded. On failure (a quote that does not end) nothing was added. */
int words_split(struct words *words, const char *text, struct err *err) __attribute__((warn_unused_result));
