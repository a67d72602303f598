/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties. A device's name alone prints what it has; "PATH PROPERTY" prints a value, "PATH PROPERTY VALUE" sets it. Setting one that
 * cannot be set silently reads it, so the listing comes first. Paths and names are words of one command line and no more; a path without
 * "sysbus." before it is taken as one of a peripheral ("cpu").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "driver/renode_cpus.h"
#include "driver/renode_int.h"
#include "driver/renode_listing.h"
#include "wire/mem.h"

#define PROPS_PATHS_MAX 512

struct props {
	struct driver_link *link;
	char *path, *property, *value;
	char *type;
	bool is_json;
	struct err err; /* to be told */
	/* One of them is set. */
	driver_properties_fn on_list;
	driver_value_fn on_value;
	driver_done_fn on_set;
	void *ctx;
	const char *names[PROPS_PATHS_MAX]; /* of peripherals, for a hint */
	char *texts[PROPS_PATHS_MAX];
	size_t name_count;
};

/* ---------------------------------------------------------------- ends */

static void props_free(struct props *props)
{
	for (size_t i = 0; i < props->name_count; i++)
		free(props->texts[i]);
	free(props->path);
	free(props->property);
	free(props->value);
	free(props->type);
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

static void props_fail_as(struct props *props, enum err_code code, const char *reason, const char *text, const char *hint)
{
	struct err err = ERR_INIT;
	err_set(&err, code, "%s%s", text, hint);
	err_reason(&err, reason);
	props_fail(props, &err);
}

/* ---------------------------------------------------------------- a path that leads nowhere */

static void props_on_peripheral(void *ctx, const struct renode_peripheral *peripheral)
{
	struct props *props = ctx;
	if (props->name_count == PROPS_PATHS_MAX)
		return;
	props->texts[props->name_count] = xstrdup(peripheral->path);
	props->names[props->name_count] = props->texts[props->name_count];
	props->name_count++;
}

static void props_on_tree(void *ctx, const char *text, const struct err *err)
{
	struct props *props = ctx;
	char hint[256] = "";
	if (err == NULL) {
		renode_peripherals(text, props_on_peripheral, props);
		nearest_hint(props->path, props->names, props->name_count, hint, sizeof(hint));
	}
	char *words = xasprintf("Renode: %s", props->err.msg);
	props_fail_as(props, ERR_NOT_FOUND, "invalid-property-path", words, hint);
	free(words);
}

static void props_on_no_path(struct props *props, const struct err *err)
{
	props->err = *err;
	monitor_ask(props->link->monitor, "peripherals", RENODE_COMMAND_TIMEOUT_MS, props_on_tree, props);
}

/* Whether Renode said it, and not that it was not asked or did not answer. */
static bool props_is_answer(const struct err *err)
{
	return err->code == ERR_FAILED_PRECONDITION || err->code == ERR_NOT_FOUND;
}

/* ---------------------------------------------------------------- get, set */

static void props_on_value(void *ctx, const char *text, const struct err *err)
{
	struct props *props = ctx;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	if (err != NULL) {
		if (props_is_answer(err))
			err_prefix(&told, "Renode");
		props_fail(props, &told);
		return;
	}
	char *json = renode_value_json(props->type, text);
	props->on_value(props->ctx, json, props->type, NULL);
	free(json);
	props_free(props);
}

static void props_on_set(void *ctx, const char *text, const struct err *err)
{
	struct props *props = ctx;
	(void)text;
	if (err != NULL && props_is_answer(err)) {
		char *words = xasprintf("property \"%s\" of type %s: Renode: %s", props->property, props->type, err->msg);
		props_fail_as(props, ERR_INVALID_ARGUMENT, "invalid-value", words, "");
		free(words);
		return;
	}
	if (err != NULL) {
		props_fail(props, err);
		return;
	}
	props->on_set(props->ctx, NULL);
	props_free(props);
}

static void props_get(struct props *props)
{
	char *command = xasprintf("%s %s", props->path, props->property);
	monitor_ask(props->link->monitor, command, RENODE_COMMAND_TIMEOUT_MS, props_on_value, props);
	free(command);
}

static void props_set(struct props *props)
{
	struct err err = ERR_INIT;
	char *argument = renode_value_argument(props->type, props->value, props->is_json, &err);
	if (argument == NULL) {
		err_prefix(&err, "property \"%.64s\"", props->property);
		props_fail(props, &err);
		return;
	}
	char *command = xasprintf("%s %s %s", props->path, props->property, argument);
	monitor_ask(props->link->monitor, command, RENODE_COMMAND_TIMEOUT_MS, props_on_set, props);
	free(command);
	free(argument);
}

static void props_access(struct props *props, const struct driver_property *row)
{
	bool is_allowed = props->on_set != NULL ? row->is_writable : row->is_readable;
	props->type = xstrdup(row->type);
	if (is_allowed) {
		(props->on_set != NULL ? props_set : props_get)(props);
		return;
	}
	char *words = xasprintf("property \"%s\" of \"%s\" is not %s", props->property, props->path,
				props->on_set != NULL ? "writable" : "readable");
	props_fail_as(props, ERR_FAILED_PRECONDITION, "read-only-property", words, "");
	free(words);
}

static void props_on_listed(struct props *props, const struct renode_listing *listing)
{
	char hint[256];
	if (props->on_list != NULL) {
		props->on_list(props->ctx, listing->rows, listing->count, NULL);
		props_free(props);
		return;
	}
	const struct driver_property *row = renode_listing_find(listing, props->property);
	if (row != NULL) {
		props_access(props, row);
		return;
	}
	renode_listing_hint(listing, props->property, hint, sizeof(hint));
	char *words = xasprintf("\"%s\" has no property \"%s\"", props->path, props->property);
	props_fail_as(props, ERR_NOT_FOUND, "invalid-property", words, hint);
	free(words);
}

static void props_on_listing(void *ctx, const char *text, const struct err *err)
{
	struct props *props = ctx;
	struct renode_listing listing;
	if (err != NULL && props_is_answer(err)) {
		props_on_no_path(props, err);
		return;
	}
	if (err != NULL) {
		props_fail(props, err);
		return;
	}
	renode_listing_init(&listing, text);
	props_on_listed(props, &listing);
	renode_listing_fini(&listing);
}

/* ---------------------------------------------------------------- the driver's calls */

static bool props_is_word(const char *text)
{
	return text[0] != '\0' && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(text);
}

static void props_begin(struct props *props)
{
	if (!props_is_word(props->path)) {
		char *words = xasprintf("\"%.200s\" is no path of a device of Renode's: write sysbus.usart2", props->path);
		props_fail_as(props, ERR_NOT_FOUND, "invalid-property-path", words, "");
		free(words);
		return;
	}
	monitor_ask(props->link->monitor, props->path, RENODE_COMMAND_TIMEOUT_MS, props_on_listing, props);
}

/* Any other word alone is one of the monitor's commands, or may be. */
static char *props_full_path(const char *path)
{
	static const char *const objects[] = { "sysbus", "machine", "emulation", "connector", "sockets" };
	bool is_full = strncmp(path, "sysbus.", 7) == 0;
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
		is_full = is_full || strcmp(path, objects[i]) == 0;
	return xasprintf("%s%s", is_full ? "" : "sysbus.", path);
}

static struct props *props_new(struct driver_link *link, const char *path, const char *property, void *ctx)
{
	struct props *props = xcalloc(1, sizeof(*props));
	props->link = link;
	props->path = props_full_path(path);
	props->property = property != NULL ? xstrdup(property) : NULL;
	props->ctx = ctx;
	return props;
}

void renode_list_properties(struct driver_link *link, const char *path, driver_properties_fn done, void *ctx)
{
	struct props *props = props_new(link, path, NULL, ctx);
	props->on_list = done;
	props_begin(props);
}

void renode_get_property(struct driver_link *link, const char *path, const char *property, driver_value_fn done, void *ctx)
{
	struct props *props = props_new(link, path, property, ctx);
	props->on_value = done;
	props_begin(props);
}

void renode_set_property(struct driver_link *link, const char *path, const char *property, const char *value, bool is_json,
			 driver_done_fn done, void *ctx)
{
	struct props *props = props_new(link, path, property, ctx);
	props->value = xstrdup(value);
	props->is_json = is_json;
	props->on_set = done;
	props_begin(props);
}
