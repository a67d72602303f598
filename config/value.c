/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* strtoull takes blanks and signs; nothing here does. Decimal, or hexadecimal with 0x. */
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

/* What follows the point, in parts of `unit`. */
static int parse_fraction(const char **at, uint64_t unit, uint64_t *parts)
{
	uint64_t scale = unit;
	const char *p = *at + 1;
	if (!isdigit((unsigned char)*p))
		return -1;
	*parts = 0;
	for (; isdigit((unsigned char)*p); p++) {
		scale /= 10;
		*parts += scale * (uint64_t)(*p - '0');
	}
	*at = p;
	return 0;
}

/* ---------------------------------------------------------------- durations */

/* Those that are written come first, largest first. */
static const struct {
	const char *name;
	uint64_t ms;
} durations[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { "min", 60000 } };

static uint64_t duration_unit(const char *unit)
{
	for (size_t i = 0; i < COUNT(durations); i++)
		if (strcmp(unit, durations[i].name) == 0)
			return durations[i].ms;
	return 0;
}

int value_long_duration(const char *text, uint64_t *ms, struct err *err)
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
	if (__builtin_mul_overflow(whole, unit, &total) || __builtin_add_overflow(total, fraction, &total))
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is too long a time", text);
	*ms = total;
	return 0;
}

int value_duration(const char *text, uint64_t *ms, struct err *err)
{
	uint64_t value = 0;
	if (value_long_duration(text, &value, err) < 0)
		return -1;
	if (value > UINT32_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is too long a time: at most 49 days", text);
	*ms = value;
	return 0;
}

const char *value_duration_text(uint64_t ms, char *buf, size_t size)
{
	size_t i = 0;
	while (durations[i].ms > 1 && (ms < durations[i].ms || ms % durations[i].ms != 0))
		i++;
	snprintf(buf, size, "%llu%s", (unsigned long long)(ms / durations[i].ms), ms > 0 ? durations[i].name : "s");
	return buf;
}

/* ---------------------------------------------------------------- sizes */

static const char size_units[] = "KMG";

static int size_shift(const char *unit)
{
	if (*unit == '\0')
		return 0;
	const char *letter = strchr(size_units, toupper((unsigned char)unit[0]));
	if (letter == NULL || (unit[1] != '\0' && strcmp(unit + 1, "iB") != 0))
		return -1;
	return (int)(letter - size_units + 1) * 10;
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

const char *value_size_text(uint64_t bytes, char *buf, size_t size)
{
	size_t unit = 0;
	for (; unit < strlen(size_units) && bytes > 0 && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	snprintf(buf, size, "%llu%.*s", (unsigned long long)bytes, unit > 0, size_units + unit - (unit > 0));
	return buf;
}

/* ---------------------------------------------------------------- numbers */

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

int value_factor(const char *text, uint64_t *percent, struct err *err)
{
	uint64_t whole, fraction = 0;
	const char *at;
	if (parse_digits(text, &whole, &at) < 0 || whole > UINT32_MAX || (*at == '.' && parse_fraction(&at, 100, &fraction) < 0) ||
	    *at != '\0')
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a factor: write 2 or 1.5", text);
	*percent = whole * 100 + fraction;
	return 0;
}
