/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was made is remembered; a change is the difference to what is wanted now. While the emulator boots its pid is known, so the files
 * are there when it answers, and they go while it is being ended: nobody waits for them.
 */
#include "instance/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/pb.h"
#include "instance/commands.h"
#include "instance/expand.h"
#include "instance/priv.h"
#include "loop/helper.h"
#include "pwemu/v1/jobs.pb-c.h"
#include "wire/mem.h"
#include "wire/utf8.h"

#define FILES_DEADLINE_MS 20000
#define FILES_TMP         ".pwemu-tmp"

struct files_row {
	char *path;
	char *content; /* of a link: where it leads to */
	bool is_link;
	bool stays; /* when the instance is over */
};

struct files_list {
	struct files_row *rows;
	size_t count;
};

struct files {
	struct instance *inst;
	struct files_list made;
	struct timer *timer;
	struct helper *helper;
	bool is_stale; /* something has changed since the helper began */
};

/* ---------------------------------------------------------------- lists */

/* Takes path and content. */
static void files_add(struct files_list *list, char *path, char *content, bool is_link, bool stays)
{
	list->rows = xrealloc(list->rows, list->count + 1, sizeof(*list->rows));
	list->rows[list->count++] = (struct files_row){ path, content, is_link, stays };
}

static void files_clear(struct files_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->rows[i].path);
		free(list->rows[i].content);
	}
	free(list->rows);
	*list = (struct files_list){ 0 };
}

static const struct files_row *files_find(const struct files_list *list, const char *path)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->rows[i].path, path) == 0)
			return &list->rows[i];
	return NULL;
}

static bool files_has(const struct files_list *list, const struct files_row *row)
{
	const struct files_row *found = files_find(list, row->path);
	return found != NULL && found->is_link == row->is_link && strcmp(found->content, row->content) == 0;
}

/* ---------------------------------------------------------------- handles.json */

static void handles_string(FILE *to, const char *text)
{
	utf8_write_json(to, text, strlen(text));
}

static void handles_channels(FILE *to, const struct instance *inst)
{
	const char *before = "";
	for (size_t i = 0; i < inst->channel_count; i++) {
		const struct instance_channel *channel = inst->channels[i];
		if (channel->endpoint_kind == ENDPOINT_NONE || !endpoints_has_fds(channel))
			continue;
		fputs(before, to);
		before = ", ";
		handles_string(to, channel->name);
		if (channel->endpoint_kind == ENDPOINT_TCP) {
			fprintf(to, ": {\"type\": \"tcp\", \"host\": \"%s\", \"port\": %u}", EXPAND_HOST, channel->port);
		} else {
			fputs(": {\"type\": \"pty\", \"path\": ", to);
			handles_string(to, channel->pty_path);
			fputc('}', to);
		}
	}
}

static void handles_process(FILE *to, const char **before, const char *name, pid_t pid)
{
	if (pid <= 0)
		return;
	fputs(*before, to);
	*before = ", ";
	handles_string(to, name);
	fprintf(to, ": {\"pid\": %d}", (int)pid);
}

static void handles_commands(FILE *to, const char **before, const struct instance *inst, bool is_post)
{
	for (size_t i = 0; i < inst->command_count; i++)
		if (inst->commands[i].is_post == is_post)
			handles_process(to, before, inst->commands[i].name, command_pid(&inst->commands[i]));
}

static void handles_write(FILE *to, const struct instance *inst)
{
	const Pwemu__V1__Target *target = inst->target;
	const char *before = "";
	fputs("{\"emu\": ", to);
	handles_string(to, target->emulator);
	fputs(", \"config\": ", to);
	if (target->config[0] != '\0')
		handles_string(to, target->config);
	else
		fputs("null", to);
	fputs(", \"gdb_cmd\": [", to);
	for (size_t i = 0; i < target->n_gdb; i++) {
		fputs(i > 0 ? ", " : "", to);
		handles_string(to, target->gdb[i]);
	}
	fputs("], \"target\": ", to);
	handles_string(to, target->name);
	fputs(", \"channels\": {", to);
	handles_channels(to, inst);
	fputs("}, \"procs\": {", to);
	handles_commands(to, &before, inst, false);
	handles_process(to, &before, target->emulator, instance_pid(inst));
	handles_commands(to, &before, inst, true);
	fputs("}}", to);
}

