/* SPDX-License-Identifier: Apache-2.0 */
#include "client/log_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/atomic.h"
#include "client/drain.h"
#include "config/sha256.h"
#include "client/tojson.h"
#include "wire/mem.h"

#define RESULT_NAME "result.json"
#define SUM_MAX     (64u << 20) /* of a larger image there is no checksum */

struct image {
	char *path;
	bool is_known;
	uint64_t size;
	char sum[2 * SHA256_SIZE + 1]; /* "": none */
};

struct kept {
	char *file, *channel, *kind, *problem; /* problem NULL: it is complete */
	uint64_t size, offset;
};

struct log_dir {
	char *path;
	struct image *images;
	size_t image_count;
	struct kept *kept;
	size_t kept_count;
};

/* ---------------------------------------------------------------- before the run */

static int make_one(const char *path, struct err *err)
{
	struct stat st;
	if (mkdir(path, 0777) == 0)
		return 0;
	int error = errno;
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : err_sys(err, ENOTDIR, "make \"%s\"", path);
	return err_sys(err, error, "make \"%s\"", path);
}

static int make_all(const char *path, struct err *err)
{
	char *copy = xstrdup(path);
	int rc = 0;
	for (char *slash = strchr(copy + (copy[0] == '/'), '/'); slash != NULL && rc == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		rc = make_one(copy, err);
		*slash = '/';
	}
	if (rc == 0)
		rc = make_one(copy, err);
	free(copy);
	return rc;
}

static void look_at_image(struct image *image, const char *path)
{
	struct stat st;
	image->path = xstrdup(path);
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	image->is_known = true;
	image->size = (uint64_t)st.st_size;
	if (image->size > SUM_MAX || sha256_file(path, image->sum) < 0)
		image->sum[0] = '\0';
}

static char *path_of(const struct log_dir *dir, const char *file)
{
	return xasprintf("%s/%s", dir->path, file);
}

int log_dir_open(const char *path, const char *const *images, size_t image_count, struct log_dir **out, struct err *err)
{
	if (path[0] == '\0')
		return err_set(err, ERR_INVALID_ARGUMENT, "make \"\": a directory without a name");
	if (make_all(path, err) < 0)
		return -1;
	struct log_dir *dir = xcalloc(1, sizeof(*dir));
	dir->path = xstrdup(path);
	char *result = path_of(dir, RESULT_NAME);
	int rc = atomic_prepare(result, err);
	free(result);
	if (rc < 0) {
		log_dir_free(dir);
		return -1;
	}
	dir->images = xcalloc(image_count, sizeof(*dir->images));
	for (; dir->image_count < image_count; dir->image_count++)
		look_at_image(&dir->images[dir->image_count], images[dir->image_count]);
	*out = dir;
	return 0;
}

void log_dir_free(struct log_dir *dir)
{
	if (dir == NULL)
		return;
	for (size_t i = 0; i < dir->image_count; i++)
		free(dir->images[i].path);
	for (size_t i = 0; i < dir->kept_count; i++) {
		free(dir->kept[i].file);
		free(dir->kept[i].channel);
		free(dir->kept[i].kind);
		free(dir->kept[i].problem);
	}
	free(dir->images);
	free(dir->kept);
	free(dir->path);
	free(dir);
}

/* ---------------------------------------------------------------- channels */

struct copying {
	FILE *to;
	uint64_t size, first;
};

static void on_data(void *ctx, const Pwemu__V1__Data *data)
{
	struct copying *copying = ctx;
	if (copying->size == 0)
		copying->first = data->offset;
	copying->size += data->bytes.len;
	fwrite(data->bytes.data, 1, data->bytes.len, copying->to);
}

static int copy_channel(struct conn *conn, const char *instance_id, const char *channel, struct copying *copying, struct err *err)
{
	struct feed_config config = { .instance_id = instance_id, .channel = channel };
	config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
	config.from.at_case = PWEMU__V1__POSITION__AT_START;
	config.from.start = 1;
	return drain_feed(conn, &config, on_data, copying, err);
}

static bool is_file_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static int keep(struct log_dir *dir, struct kept *kept, struct conn *conn, const char *instance_id, struct err *err)
{
	struct atomic atomic;
	struct copying copying = { .size = 0 };
	struct err why = ERR_INIT;
	if (conn == NULL)
		return err_set(err, ERR_UNAVAILABLE, "keep channel %s: the daemon is not there any more", kept->channel);
	if (!is_file_name(kept->channel))
		return err_set(err, ERR_INVALID_ARGUMENT, "keep channel \"%s\": its name is no file's", kept->channel);
	char *path = path_of(dir, kept->file);
	int rc = atomic_open(&atomic, path, err);
	free(path);
	if (rc < 0)
		return -1;
	copying.to = atomic.file;
	int copied = copy_channel(conn, instance_id, kept->channel, &copying, &why);
	kept->size = copying.size;
	kept->offset = copying.first;
	if (atomic_commit(&atomic, err) < 0)
		return -1;
	if (copied == 0)
		return 0;
	*err = why; /* what came is kept nevertheless */
	return err_prefix(err, "keep channel %s in \"%s/%s\"", kept->channel, dir->path, kept->file);
}

int log_dir_add_channel(struct log_dir *dir, struct conn *conn, const char *instance_id, const Pwemu__V1__Channel *channel, struct err *err)
{
	dir->kept = xrealloc(dir->kept, dir->kept_count + 1, sizeof(*dir->kept));
	struct kept *kept = &dir->kept[dir->kept_count++];
	*kept = (struct kept){ .file = xasprintf("%s.log", channel->name),
			       .channel = xstrdup(channel->name),
			       .kind = xstrdup(channel->kind) };
	if (keep(dir, kept, conn, instance_id, err) == 0)
		return 0;
	kept->problem = xstrdup(err->msg);
	return -1;
}

