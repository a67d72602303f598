/* SPDX-License-Identifier: Apache-2.0 */
#include "client/quote.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"
#include "wire/utf8.h"

static bool quote_has_control(const char *word)
{
	char *copy = xstrdup(word);
	utf8_make_harmless(copy);
	bool has_control = strcmp(copy, word) != 0;
	free(copy);
	return has_control;
}

/* As bash, zsh and ksh read it: what a terminal would obey is told by its number. */
static void quote_controls(FILE *to, const char *word)
{
	fputs("$'", to);
	for (size_t len = strlen(word), n; len > 0; word += n, len -= n) {
		char shown[5] = "";
		uint32_t point;
		n = utf8_decode(word, len, &point);
		memcpy(shown, word, n);
		utf8_make_harmless(shown);
		if (n > 0 && strncmp(shown, word, n) == 0)
			fprintf(to, *word == '\'' || *word == '\\' ? "\\%s" : "%s", shown);
		else
			for (size_t i = 0; i < (n > 0 ? n : 1); i++)
				fprintf(to, "\\x%02x", (unsigned char)word[i]);
		n = n > 0 ? n : 1;
	}
	fputc('\'', to);
}

void quote_for_shell(FILE *to, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
	if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
		fputs(word, to);
		return;
	}
	if (quote_has_control(word)) {
		quote_controls(to, word);
		return;
	}
	fputc('\'', to);
	for (; *word != '\0'; word++)
		if (*word == '\'')
			fputs("'\\''", to);
		else
			fputc(*word, to);
	fputc('\'', to);
}
