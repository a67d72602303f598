/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json-c checks the syntax and makes the tree; then one walk goes through text and tree side by side, keeps the line of each value in
 * its user data, and finds duplicate keys: json-c overwrites the earlier one, so the tree's order of keys then differs from the text's.
 */
#include "config/json.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/nearest.h"
#include "config/value.h"
#include "wire/mem.h"

#define PATH_TEXT_MAX 300

/* ---------------------------------------------------------------- places */

size_t json_path(const struct json_at *at, char *buf, size_t size)
{
	if (!at->parent) {
		buf[0] = '\0';
		return 0;
	}
	size_t used = json_path(at->parent, buf, size);
	int n = at->key ? snprintf(buf + used, size - used, "%s%s", used ? "." : "", at->key)
			: snprintf(buf + used, size - used, "[%zu]", at->index);

	used += n > 0 ? (size_t)n : 0;
	return used < size ? used : size - 1;
}

/* The line of a value; null and numbers with a fraction carry none: that of what contains them. */
unsigned json_line(const struct json_at *at)
{
	for (; at; at = at->parent)
		if (at->value && json_object_get_userdata(at->value) && json_object_get_type(at->value) != json_type_double)
			return (unsigned)(uintptr_t)json_object_get_userdata(at->value);
	return 1;
}

int json_fail(const struct json_at *at, struct err *err, const char *fmt, ...)
{
	char path[PATH_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, ERR_INVALID_ARGUMENT, fmt, ap);
	va_end(ap);
	if (json_path(at, path, sizeof(path)) > 0)
		err_prefix(err, "%s", path);
	return err_prefix(err, "%s:%u", at->file->name, json_line(at));
}

struct json_at json_root(const struct json_file *file)
{
	return (struct json_at){ .file = file, .value = file->root };
}

bool json_member(const struct json_at *object, const char *key, struct json_at *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object->value, key, &value) || !value)
		return false;
	*out = (struct json_at){ .file = object->file, .parent = object, .key = key, .value = value };
	return true;
}

bool json_next(const struct json_at *object, struct json_iter *iter, struct json_at *out)
{
	const struct lh_entry *entry = iter->begun ? lh_entry_next(iter->entry) : lh_table_head(json_object_get_object(object->value));

	iter->begun = true;
	iter->entry = entry;
	if (!entry)
		return false;
	*out = (struct json_at){ .file = object->file, .parent = object, .key = lh_entry_k(entry), .value = lh_entry_v(entry) };
	return true;
}

size_t json_count(const struct json_at *array)
{
	return json_object_array_length(array->value);
}

struct json_at json_element(const struct json_at *array, size_t index)
{
	return (struct json_at){
		.file = array->file, .parent = array, .index = index, .value = json_object_array_get_idx(array->value, index)
	};
}

/* ---------------------------------------------------------------- the walk */

struct walk {
	const struct json_file *file;
	const char *at, *end;
	unsigned line;
	struct err *err;
};

static void walk_space(struct walk *w)
{
	for (; w->at < w->end && strchr(" \t\r\n", *w->at); w->at++)
		w->line += *w->at == '\n';
}

/* Leaves a string, number or word behind. */
static void walk_scalar(struct walk *w)
{
	if (*w->at != '"') {
		while (w->at < w->end && !strchr(",]} \t\r\n", *w->at))
			w->at++;
		return;
	}
	for (w->at++; w->at < w->end && *w->at != '"'; w->at++) {
		w->line += *w->at == '\n';
		if (*w->at == '\\')
			w->at++;
	}
	if (w->at < w->end)
		w->at++;
}

/* Whether the quoted text is this key, escapes and all. */
static bool quoted_is(const char *quoted, size_t len, const char *key)
{
	if (!memchr(quoted, '\\', len))
		return len - 2 == strlen(key) && memcmp(quoted + 1, key, len - 2) == 0;
	struct json_tokener *tok = json_tokener_new();
	struct json_object *text = json_tokener_parse_ex(tok, quoted, (int)len);
	bool is = text && json_object_is_type(text, json_type_string) && strcmp(json_object_get_string(text), key) == 0;

	json_object_put(text);
	json_tokener_free(tok);
	return is;
}

static int walk_value(struct walk *w, const struct json_at *at);

