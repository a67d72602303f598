/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/qemu_value.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "config/value.h"

#define VALUE_DEPTH_MAX 32

static int value_fail(struct err *err, const char *text, const char *what)
{
	err_set(err, ERR_INVALID_ARGUMENT, "\"%.200s\" is no %s", text, what);
	return err_reason(err, "invalid-value");
}

static int value_bool(const char *text, struct json_object **out, struct err *err)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "on", true },   { "true", true },   { "yes", true }, { "1", true },
		      { "off", false }, { "false", false }, { "no", false }, { "0", false } };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(words[i].word, text) != 0)
			continue;
		*out = json_object_new_boolean(words[i].value);
		return 0;
	}
	return value_fail(err, text, "bool: write on or off");
}

static int value_integer(const char *text, struct json_object **out, struct err *err)
{
	bool is_negative = text[0] == '-';
	uint64_t number;
	if (value_size(text + is_negative, &number, NULL) < 0 || (is_negative && number > (uint64_t)INT64_MAX + 1))
		return value_fail(err, text, "number: write 12, 0x1f, 64K, 1M or 2G");
	*out = is_negative ? json_object_new_int64((int64_t)(0 - number)) : json_object_new_uint64(number);
	return 0;
}

static int value_string(const char *text, struct json_object **out, struct err *err)
{
	(void)err;
	*out = json_object_new_string(text);
	return 0;
}

/* False: it is no JSON. */
static bool value_parse(const char *json, struct json_object **out)
{
	struct json_tokener *tokener = json_tokener_new_ex(VALUE_DEPTH_MAX);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	/* With its NUL: a number at the end is complete then. */
	struct json_object *value = json_tokener_parse_ex(tokener, json, (int)strlen(json) + 1);
	bool is_json = json_tokener_get_error(tokener) == json_tokener_success;
	json_tokener_free(tokener);
	if (!is_json)
		json_object_put(value);
	else
		*out = value;
	return is_json;
}

static int value_any(const char *text, struct json_object **out, struct err *err)
{
	return value_parse(text, out) ? 0 : value_string(text, out, err);
}

int qemu_value_of_json(const char *json, struct json_object **out, struct err *err)
{
	return value_parse(json, out) ? 0 : value_fail(err, json, "JSON");
}

/* QEMU's words for its integers: with and without a width, "uint8_t" of the old ones. */
static bool value_is_integer(const char *type)
{
	static const char *const words[] = { "int", "uint", "size", "long", "number" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);
		if (strncmp(type, words[i], len) == 0 && strspn(type + len, "0123456789_t") == strlen(type + len))
			return true;
	}
	return false;
}

int qemu_value_of_text(const char *type, const char *text, struct json_object **out, struct err *err)
{
	if (strcmp(type, "bool") == 0 || strcmp(type, "boolean") == 0)
		return value_bool(text, out, err);
	if (value_is_integer(type))
		return value_integer(text, out, err);
	if (strcmp(type, "string") == 0 || strcmp(type, "str") == 0 || strncmp(type, "link<", 5) == 0)
		return value_string(text, out, err);
	return value_any(text, out, err);
}
