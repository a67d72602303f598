/* SPDX-License-Identifier: Apache-2.0 */
/* Types and ports of channels: who has the last word, and whether the expressions that ask for them can be answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/target_json.h"
#include "wire/mem.h"

static const char *const types[] = { "tcp", "pty", "none" };
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

/* Control channels, of each emulator. */
static const struct {
	const char *emulator, *name;
} controls[] = { { "qemu", "gdb" }, { "qemu", "monitor" }, { "qemu", "qmp" }, { "renode", "gdb" } };
#define CONTROL_COUNT (sizeof(controls) / sizeof(controls[0]))

/* ---------------------------------------------------------------- read functions */

static int check_type(const struct json_at *at, const char *type, struct err *err)
{
	char hint[100];
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (strcmp(types[i], type) == 0)
			return 0;
	return json_fail(at, err, "'%.40s' is not one of tcp, pty, none%s", type,
			 nearest_hint(type, types, TYPE_COUNT, hint, sizeof(hint)));
}

int target_json_type(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	char **type = (char **)(void *)((char *)object + key->offset);
	if (reader_text(reader, at, READER_PLAIN, type, err) < 0)
		return -1;
	reader_set_by(reader, at, "type");
	return check_type(at, *type, err);
}

int target_json_port(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	uint64_t port;
	if (json_get_uint(at, 65535, &port, err) < 0)
		return -1;
	if (port == 0)
		return json_fail(at, err, "must be from 1 to 65535");
	reader_set_by(reader, at, "port");
	*(uint32_t *)(void *)((char *)object + key->offset) = (uint32_t)port;
	return 0;
}

int target_json_type_of_all(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	char *type = NULL;
	(void)key, (void)object;
	if (reader_expand(reader, at, READER_PLAIN, &type, err) < 0)
		return -1;
	free(reader->target_type_text);
	free(reader->target_type_where);
	reader->target_type_text = type;
	reader->target_type_where = reader_where(at);
	return check_type(at, type, err);
}

static const struct key endpoint_rows[] = {
	{ .name = "type", .read = target_json_type, .offset = offsetof(Pwemu__V1__Endpoint, type) },
	{ .name = "port", .read = target_json_port, .offset = offsetof(Pwemu__V1__Endpoint, port) },
};
static const struct keys endpoint_keys = KEYS(endpoint_rows);

const struct target_table target_type_tables[] = {
	{ "endpoint", &endpoint_keys },
	{ 0 },
};

static Pwemu__V1__Endpoint *control_named(Pwemu__V1__Target *target, const char *name)
{
	for (size_t i = 0; i < target->n_controls; i++)
		if (strcmp(target->controls[i]->channel, name) == 0)
			return target->controls[i];
	Pwemu__V1__Endpoint *control = xmalloc(sizeof(*control));
	pwemu__v1__endpoint__init(control);
	control->channel = xstrdup(name);
	target->controls = xrealloc(target->controls, target->n_controls + 1, sizeof(Pwemu__V1__Endpoint *));
	target->controls[target->n_controls++] = control;
	return control;
}

int target_json_control(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	char before[READER_PREFIX_MAX];
	memcpy(before, reader->prefix, sizeof(before));
	snprintf(reader->prefix, sizeof(reader->prefix), "channels.%.80s.", key->name);
	int rc = reader_object(reader, at, &endpoint_keys, control_named(object, key->name), err);
	memcpy(reader->prefix, before, sizeof(before));
	return rc;
}

/* ---------------------------------------------------------------- precedence */

/* What the configuration says for all targets of the emulator. */
struct level {
	struct json_at channels; /* value NULL: nothing */
	char *type, *where;
	const char *fallback;
};

/* A type for all channels, in this object or (renode) in its "terminals". */
static int level_type(struct reader *reader, const struct json_at *object, struct level *level, struct err *err)
{
	struct json_at type;
	if (!json_member(object, "type", &type) || level->type != NULL)
		return 0;
	if (reader_expand(reader, &type, READER_PLAIN, &level->type, err) < 0)
		return -1;
	level->where = reader_where(&type);
	return check_type(&type, level->type, err);
}

static int level_init(struct level *level, struct reader *reader, const struct json_at *emulator, const char *fallback, struct err *err)
{
	struct json_at terminals;
	*level = (struct level){ .fallback = fallback };
	if (emulator->value == NULL || !json_member(emulator, "channels", &level->channels))
		return 0;
	if (json_get_object(&level->channels, err) < 0)
		return -1;
	if (strcmp(reader->emulator, "renode") == 0 && json_member(&level->channels, "terminals", &terminals) &&
	    (json_get_object(&terminals, err) < 0 || level_type(reader, &terminals, level, err) < 0))
		return -1;
	return level_type(reader, &level->channels, level, err);
}