static int walk_member(struct walk *w, const struct json_at *object, struct json_iter *iter)
{
	const char *key = w->at;
	struct json_at member;

	if (*key != '"') /* json-c takes single quotes even when strict */
		return err_set(w->err, ERR_INVALID_ARGUMENT, "%s:%u: not JSON: keys must be in double quotes", w->file->name, w->line);
	walk_scalar(w);
	if (!json_next(object, iter, &member) || !quoted_is(key, (size_t)(w->at - key), member.key)) {
		int shown = w->at - key > 100 ? 100 : (int)(w->at - key);
		char path[PATH_TEXT_MAX];
		const char *colon = json_path(object, path, sizeof(path)) > 0 ? ": " : "";

		return err_set(w->err, ERR_INVALID_ARGUMENT, "%s:%u: %s%skey %.*s is there twice", w->file->name, w->line, path, colon,
			       shown, key);
	}
	walk_space(w);
	w->at += w->at < w->end; /* the colon */
	walk_space(w);
	return walk_value(w, &member);
}

static int walk_value(struct walk *w, const struct json_at *at)
{
	enum json_type type = json_object_get_type(at->value);
	struct json_iter iter = { 0 };
	size_t index = 0;

	if (at->value && type != json_type_double)
		json_object_set_userdata(at->value, (void *)(uintptr_t)w->line, NULL);
	if (type != json_type_object && type != json_type_array) {
		if (type == json_type_double && !isfinite(json_object_get_double(at->value)))
			return json_fail(at, w->err, "must be a number that JSON knows");
		walk_scalar(w);
		return 0;
	}
	for (w->at++;; w->at++) { /* past the bracket, later past the comma */
		walk_space(w);
		if (w->at >= w->end || *w->at == '}' || *w->at == ']')
			break;
		if (type == json_type_object) {
			if (walk_member(w, at, &iter) < 0)
				return -1;
		} else {
			struct json_at element = json_element(at, index++);

			if (walk_value(w, &element) < 0)
				return -1;
		}
		walk_space(w);
		if (w->at >= w->end || *w->at != ',')
			break;
	}
	w->at += w->at < w->end;
	return 0;
}

/* ---------------------------------------------------------------- loading */

static unsigned line_at(const char *text, size_t offset)
{
	unsigned line = 1;

	for (size_t i = 0; i < offset; i++)
		line += text[i] == '\n';
	return line;
}

static const char *syntax_text(enum json_tokener_error error)
{
	if (error == json_tokener_continue)
		return "the file ends in the middle";
	if (error == json_tokener_error_depth)
		return "nested too deeply";
	return json_tokener_error_desc(error);
}

int json_parse(const char *name, const char *text, size_t len, struct json_file *file, struct err *err)
{
	const char *nul = memchr(text, '\0', len);

	if (len > JSON_MAX_BYTES)
		return err_set(err, ERR_INVALID_ARGUMENT, "%s: larger than %u MiB", name, JSON_MAX_BYTES >> 20);
	if (nul)
		return err_set(err, ERR_INVALID_ARGUMENT, "%s:%u: no text file (zero byte)", name, line_at(text, (size_t)(nul - text)));

	struct json_tokener *tok = json_tokener_new_ex(JSON_MAX_DEPTH);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	struct json_object *root = json_tokener_parse_ex(tok, text, (int)len);
	enum json_tokener_error error = json_tokener_get_error(tok);
	unsigned line = line_at(text, json_tokener_get_parse_end(tok));

	json_tokener_free(tok);
	if (error != json_tokener_success || !json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		if (error != json_tokener_success)
			return err_set(err, ERR_INVALID_ARGUMENT, "%s:%u: not JSON: %s", name, line, syntax_text(error));
		return err_set(err, ERR_INVALID_ARGUMENT, "%s:1: must be an object: {...}", name);
	}

	struct json_file made = { .name = xstrdup(name), .root = root };
	struct walk walk = { .file = &made, .at = text, .end = text + len, .line = 1, .err = err };
	struct json_at at = json_root(&made);
	walk_space(&walk);
	if (walk_value(&walk, &at) < 0) {
		json_fini(&made);
		return -1;
	}
	*file = made;
	return 0;
}

