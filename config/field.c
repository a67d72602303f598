/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind but names is a number of 64 bits between text and member; a range is its two numbers in one. */
#include "config/field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/value.h"
#include "wire/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_MAX     128
#define WORDS_MAX    64

/* ---------------------------------------------------------------- kinds */

static int parse_count(const char *text, uint64_t *out, struct err *err)
{
	int64_t value;
	if (value_number(text, 0, INT64_MAX, &value, err) < 0)
		return -1;
	*out = (uint64_t)value;
	return 0;
}

static int parse_percent(const char *text, uint64_t *out, struct err *err)
{
	char number[TEXT_MAX];
	size_t len = strcspn(text, "%");
	if (strcmp(text + len, "%") != 0 || len >= sizeof(number))
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a percentage: write 20%%", text);
	snprintf(number, sizeof(number), "%.*s", (int)len, text);
	return parse_count(number, out, err);
}

static int parse_range(const char *text, uint64_t *out, struct err *err)
{
	char number[TEXT_MAX];
	size_t len = strcspn(text, "-");
	int64_t first, last;
	if (text[len] == '\0' || len >= sizeof(number))
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a range: write 20000-29999", text);
	snprintf(number, sizeof(number), "%.*s", (int)len, text);
	if (value_number(number, 0, UINT32_MAX, &first, err) < 0 || value_number(text + len + 1, 0, UINT32_MAX, &last, err) < 0)
		return -1;
	if (last < first)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' ends before it begins", text);
	*out = (uint64_t)first << 32 | (uint64_t)last;
	return 0;
}

static const char *text_of_count(uint64_t value, char *buf, size_t size)
{
	snprintf(buf, size, "%llu", (unsigned long long)value);
	return buf;
}

static const char *text_of_percent(uint64_t value, char *buf, size_t size)
{
	snprintf(buf, size, "%llu%%", (unsigned long long)value);
	return buf;
}

static const char *text_of_factor(uint64_t value, char *buf, size_t size)
{
	int decimals = value % 100 == 0 ? 0 : value % 10 == 0 ? 1 : 2;
	snprintf(buf, size, "%.*f", decimals, (double)value / 100);
	return buf;
}

static const char *text_of_range(uint64_t value, char *buf, size_t size)
{
	snprintf(buf, size, "%u-%u", (unsigned)(value >> 32), (unsigned)(value & UINT32_MAX));
	return buf;
}

/* Words and texts have no row: they need their field. */
static const struct {
	int (*parse)(const char *text, uint64_t *out, struct err *err);
	const char *(*text)(uint64_t value, char *buf, size_t size);
} kinds[FIELD_KIND_COUNT] = {
	[FIELD_DURATION] = { value_long_duration, value_duration_text },
	[FIELD_SIZE] = { value_size, value_size_text },
	[FIELD_COUNT] = { parse_count, text_of_count },
	[FIELD_PERCENT] = { parse_percent, text_of_percent },
	[FIELD_FACTOR] = { value_factor, text_of_factor },
	[FIELD_RANGE] = { parse_range, text_of_range },
};

static size_t word_count(const struct field *field)
{
	size_t count = 0;
	while (field->words[count] != NULL)
		count++;
	return count;
}

static int parse_word(const struct field *field, const char *text, uint64_t *out, struct err *err)
{
	const char *known[WORDS_MAX];
	size_t count = 0;
	char list[TEXT_MAX] = "";
	for (size_t i = 0; i < word_count(field); i++) {
		if (field->words[i][0] == '\0')
			continue;
		if (strcmp(field->words[i], text) == 0) {
			*out = i;
			return 0;
		}
		size_t used = strlen(list);
		snprintf(list + used, sizeof(list) - used, "%s%s", count > 0 ? ", " : "", field->words[i]);
		known[count++] = field->words[i];
	}
	char hint[TEXT_MAX];
	return err_set(err, ERR_INVALID_ARGUMENT, "'%.40s' is not one of %s%s", text, list,
		       nearest_hint(text, known, count, hint, sizeof(hint)));
}

