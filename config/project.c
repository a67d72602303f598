/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One target, from its parts: the preset or the targets it is based on, the nearest last, each laid over what is there; below them the
 * defaults of the emulator.
 */
#include "config/project.h"

#include <stdlib.h>
#include <string.h>

#include "config/explain.h"
#include "config/nearest.h"
#include "config/project_files.h"
#include "config/target.h"
#include "wire/mem.h"

struct resolve {
	struct project *project;
	struct reader reader;
	const struct project_target_row *layers[TARGET_BASES_MAX]; /* [0] the target itself, then what it is based on */
	size_t layer_count;
	Pwemu__V1__Target *preset; /* what the last of them is based on; NULL: nothing */
	Pwemu__V1__Target *target;
};

static int not_found(const struct project *project, const char *name, struct err *err)
{
	const char **names = xcalloc(project->row_count, sizeof(*names));
	char hint[300];
	for (size_t i = 0; i < project->row_count; i++)
		names[i] = project->rows[i].name;
	err_set(err, ERR_NOT_FOUND, "%s: targets: %.100s: not found%s", project->path, name,
		nearest_hint(name, names, project->row_count, hint, sizeof(hint)));
	free(names);
	return err_reason(err, "invalid-target");
}

/* ---------------------------------------------------------------- base */

static int get_preset(struct resolve *r, const struct json_at *at, const char *name, struct err *err)
{
	struct err bad = ERR_INIT;
	const struct project_ops *ops = &r->project->ops;
	if (ops->preset == NULL)
		return json_fail(at, err, "there is no target \"%.100s\"", name);
	if (ops->preset(ops->ctx, name, &r->preset, &bad) == 0)
		return 0;
	json_fail(at, err, "%s", bad.msg);
	err->code = bad.code == ERR_NOT_FOUND ? ERR_INVALID_ARGUMENT : bad.code;
	return -1;
}

static int is_based_on(struct resolve *r, const struct json_at *at, const char *name, struct err *err)
{
	const struct project_target_row *row = project_find(r->project, name);
	bool is_itself = row == r->layers[r->layer_count - 1]; /* a target may stand over the preset of its own name */
	if (row == NULL || is_itself)
		return get_preset(r, at, name, err);
	for (size_t i = 0; i < r->layer_count; i++)
		if (r->layers[i] == row)
			return json_fail(at, err, "\"%s\" is based on itself, by way of this", name);
	if (r->layer_count == TARGET_BASES_MAX)
		return json_fail(at, err, "more than %d targets based on one another", TARGET_BASES_MAX);
	r->layers[r->layer_count++] = row;
	return 0;
}

