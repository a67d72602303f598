/* SPDX-License-Identifier: Apache-2.0 */
/* Messages are built of malloc'ed parts as protobuf-c's own unpacker makes them, so that free_unpacked() frees them. */
#include "config/reader.h"

#include <protobuf-c/protobuf-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define TEXT_MAX 4096 /* target_validate() has the exact limits; these bound what is copied */
#define LIST_MAX 4096
#define KEYS_MAX 32
#define USES_MAX 4096

void reader_fini(struct reader *reader)
{
	for (size_t i = 0; i < reader->use_count; i++) {
		free(reader->uses[i].channel);
		free(reader->uses[i].where);
	}
	free(reader->uses);
	free(reader->target_type_text);
	free(reader->target_type_where);
	reader->uses = NULL;
	reader->use_count = 0;
	reader->target_type_text = reader->target_type_where = NULL;
}

int reader_failed(struct reader *reader, struct err *err)
{
	if (reader->on_error == NULL)
		return -1;
	reader->on_error(reader->ctx, err);
	reader->errors++;
	*err = (struct err)ERR_INIT;
	return 0;
}

void reader_warn(struct reader *reader, const struct err *what)
{
	if (reader->on_warning != NULL)
		reader->on_warning(reader->ctx, what);
}

/* ---------------------------------------------------------------- objects */

static bool is_known(const struct key *key, const struct reader *reader)
{
	return key->flavours == 0 || (key->flavours & reader->flavour) != 0;
}

static const struct key *find_key(const struct keys *keys, const struct reader *reader, const char *name)
{
	for (size_t i = 0; i < keys->count; i++)
		if (strcmp(keys->rows[i].name, name) == 0 && is_known(&keys->rows[i], reader))
			return &keys->rows[i];
	return NULL;
}

/* What is right elsewhere. */
static const struct {
	const char *key, *place;
} places[] = {
	{ "args", "\"qemu\" or \"renode\", of a target or for all of them" },
	{ "base", "a target" },
	{ "channels", "\"qemu\" or \"renode\" of a target, or of all of them" },
	{ "chardevs", "\"channels\" below \"qemu\" of a target" },
	{ "device-path", "a terminal: \"terminals\", \"channels\", \"renode\" of a target" },
	{ "emulators", "\"pw_emu\" itself, beside \"targets\"" },
	{ "env", "a target" },
	{ "executable", "\"qemu\" or \"renode\", of a target or for all of them" },
	{ "expect", "a target" },
	{ "gdb", "a target, or beside \"targets\"; its endpoint below \"channels\"" },
	{ "hang", "a target" },
	{ "load", "\"qemu\" of a target" },
	{ "log", "a target" },
	{ "machine", "\"qemu\" or \"renode\" of a target" },
	{ "memory", "a target" },
	{ "monitor", "\"channels\" below \"qemu\"" },
	{ "post-start-cmds", "a target" },
	{ "pre-start-cmds", "a target" },
	{ "qemu", "a target, or beside \"targets\"" },
	{ "qmp", "\"channels\" below \"qemu\"" },
	{ "renode", "a target, or beside \"targets\"" },
	{ "restart", "a target" },
	{ "semihosting", "a target" },
	{ "target_files", "\"pw_emu\" itself, beside \"targets\"" },
	{ "targets", "\"pw_emu\" itself, or a file of \"target_files\"" },
	{ "terminals", "\"channels\" below \"renode\" of a target" },
	{ "timeout", "a target" },
};

void reader_unknown_key(const struct json_at *member, const char *const *names, size_t count, struct err *err)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (strcmp(places[i].key, member->key) == 0) {
			(void)!json_fail(member, err, "unknown key here: \"%s\" belongs to %s", member->key, places[i].place);
			return;
		}
	}
	(void)!json_known_key(member, names, count, err);
}

static int unknown_key(struct reader *reader, const struct json_at *member, const struct keys *keys, struct err *err)
{
	const char *names[KEYS_MAX];
	size_t count = 0;
	struct err what = ERR_INIT;
	if (member->value == NULL && (reader->flavour & READER_PROJECT) != 0)
		return 0; /* null is as good as absent */
	for (size_t i = 0; i < keys->count && count < KEYS_MAX; i++)
		if (is_known(&keys->rows[i], reader))
			names[count++] = keys->rows[i].name;
	reader_unknown_key(member, names, count, &what);
	if (reader->flavour == READER_PIGWEED) {
		reader_warn(reader, &what);
		return 0;
	}
	*err = what;
	return -1;
}

static int read_member(struct reader *reader, const struct json_at *member, const struct keys *keys, void *object, struct err *err)
{
	const struct key *key = find_key(keys, reader, member->key);
	if (key == NULL)
		return unknown_key(reader, member, keys, err);
	return member->value != NULL ? key->read(reader, member, key, object, err) : 0;
}

int reader_object(struct reader *reader, const struct json_at *at, const struct keys *keys, void *object, struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at member;
	if (json_get_object(at, err) < 0)
		return -1;
	while (json_next(at, &iter, &member))
		if (read_member(reader, &member, keys, object, err) < 0 && reader_failed(reader, err) < 0)
			return -1;
	return 0;
}