static const char *text_of(const struct field *field, uint64_t value, char *buf, size_t size)
{
	if (field->kind != FIELD_WORD)
		return kinds[field->kind].text(value, buf, size);
	snprintf(buf, size, "%s", value < word_count(field) ? field->words[value] : "?");
	return buf;
}

/* ---------------------------------------------------------------- members */

static void *member_of(const struct field *field, const void *object)
{
	return (char *)(uintptr_t)object + field->offset;
}

static int *case_of(const struct field *field, const void *object)
{
	return (int *)(void *)((char *)(uintptr_t)object + field->case_offset);
}

static uint64_t load(const struct field *field, const void *object)
{
	const void *member = member_of(field, object);
	const uint32_t *words = member;
	if (field->kind == FIELD_RANGE)
		return (uint64_t)words[0] << 32 | words[1];
	if (field->size == sizeof(uint64_t))
		return *(const uint64_t *)member;
	return field->size == sizeof(uint32_t) ? words[0] : *(const uint8_t *)member;
}

static void store(const struct field *field, void *object, uint64_t value)
{
	void *member = member_of(field, object);
	uint32_t *words = member;
	if (field->kind == FIELD_RANGE) {
		words[0] = (uint32_t)(value >> 32);
		words[1] = (uint32_t)value;
	} else if (field->size == sizeof(uint64_t)) {
		*(uint64_t *)member = value;
	} else if (field->size == sizeof(uint32_t)) {
		words[0] = (uint32_t)value;
	} else {
		*(uint8_t *)member = (uint8_t)value;
	}
	if (field->case_value != 0)
		*case_of(field, object) = (int)field->case_value;
}

static int check_limits(const struct field *field, uint64_t value, struct err *err)
{
	uint64_t low = field->kind == FIELD_RANGE ? value >> 32 : value, high = field->kind == FIELD_RANGE ? value & UINT32_MAX : value;
	char min[TEXT_MAX], max[TEXT_MAX], text[TEXT_MAX];
	if (field->kind == FIELD_WORD)
		return value < word_count(field) ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "%llu means nothing", (unsigned long long)value);
	if (low >= field->min && high <= field->max)
		return 0;
	enum field_kind kind = field->kind == FIELD_RANGE ? FIELD_COUNT : field->kind;
	return err_set(err, ERR_INVALID_ARGUMENT, "%s is out of range: %s to %s", kinds[field->kind].text(value, text, sizeof(text)),
		       kinds[kind].text(field->min, min, sizeof(min)), kinds[kind].text(field->max, max, sizeof(max)));
}

static int check_name(const struct field *field, const char *text, struct err *err)
{
	size_t len = strlen(text);
	uint64_t max = field->kind == FIELD_TEXT ? field->size - 1 : field->max;
	if (len >= field->min && len <= max)
		return 0;
	return err_set(err, ERR_INVALID_ARGUMENT, "must have %llu to %llu bytes", (unsigned long long)field->min, (unsigned long long)max);
}

static bool is_text(const struct field *field)
{
	return field->kind == FIELD_NAME || field->kind == FIELD_TEXT;
}

static const char *load_text(const struct field *field, const void *object)
{
	return field->kind == FIELD_TEXT ? member_of(field, object) : *(char *const *)member_of(field, object);
}

static void store_text(const struct field *field, void *object, const char *text)
{
	if (field->kind == FIELD_TEXT)
		snprintf(member_of(field, object), field->size, "%s", text);
	else
		*(char **)member_of(field, object) = xstrdup(text);
}

/* ---------------------------------------------------------------- one field */

static bool is_key(const char *key, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (key[i] != (text[i] == '_' ? '-' : text[i]))
			return false;
	return key[len] == '\0';
}