/* ---------------------------------------------------------------- result.json */

static void write_text(FILE *to, const char *text)
{
	if (text != NULL)
		tojson_string(to, text, strlen(text));
	else
		fputs("null", to);
}

static void write_pair(FILE *to, const char *key, const char *text)
{
	fprintf(to, "  \"%s\": ", key);
	write_text(to, text);
	fputs(",\n", to);
}

static void write_words(FILE *to, const char *key, const char *const *words, size_t count)
{
	fprintf(to, "  \"%s\": [", key);
	for (size_t i = 0; i < count; i++) {
		fputs(i > 0 ? ", " : "", to);
		write_text(to, words[i]);
	}
	fputs("],\n", to);
}

static void write_outcome(FILE *to, const struct log_dir_run *run)
{
	const Pwemu__V1__Instance *inst = run->inst;
	const Pwemu__V1__End *end = inst != NULL ? inst->end : NULL;
	write_pair(to, "verdict", verdict_name(run->outcome->verdict));
	write_pair(to, "message", run->outcome->message);
	write_pair(to, "reason", run->outcome->reason[0] != '\0' ? run->outcome->reason : NULL);
	fprintf(to, "  \"exit_code\": %d,\n", run->outcome->exit_code);
	write_pair(to, "exit_reason", end != NULL ? tojson_word(&pwemu__v1__end_cause__descriptor, (int)end->cause) : NULL);
	write_pair(to, "exit_details", end != NULL ? end->details : NULL);
	write_pair(to, "instance", inst != NULL ? inst->name : NULL);
	write_pair(to, "id", inst != NULL ? inst->id : NULL);
	write_pair(to, "target", inst != NULL ? inst->target : run->target);
	write_pair(to, "emulator", inst != NULL ? inst->emulator : NULL);
	fprintf(to, "  \"boots\": %" PRIu32 ",\n", inst != NULL ? inst->boot : 0);
}

static void write_command_lines(FILE *to, const struct log_dir_run *run)
{
	size_t count = 0;
	while (run->command != NULL && run->command[count] != NULL)
		count++;
	write_words(to, "command", run->command, count);
	write_words(to, "argv", run->inst != NULL ? (const char *const *)run->inst->argv : NULL, run->inst != NULL ? run->inst->n_argv : 0);
	fprintf(to, "  \"versions\": {\"pwemu\": ");
	write_text(to, PWEMU_VERSION);
	fputs(", \"pwemud\": ", to);
	write_text(to, run->daemon_version);
	fputs(", \"emulator\": ", to);
	write_text(to, run->inst != NULL && run->inst->emulator_version[0] != '\0' ? run->inst->emulator_version : NULL);
	fputs("},\n", to);
}

static void write_times(FILE *to, const struct log_dir_run *run)
{
	uint64_t ns = run->ended_ns > run->began_ns ? run->ended_ns - run->began_ns : 0;
	fprintf(to,
		"  \"began_ns\": %" PRIu64 ",\n  \"guest_began_ns\": %" PRIu64 ",\n  \"ended_ns\": %" PRIu64 ",\n  \"seconds\": %.3f,\n",
		run->began_ns, run->inst != NULL ? run->inst->started_ns : 0, run->ended_ns, (double)ns / 1e9);
}

static void write_images(FILE *to, const struct log_dir *dir)
{
	fputs("  \"images\": [", to);
	for (size_t i = 0; i < dir->image_count; i++) {
		const struct image *image = &dir->images[i];
		fputs(i > 0 ? ",\n    {\"path\": " : "\n    {\"path\": ", to);
		write_text(to, image->path);
		if (image->is_known)
			fprintf(to, ", \"size\": %" PRIu64, image->size);
		else
			fputs(", \"size\": null", to);
		fputs(", \"sha256\": ", to);
		write_text(to, image->sum[0] != '\0' ? image->sum : NULL);
		fputc('}', to);
	}
	fputs(dir->image_count > 0 ? "\n  ],\n" : "],\n", to);
}

static void write_files(FILE *to, const struct log_dir *dir)
{
	fputs("  \"files\": [", to);
	for (size_t i = 0; i < dir->kept_count; i++) {
		const struct kept *kept = &dir->kept[i];
		fputs(i > 0 ? ",\n    {\"file\": " : "\n    {\"file\": ", to);
		write_text(to, kept->file);
		fputs(", \"channel\": ", to);
		write_text(to, kept->channel);
		fputs(", \"kind\": ", to);
		write_text(to, kept->kind);
		fprintf(to, ", \"size\": %" PRIu64 ", \"offset\": %" PRIu64 ", \"problem\": ", kept->size, kept->offset);
		write_text(to, kept->problem);
		fputc('}', to);
	}
	fputs(dir->kept_count > 0 ? "\n  ]\n" : "]\n", to);
}

int log_dir_write_result(struct log_dir *dir, const struct log_dir_run *run, struct err *err)
{
	struct atomic atomic;
	char *path = path_of(dir, RESULT_NAME);
	int rc = atomic_open(&atomic, path, err);
	free(path);
	if (rc < 0)
		return -1;
	fputs("{\n", atomic.file);
	write_outcome(atomic.file, run);
	write_images(atomic.file, dir);
	write_command_lines(atomic.file, run);
	write_times(atomic.file, run);
	write_files(atomic.file, dir);
	fputs("}\n", atomic.file);
	return atomic_commit(&atomic, err);
}