/* Finds all layers. */
static int find_bases(struct resolve *r, struct err *err)
{
	struct json_at base;
	for (size_t i = 0; i < r->layer_count && r->preset == NULL; i++) {
		char *name = NULL;
		const struct json_at *at = &r->layers[i]->at;
		if (json_get_object(at, err) < 0)
			return -1;
		if (!json_member(at, "base", &base))
			continue;
		if (reader_expand(&r->reader, &base, READER_PLAIN, &name, err) < 0)
			return -1;
		int rc = is_based_on(r, &base, name, err);
		free(name);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the emulator */

static bool has_emulator(const struct resolve *r, const char *name)
{
	const char *own;
	for (size_t i = 0; i < r->layer_count; i++)
		for (size_t j = 0; (own = target_json_emulator(&r->layers[i]->at, j)) != NULL; j++)
			if (strcmp(own, name) == 0)
				return true;
	return r->preset != NULL && strcmp(r->preset->emulator, name) == 0;
}

/* What is wrong beside that it has no emulator, which decides over none of the other keys. */
static int check_without_emulator(struct resolve *r, const struct json_at *at, struct err *err)
{
	if (r->reader.on_error == NULL)
		return target_json_unknown(&r->reader, at, err); /* what was to be "qemu" or "base" */
	r->reader.emulator = target_emulator_name(0);
	target_set_emulator(r->target, r->reader.emulator);
	int rc = target_json_read(&r->reader, at, r->target, err);
	r->reader.emulator = NULL;
	return rc;
}

static int choose_emulator(struct resolve *r, const char *runner, struct err *err)
{
	const struct json_at *at = &r->layers[0]->at;
	const char *found = NULL;
	if (runner != NULL && !has_emulator(r, runner)) {
		json_fail(at, err, "has no emulator \"%.40s\"", runner);
		return err_reason(err, "invalid-emulator");
	}
	for (size_t i = 0; runner == NULL && found == NULL && i < r->layer_count; i++)
		found = target_json_emulator(&r->layers[i]->at, 0);
	if (found == NULL && runner == NULL && r->preset != NULL)
		found = r->preset->emulator;
	for (size_t i = 0; target_emulator_name(i) != NULL; i++)
		if (strcmp(target_emulator_name(i), runner != NULL ? runner : found != NULL ? found : "") == 0)
			r->reader.emulator = target_emulator_name(i);
	if (r->reader.emulator == NULL && check_without_emulator(r, at, err) < 0)
		return -1;
	if (r->reader.emulator == NULL)
		return json_fail(at, err, "could not determine emulator: it has neither \"qemu\" nor \"renode\"");
	return 0;
}

/* ---------------------------------------------------------------- layers */

struct preset_origin {
	struct origins *origins;
	char *where;
};

static void on_preset_value(void *ctx, const char *name, const char *text, bool is_set)
{
	const struct preset_origin *preset = ctx;
	(void)text;
	if (!is_set)
		return;
	if (origins_get(preset->origins, name) == NULL)
		origins_set(preset->origins, name, preset->where);
}

/* What the preset has not, the defaults keep; its arguments come behind theirs. */
static void lay_preset_qemu(struct resolve *r, Pwemu__V1__QemuTarget *preset)
{
	Pwemu__V1__QemuTarget *qemu = r->target->qemu;
	size_t count = qemu->n_args + preset->n_args;
	char **args = xcalloc(count + 1, sizeof(*args));
	if (qemu->n_args > 0)
		memcpy(args, qemu->args, qemu->n_args * sizeof(*args));
	if (preset->n_args > 0)
		memcpy(args + qemu->n_args, preset->args, preset->n_args * sizeof(*args));
	free(qemu->args);
	free(preset->args);
	preset->args = args;
	preset->n_args = count;
	qemu->args = NULL;
	qemu->n_args = 0;
	if (preset->executable[0] == '\0') {
		char *mine = qemu->executable;
		qemu->executable = preset->executable;
		preset->executable = mine;
	} else {
		origins_drop(r->reader.origins, "qemu.executable");
	}
}

/* The preset becomes the target; the target so far has nothing but the defaults. */
static void lay_preset(struct resolve *r)
{
	Pwemu__V1__Target *preset = r->preset, *old = r->target;
	struct preset_origin origin = { r->reader.origins, xasprintf("preset %s", preset->name) };
	bool is_same = strcmp(preset->emulator, old->emulator) == 0;
	if (preset->n_gdb == 0) {
		preset->gdb = old->gdb;
		preset->n_gdb = old->n_gdb;
		old->gdb = NULL;
		old->n_gdb = 0;
	} else {
		origins_drop(r->reader.origins, "gdb");
	}
	if (is_same && preset->qemu != NULL)
		lay_preset_qemu(r, preset->qemu);
	explain_walk(preset, on_preset_value, &origin);
	free(origin.where);
	free(preset->name);
	preset->name = xstrdup(old->name);
	if (!is_same) { /* its memory and its names are of use, its machine is not */
		while (preset->n_channels > 0)
			pwemu__v1__channel_spec__free_unpacked(preset->channels[--preset->n_channels], NULL);
		pwemu__v1__qemu_target__free_unpacked(preset->qemu, NULL);
		preset->qemu = old->qemu;
		preset->renode = old->renode;
		old->qemu = NULL;
		old->renode = NULL;
		target_set_emulator(preset, old->emulator);
	}
	pwemu__v1__target__free_unpacked(old, NULL);
	r->target = preset;
	r->preset = NULL;
}

static int lay_defaults(struct resolve *r, struct json_at *emulator, struct err *err)
{
	const struct json_at *config = r->project->files[0]->config;
	struct json_at gdb;
	static const struct key key = { .name = "gdb",
					.offset = offsetof(Pwemu__V1__Target, gdb),
					.count_offset = offsetof(Pwemu__V1__Target, n_gdb) };
	*emulator = (struct json_at){ .file = config->file };
	if (json_member(config, "gdb", &gdb) && key_texts(&r->reader, &gdb, &key, r->target, err) < 0 && reader_failed(&r->reader, err) < 0)
		return -1;
	if (!json_member(config, r->reader.emulator, emulator))
		return 0;
	return target_json_emulator_defaults(&r->reader, emulator, r->target, err);
}

static void set_source(struct resolve *r)
{
	const struct project_target_row *row = r->layers[0];
	Pwemu__V1__Target *target = r->target;
	if (target->source != protobuf_c_empty_string)
		free(target->source);
	target->source = xstrdup(row->file->json.name);
	target->config = xstrdup(r->project->path);
}

static int lay_all(struct resolve *r, struct err *err)
{
	const char *fallback = r->project->flavour == READER_PIGWEED ? "tcp" : "";
	const struct json_at *at = &r->layers[0]->at;
	struct json_at emulator;
	struct err bad = ERR_INIT;
	target_set_emulator(r->target, r->reader.emulator);
	if (lay_defaults(r, &emulator, err) < 0)
		return -1;
	if (r->preset != NULL)
		lay_preset(r);
	for (size_t i = r->layer_count; i-- > 0;)
		if (target_json_read(&r->reader, &r->layers[i]->at, r->target, err) < 0)
			return -1;
	set_source(r);
	const char *own = target_json_emulator(at, 0);
	if (r->reader.origins != NULL && own != NULL && strcmp(own, r->reader.emulator) == 0) {
		struct json_at member;
		if (json_member(at, own, &member))
			reader_set_by(&r->reader, &member, "emulator");
	}
	if (target_json_types(&r->reader, at, &emulator, fallback, r->target, err) < 0 || target_json_uses(&r->reader, r->target, err) < 0)
		return -1;
	if (r->reader.errors > 0) /* what is missing may be what was wrong */
		return 0;
	return target_validate(r->target, &bad) < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

/* Also tells how many errors were reported. */
static int resolve(struct project *project, const struct project_target_row *row, const char *runner, struct origins *origins,
		   Pwemu__V1__Target **out, unsigned *errors, struct err *err)
{
	struct resolve r = { .project = project, .layers = { row }, .layer_count = 1, .target = target_new(row->name) };
	project_reader(project, &r.reader);
	r.reader.origins = origins;
	int rc = find_bases(&r, err);
	if (rc == 0)
		rc = choose_emulator(&r, runner, err);
	if (rc == 0)
		rc = lay_all(&r, err);
	if (rc < 0)
		rc = reader_failed(&r.reader, err);
	*errors += r.reader.errors;
	reader_fini(&r.reader);
	if (r.preset != NULL)
		pwemu__v1__target__free_unpacked(r.preset, NULL);
	if (rc == 0 && out != NULL)
		*out = r.target;
	else
		pwemu__v1__target__free_unpacked(r.target, NULL);
	return rc;
}

int project_target(struct project *project, const char *name, const char *runner, struct origins *origins, Pwemu__V1__Target **out,
		   struct err *err)
{
	const struct project_target_row *row = project_find(project, name);
	struct project_ops ops = project->ops;
	unsigned errors = 0;
	if (row == NULL)
		return not_found(project, name, err);
	project->ops.on_error = NULL; /* it is all or nothing */
	int rc = resolve(project, row, runner, origins, out, &errors, err);
	project->ops = ops;
	return rc;
}

/* A target without a usable emulator is looked at once, for the error. */
static int check_target(struct project *project, const struct project_target_row *row, unsigned *errors, struct err *err)
{
	const char *emulator = target_json_emulator(&row->at, 0);
	if (emulator == NULL)
		return resolve(project, row, NULL, NULL, NULL, errors, err);
	for (size_t i = 0; (emulator = target_json_emulator(&row->at, i)) != NULL; i++)
		if (resolve(project, row, emulator, NULL, NULL, errors, err) < 0)
			return -1;
	return 0;
}

/* What stands outside of the targets, for a target that has nothing. */
static int check_emulator_defaults(struct project *project, const char *emulator, unsigned *errors, struct err *err)
{
	struct resolve r = { .project = project, .target = target_new("") };
	struct json_at at;
	project_reader(project, &r.reader);
	r.reader.emulator = emulator;
	target_set_emulator(r.target, emulator);
	int rc = lay_defaults(&r, &at, err);
	if (rc == 0 && at.value != NULL)
		rc = target_json_types(&r.reader, &at, &at, "", r.target, err);
	if (rc < 0)
		rc = reader_failed(&r.reader, err);
	*errors += r.reader.errors;
	reader_fini(&r.reader);
	pwemu__v1__target__free_unpacked(r.target, NULL);
	return rc;
}

int project_check(struct project *project, struct err *err)
{
	unsigned errors = 0;
	for (size_t i = 0; target_emulator_name(i) != NULL; i++)
		if (check_emulator_defaults(project, target_emulator_name(i), &errors, err) < 0)
			return -1;
	for (size_t i = 0; i < project->row_count; i++)
		if (check_target(project, &project->rows[i], &errors, err) < 0)
			return -1;
	return (int)errors;
}
