/* SPDX-License-Identifier: Apache-2.0 */
#include "config/project.h"

#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "config/subst.h"
#include "config/target.h"
#include "config/target_json.h"
#include "wire/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char *expand(void *ctx, const struct json_at *at, const char *text, struct err *err)
{
	struct err bad = ERR_INIT;
	(void)ctx;
	char *made = subst_env(text, &bad);
	if (made == NULL)
		json_fail(at, err, "%s", bad.msg);
	return made;
}

/* Objects inside of objects, each of which must be there. */
static int enter(const struct json_at *object, const char *key, struct json_at *out, struct err *err)
{
	if (!json_member(object, key, out))
		return json_fail(object, err, "\"%s\" is missing", key);
	return json_get_object(out, err);
}

/* ---------------------------------------------------------------- the emulator's defaults */

/* What stands before the arguments that the target has. */
static int prepend_args(const struct json_at *qemu, const struct target_json_rules *rules, Pwemu__V1__QemuTarget *target, struct err *err)
{
	char **own = target->args;
	size_t own_count = target->n_args;
	target->args = NULL;
	target->n_args = 0;
	int rc = target_json_texts(qemu, "args", rules, &target->args, &target->n_args, err);
	target->args = xrealloc(target->args, target->n_args + own_count + 1, sizeof(*own));
	for (size_t i = 0; i < own_count; i++)
		target->args[target->n_args++] = own[i];
	free(own);
	return rc;
}

static int default_types(const struct json_at *qemu, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
{
	struct json_at channels, channel;
	if (!json_member(qemu, "channels", &channels))
		return 0;
	if (json_get_object(&channels, err) < 0)
		return -1;
	for (size_t i = 0; i < target->n_channels; i++) {
		const char *name = target->channels[i]->name;
		if (!json_member(&channels, name, &channel) || strcmp(name, "type") == 0)
			continue;
		if (json_get_object(&channel, err) < 0 || target_json_type(&channel, name, rules, target, err) < 0)
			return -1;
	}
	return target_json_type(&channels, NULL, rules, target, err);
}

static int add_defaults(const struct json_at *config, const struct target_json_rules *rules, Pwemu__V1__Target *target, struct err *err)
{
	static const char *const keys[] = { "executable", "args", "channels" };
	struct json_at qemu;
	if (target->n_gdb == 0 && target_json_texts(config, "gdb", rules, &target->gdb, &target->n_gdb, err) < 0)
		return -1;
	if (!json_member(config, "qemu", &qemu))
		return 0;
	if (json_get_object(&qemu, err) < 0 || target_json_keys(&qemu, rules, keys, COUNT(keys), err) < 0)
		return -1;
	if (target->qemu->executable[0] == '\0' && target_json_text(&qemu, "executable", rules, &target->qemu->executable, err) < 0)
		return -1;
	return prepend_args(&qemu, rules, target->qemu, err) < 0 ? -1 : default_types(&qemu, rules, target, err);
}

/* ---------------------------------------------------------------- the target */

static int read_target(const struct json_at *config, const struct json_at *at, const struct target_json_rules *rules,
		       Pwemu__V1__Target *target, struct err *err)
{
	struct err bad = ERR_INIT;
	if (target_json_read(at, rules, target, err) < 0 || add_defaults(config, rules, target, err) < 0)
		return -1;
	target_json_set_type(target, NULL, "tcp");
	return target_validate(target, &bad) < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

static int find_target(const struct json_file *file, const char *name, const struct target_json_rules *rules, Pwemu__V1__Target **out,
		       struct err *err)
{
	static const char *const keys[] = { "targets", "qemu", "gdb" };
	struct json_at root = json_root(file), pw, config, targets, at;
	if (enter(&root, "pw", &pw, err) < 0 || enter(&pw, "pw_emu", &config, err) < 0 ||
	    target_json_keys(&config, rules, keys, COUNT(keys), err) < 0)
		return -1;
	*out = NULL;
	if (!json_member(&config, "targets", &targets))
		return 0;
	if (json_get_object(&targets, err) < 0)
		return -1;
	if (!json_member(&targets, name, &at))
		return 0;
	Pwemu__V1__Target *target = xmalloc(sizeof(*target));
	pwemu__v1__target__init(target);
	if (read_target(&config, &at, rules, target, err) == 0) {
		*out = target;
		return 0;
	}
	pwemu__v1__target__free_unpacked(target, NULL);
	return -1;
}

int project_target(const char *path, const char *name, const struct project_ops *ops, Pwemu__V1__Target **out, struct err *err)
{
	struct target_json_rules rules = { .on_unknown = ops->on_unknown, .expand = expand, .ctx = ops->ctx };
	struct json_file file;
	if (json_load(path, &file, err) < 0)
		return -1;
	int rc = find_target(&file, name, &rules, out, err);
	json_fini(&file);
	return rc;
}