const struct field *field_find(const struct fields *fields, const char *key, size_t len, struct err *err)
{
	const char *keys[WORDS_MAX];
	char word[TEXT_MAX], hint[500];
	for (size_t i = 0; i < fields->count; i++) {
		keys[i % WORDS_MAX] = fields->rows[i].key;
		if (is_key(fields->rows[i].key, key, len))
			return &fields->rows[i];
	}
	snprintf(word, sizeof(word), "%.*s", (int)(len < 60 ? len : 60), key);
	size_t count = fields->count < WORDS_MAX ? fields->count : WORDS_MAX;
	err_set(err, ERR_INVALID_ARGUMENT, "unknown key '%s'%s", word, nearest_hint_or_all(word, keys, count, hint, sizeof(hint)));
	return NULL;
}

int field_set(const struct field *field, void *object, const char *text, struct err *err)
{
	uint64_t value = 0;
	if (is_text(field)) {
		if (check_name(field, text, err) < 0)
			return -1;
		store_text(field, object, text);
		return 0;
	}
	int rc = field->kind == FIELD_WORD ? parse_word(field, text, &value, err) : kinds[field->kind].parse(text, &value, err);
	if (rc < 0 || check_limits(field, value, err) < 0)
		return -1;
	store(field, object, value);
	return 0;
}

bool field_is_set(const struct field *field, const void *object)
{
	if (is_text(field))
		return load_text(field, object)[0] != '\0';
	return field->case_value != 0 ? *case_of(field, object) == (int)field->case_value : load(field, object) != 0;
}

const char *field_text(const struct field *field, const void *object, char *buf, size_t size)
{
	if (!is_text(field))
		return text_of(field, load(field, object), buf, size);
	snprintf(buf, size, "%s", load_text(field, object));
	return buf;
}

bool field_differs(const struct field *field, const void *object)
{
	char text[TEXT_MAX];
	if (!field_is_set(field, object))
		return false;
	return field->initial == NULL || strcmp(field_text(field, object, text, sizeof(text)), field->initial) != 0;
}

/* ---------------------------------------------------------------- all of them */

int fields_read(const struct fields *fields, const struct json_at *at, void *object, struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at member;
	if (json_get_object(at, err) < 0)
		return -1;
	while (json_next(at, &iter, &member)) {
		struct err bad = ERR_INIT;
		const char *text;
		const struct field *field = field_find(fields, member.key, strlen(member.key), &bad);
		if (field == NULL)
			return json_fail(&member, err, "%s", bad.msg);
		if (member.value == NULL)
			continue;
		if (json_get_word(&member, &text, err) < 0)
			return -1;
		if (field_set(field, object, text, &bad) < 0)
			return json_fail(&member, err, "%s", bad.msg);
	}
	return 0;
}

void fields_reset(const struct fields *fields, void *object)
{
	for (size_t i = 0; i < fields->count; i++)
		if (fields->rows[i].initial != NULL && field_set(&fields->rows[i], object, fields->rows[i].initial, NULL) < 0)
			abort(); /* a default of our own that is none */
}

int fields_check(const struct fields *fields, const void *object, struct err *err)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->rows[i];
		if (!field_is_set(field, object))
			continue;
		int rc = is_text(field) ? check_name(field, load_text(field, object), err) : check_limits(field, load(field, object), err);
		if (rc < 0)
			return err_prefix(err, "%s", field->key);
	}
	return 0;
}

const char *fields_text(const struct fields *fields, size_t first, const void *object, char *buf, size_t size)
{
	size_t used = 0;
	buf[0] = '\0';
	for (size_t i = first; i < fields->count; i++) {
		char text[TEXT_MAX];
		if (!field_differs(&fields->rows[i], object) || used >= size)
			continue;
		int n = snprintf(buf + used, size - used, "%s%s=%s", used > 0 ? "," : "", fields->rows[i].key,
				 field_text(&fields->rows[i], object, text, sizeof(text)));
		used += n > 0 ? (size_t)n : 0;
	}
	return buf;
}
