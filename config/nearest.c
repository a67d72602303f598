/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimal string alignment distance (insert, delete, replace, exchange neighbours) in three rolling rows. A name's score is its
 * distance; a name that merely begins with the word or contains it gets a score just behind the spelling errors, so that
 * "netduino" finds qemu-netduinoplus2 although ten letters differ.
 */
#include "config/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX    127
#define NO_MATCH    1000u
#define AFFIX_SCORE 100u /* behind every typing error; the difference in length is added */
#define HINT_MAX    3
#define LIST_MAX    64

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

static unsigned distance(const char *a, size_t alen, const char *b, size_t blen)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= blen; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= alen; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= blen; j++) {
			unsigned cost = same(a[i - 1], b[j - 1]) ? 0 : 1;

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		unsigned *oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return above[blen];
}

/* Lower is nearer; NO_MATCH: nobody can have meant this. */
static unsigned score(const char *word, size_t word_len, const char *name)
{
	size_t name_len = strnlen(name, WORD_MAX + 1);
	size_t longer = name_len > word_len ? name_len : word_len;
	size_t gap = longer - (name_len > word_len ? word_len : name_len);

	if (name_len == 0 || name_len > WORD_MAX)
		return NO_MATCH;
	unsigned typos = distance(word, word_len, name, name_len);
	if (typos <= 1 + word_len / 4 && typos < longer)
		return typos;
	if (word_len >= 2 && strncasecmp(name, word, word_len) == 0)
		return AFFIX_SCORE + (unsigned)gap;
	if (word_len >= 3 && name_len >= 3 && (strcasestr(name, word) || strcasestr(word, name)))
		return 2 * AFFIX_SCORE + (unsigned)gap;
	return NO_MATCH;
}

size_t nearest_names(const char *word, const char *const *names, size_t count, const char **out, size_t max_out)
{
	unsigned scores[16];
	size_t word_len = strnlen(word, WORD_MAX + 1);
	size_t found = 0;

	if (max_out > sizeof(scores) / sizeof(scores[0]))
		max_out = sizeof(scores) / sizeof(scores[0]);
	if (word_len == 0 || word_len > WORD_MAX || max_out == 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		unsigned mine = names[i] ? score(word, word_len, names[i]) : NO_MATCH;
		size_t at = found;

		while (at > 0 && scores[at - 1] > mine)
			at--;
		if (mine == NO_MATCH || at == max_out)
			continue;
		if (found < max_out)
			found++;
		memmove(&scores[at + 1], &scores[at], (found - 1 - at) * sizeof(scores[0]));
		memmove(&out[at + 1], &out[at], (found - 1 - at) * sizeof(out[0]));
		scores[at] = mine;
		out[at] = names[i];
	}
	return found;
}

const char *nearest_hint(const char *word, const char *const *names, size_t count, char *buf, size_t size)
{
	const char *near[HINT_MAX];
	size_t found = nearest_names(word, names, count, near, HINT_MAX);
	size_t used = 0;

	if (size > 0)
		buf[0] = '\0';
	for (size_t i = 0; i < found && used < size; i++) {
		const char *joint = i == 0 ? " (did you mean " : i + 1 < found ? ", " : " or ";
		int n = snprintf(buf + used, size - used, "%s\"%s\"%s", joint, near[i], i + 1 < found ? "" : "?)");

		used += n > 0 ? (size_t)n : 0;
	}
	return buf;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *nearest_hint_or_all(const char *word, const char *const *names, size_t count, char *buf, size_t size)
{
	static const char first[] = " (valid here: ", next[] = ", ", end[] = ")", rest[] = ", ...)";
	const char *sorted[LIST_MAX];
	size_t used = 0;

	if (nearest_hint(word, names, count, buf, size)[0] != '\0' || count == 0 || count > LIST_MAX)
		return buf;
	memcpy(sorted, names, count * sizeof(sorted[0]));
	qsort(sorted, count, sizeof(sorted[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		const char *joint = i == 0 ? first : next;

		if (used + strlen(joint) + strlen(sorted[i]) + 2 + sizeof(rest) > size) { /* the quotes; sizeof has the NUL */
			snprintf(buf + used, size - used, "%s", i > 0 ? rest : "");
			return buf;
		}
		used += (size_t)snprintf(buf + used, size - used, "%s\"%s\"", joint, sorted[i]);
	}
	snprintf(buf + used, size - used, "%s", end);
	return buf;
}
