/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/monitor_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "wire/mem.h"

#define REASON_LINE_MAX  300
#define REASON_LINES_MAX 4

static bool is_line_end(char c)
{
	return c == '\r' || c == '\n';
}

/* ---------------------------------------------------------------- echo */

static bool is_other(char c)
{
	return (unsigned char)c >= 0x80;
}

static const char *skip_line_ends(const char *at, const char *end)
{
	while (at < end && is_line_end(*at))
		at++;
	return at;
}

/* Letters beyond ASCII are printed in the encoding of Renode's runtime: as they came, as other bytes, as question marks, or not at all. */
static const char *skip_others(const char *at, const char *end, bool are_marks)
{
	for (;;) {
		while (at < end && (is_other(*at) || (are_marks && *at == '?')))
			at++;
		const char *next = skip_line_ends(at, end);
		if (next == at || next == end || !is_other(*next))
			return at;
		at = next;
	}
}

/* End of the echo that begins here, on its line end; NULL: it is none, or not complete. */
static const char *match_echo(const char *at, const char *end, const char *command)
{
	while (*command != '\0') {
		if (is_other(*command)) {
			while (is_other(*command))
				command++;
			at = skip_others(at, end, *command != '?');
		} else {
			at = skip_line_ends(at, end);
			if (at == end || *at++ != *command++)
				return NULL;
		}
	}
	return at < end && is_line_end(*at) ? at : NULL;
}

const char *monitor_find_echo(const char *text, size_t len, const char *command)
{
	const char *end = text + len;
	for (const char *at = text; at < end; at++) {
		bool can_begin = at == text || is_line_end(at[-1]) || (at - text >= 2 && at[-1] == ' ' && at[-2] == ')');
		const char *found = can_begin && !is_line_end(*at) ? match_echo(at, end, command) : NULL;
		if (found != NULL)
			return found;
	}
	return NULL;
}

/* ---------------------------------------------------------------- prompt */

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || strchr("_-.+:", c) != NULL;
}

size_t monitor_find_prompt(const char *text, size_t len)
{
	if (len < 4 || text[len - 1] != ' ' || text[len - 2] != ')')
		return 0;
	size_t at = len - 2;
	while (at > 0 && is_name(text[at - 1]))
		at--;
	if (at == 0 || text[at - 1] != '(' || at == len - 2 || len - at > MONITOR_PROMPT_MAX - 2)
		return 0;
	at--;
	return at == 0 || is_line_end(text[at - 1]) ? len - at : 0;
}

/* ---------------------------------------------------------------- lines */

/* "\n", "\r\n", "\n\r" and "\r\r\n" are one line end each. */
char *monitor_normal(const char *text, size_t len)
{
	char *out = xmalloc(len + 1), *to = out;
	for (size_t i = 0; i < len; i++)
		if (text[i] != '\r' && text[i] != '\0' && (text[i] != '\n' || to > out))
			*to++ = text[i];
	while (to > out && to[-1] == '\n')
		to--;
	*to = '\0';
	return out;
}

/* ---------------------------------------------------------------- errors */

/* Beginnings of lines; the first that is found counts. */
static const struct {
	const char *begins;
	enum err_code code;
	bool reason_follows; /* the command, or in the lines after it; else the line itself is the reason */
} errors[] = {
	{ "No such command or device:", ERR_NOT_FOUND, false },
	{ "There was an error executing command", ERR_FAILED_PRECONDITION, true },
	{ "Parameters did not match the signature", ERR_FAILED_PRECONDITION, false },
	{ "Bad parameters for command", ERR_FAILED_PRECONDITION, false },
	{ "Could not find file", ERR_FAILED_PRECONDITION, false },
	{ "Could not tokenize here:", ERR_FAILED_PRECONDITION, false },
	{ "Failed to download", ERR_FAILED_PRECONDITION, false },
};

static const char *find_line(const char *text, const char *begins)
{
	size_t len = strlen(begins);
	for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, begins, len) == 0)
			return at;
		if (*at == '\0')
			break;
	}
	return NULL;
}

static size_t line_length(const char *line, size_t max)
{
	size_t len = strcspn(line, "\n");
	return len < max ? len : max;
}

/* The lines that say why, on one line. */
static void take_reason(const char *at, char *out, size_t size)
{
	size_t used = 0;
	out[0] = '\0';
	for (int lines = 0; *at != '\0' && lines < REASON_LINES_MAX && used < size - 1; lines++) {
		size_t len = strcspn(at, "\n");
		if (len > 0)
			used += (size_t)snprintf(out + used, size - used, "%s%.*s", used > 0 ? "; " : "",
						 (int)line_length(at, REASON_LINE_MAX), at);
		at += len + (at[len] == '\n');
	}
}

/* Behind "': " after 1.16, before that the next line. */
static const char *after_command(const char *line)
{
	const char *end = line + strcspn(line, "\n"), *same = strstr(line, "': ");
	return same != NULL && same < end ? same + strlen("': ") : end + (*end == '\n');
}

bool monitor_find_error(const char *text, struct err *err)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		const char *line = find_line(text, errors[i].begins);
		char reason[320];
		if (line == NULL)
			continue;
		reason[0] = '\0';
		if (errors[i].reason_follows)
			take_reason(after_command(line), reason, sizeof(reason));
		if (reason[0] == '\0')
			snprintf(reason, sizeof(reason), "%.*s", (int)line_length(line, REASON_LINE_MAX), line);
		err_set(err, errors[i].code, "%s", reason);
		return true;
	}
	return false;
}
