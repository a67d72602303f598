/* SPDX-License-Identifier: Apache-2.0 */
#include "client/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* strtoull takes blanks and signs; nothing here does. `base` 0 means decimal or 0x. */
static int parse_digits(const char *text, uint64_t *out, const char **end)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && isxdigit((unsigned char)text[2]);
	if (!isdigit((unsigned char)text[0]))
		return -1;
	char *stop = NULL;
	errno = 0;
	*out = strtoull(text, &stop, hex ? 16 : 10);
	*end = stop;
	return errno == 0 ? 0 : -1;
}

static int parse_fraction(const char **at, uint64_t unit_ms, uint64_t *ms)
{
	uint64_t scale = unit_ms;
	const char *p = *at + 1;
	if (!isdigit((unsigned char)*p))
		return -1;
	*ms = 0;
	for (; isdigit((unsigned char)*p); p++) {
		scale /= 10;
		*ms += scale * (uint64_t)(*p - '0');
	}
	*at = p;
	return 0;
}

static uint64_t duration_unit(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "min", 60000 }, { "h", 3600000 } };
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ms;
	return 0;
}

int value_duration(const char *text, uint64_t *ms, struct err *err)
{
	uint64_t whole;
	const char *at;
	if (parse_digits(text, &whole, &at) < 0 || strncasecmp(text, "0x", 2) == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a duration: write 500ms, 2s or 5m", text);
	const char *unit_at = at + strspn(at, ".0123456789");
	uint64_t unit = duration_unit(unit_at), fraction = 0, total;
	if (unit == 0 && *unit_at == '\0')
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' has no unit: write %ss, %sms or %sm", text, text, text, text);
	if (unit == 0 || (*at == '.' && parse_fraction(&at, unit, &fraction) < 0) || at != unit_at)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a duration: write 500ms, 2s or 5m", text);
	if (__builtin_mul_overflow(whole, unit, &total) || total + fraction > UINT32_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is too long a time: at most 49 days", text);
	*ms = total + fraction;
	return 0;
}

static int size_shift(const char *unit)
{
	if (*unit == '\0')
		return 0;
	static const char letters[] = "KMG";
	const char *letter = strchr(letters, toupper((unsigned char)unit[0]));
	if (letter == NULL || (unit[1] != '\0' && strcmp(unit + 1, "iB") != 0))
		return -1;
	return (int)(letter - letters + 1) * 10;
}

int value_size(const char *text, uint64_t *bytes, struct err *err)
{
	uint64_t number;
	const char *unit;
	int shift = parse_digits(text, &number, &unit) < 0 ? -1 : size_shift(unit);
	if (shift < 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a number: write 4096, 0x1000, 4K or 1M", text);
	if (number > UINT64_MAX >> shift)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is too large", text);
	*bytes = number << shift;
	return 0;
}

int value_number(const char *text, int64_t min, int64_t max, int64_t *number, struct err *err)
{
	char *end = NULL;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (!(isdigit((unsigned char)text[0]) || (text[0] == '-' && isdigit((unsigned char)text[1]))) || *end != '\0' || errno != 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a number", text);
	if (value < min || value > max)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is out of range: %lld to %lld", text, (long long)min, (long long)max);
	*number = value;
	return 0;
}

int value_position(const char *text, Pwemu__V1__Position *out, struct err *err)
{
	Pwemu__V1__Position position = PWEMU__V1__POSITION__INIT;
	if (strcmp(text, "boot") == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_BOOT;
		position.boot = 1;
	} else if (strcmp(text, "now") == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_NOW;
		position.now = 1;
	} else if (text[0] == '-' && value_size(text + 1, &position.tail, NULL) == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_TAIL;
	} else if (value_size(text, &position.offset, NULL) == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_OFFSET;
	} else {
		return err_set(err, ERR_INVALID_ARGUMENT,
			       "'%s' is not a position: write 0, boot, now, -4K (before the end) or an offset in bytes", text);
	}
	*out = position;
	return 0;
}

int value_key(const char *text, unsigned char *key, struct err *err)
{
	static const char *const prefixes[] = { "^", "ctrl-", "ctrl+", "c-" };
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i]);
		if (strncasecmp(text, prefixes[i], len) != 0 || text[len] == '\0' || text[len + 1] != '\0')
			continue;
		int letter = toupper((unsigned char)text[len]);
		if (letter > '@' && letter <= '_') {
			*key = (unsigned char)(letter - '@');
			return 0;
		}
	}
	return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a control key: write ^A or ctrl-a", text);
}

const char *value_key_name(unsigned char key)
{
	static char name[16];
	snprintf(name, sizeof(name), "Ctrl+%c", key < 32 ? key + '@' : key);
	return name;
}