int reader_unknown(struct reader *reader, const struct json_at *at, const struct keys *keys, struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at member;
	if (json_get_object(at, err) < 0)
		return -1;
	while (json_next(at, &iter, &member))
		if (find_key(keys, reader, member.key) == NULL && unknown_key(reader, &member, keys, err) < 0 &&
		    reader_failed(reader, err) < 0)
			return -1;
	return 0;
}

int reader_members(struct reader *reader, const struct json_at *at,
		   int (*each)(struct reader *reader, const struct json_at *at, void *object, struct err *err), void *object,
		   struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at member;
	size_t count = 0;
	if (json_get_object(at, err) < 0)
		return -1;
	while (json_next(at, &iter, &member)) {
		if (++count > LIST_MAX)
			return json_fail(at, err, "more than %d entries", LIST_MAX);
		if (member.value != NULL && each(reader, &member, object, err) < 0 && reader_failed(reader, err) < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- values */

char *reader_where(const struct json_at *at)
{
	return xasprintf("%s:%u", at->file->name, json_line(at));
}

void reader_set_by(struct reader *reader, const struct json_at *at, const char *fmt, ...)
{
	char name[256];
	va_list ap;
	if (reader->origins == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	char *whole = xasprintf("%s%s", reader->prefix, name), *where = reader_where(at);
	origins_set(reader->origins, whole, where);
	free(whole);
	free(where);
}

struct expansion {
	struct reader *reader;
	const struct json_at *at;
	enum reader_text kind;
};

static int on_expression(void *ctx, enum subst_kind kind, const char *argument, struct err *err)
{
	struct expansion *expansion = ctx;
	struct reader *reader = expansion->reader;
	char path[300];
	if (expansion->kind != READER_COMMAND)
		return err_set(err, ERR_INVALID_ARGUMENT,
			       "%s{} can stand in arguments of the emulator and in pre-start-cmds and post-start-cmds only",
			       subst_name(kind));
	if (kind == SUBST_WDIR)
		return 0;
	if (reader->use_count == USES_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "more than %d expressions", USES_MAX);
	json_path(expansion->at, path, sizeof(path));
	reader->uses = xrealloc(reader->uses, reader->use_count + 1, sizeof(*reader->uses));
	reader->uses[reader->use_count++] = (struct reader_use){
		.kind = kind,
		.channel = xstrdup(argument),
		.where = xasprintf("%s:%u: %s", expansion->at->file->name, json_line(expansion->at), path),
	};
	return 0;
}

int reader_expand(struct reader *reader, const struct json_at *at, enum reader_text kind, char **out, struct err *err)
{
	struct expansion expansion = { reader, at, kind };
	struct err bad = ERR_INIT;
	const char *text;
	if (json_get_string(at, TEXT_MAX, &text, err) < 0)
		return -1;
	char *made = reader->expands ? subst_env(text, on_expression, &expansion, &bad) : xstrdup(text);
	if (made == NULL)
		return json_fail(at, err, "%s", bad.msg);
	*out = made;
	return 0;
}

int reader_text(struct reader *reader, const struct json_at *at, enum reader_text kind, char **member, struct err *err)
{
	char *made = NULL;
	if (reader_expand(reader, at, kind, &made, err) < 0)
		return -1;
	if (*member != protobuf_c_empty_string)
		free(*member);
	*member = made;
	return 0;
}

int reader_texts(struct reader *reader, const struct json_at *at, enum reader_text kind, bool or_one, char ***list, size_t *count,
		 struct err *err)
{
	const char *text;
	bool is_one = or_one && json_get_string(at, SIZE_MAX, &text, NULL) == 0;
	if (!is_one && json_get_array(at, LIST_MAX, err) < 0)
		return or_one ? json_fail(at, err, "must be a string or a list: [...]") : -1;
	size_t more = is_one ? 1 : json_count(at);
	*list = xrealloc(*list, *count + more + 1, sizeof(char *));
	for (size_t i = 0; i < more; i++) {
		struct json_at item = is_one ? *at : json_element(at, i);
		if (reader_expand(reader, &item, kind, &(*list)[*count], err) < 0) {
			if (reader_failed(reader, err) < 0)
				return -1;
			continue;
		}
		(*count)++;
	}
	return 0;
}

void reader_free_texts(char ***list, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*count = 0;
}

/* ---------------------------------------------------------------- rows */

static void *member_of(void *object, size_t offset)
{
	return (char *)object + offset;
}

int key_text(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	reader_set_by(reader, at, "%s", key->name);
	return reader_text(reader, at, READER_PLAIN, member_of(object, key->offset), err);
}

int key_texts(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	char ***list = member_of(object, key->offset);
	size_t *count = member_of(object, key->count_offset);
	reader_free_texts(list, count);
	reader_set_by(reader, at, "%s", key->name);
	return reader_texts(reader, at, READER_PLAIN, true, list, count, err);
}

int key_args(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	char ***list = member_of(object, key->offset);
	size_t *count = member_of(object, key->count_offset), first = *count;
	if (reader_texts(reader, at, READER_COMMAND, false, list, count, err) < 0)
		return -1;
	for (size_t i = first; i < *count; i++) {
		struct json_at item = json_element(at, i - first);
		reader_set_by(reader, &item, "%s[%zu]", key->name, i);
	}
	return 0;
}

int key_ignore(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)reader, (void)at, (void)key, (void)object, (void)err;
	return 0;
}