static int read_all(int fd, const char *path, char *buf, size_t size, size_t *len, struct err *err)
{
	for (*len = 0; *len < size;) {
		ssize_t n = read(fd, buf + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read \"%s\"", path);
		if (n == 0)
			return 0;
		*len += (size_t)n;
	}
	return 0;
}

int json_load(const char *path, struct json_file *file, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	size_t len;
	int rc = -1;

	if (fd < 0)
		return err_sys(err, errno, "open \"%s\"", path);
	if (fstat(fd, &st) < 0) {
		err_sys(err, errno, "stat \"%s\"", path);
	} else if (!S_ISREG(st.st_mode)) {
		err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no regular file", path);
	} else if (st.st_size > JSON_MAX_BYTES) {
		err_set(err, ERR_INVALID_ARGUMENT, "%s: larger than %u MiB", path, JSON_MAX_BYTES >> 20);
	} else {
		size_t size = (size_t)st.st_size + 1;
		char *text = xmalloc(size);

		if (read_all(fd, path, text, size, &len, err) == 0)
			rc = json_parse(path, text, len, file, err);
		free(text);
	}
	close(fd);
	return rc;
}

void json_fini(struct json_file *file)
{
	json_object_put(file->root);
	free(file->name);
	*file = (struct json_file){ 0 };
}

/* ---------------------------------------------------------------- typed getters */

int json_get_object(const struct json_at *at, struct err *err)
{
	return json_object_is_type(at->value, json_type_object) ? 0 : json_fail(at, err, "must be an object: {...}");
}

int json_get_array(const struct json_at *at, size_t max_count, struct err *err)
{
	if (!json_object_is_type(at->value, json_type_array))
		return json_fail(at, err, "must be a list: [...]");
	if (json_count(at) > max_count)
		return json_fail(at, err, "has %zu entries, at most %zu are allowed", json_count(at), max_count);
	return 0;
}

int json_get_string(const struct json_at *at, size_t max_len, const char **out, struct err *err)
{
	if (!json_object_is_type(at->value, json_type_string))
		return json_fail(at, err, "must be a string");
	const char *text = json_object_get_string(at->value);
	size_t len = (size_t)json_object_get_string_len(at->value);

	if (strlen(text) != len)
		return json_fail(at, err, "has a zero byte inside");
	if (len > max_len)
		return json_fail(at, err, "is %zu bytes long, at most %zu are allowed", len, max_len);
	*out = text;
	return 0;
}

int json_get_word(const struct json_at *at, const char **out, struct err *err)
{
	if (!json_object_is_type(at->value, json_type_string) && !json_object_is_type(at->value, json_type_int) &&
	    !json_object_is_type(at->value, json_type_double))
		return json_fail(at, err, "must be a string or a number");
	*out = json_object_get_string(at->value);
	return 0;
}

int json_get_bool(const struct json_at *at, bool *out, struct err *err)
{
	if (!json_object_is_type(at->value, json_type_boolean))
		return json_fail(at, err, "must be true or false");
	*out = json_object_get_boolean(at->value);
	return 0;
}

int json_get_uint(const struct json_at *at, uint64_t max, uint64_t *out, struct err *err)
{
	if (!json_object_is_type(at->value, json_type_int) || json_object_get_int64(at->value) < 0)
		return json_fail(at, err, "must be a whole number, 0 or more");
	uint64_t value = json_object_get_uint64(at->value);

	if (value > max)
		return json_fail(at, err, "must be at most %llu", (unsigned long long)max);
	*out = value;
	return 0;
}

int json_get_size(const struct json_at *at, uint64_t *out, struct err *err)
{
	if (json_object_is_type(at->value, json_type_int))
		return json_get_uint(at, UINT64_MAX, out, err);
	if (!json_object_is_type(at->value, json_type_string) || value_size(json_object_get_string(at->value), out, NULL) < 0)
		return json_fail(at, err, "must be a number, or a string like \"0x08000000\" or \"64K\"");
	return 0;
}

int json_known_key(const struct json_at *member, const char *const *keys, size_t count, struct err *err)
{
	char hint[500];

	for (size_t i = 0; i < count; i++)
		if (strcmp(keys[i], member->key) == 0)
			return 0;
	return json_fail(member, err, "unknown key%s", nearest_hint_or_all(member->key, keys, count, hint, sizeof(hint)));
}
