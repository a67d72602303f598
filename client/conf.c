/* SPDX-License-Identifier: Apache-2.0 */
#include "client/conf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/image.h"
#include "client/say.h"
#include "wire/mem.h"

/* ---------------------------------------------------------------- where it is */

/* The configuration of this directory; NULL if it has none. */
static char *file_in(const char *dir)
{
	static const char *const names[] = { "pwemu.json", "pigweed.json" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = xasprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, names[i]);
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

/* Upwards from the current directory, which it is asked for; both are NULL where there is none. */
static void search_upwards(char **dir, char **file)
{
	*file = NULL;
	*dir = getcwd(NULL, 0);
	while (*dir != NULL && (*dir)[0] == '/' && (*file = file_in(*dir)) == NULL && (*dir)[1] != '\0') {
		char *slash = strrchr(*dir, '/');
		slash[slash == *dir] = '\0'; /* the root keeps its slash */
	}
	if (*file != NULL)
		return;
	free(*dir);
	*dir = NULL;
}

/* Both are owned by the caller; NULL where there is none. */
static void locate(char **dir, char **file)
{
	const char *root = getenv("PW_PROJECT_ROOT");
	char *other = NULL;
	if (root == NULL || root[0] == '\0') {
		search_upwards(dir, file);
		return;
	}
	char *real = realpath(root, NULL);
	*dir = real != NULL ? real : path_absolute(root);
	*file = file_in(*dir);
	if (*file == NULL)
		search_upwards(&other, file);
	free(other);
}

char *conf_project_dir(void)
{
	char *dir, *file;
	locate(&dir, &file);
	free(file);
	return dir != NULL ? dir : xstrdup("");
}

/* ---------------------------------------------------------------- what is in it */

/* The same place may be read for several targets. */
static bool was_told(struct conf *conf, const char *text)
{
	for (size_t i = 0; i < conf->told_count; i++)
		if (strcmp(conf->told[i], text) == 0)
			return true;
	conf->told = xrealloc(conf->told, conf->told_count + 1, sizeof(*conf->told));
	conf->told[conf->told_count++] = xstrdup(text);
	return false;
}

static void on_warning(void *ctx, const struct err *what)
{
	if (!was_told(ctx, what->msg))
		say_note("warning: %s; ignored", what->msg);
}

static void on_error(void *ctx, const struct err *what)
{
	struct conf *conf = ctx;
	if (was_told(conf, what->msg))
		return;
	say_error("%s", what->msg);
	conf->errors++;
}

static int get_preset(void *ctx, const char *name, Pwemu__V1__Target **out, struct err *err)
{
	struct conf *conf = ctx;
	Pwemu__V1__GetTargetRequest request = PWEMU__V1__GET_TARGET_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	request.name = (char *)(uintptr_t)name;
	if (cli_open(conf->cli, CONN_START, err) < 0 ||
	    call_repeatable(&conf->cli->conn, CALL_TARGETS_GET, &request.base, &message, err) < 0)
		return -1;
	*out = (Pwemu__V1__Target *)message;
	return 0;
}

int conf_open(struct conf *conf, struct cli *cli, const char *path, enum conf_talk talk, struct err *err)
{
	struct project_ops ops = { .preset = get_preset, .ctx = conf };
	char *dir = NULL, *found = NULL;
	bool is_named = path != NULL;
	*conf = (struct conf){ .cli = cli };
	if (talk >= CONF_WARN)
		ops.on_warning = on_warning;
	if (talk == CONF_REPORT)
		ops.on_error = on_error;
	if (!is_named)
		locate(&dir, &found);
	free(dir);
	conf->path = is_named ? xstrdup(path) : found;
	return conf->path != NULL ? project_open(conf->path, is_named, &ops, &conf->project, err) : 0;
}

void conf_fini(struct conf *conf)
{
	for (size_t i = 0; i < conf->told_count; i++)
		free(conf->told[i]);
	free(conf->told);
	free(conf->path);
	project_free(conf->project);
	*conf = (struct conf){ 0 };
}

bool conf_has(const struct conf *conf, const char *name)
{
	return conf->project != NULL && project_has(conf->project, name);
}

int conf_target(struct conf *conf, const char *name, struct origins *origins, Pwemu__V1__Target **out, struct err *err)
{
	const char *runner = opt_text(&conf->cli->opts, "runner");
	if (conf_has(conf, name))
		return project_target(conf->project, name, runner, origins, out, err);
	return get_preset(conf, name, out, err);
}
