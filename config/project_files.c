/* SPDX-License-Identifier: Apache-2.0 */
#include "config/project_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "wire/mem.h"

#define FILES_MAX   64
#define TARGETS_MAX 4096

void project_reader(const struct project *project, struct reader *reader)
{
	*reader = (struct reader){
		.flavour = project->flavour,
		.expands = true,
		.on_warning = project->ops.on_warning,
		.on_error = project->ops.on_error,
		.ctx = project->ops.ctx,
		.dir = project->dir,
	};
}

/* ---------------------------------------------------------------- targets */

const struct project_target_row *project_find(const struct project *project, const char *name)
{
	for (size_t i = 0; i < project->row_count; i++)
		if (strcmp(project->rows[i].name, name) == 0)
			return &project->rows[i];
	return NULL;
}

size_t project_count(const struct project *project)
{
	return project->row_count;
}

const char *project_name(const struct project *project, size_t index)
{
	return project->rows[index].name;
}

bool project_has(const struct project *project, const char *name)
{
	return project_find(project, name) != NULL;
}

/* The one read last replaces the whole target. */
static int add_targets(struct project *project, struct project_file *file, struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at at;
	while (json_next(&file->targets, &iter, &at)) {
		struct project_target_row *row = (struct project_target_row *)(uintptr_t)project_find(project, at.key);
		if (at.value == NULL)
			continue;
		if (row == NULL && project->row_count == TARGETS_MAX)
			return json_fail(&file->targets, err, "more than %d targets", TARGETS_MAX);
		if (row == NULL) {
			project->rows = xrealloc(project->rows, project->row_count + 1, sizeof(*project->rows));
			row = &project->rows[project->row_count++];
		}
		*row = (struct project_target_row){ .name = at.key, .file = file, .at = at };
	}
	return 0;
}

static int keep_targets(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	struct project_file *file = object;
	(void)reader, (void)key;
	if (json_get_object(at, err) < 0)
		return -1;
	file->targets = *at;
	return 0;
}

/* ---------------------------------------------------------------- target_files */

static const struct key file_rows[] = {
	{ .name = "$schema", .read = key_ignore },
	{ .name = "targets", .read = keep_targets },
};
static const struct keys file_keys = KEYS(file_rows);

static struct project_file *add_file(struct project *project)
{
	project->files = xrealloc(project->files, project->file_count + 1, sizeof(*project->files));
	return project->files[project->file_count++] = xcalloc(1, sizeof(struct project_file));
}

static void identify(struct project_file *file, const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return;
	file->device = st.st_dev;
	file->inode = st.st_ino;
}

/* The same file under another name, too. */
static int check_once(const struct project *project, const struct project_file *file, struct err *err)
{
	for (size_t i = 0; file->inode != 0 && i < project->file_count; i++) {
		const struct project_file *other = project->files[i];
		if (other == file || other->inode != file->inode || other->device != file->device)
			continue;
		return err_set(err, ERR_INVALID_ARGUMENT, i == 0 ? "is this file itself (%s)" : "is there twice: %s was read already",
			       other->json.name);
	}
	return 0;
}

static int load_file(struct project *project, const char *path, struct err *err)
{
	struct reader reader;
	struct json_at targets;
	struct project_file *file = add_file(project);
	identify(file, path);
	if (check_once(project, file, err) < 0 || json_load(path, &file->json, err) < 0)
		return -1;
	file->chain[0] = json_root(&file->json);
	file->config = &file->chain[0];
	project_reader(project, &reader);
	if (reader_object(&reader, file->config, &file_keys, file, err) < 0)
		return -1;
	if (!json_member(file->config, "targets", &targets))
		return json_fail(file->config, err, "\"targets\" is missing");
	return file->targets.value != NULL ? add_targets(project, file, err) : 0;
}