static char *handles_text(const struct instance *inst)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	if (to == NULL)
		abort(); /* out of memory */
	handles_write(to, inst);
	fclose(to);
	return text;
}

/* ---------------------------------------------------------------- what is wanted */

static char *files_path(const struct instance *inst, const char *name, const char *suffix)
{
	return xasprintf("%s/%s%s", inst->working_dir, name, suffix);
}

static void files_add_pid(struct files_list *list, const struct instance *inst, const char *name, pid_t pid)
{
	if (pid > 0)
		files_add(list, files_path(inst, name, ".pid"), xasprintf("%d", (int)pid), false, false);
}

/* Links to logs, which are of interest afterwards too. */
static void files_add_logs(struct files_list *list, const struct instance *inst)
{
	const char *emulator = inst->target->emulator;
	files_add(list, files_path(inst, emulator, ".log"), xasprintf("%s/data/%s/emulator.log", inst->env->state_dir, inst->id), true,
		  true);
	for (size_t i = 0; i < inst->command_count; i++)
		if (inst->commands[i].is_begun)
			files_add(list, files_path(inst, inst->commands[i].name, ".log"), command_log_path(&inst->commands[i]), true, true);
}

/* handles.json comes last: who sees it sees the others. */
static void files_add_all(struct files_list *list, const struct instance *inst)
{
	files_add_logs(list, inst);
	for (size_t i = 0; i < inst->channel_count; i++) {
		const struct instance_channel *channel = inst->channels[i];
		if (channel->pty_path[0] != '\0')
			files_add(list, files_path(inst, channel->name, ""), xstrdup(channel->pty_path), true, false);
	}
	for (size_t i = 0; i < inst->command_count; i++)
		files_add_pid(list, inst, inst->commands[i].name, command_pid(&inst->commands[i]));
	files_add_pid(list, inst, inst->target->emulator, instance_pid(inst));
	files_add(list, files_path(inst, "handles.json", ""), handles_text(inst), false, false);
}

/* It is over, or will be and no boot comes before that. */
static bool files_are_leaving(const struct instance *inst)
{
	bool is_ending = inst->state == INST_STOPPING || inst->state == INST_DRAINING;
	return instance_is_over(inst) || inst->state == INST_CLOSING || inst->state == INST_FAILING || (is_ending && inst->no_restart);
}

static void files_wanted(const struct files *files, struct files_list *out)
{
	*out = (struct files_list){ 0 };
	if (instance_is_remote(files->inst)) /* its working directory is not here */
		return;
	if (!files_are_leaving(files->inst)) {
		files_add_all(out, files->inst);
		return;
	}
	for (size_t i = 0; i < files->made.count; i++) {
		const struct files_row *row = &files->made.rows[i];
		if (row->stays)
			files_add(out, xstrdup(row->path), xstrdup(row->content), row->is_link, true);
	}
}

/* ---------------------------------------------------------------- in the helper */

static int files_make_link(const Pwemu__V1__FilesRow *row)
{
	return (unlink(row->path) == 0 || errno == ENOENT) && symlink(row->content, row->path) == 0 ? 0 : -1;
}

static int files_write(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);
	if (n >= 0 && (size_t)n < len)
		errno = ENOSPC;
	return n == (ssize_t)len ? 0 : -1;
}

static int files_make_text(const Pwemu__V1__FilesRow *row)
{
	char *tmp = xasprintf("%s%s", row->path, FILES_TMP);
	(void)unlink(tmp);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), rc = fd >= 0 ? files_write(fd, row->content) : -1;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	errno = sys;
	rc = rc == 0 ? rename(tmp, row->path) : -1;
	sys = errno;
	free(tmp);
	errno = sys;
	return rc;
}