static void level_fini(struct level *level)
{
	free(level->type);
	free(level->where);
}

/* Where the members of the object that say something are: the row's place becomes that of the value. */
static void take(struct reader *reader, const char *channel, const char *what, const char *where)
{
	char name[READER_PREFIX_MAX + 20];
	snprintf(name, sizeof(name), "channels.%.80s.%s", channel, what);
	if (where != NULL)
		origins_set(reader->origins, name, where);
}

static void take_member(struct reader *reader, const char *channel, const struct json_at *object, const char *key, const char *what)
{
	struct json_at member;
	if (!json_member(object, key, &member))
		return;
	char *where = reader_where(&member);
	take(reader, channel, what, where);
	free(where);
}

static void set_type(char **type, const char *text)
{
	if (*type != protobuf_c_empty_string)
		free(*type);
	*type = xstrdup(text);
}

/* What the emulator's defaults say of this one channel. */
static int apply_named(struct reader *reader, const struct level *level, const char *channel, char **type, uint32_t *port, struct err *err)
{
	struct json_at object;
	struct origins *origins = reader->origins;
	Pwemu__V1__Endpoint said = PWEMU__V1__ENDPOINT__INIT;
	bool is_other = strcmp(channel, "type") == 0 || strcmp(channel, "terminals") == 0;
	if (level->channels.value == NULL || is_other || !json_member(&level->channels, channel, &object))
		return 0;
	reader->origins = NULL; /* it may not be used */
	int rc = reader_object(reader, &object, &endpoint_keys, &said, err);
	reader->origins = origins;
	if (rc == 0 && (*type)[0] == '\0' && (said.type[0] != '\0' || said.port != 0)) {
		set_type(type, said.type[0] != '\0' ? said.type : "tcp");
		take_member(reader, channel, &object, said.type[0] != '\0' ? "type" : "port", "type");
	}
	if (rc == 0 && *port == 0 && said.port != 0 && strcmp(*type, "tcp") == 0) {
		*port = said.port;
		take_member(reader, channel, &object, "port", "port");
	}
	if (said.type != protobuf_c_empty_string)
		free(said.type);
	return rc;
}

static int apply(struct reader *reader, const struct json_at *at, const struct level *level, const char *channel, char **type,
		 uint32_t *port, struct err *err)
{
	char name[READER_PREFIX_MAX + 20];
	if ((*type)[0] == '\0' && *port != 0) {
		set_type(type, "tcp");
		snprintf(name, sizeof(name), "channels.%.80s.port", channel);
		take(reader, channel, "type", origins_get(reader->origins, name));
	} else if ((*type)[0] == '\0' && reader->target_type_text != NULL) {
		set_type(type, reader->target_type_text);
		take(reader, channel, "type", reader->target_type_where);
	}
	if (apply_named(reader, level, channel, type, port, err) < 0)
		return -1;
	if ((*type)[0] == '\0' && level->type != NULL) {
		set_type(type, level->type);
		take(reader, channel, "type", level->where);
	}
	if ((*type)[0] == '\0' && level->fallback[0] != '\0')
		set_type(type, level->fallback);
	if (*port != 0 && strcmp(*type, "tcp") != 0)
		return json_fail(at, err, "channel \"%.40s\" has a port, but its type is %s", channel, *type);
	return 0;
}

static int apply_channels(struct reader *reader, const struct json_at *at, const struct level *level, Pwemu__V1__Target *target,
			  struct err *err)
{
	for (size_t i = 0; i < target->n_channels; i++) {
		Pwemu__V1__ChannelSpec *channel = target->channels[i];
		if (apply(reader, at, level, channel->name, &channel->type, &channel->port, err) < 0 && reader_failed(reader, err) < 0)
			return -1;
	}
	return 0;
}

/* In the order of the table; what has no endpoint goes. */
static int apply_controls(struct reader *reader, const struct json_at *at, const struct level *level, Pwemu__V1__Target *target,
			  struct err *err)
{
	Pwemu__V1__Endpoint **kept = xcalloc(CONTROL_COUNT, sizeof(*kept));
	size_t count = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < CONTROL_COUNT; i++) {
		if (strcmp(controls[i].emulator, target->emulator) != 0)
			continue;
		Pwemu__V1__Endpoint *control = control_named(target, controls[i].name);
		if (apply(reader, at, level, control->channel, &control->type, &control->port, err) < 0)
			rc = reader_failed(reader, err);
	}
	if (rc < 0) {
		free(kept);
		return -1;
	}
	for (size_t i = 0; i < CONTROL_COUNT; i++) {
		for (size_t j = 0; j < target->n_controls; j++) {
			Pwemu__V1__Endpoint *control = target->controls[j];
			if (control == NULL || strcmp(controls[i].emulator, target->emulator) != 0 ||
			    strcmp(control->channel, controls[i].name) != 0 || control->type[0] == '\0' ||
			    strcmp(control->type, "none") == 0)
				continue;
			kept[count++] = control;
			target->controls[j] = NULL;
		}
	}
	for (size_t j = 0; j < target->n_controls; j++)
		if (target->controls[j] != NULL)
			pwemu__v1__endpoint__free_unpacked(target->controls[j], NULL);
	free(target->controls);
	target->controls = kept;
	target->n_controls = count;
	return 0;
}

