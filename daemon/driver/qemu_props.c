/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: qom-list, qom-get, qom-set. Each question begins with qom-list of the path: its answer has the property's type, and the
 * names for a hint when the next answer is an error. qom-get goes along with it, as it needs nothing of the answer, and
 * goes alone for the property that was got last: QEMU reads its commands byte by byte, and the type is known. A path that leads
 * nowhere is looked at from its parent up, to the nearest child of the first one that is there.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "driver/qemu_int.h"
#include "driver/qemu_value.h"
#include "driver/qmp.h"
#include "wire/mem.h"

#define PROPS_HINT_MAX 256

struct props {
	struct driver_link *link;
	char *path, *property;
	char *parent;              /* path that is being looked at for a hint */
	char *lost;                /* name that it does not have */
	char *type;                /* of the property; "" when there is none of that name */
	char *value;               /* to be set */
	struct err err;            /* to be told; of a value that is got: of qom-list */
	char hint[PROPS_HINT_MAX]; /* nearest property */
	bool is_json;
	/* One of them is set. */
	driver_properties_fn on_list;
	driver_value_fn on_value;
	driver_done_fn on_set;
	void *ctx;
};

/* ---------------------------------------------------------------- ends */

static void props_free(struct props *props)
{
	char *const texts[] = { props->path, props->property, props->parent, props->lost, props->type, props->value };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	free(props);
}

static void props_fail(struct props *props, const struct err *err)
{
	if (props->on_list != NULL)
		props->on_list(props->ctx, NULL, 0, err);
	else if (props->on_value != NULL)
		props->on_value(props->ctx, NULL, NULL, err);
	else if (props->on_set != NULL)
		props->on_set(props->ctx, err);
	props_free(props);
}

/* Whether QEMU said it, and not that it was not asked or did not answer. */
static bool props_is_answer(const struct err *err)
{
	return err->code == ERR_FAILED_PRECONDITION || err->code == ERR_NOT_FOUND;
}

/* QEMU's words, without which command it was. */
static void props_tell(struct err *out, enum err_code code, const char *reason, const struct err *said, const char *hint)
{
	const char *colon = strstr(said->msg, ": ");
	char words[ERR_MSG_MAX];
	snprintf(words, sizeof(words), "%s", colon != NULL ? colon + 2 : said->msg);
	err_set(out, code, "%s%s", words, hint);
	err_reason(out, reason);
}

/* ---------------------------------------------------------------- names */

struct names {
	struct driver_property *rows; /* strings are those of the answer */
	const char **all;             /* names of the rows, NULL for those that are not wanted */
	size_t count;
};

static void names_init(struct names *names, struct json_object *list, bool only_children)
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	names->rows = xcalloc(count, sizeof(*names->rows));
	names->all = xcalloc(count, sizeof(*names->all));
	names->count = count;
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_array_get_idx(list, i);
		names->rows[i].name = qmp_string(row, "name");
		names->rows[i].type = qmp_string(row, "type");
		bool is_child = strncmp(names->rows[i].type, "child<", 6) == 0;
		names->all[i] = is_child || !only_children ? names->rows[i].name : NULL;
	}
}

static void names_fini(struct names *names)
{
	free(names->rows);
	free(names->all);
}

/* Takes the value. To be freed. */
static char *props_arguments(const struct props *props, struct json_object *value)
{
	struct json_object *object = json_object_new_object();
	json_object_object_add(object, "path", json_object_new_string(props->path));
	json_object_object_add(object, "property", json_object_new_string(props->property));
	if (props->on_set != NULL)
		json_object_object_add(object, "value", value);
	char *text = xstrdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
	return text;
}

/* To be freed. */
static char *props_list_arguments(const char *path)
{
	struct json_object *object = json_object_new_object();
	json_object_object_add(object, "path", json_object_new_string(path));
	char *text = xstrdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
	return text;
}

static void props_list(struct props *props, const char *path, qmp_reply_fn on_reply)
{
	char *arguments = props_list_arguments(path);
	qmp_execute(props->link->qmp, "qom-list", arguments, QEMU_COMMAND_TIMEOUT_MS, on_reply, props);
	free(arguments);
}

/* ---------------------------------------------------------------- a path that leads nowhere */