/* Unless somebody has put something else there. */
static void files_remove(const Pwemu__V1__FilesRow *row)
{
	char found[4096];
	ssize_t len = row->is_link ? readlink(row->path, found, sizeof(found)) : 0;
	bool is_ours = !row->is_link || (len >= 0 && (size_t)len == strlen(row->content) && memcmp(found, row->content, (size_t)len) == 0);
	if (is_ours)
		(void)unlink(row->path);
}

/* The reply is what went wrong first. */
static void files_work(const Pwemu__V1__FilesJob *job, int reply_fd)
{
	bool failed = false;
	umask(job->umask);
	for (size_t i = job->n_old; i > 0; i--)
		files_remove(job->old[i - 1]);
	for (size_t i = 0; i < job->n_wanted; i++) {
		const Pwemu__V1__FilesRow *row = job->wanted[i];
		if ((row->is_link ? files_make_link : files_make_text)(row) == 0 || failed)
			continue;
		failed = true;
		dprintf(reply_fd, "\"%s\" cannot be written: %s", row->path, strerror(errno));
	}
	struct err err = ERR_INIT;
	if (job->is_home && dirs_remove(job->directory, &err) < 0)
		dprintf(reply_fd, "%s", err.msg);
	else if (job->directory[0] != '\0' && !job->is_home)
		(void)rmdir(job->directory);
}

static void files_serve(const void *bytes, size_t len, int reply_fd)
{
	Pwemu__V1__FilesJob *job = pwemu__v1__files_job__unpack(NULL, len, bytes);
	if (job != NULL)
		files_work(job, reply_fd);
	else
		dprintf(reply_fd, "the daemon's request cannot be read");
	pwemu__v1__files_job__free_unpacked(job, NULL);
}

/* ---------------------------------------------------------------- in the daemon */

static void files_trouble(struct instance *inst, const char *text)
{
	log_warn(&inst->scope, "%s", text);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, NULL, NULL, text);
}

static void files_on_done(void *ctx, const void *reply, size_t len, const struct err *err)
{
	struct files *files = ctx;
	char text[512];
	files->helper = NULL;
	if (err != NULL || len > 0) {
		snprintf(text, sizeof(text), "%.*s", err != NULL ? (int)strlen(err->msg) : (int)len,
			 err != NULL ? err->msg : (const char *)reply);
		utf8_repair(text);
		files_trouble(files->inst, text);
	}
	if (files->is_stale)
		timer_arm(files->timer, 0);
	else
		instance_changed(files->inst);
}

/* The rows of `from` that are not in `but`, by path or in all they say; the texts stay where they are. */
static Pwemu__V1__FilesRow **files_rows(const struct files_list *from, const struct files_list *but, bool by_path, size_t *count)
{
	Pwemu__V1__FilesRow **rows = xcalloc(from->count + 1, sizeof(*rows));
	*count = 0;
	for (size_t i = 0; i < from->count; i++) {
		const struct files_row *row = &from->rows[i];
		if (by_path ? files_find(but, row->path) != NULL : files_has(but, row))
			continue;
		Pwemu__V1__FilesRow *made = xmalloc(sizeof(*made));
		pwemu__v1__files_row__init(made);
		made->path = row->path;
		made->content = row->content;
		made->is_link = row->is_link;
		rows[(*count)++] = made;
	}
	return rows;
}

static void files_rows_free(Pwemu__V1__FilesRow **rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(rows[i]);
	free(rows);
}

/* Has a helper make `wanted` of what was made; `job` says the rest. */
static int files_begin(const struct instance *inst, Pwemu__V1__FilesJob *job, const struct files_list *wanted, struct helper_spec *helper,
		       struct helper **out, struct err *err)
{
	const struct files_list *made = &inst->files->made;
	job->old = files_rows(made, wanted, true, &job->n_old);
	job->wanted = files_rows(wanted, made, false, &job->n_wanted);
	void *bytes = pb_pack(&job->base, &helper->job_len);
	helper->job = bytes;
	helper->serve = files_serve;
	helper->user = instance_as(inst);
	helper->deadline_ms = FILES_DEADLINE_MS;
	int rc = helper_run(inst->env->base, helper, out, err);
	free(bytes);
	files_rows_free(job->old, job->n_old);
	files_rows_free(job->wanted, job->n_wanted);
	return rc;
}

