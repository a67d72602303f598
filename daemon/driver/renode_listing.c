/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   The following properties are available:
 *    - UInt32 BaudRate
 *        available for 'get'
 *    - Boolean X
 *        available for 'get' and 'set'
 * A heading "The following … are available" ends it.
 */
#include "driver/renode_listing.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/nearest.h"
#include "config/value.h"
#include "wire/mem.h"

/* ---------------------------------------------------------------- properties */

static char *listing_cut(char **rest)
{
	return strsep(rest, "\n");
}

/* " - TYPE NAME": the name is the last word, a type may have blanks in it. */
static bool listing_row(char *line, struct driver_property *row)
{
	if (strncmp(line, " - ", 3) != 0)
		return false;
	char *blank = strrchr(line, ' ');
	if (blank <= line + 2 || blank[1] == '\0')
		return false;
	*blank = '\0';
	*row = (struct driver_property){ .name = blank + 1, .type = line + 3 };
	return true;
}

static void listing_add(struct renode_listing *listing, const struct driver_property *row)
{
	listing->rows = xrealloc(listing->rows, listing->count + 1, sizeof(*listing->rows));
	listing->rows[listing->count++] = *row;
}

static void listing_access(struct renode_listing *listing, const char *line)
{
	if (listing->count == 0 || strstr(line, "available for ") == NULL)
		return;
	struct driver_property *last = &listing->rows[listing->count - 1];
	last->is_readable = last->is_readable || strstr(line, "'get'") != NULL;
	last->is_writable = last->is_writable || strstr(line, "'set'") != NULL;
}

void renode_listing_init(struct renode_listing *listing, const char *text)
{
	bool is_inside = false;
	*listing = (struct renode_listing){ .text = xstrdup(text) };
	for (char *rest = listing->text, *line; (line = listing_cut(&rest)) != NULL;) {
		struct driver_property row;
		if (strncmp(line, "The following ", 14) == 0)
			is_inside = strstr(line, "properties are available") != NULL;
		else if (is_inside && strncmp(line, "Usage:", 6) == 0)
			is_inside = false;
		else if (is_inside && listing_row(line, &row))
			listing_add(listing, &row);
		else if (is_inside)
			listing_access(listing, line);
	}
}

void renode_listing_fini(struct renode_listing *listing)
{
	free(listing->rows);
	free(listing->text);
	*listing = (struct renode_listing){ 0 };
}

const struct driver_property *renode_listing_find(const struct renode_listing *listing, const char *name)
{
	for (size_t i = 0; i < listing->count; i++)
		if (strcmp(listing->rows[i].name, name) == 0)
			return &listing->rows[i];
	return NULL;
}

void renode_listing_hint(const struct renode_listing *listing, const char *name, char *buf, size_t size)
{
	const char **names = xcalloc(listing->count, sizeof(*names));
	for (size_t i = 0; i < listing->count; i++)
		names[i] = listing->rows[i].name;
	nearest_hint(name, names, listing->count, buf, size);
	free(names);
}

/* ---------------------------------------------------------------- values */

enum value_kind { VALUE_BOOL, VALUE_INTEGER, VALUE_REAL, VALUE_STRING, VALUE_WORD };

/* .NET's names, and C#'s. */
static enum value_kind value_kind(const char *type)
{
	static const struct {
		const char *name;
		enum value_kind kind;
	} types[] = { { "Boolean", VALUE_BOOL },   { "bool", VALUE_BOOL },      { "Byte", VALUE_INTEGER },
		      { "SByte", VALUE_INTEGER },  { "Int16", VALUE_INTEGER },  { "UInt16", VALUE_INTEGER },
		      { "Int32", VALUE_INTEGER },  { "UInt32", VALUE_INTEGER }, { "Int64", VALUE_INTEGER },
		      { "UInt64", VALUE_INTEGER }, { "int", VALUE_INTEGER },    { "uint", VALUE_INTEGER },
		      { "long", VALUE_INTEGER },   { "ulong", VALUE_INTEGER },  { "RegisterValue", VALUE_INTEGER },
		      { "Single", VALUE_REAL },    { "Double", VALUE_REAL },    { "Decimal", VALUE_REAL },
		      { "String", VALUE_STRING },  { "string", VALUE_STRING } };
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, type) == 0)
			return types[i].kind;
	return VALUE_WORD;
}