static void props_on_parent(void *ctx, struct json_object *list, const struct err *err);

/* Goes one name up; false: there is nothing above. Of a partial path that is where all devices are. */
static bool props_go_up(struct props *props)
{
	char *slash = strrchr(props->parent, '/');
	if (strcmp(props->parent, "/") == 0 || strcmp(props->parent, "/machine/unattached") == 0)
		return false;
	free(props->lost);
	props->lost = xstrdup(slash != NULL ? slash + 1 : props->parent);
	if (slash == NULL) {
		free(props->parent);
		props->parent = xstrdup("/machine/unattached");
	} else {
		slash[slash == props->parent] = '\0'; /* of "/x" the slash stays */
	}
	return true;
}

static void props_look_up(struct props *props)
{
	if (props_go_up(props)) {
		props_list(props, props->parent, props_on_parent);
		return;
	}
	struct err err = props->err;
	props_fail(props, &err);
}

static void props_on_parent(void *ctx, struct json_object *list, const struct err *err)
{
	struct props *props = ctx;
	struct names names;
	if (err != NULL && props_is_answer(err)) {
		props_look_up(props);
		return;
	}
	struct err told = err != NULL ? *err : props->err;
	if (err == NULL) {
		char hint[PROPS_HINT_MAX];
		names_init(&names, list, true);
		nearest_hint(props->lost, names.all, names.count, hint, sizeof(hint));
		names_fini(&names);
		props_tell(&told, ERR_NOT_FOUND, "invalid-property-path", &props->err, hint);
	}
	props_fail(props, &told);
}

static void props_on_no_path(struct props *props, const struct err *err)
{
	props_tell(&props->err, ERR_NOT_FOUND, "invalid-property-path", err, "");
	if (err->code != ERR_NOT_FOUND) { /* it is ambiguous */
		struct err told = props->err;
		props_fail(props, &told);
		return;
	}
	props->parent = xstrdup(props->path);
	props_look_up(props);
}

/* ---------------------------------------------------------------- get, set */

static void props_on_property_error(struct props *props, const struct err *err)
{
	struct err told = *err;
	if (props_is_answer(err) && props->type[0] == '\0')
		props_tell(&told, ERR_NOT_FOUND, "invalid-property", err, props->hint);
	else if (props_is_answer(err) && strstr(err->msg, "is not writable") != NULL)
		props_tell(&told, ERR_FAILED_PRECONDITION, "read-only-property", err, "");
	else if (props_is_answer(err) && props->on_set != NULL)
		props_tell(&told, ERR_INVALID_ARGUMENT, "invalid-value", err, "");
	else if (props_is_answer(err))
		props_tell(&told, ERR_FAILED_PRECONDITION, "invalid-property", err, "");
	props_fail(props, &told);
}

static void props_on_set(void *ctx, struct json_object *value, const struct err *err)
{
	(void)value;
	struct props *props = ctx;
	if (err != NULL) {
		props_on_property_error(props, err);
		return;
	}
	props->on_set(props->ctx, NULL);
	props_free(props);
}

static void props_find(struct props *props, const struct names *names)
{
	const char *type = "";
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->rows[i].name, props->property) == 0)
			type = names->rows[i].type;
	props->type = xstrdup(type);
	if (type[0] == '\0')
		nearest_hint(props->property, names->all, names->count, props->hint, sizeof(props->hint));
}

static void props_set(struct props *props)
{
	struct json_object *value = NULL;
	struct err err = ERR_INIT;
	int rc = props->is_json ? qemu_value_of_json(props->value, &value, &err)
				: qemu_value_of_text(props->type, props->value, &value, &err);
	if (rc < 0) {
		err_prefix(&err, "property \"%.64s\" of type %.64s", props->property, props->type[0] != '\0' ? props->type : "(unknown)");
		props_fail(props, &err);
		return;
	}
	char *arguments = props_arguments(props, value);
	qmp_execute(props->link->qmp, "qom-set", arguments, QEMU_COMMAND_TIMEOUT_MS, props_on_set, props);
	free(arguments);
}

static void props_on_list_error(struct props *props, const struct err *err)
{
	if (props_is_answer(err))
		props_on_no_path(props, err);
	else
		props_fail(props, err);
}

