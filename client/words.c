/* SPDX-License-Identifier: Apache-2.0 */
#include "client/words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

void words_take(struct words *words, char *word)
{
	words->list = xrealloc(words->list, words->count + 1, sizeof(*words->list));
	words->list[words->count++] = word;
}

void words_add(struct words *words, const char *word)
{
	words_take(words, xstrdup(word));
}

static void words_truncate(struct words *words, size_t count)
{
	while (words->count > count)
		free(words->list[--words->count]);
}

void words_fini(struct words *words)
{
	words_truncate(words, 0);
	free(words->list);
	words->list = NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

static bool is_escape(const char *at, char quote)
{
	if (at[0] != '\\' || at[1] == '\0' || quote == '\'')
		return false;
	return quote == '\0' || strchr("$`\"\\\n", at[1]) != NULL;
}

/* Copies one word to `to`; returns where it ends, NULL when a quote does not end. */
static const char *copy_word(const char *at, char *to)
{
	char quote = '\0';
	for (; *at != '\0' && (quote != '\0' || !is_blank(*at)); at++) {
		if (is_escape(at, quote)) {
			if (*++at != '\n') /* an escaped line end joins the lines */
				*to++ = *at;
		} else if (quote != '\0' && *at == quote) {
			quote = '\0';
		} else if (quote == '\0' && (*at == '\'' || *at == '"')) {
			quote = *at;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
	return quote == '\0' ? at : NULL;
}

int words_split(struct words *words, const char *text, struct err *err)
{
	size_t before = words->count;
	const char *at = text;
	for (;;) {
		while (is_blank(*at))
			at++;
		if (*at == '\0')
			return 0;
		char *word = xmalloc(strlen(at) + 1);
		words_take(words, word);
		at = copy_word(at, word);
		if (at == NULL) {
			words_truncate(words, before);
			return err_set(err, ERR_INVALID_ARGUMENT, "a quote does not end in: %s", text);
		}
	}
}