static int files_run(struct files *files, const struct files_list *wanted, struct err *err)
{
	Pwemu__V1__FilesJob job = PWEMU__V1__FILES_JOB__INIT;
	job.umask = boot_umask(files->inst);
	struct helper_spec helper = {
		.name = "care of the working directory",
		.max_reply = 8192,
		.on_done = files_on_done,
		.ctx = files,
	};
	return files_begin(files->inst, &job, wanted, &helper, &files->helper, err);
}

static bool files_differ(const struct files_list *a, const struct files_list *b)
{
	if (a->count != b->count)
		return true;
	for (size_t i = 0; i < a->count; i++)
		if (!files_has(b, &a->rows[i]))
			return true;
	return false;
}

static void files_on_timer(void *ctx)
{
	struct files *files = ctx;
	struct files_list wanted;
	struct err err = ERR_INIT;
	if (files->helper != NULL || files->inst->target == NULL)
		return; /* it looks again when that is done */
	files->is_stale = false;
	files_wanted(files, &wanted);
	bool differs = files_differ(&wanted, &files->made);
	if (differs && files_run(files, &wanted, &err) < 0)
		files_trouble(files->inst, err.msg);
	files_clear(&files->made);
	files->made = wanted;
	if (files->helper == NULL)
		instance_changed(files->inst);
}

struct files *files_new(struct instance *inst)
{
	struct files *files = xcalloc(1, sizeof(*files));
	files->inst = inst;
	files->timer = timer_new(inst->env->base, files_on_timer, files);
	return files;
}

void files_free(struct files *files)
{
	if (files == NULL)
		return;
	helper_cancel(files->helper);
	timer_free(files->timer);
	files_clear(&files->made);
	free(files);
}

void files_update(struct instance *inst)
{
	inst->files->is_stale = true;
	if (inst->files->helper == NULL)
		timer_arm(inst->files->timer, 0);
}

void files_state_changed(struct instance *inst)
{
	if (files_are_leaving(inst) && inst->files->made.count > 0)
		files_update(inst);
}

bool files_are_settled(const struct instance *inst)
{
	return inst->files->helper == NULL && !timer_is_armed(inst->files->timer);
}

void files_assume(struct instance *inst)
{
	files_clear(&inst->files->made);
	if (!instance_is_remote(inst))
		files_add_all(&inst->files->made, inst);
}

static void files_on_erased(void *ctx, const void *reply, size_t len, const struct err *err)
{
	(void)ctx, (void)reply, (void)len;
	if (err != NULL)
		log_warn(NULL, "%s", err->msg);
}

void files_erase(struct instance *inst)
{
	struct files *files = inst->files;
	struct files_list none = { 0 };
	struct err err = ERR_INIT;
	bool is_remote = instance_is_remote(inst);
	if (inst->target == NULL || (!is_remote && inst->boot == 0 && inst->command_count == 0))
		return;
	char *own = xasprintf("%s/instances/", inst->env->state_dir);
	bool is_ours = strncmp(inst->working_dir, own, strlen(own)) == 0; /* chosen by the daemon, not by the user */
	free(own);
	if (!is_remote)
		files_add_logs(&files->made, inst);
	Pwemu__V1__FilesJob job = PWEMU__V1__FILES_JOB__INIT;
	if (is_ours || is_remote)
		job.directory = inst->home;
	job.is_home = is_remote;
	struct helper_spec helper = {
		.name = "care of a working directory",
		.on_done = files_on_erased,
	};
	helper_cancel(files->helper);
	files->helper = NULL;
	if (files_begin(inst, &job, &none, &helper, NULL, &err) < 0)
		log_warn(&inst->scope, "%s", err.msg);
}