/* Of a value that is got: what is to be told is told with the answer that follows. */
static void props_on_type(void *ctx, struct json_object *list, const struct err *err)
{
	struct props *props = ctx;
	struct names names;
	if (err != NULL) {
		props->err = *err;
		return;
	}
	names_init(&names, list, false);
	props_find(props, &names);
	names_fini(&names);
}

static void props_remember(const struct props *props)
{
	struct qemu_typed *typed = &props->link->typed;
	qemu_typed_clear(typed);
	if (props->type[0] != '\0')
		*typed = (struct qemu_typed){ xstrdup(props->path), xstrdup(props->property), xstrdup(props->type) };
}

static void props_on_value(void *ctx, struct json_object *value, const struct err *err)
{
	struct props *props = ctx;
	if (err_is_set(&props->err)) {
		const struct err of_list = props->err;
		props_on_list_error(props, &of_list);
		return;
	}
	if (err != NULL) {
		props_on_property_error(props, err);
		return;
	}
	props_remember(props);
	props->on_value(props->ctx, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			props->type, NULL);
	props_free(props);
}

static void props_on_list(void *ctx, struct json_object *list, const struct err *err)
{
	struct props *props = ctx;
	struct names names;
	if (err != NULL) {
		props_on_list_error(props, err);
		return;
	}
	names_init(&names, list, false);
	if (props->on_list != NULL) {
		props->on_list(props->ctx, names.rows, names.count, NULL);
		props_free(props);
	} else {
		props_find(props, &names);
		props_set(props);
	}
	names_fini(&names);
}

static struct props *props_new(struct driver_link *link, const char *path, const char *property, void *ctx)
{
	struct props *props = xcalloc(1, sizeof(*props));
	props->link = link;
	props->path = xstrdup(path);
	props->property = property != NULL ? xstrdup(property) : NULL;
	props->ctx = ctx;
	return props;
}

/* ---------------------------------------------------------------- the driver's calls */

void qemu_list_properties(struct driver_link *link, const char *path, driver_properties_fn done, void *ctx)
{
	struct props *props = props_new(link, path, NULL, ctx);
	props->on_list = done;
	props_list(props, path, props_on_list);
}

static void props_get(struct props *props)
{
	char *list = props_list_arguments(props->path), *get = props_arguments(props, NULL);
	const struct qmp_ask asks[2] = { { "qom-list", list, QEMU_COMMAND_TIMEOUT_MS, props_on_type },
					 { "qom-get", get, QEMU_COMMAND_TIMEOUT_MS, props_on_value } };
	qmp_execute_pair(props->link->qmp, asks, props);
	free(list);
	free(get);
}

/* Of a property whose type is known. When QEMU objects, it is asked as if nothing were known. */
static void props_on_known(void *ctx, struct json_object *value, const struct err *err)
{
	struct props *props = ctx;
	if (err == NULL || !props_is_answer(err)) {
		props_on_value(ctx, value, err);
		return;
	}
	free(props->type);
	props->type = NULL;
	props_get(props);
}

void qemu_typed_clear(struct qemu_typed *typed)
{
	free(typed->path);
	free(typed->property);
	free(typed->type);
	*typed = (struct qemu_typed){ 0 };
}

void qemu_get_property(struct driver_link *link, const char *path, const char *property, driver_value_fn done, void *ctx)
{
	struct props *props = props_new(link, path, property, ctx);
	const struct qemu_typed *typed = &link->typed;
	props->on_value = done;
	if (typed->path == NULL || strcmp(typed->path, path) != 0 || strcmp(typed->property, property) != 0) {
		props_get(props);
		return;
	}
	props->type = xstrdup(typed->type);
	char *get = props_arguments(props, NULL);
	qmp_execute(link->qmp, "qom-get", get, QEMU_COMMAND_TIMEOUT_MS, props_on_known, props);
	free(get);
}

void qemu_set_property(struct driver_link *link, const char *path, const char *property, const char *value, bool is_json,
		       driver_done_fn done, void *ctx)
{
	struct props *props = props_new(link, path, property, ctx);
	props->value = xstrdup(value);
	props->is_json = is_json;
	props->on_set = done;
	props_list(props, path, props_on_list);
}