/* Names in the defaults that no channel can have. */
static int check_names(struct reader *reader, const struct level *level, struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at member;
	bool is_renode = strcmp(reader->emulator, "renode") == 0;
	static const char *const known[] = { "type", "gdb", "monitor", "qmp", "terminals" };
	while (level->channels.value != NULL && json_next(&level->channels, &iter, &member)) {
		struct err what = ERR_INIT;
		bool is_one = json_get_object(&member, NULL) == 0 && strcmp(member.key, "chardevs") != 0;
		if (member.value == NULL || is_one || json_known_key(&member, known, 4 + is_renode, &what) == 0)
			continue;
		reader_unknown_key(&member, known, 4 + is_renode, &what);
		if (reader->flavour == READER_PIGWEED) {
			reader_warn(reader, &what);
			continue;
		}
		*err = what;
		if (reader_failed(reader, err) < 0)
			return -1;
	}
	return 0;
}

int target_json_types(struct reader *reader, const struct json_at *at, const struct json_at *emulator, const char *fallback,
		      Pwemu__V1__Target *target, struct err *err)
{
	struct level level;
	int rc = level_init(&level, reader, emulator, fallback, err);
	if (rc == 0)
		rc = check_names(reader, &level, err);
	if (rc == 0)
		rc = apply_channels(reader, at, &level, target, err);
	if (rc == 0)
		rc = apply_controls(reader, at, &level, target, err);
	level_fini(&level);
	return rc;
}

/* ---------------------------------------------------------------- expressions */

/* The type of a channel, "" without an endpoint; NULL: there is no such channel. */
static const char *type_of(const Pwemu__V1__Target *target, const char *name)
{
	static const char *const own[] = { "emulator", "semihosting", "gdb", "monitor", "qmp" };
	for (size_t i = 0; i < target->n_channels; i++)
		if (strcmp(target->channels[i]->name, name) == 0)
			return target->channels[i]->type;
	for (size_t i = 0; i < target->n_controls; i++)
		if (strcmp(target->controls[i]->channel, name) == 0)
			return target->controls[i]->type;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcmp(own[i], name) == 0)
			return "";
	return NULL;
}

static int no_channel(const struct reader_use *use, const Pwemu__V1__Target *target, struct err *err)
{
	const char **names = xcalloc(target->n_channels + target->n_controls + 1, sizeof(*names));
	size_t count = 0;
	char hint[200];
	for (size_t i = 0; i < target->n_channels; i++)
		names[count++] = target->channels[i]->name;
	for (size_t i = 0; i < target->n_controls; i++)
		names[count++] = target->controls[i]->channel;
	err_set(err, ERR_INVALID_ARGUMENT, "%s: %s{%.64s}: the target has no channel of that name%s", use->where, subst_name(use->kind),
		use->channel, nearest_hint(use->channel, names, count, hint, sizeof(hint)));
	free(names);
	return -1;
}

static int check_use(const struct reader_use *use, const Pwemu__V1__Target *target, struct err *err)
{
	const char *type = type_of(target, use->channel), *wanted = use->kind == SUBST_CHANNEL_PATH ? "pty" : "tcp";
	if (type == NULL)
		return no_channel(use, target, err);
	if (strcmp(type, wanted) == 0)
		return 0;
	if (type[0] == '\0' || strcmp(type, "none") == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "%s: %s{%.64s}: the channel has no endpoint; give it the type \"%s\"", use->where,
			       subst_name(use->kind), use->channel, wanted);
	return err_set(err, ERR_INVALID_ARGUMENT, "%s: %s{%.64s}: the channel's type is %s, it would have to be %s", use->where,
		       subst_name(use->kind), use->channel, type, wanted);
}

int target_json_uses(struct reader *reader, const Pwemu__V1__Target *target, struct err *err)
{
	for (size_t i = 0; i < reader->use_count; i++)
		if (check_use(&reader->uses[i], target, err) < 0 && reader_failed(reader, err) < 0)
			return -1;
	return 0;
}