static char *value_text(struct json_object *value)
{
	char *text = xstrdup(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(value);
	return text;
}

/* Decimal, or hexadecimal behind 0x; nothing else is a number in Renode. */
static struct json_object *json_integer(const char *text)
{
	char *end;
	bool is_negative = text[0] == '-';
	const char *digits = text + is_negative;
	bool is_hex = strncasecmp(digits, "0x", 2) == 0;
	errno = 0;
	unsigned long long number = strtoull(digits, &end, is_hex ? 16 : 10);
	if (errno != 0 || !isdigit((unsigned char)digits[0]) || *end != '\0' || (is_negative && number > (uint64_t)1 << 63))
		return NULL;
	return is_negative ? json_object_new_int64((int64_t)(0 - number)) : json_object_new_uint64(number);
}

static bool is_real(const char *text, double *number)
{
	char *end;
	*number = strtod(text, &end);
	return text[0] != '\0' && strspn(text, "0123456789+-.eE") == strlen(text) && *end == '\0' && isfinite(*number);
}

/* With as many digits as it takes. */
static struct json_object *json_real(const char *text)
{
	double number;
	char digits[32];
	if (!is_real(text, &number))
		return NULL;
	for (int count = 6; count <= 17; count++) {
		snprintf(digits, sizeof(digits), "%.*g", count, number);
		if (strtod(digits, NULL) == number)
			break;
	}
	return json_object_new_double_s(number, digits);
}

char *renode_value_json(const char *type, const char *text)
{
	enum value_kind kind = value_kind(type);
	struct json_object *value = NULL;
	size_t len = strlen(text);
	if (kind == VALUE_WORD) { /* of an enumeration; all that there are follow it */
		const char *others = strstr(text, "\nPossible values are:");
		for (len = others != NULL ? (size_t)(others - text) : len; len > 0 && text[len - 1] == '\n';)
			len--;
	}
	if (kind == VALUE_BOOL && (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0))
		value = json_object_new_boolean(tolower((unsigned char)text[0]) == 't');
	else if (kind == VALUE_INTEGER)
		value = json_integer(text);
	else if (kind == VALUE_REAL)
		value = json_real(text);
	return value_text(value != NULL ? value : json_object_new_string_len(text, (int)len));
}

/* JSON text becomes what a person would have written. */
static char *value_plain(const char *value, bool is_json)
{
	struct json_object *parsed = is_json ? json_tokener_parse(value) : NULL;
	char *plain = xstrdup(parsed != NULL ? json_object_get_string(parsed) : value);
	json_object_put(parsed);
	return plain;
}

static char *value_fail(const char *type, const char *text, const char *what, struct err *err)
{
	err_set(err, ERR_INVALID_ARGUMENT, "\"%.200s\" is no value of the type %.64s: %s", text, type, what);
	err_reason(err, "invalid-value");
	return NULL;
}

static char *argument_bool(const char *type, const char *text, struct err *err)
{
	static const char *const words[2][4] = { { "false", "off", "no", "0" }, { "true", "on", "yes", "1" } };
	for (size_t is_true = 0; is_true < 2; is_true++)
		for (size_t i = 0; i < 4; i++)
			if (strcasecmp(words[is_true][i], text) == 0)
				return xstrdup(is_true ? "true" : "false");
	return value_fail(type, text, "write on or off", err);
}

static char *argument_integer(const char *type, const char *text, struct err *err)
{
	bool is_negative = text[0] == '-';
	uint64_t number;
	if (value_size(text + is_negative, &number, NULL) < 0)
		return value_fail(type, text, "write 12, 0x1f, 64K, 1M or 2G", err);
	return xasprintf("%s%llu", is_negative ? "-" : "", (unsigned long long)number);
}

static char *argument_real(const char *type, const char *text, struct err *err)
{
	double number;
	if (!is_real(text, &number))
		return value_fail(type, text, "write 1.5", err);
	return xstrdup(text);
}

static char *argument_string(const char *type, const char *text, struct err *err)
{
	for (const char *at = text; *at != '\0'; at++)
		if (*at == '"' || (unsigned char)*at < ' ' || *at == 0x7f)
			return value_fail(type, text, "Renode's monitor takes no quotes and control characters", err);
	size_t len = strlen(text);
	if (len > 0 && text[len - 1] == '\\')
		return value_fail(type, text, "Renode's monitor takes no backslash at the end", err);
	return xasprintf("\"%s\"", text);
}

static char *argument_word(const char *type, const char *text, struct err *err)
{
	for (const char *at = text; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && strchr("_-.@/+", *at) == NULL)
			return value_fail(type, text, "write one word", err);
	return text[0] != '\0' ? xstrdup(text) : value_fail(type, text, "it is empty", err);
}

char *renode_value_argument(const char *type, const char *value, bool is_json, struct err *err)
{
	static char *(*const arguments[])(const char *type, const char *text, struct err *err) = {
		[VALUE_BOOL] = argument_bool,     [VALUE_INTEGER] = argument_integer, [VALUE_REAL] = argument_real,
		[VALUE_STRING] = argument_string, [VALUE_WORD] = argument_word,
	};
	char *plain = value_plain(value, is_json);
	char *argument = arguments[value_kind(type)](type, plain, err);
	free(plain);
	return argument;
}
