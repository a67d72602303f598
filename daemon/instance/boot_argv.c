/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a boot: the driver's plan, with the expressions of the user's arguments replaced. */
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "config/subst.h"
#include "instance/boot_int.h"
#include "instance/uploads.h"
#include "wire/mem.h"

/* The target's word, else the daemon's. */
static const char *boot_isolate(const struct instance *inst)
{
	const struct settings *settings = inst->env->settings;
	if (inst->target->isolate[0] != '\0')
		return inst->target->isolate;
	return settings_isolate_word(settings != NULL ? settings->isolate : SETTINGS_ISOLATE_AUTO);
}

/* To be freed. */
static char *boot_image_path(const struct boot *b, size_t i)
{
	const struct instance *inst = b->inst;
	const Pwemu__V1__Image *image = inst->request->images[i];
	return image->digest[0] != '\0' ? uploads_path(inst->env->state_dir, inst->user.uid, image->digest) : xstrdup(image->path);
}

int boot_make_plan(struct boot *b, const struct prepare_result *prepared, struct err *err)
{
	struct instance *inst = b->inst;
	struct driver_image images[PREPARE_IMAGES_MAX];
	size_t count = prepared != NULL ? prepared->image_count : 0;
	for (size_t i = 0; i < count; i++) {
		images[i].path = boot_image_path(b, i);
		images[i].kind = prepared->images[i].kind;
		images[i].address = prepared->images[i].address;
		images[i].entry = prepared->images[i].entry;
	}
	struct driver_start start = {
		.target = inst->target,
		.request = inst->request,
		.program = prepared != NULL ? inst->program : "",
		.run_dir = b->run_path,
		.isolate = boot_isolate(inst),
		.has_no_sandbox = prepared != NULL && prepared->has_no_sandbox,
		.images = images,
		.image_count = count,
	};
	plan_fini(&b->plan);
	plan_init(&b->plan);
	int rc = inst->driver->plan(&start, &b->plan, err);
	for (size_t i = 0; i < count; i++)
		free((char *)(uintptr_t)images[i].path);
	return rc;
}

static void boot_copy_argv(struct strv *to, const struct strv *from)
{
	strv_fini(to);
	strv_init(to);
	strv_add_all(to, from->items, from->count);
}

/* Elsewhere (a file's name) an expression is plain text. */
static bool boot_is_expression(const struct boot *b, size_t index)
{
	const struct strv *argv = &b->plan.argv;
	return index + b->plan.argument_count >= argv->count && subst_is_needed(argv->items[index]);
}

/* The command line with its expressions becomes one without; where it has any, it is kept for the boots that follow. */
static int boot_expand_argv(struct boot *b, struct err *err)
{
	struct strv words;
	bool has_any = false;
	int rc = 0;
	strv_init(&words);
	for (size_t i = 0; i < b->plan.argv.count && rc == 0; i++) {
		const char *word = b->plan.argv.items[i];
		bool is_expression = boot_is_expression(b, i);
		char *value = is_expression ? expand_text(&b->scope, "argument of the emulator", word, err) : xstrdup(word);
		has_any = has_any || is_expression;
		rc = value != NULL ? 0 : -1;
		if (value != NULL)
			strv_add(&words, value);
		free(value);
	}
	if (rc == 0 && has_any)
		boot_copy_argv(&b->inst->argv_template, &b->plan.argv);
	if (rc == 0)
		boot_copy_argv(&b->plan.argv, &words);
	strv_fini(&words);
	return rc;
}

int boot_choose_argv(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	if (inst->is_restart) {
		boot_copy_argv(&b->plan.argv, inst->argv_template.count > 0 ? &inst->argv_template : &inst->argv);
	} else {
		if (boot_make_plan(b, inst->prepared, err) < 0)
			return -1;
		strv_fini(&inst->argv_template);
		strv_init(&inst->argv_template);
		boot_copy_argv(&inst->setup, &b->plan.setup);
	}
	if (boot_expand_argv(b, err) < 0)
		return -1;
	boot_copy_argv(&inst->argv, &b->plan.argv);
	return 0;
}

int boot_check_arguments(struct boot *b, struct err *err)
{
	for (size_t i = 0; i < b->plan.argv.count; i++) {
		const char *word = b->plan.argv.items[i];
		char *value = boot_is_expression(b, i) ? expand_text(&b->scope, "argument of the emulator", word, err) : xstrdup("");
		if (value == NULL)
			return -1;
		free(value);
	}
	return 0;
}