static int read_target_file(struct reader *reader, const struct json_at *at, struct project *project, struct err *err)
{
	char *name = NULL;
	struct err bad = ERR_INIT;
	if (reader_expand(reader, at, READER_PLAIN, &name, err) < 0)
		return -1;
	char *path = name[0] == '/' ? xstrdup(name) : xasprintf("%s/%s", project->dir, name);
	int rc = project->file_count > FILES_MAX ? err_set(&bad, ERR_INVALID_ARGUMENT, "more than %d files", FILES_MAX)
						 : load_file(project, path, &bad);
	free(path);
	free(name);
	return rc < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

static int read_target_files(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	(void)key;
	if (json_get_array(at, SIZE_MAX, err) < 0)
		return -1;
	for (size_t i = 0; i < json_count(at); i++) {
		struct json_at item = json_element(at, i);
		if (read_target_file(reader, &item, object, err) < 0 && (i > FILES_MAX || reader_failed(reader, err) < 0))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the configuration */

/* Python classes: they cannot be honoured. */
static int read_emulators(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	struct json_iter iter = { 0 };
	struct json_at item;
	(void)key, (void)object;
	if (json_get_object(at, NULL) < 0) {
		struct err what = ERR_INIT;
		if (json_get_array(at, SIZE_MAX, NULL) < 0) /* as Pigweed's guide has it */
			return json_get_object(at, err);
		json_fail(at, &what, "emulators of one's own are not supported; the drivers of the daemon are used");
		reader_warn(reader, &what);
		return 0;
	}
	while (json_next(at, &iter, &item)) {
		struct err what = ERR_INIT;
		bool is_known = false;
		for (size_t i = 0; target_emulator_name(i) != NULL; i++)
			is_known |= strcmp(target_emulator_name(i), item.key) == 0;
		if (is_known)
			json_fail(&item, &what, "its Python classes are not used, but the daemon's driver \"%s\"", item.key);
		else
			json_fail(&item, &what, "its Python classes cannot be used, and the daemon has no driver \"%s\"", item.key);
		reader_warn(reader, &what);
	}
	return 0;
}

static int keep_own_targets(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err)
{
	return keep_targets(reader, at, key, ((struct project *)object)->files[0], err);
}

static const struct key config_rows[] = {
	{ .name = "$schema", .read = key_ignore, .flavours = READER_PWEMU },
	{ .name = "gdb", .read = key_ignore }, /* project.c: gdb, qemu and renode are read with a target */
	{ .name = "qemu", .read = key_ignore },
	{ .name = "renode", .read = key_ignore },
	{ .name = "emulators", .read = read_emulators },
	{ .name = "target_files", .read = read_target_files },
	{ .name = "targets", .read = keep_own_targets },
};
static const struct keys config_keys = KEYS(config_rows);

const struct target_table project_tables[] = {
	{ "config", &config_keys },
	{ "targetFile", &file_keys },
	{ 0 },
};

static bool has_config_key(const struct json_at *root)
{
	struct json_at member;
	for (size_t i = 0; i < config_keys.count; i++)
		if (json_member(root, config_keys.rows[i].name, &member))
			return true;
	return false;
}

/* Which of the two it is; false: neither. */
static bool find_config(struct project *project, struct project_file *file)
{
	const char *slash = strrchr(project->path, '/'), *name = slash != NULL ? slash + 1 : project->path;
	struct json_at *root = &file->chain[0], *pw = &file->chain[1], *pw_emu = &file->chain[2];
	*root = json_root(&file->json);
	project->flavour = READER_PWEMU;
	file->config = root;
	if (strcmp(name, "pwemu.json") == 0)
		return true;
	if (!json_member(root, "pw", pw))
		return strcmp(name, "pigweed.json") != 0 && has_config_key(root);
	project->flavour = READER_PIGWEED;
	file->config = pw_emu;
	return json_get_object(pw, NULL) == 0 && json_member(pw, "pw_emu", pw_emu);
}

static int read_config(struct project *project, struct err *err)
{
	struct reader reader;
	struct project_file *file = project->files[0];
	project_reader(project, &reader);
	if (reader_object(&reader, file->config, &config_keys, project, err) < 0)
		return -1;
	return file->targets.value != NULL ? add_targets(project, file, err) : 0;
}

static struct project *project_new(const char *path, const struct project_ops *ops)
{
	struct project *project = xcalloc(1, sizeof(*project));
	char *real = realpath(path, NULL);
	project->path = xstrdup(path);
	project->dir = xstrdup(real != NULL ? real : path);
	free(real);
	char *slash = strrchr(project->dir, '/');
	if (slash != NULL)
		*slash = '\0';
	else
		strcpy(project->dir, ".");
	project->ops = *ops;
	return project;
}

void project_free(struct project *project)
{
	if (project == NULL)
		return;
	for (size_t i = 0; i < project->file_count; i++) {
		json_fini(&project->files[i]->json);
		free(project->files[i]);
	}
	free(project->files);
	free(project->rows);
	free(project->path);
	free(project->dir);
	free(project);
}

/* `project` has its first file, read. */
static int finish(struct project *project, bool is_required, struct project **out, struct err *err)
{
	int rc = 0;
	if (find_config(project, project->files[0]))
		rc = read_config(project, err);
	else if (is_required)
		rc = err_set(err, ERR_INVALID_ARGUMENT, "%s: missing `pw_emu` configuration", project->path);
	else
		project_free(project), project = NULL;
	if (rc < 0)
		project_free(project);
	else
		*out = project;
	return rc;
}

int project_open(const char *path, bool is_required, const struct project_ops *ops, struct project **out, struct err *err)
{
	struct project *project = project_new(path, ops);
	struct project_file *file = add_file(project);
	identify(file, path);
	if (json_load(path, &file->json, err) == 0)
		return finish(project, is_required, out, err);
	project_free(project);
	return -1;
}

int project_parse(const char *path, const char *text, size_t len, bool is_required, const struct project_ops *ops, struct project **out,
		  struct err *err)
{
	struct project *project = project_new(path, ops);
	if (json_parse(path, text, len, &add_file(project)->json, err) == 0)
		return finish(project, is_required, out, err);
	project_free(project);
	return -1;
}
